# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Python's own SMTP classes over our connector, for code that is built upon them.

Odoo's ``ir.mail_server`` gives each address of a server a whole minute, one after the
other (facts/relay.md §6). These connect as ``mail_bridge`` does, and are otherwise
what they were; everything that CPython does after the connection stays its own.
"""

from __future__ import annotations

import smtplib
import socket
from typing import ClassVar

from odoo.addons.mail_bridge.providers.connect import (
    TIMEOUT,
    ConnectError,
    Family,
    connect,
)


class RacingSMTP(smtplib.SMTP):
    """``smtplib.SMTP`` that connects to whichever address answers first.

    ``timeout`` holds for each command as ever; to connect, ``connect_timeout`` seconds
    are the most for all addresses together.
    """

    family: ClassVar[Family] = "auto"
    connect_timeout: ClassVar[float] = TIMEOUT

    def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
        # smtplib's own default is an object that stands for none.
        wait = timeout if isinstance(timeout, float | int | None) else None
        if wait == 0:
            raise ValueError("a timeout of 0 is not supported")
        most = min(self.connect_timeout, wait or self.connect_timeout)
        source = self.source_address[0] if self.source_address else ""
        try:
            done = connect(host, port, self.family, most, source)
        except ConnectError as error:
            raise OSError(str(error)) from error
        done.socket.settimeout(wait)
        return done.socket


class RacingSMTPS(smtplib.SMTP_SSL, RacingSMTP):
    """``smtplib.SMTP_SSL`` over the same: it wraps what the class behind it gives."""
