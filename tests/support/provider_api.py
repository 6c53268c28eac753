# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The HTTP interfaces of providers on this machine, under their own names, with TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

from odoo.addons.mail_bridge.tests_plain.api_stub import (
    ApiStub,
    Asked,
    Behaviour,
    Said,
)

from tests.support.origin import write_certificate


class ProviderApi:
    """Answers for each host name as a stub of ``tests_plain`` does.

    Odoo's processes reach it with :meth:`environment` and the addon of
    ``support/odoo_addons``.
    """

    def __init__(self, hosts: Mapping[str, Behaviour], folder: Path) -> None:
        self.hosts = dict(hosts)
        self.stub = ApiStub(self._answer)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = folder / "certificate.pem", folder / "key.pem"
        write_certificate(list(hosts), self.certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        server = self.stub.server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _answer(self, asked: Asked) -> Said:
        return self.hosts[asked.headers["host"]](asked)

    def close(self) -> None:
        """Stop answering."""
        self.stub.server.shutdown()
        self.stub.server.server_close()

    def environment(self) -> dict[str, str]:
        """What Odoo's processes need to find it, and to trust it."""
        return {
            "STAND_IN_NAMES": ",".join(self.hosts),
            "STAND_IN_PORT": str(self.stub.server.server_address[1]),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "MAIL_BRIDGE_ALLOW_LOOPBACK_FETCH": "1",
        }
