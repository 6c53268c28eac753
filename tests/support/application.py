# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An application that submits mail over ``/relay``: what it asks, what it is told.

    relay = RelayApi(server.port, admin_key)
    with Application() as app:
        t1 = relay.tenant("t1", app)          # its key, its SMTP account
        t1.account("a1", sink.port)
        t1.add(t1.message("m1"))
        app.wait_for("m1", "sent_ts")

``Application`` is a server that takes reports and gives attachments, and may call back
from inside the handler of a report, as real ones do.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

from tests.support import wire

SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What ``/relay`` answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    raw: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body; AssertionError where it is no JSON."""
        assert self.header("Content-Type") == "application/json", self.raw[:500]
        return json.loads(self.raw)

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return wire.Reply(self.status, self.headers, self.raw).header(name)


@dataclass
class RelayApi:
    """The interface as the instance sees it, or the holder of another key."""

    port: int
    token: str
    prefix: str = "/relay"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = ...,
        token: str | None = None,
        **query: Any,
    ) -> Answer:
        """One request; a body of bytes is sent as it is, ``...`` is none."""
        key = self.token if token is None else token
        headers = [("X-API-Token", key)] if key else []
        data = b""
        if body is not ...:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.append(("Content-Type", "application/json"))
        if query:
            path += "?" + urlencode(query)
        reply = wire.request(self.port, method, self.prefix + path, headers, data)
        return Answer(reply.status, reply.headers, reply.body)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that succeeds."""
        return self._good(self.ask("GET", path, **query))

    def post(self, path: str, body: Any = ..., **query: Any) -> Any:
        """The JSON of a POST that succeeds."""
        return self._good(self.ask("POST", path, body, **query))

    def tenant(
        self, identifier: str, application: Application | None = None, **values: Any
    ) -> Tenant:
        """Register an application."""
        if application:
            values.setdefault("client_base_url", application.url)
        key = self.post("/tenant", {"id": identifier, **values})["api_key"]
        return Tenant(self.port, key, self.prefix, name=identifier)

    @staticmethod
    def _good(answer: Answer) -> Any:
        assert answer.status == 200, (answer.status, answer.raw[:1000])
        return answer.json


@dataclass
class Tenant(RelayApi):
    """The interface as one application sees it."""

    name: str = ""

    def account(self, name: str, port: int, **values: Any) -> None:
        """Declare an SMTP server on this machine."""
        body = {"id": name, "tenant_id": self.name, "host": "127.0.0.1", "port": port}
        self.post("/account", body | {"use_tls": False} | values)

    def message(self, name: str, **values: Any) -> dict[str, Any]:
        """A message; a key of ``...`` is left out."""
        good = {
            "id": name,
            "tenant_id": self.name,
            "account_id": "a1",
            "from": "app@client.example",
            "to": "ann@example.com",
            "subject": f"Mail {name}",
            "body": "Good morning",
        }
        return {k: v for k, v in {**good, **values}.items() if v is not ...}

    def submit(self, *messages: dict[str, Any], **others: Any) -> Answer:
        """Send messages off."""
        body = {"messages": list(messages), **others}
        return self.ask("POST", "/commands/add-messages", body)

    def add(self, *messages: dict[str, Any], **others: Any) -> Any:
        """Send messages off, which succeeds."""
        return self._good(self.submit(*messages, **others))

    def messages(self, **query: Any) -> dict[str, dict[str, Any]]:
        """What the relay knows of the messages, by id."""
        listed = self.get("/messages", tenant_id=self.name, **query)["messages"]
        return {one["id"]: one for one in listed}

    def wait(
        self, name: str, test: Callable[[dict], Any], seconds: float = SECONDS
    ) -> dict[str, Any]:
        """Return a message as soon as something is true of it."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            found = self.messages().get(name)
            if found and test(found):
                return found
            time.sleep(0.1)
        raise AssertionError(self.messages().get(name))


@dataclass(frozen=True)
class Taken:
    """One report that the application got; ``moment`` is ``time.time()``."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    moment: float

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What it tells."""
        return self.body["delivery_report"]


class Application:
    """A server that is told what became of messages.

    ``answer`` is what it says to a report: (status, body as bytes or JSON), or a
    function of the report that returns such a pair, called in the handler.
    """

    def __init__(self) -> None:
        self.answer: Any = (200, {"ok": True, "queued": 0})
        self.reports: list[Taken] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        #: Attachments by storage_path: (status, content).
        self.files: dict[str, tuple[int, bytes]] = {}
        self._changed = threading.Condition()
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                application._take(self, json.loads(self.rfile.read(length)))

            def do_GET(self) -> None:
                application._give(self, self.path)

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Application:
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- what it was told ----------------------------------------------------

    def entries(self, name: str = "") -> list[dict[str, Any]]:
        """All that was told, of one message or of all, in its order."""
        return [
            entry
            for report in list(self.reports)
            for entry in report.entries
            if not name or entry["id"] == name
        ]

    def wait_for(
        self, name: str, key: str, seconds: float = SECONDS, count: int = 1
    ) -> dict[str, Any]:
        """Return an entry of a message with a key, the last of so many."""

        def found() -> list[dict[str, Any]]:
            return [entry for entry in self.entries(name) if key in entry]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, seconds):
                raise AssertionError(f"{key} of {name}: told {self.entries(name)}")
            return found()[-1]

    def wait_reports(self, count: int, seconds: float = SECONDS) -> list[Taken]:
        """Return the reports as soon as there are so many."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.reports) >= count, seconds):
                raise AssertionError(f"{len(self.reports)} reports, not {count}")
            return list(self.reports)

    # -- its handlers --------------------------------------------------------

    def _take(self, request: BaseHTTPRequestHandler, body: Any) -> None:
        if "storage_path" in body:
            return self._give(request, body["storage_path"])
        report = Taken(request.path, dict(request.headers), body, time.time())
        answer = self.answer(report) if callable(self.answer) else self.answer
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()
        return self._send(request, *answer)

    def _give(self, request: BaseHTTPRequestHandler, place: str) -> None:
        self.asked.append((request.command, place, dict(request.headers)))
        self._send(request, *self.files.get(place, (404, b"no such file")))

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)
