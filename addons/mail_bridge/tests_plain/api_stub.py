# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A provider's HTTP interface on this machine: answers as told, notes what was asked.

A provider's test gives it a function from :class:`Asked` to :class:`Said`; what goes
wrong on a wire stands beside the answers (``DROP``, ``HALF``, ``Said(after=…)``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from odoo.addons.mail_bridge.providers.forms import Form, read_form
from odoo.addons.mail_bridge.providers.http import LOOPBACK_VARIABLE


@dataclass(frozen=True)
class Asked:
    """One request as it arrived: ``path`` without the query, ``query`` in order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def form(self) -> Form:
        """The body as a form, whichever of the two kinds."""
        return read_form(self.headers.get("content-type", ""), self.body)

    def field(self, name: str) -> list[str]:
        """Return the values of one field of the form, in order."""
        return [part.text for part in self.form.named(name)]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def auth(self) -> tuple[str, str]:
        """User and password of HTTP basic."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        assert kind == "Basic"
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, password


@dataclass(frozen=True)
class Said:
    """An answer: ``body`` is sent as it is, anything but bytes as JSON.

    ``after``: seconds before the first byte.
    """

    status: int = 200
    body: Any = b""
    headers: tuple[tuple[str, str], ...] = ()
    after: float = 0.0

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


#: The request is read whole, and then the connection ends.
DROP = Said(0)
#: The answer ends in the middle of its body.
HALF = Said(-1)

Behaviour = Callable[[Asked], Said]


class ApiStub:
    """A running stub: ``url`` is its root, ``asked`` what it was asked so far."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[Asked] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                """Keep the output of the tests clean."""

            def answer(self) -> None:
                asked = _read(self)
                stub.asked.append(asked)
                _say(self, stub.behaviour(asked))

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        return Handler


def _read(handler: BaseHTTPRequestHandler) -> Asked:
    url = urlsplit(handler.path)
    length = int(handler.headers.get("Content-Length") or 0)
    return Asked(
        handler.command,
        url.path,
        tuple(parse_qsl(url.query, keep_blank_values=True)),
        {name.lower(): value for name, value in handler.headers.items()},
        handler.rfile.read(length),
    )


def _say(handler: BaseHTTPRequestHandler, said: Said) -> None:
    time.sleep(said.after)
    handler.close_connection = True
    if said is DROP:
        return
    content = b"half" if said is HALF else said.content
    with contextlib.suppress(OSError):
        handler.send_response(200 if said is HALF else said.status)
        for name, value in said.headers:
            handler.send_header(name, value)
        size = 1000 if said is HALF else len(content)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        handler.wfile.write(content)


@contextlib.contextmanager
def api_stub(behaviour: Behaviour, monkeypatch) -> Iterator[ApiStub]:
    """Run a stub, with loopback addresses admitted meanwhile."""
    monkeypatch.setenv(LOOPBACK_VARIABLE, "1")
    stub = ApiStub(behaviour)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield stub
    finally:
        stub.server.shutdown()
        stub.server.server_close()
        thread.join(10)


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
