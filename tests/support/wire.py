# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""HTTP as bytes on a socket: nothing is retried, completed or followed for a test."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

Headers = Iterable[tuple[str, str]]
Result = TypeVar("Result")
SECONDS = 60


@dataclass(frozen=True)
class Reply:
    """One answer: `headers` in their order, `body` as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, None where it is missing."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


class Wire:
    """One connection to a server; `send` what you like, then read the `reply`."""

    def __init__(self, port: int, seconds: float = SECONDS) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has answered and hung up is fine."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def reply(self, method: str = "POST") -> Reply:
        """Read one answer (a provisional one, 1xx, is passed over)."""
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        return Reply(response.status, tuple(response.getheaders()), response.read())


def head(method: str, path: str, headers: Headers = ()) -> bytes:
    """The bytes of a request up to its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bridge.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(
    port: int,
    method: str,
    path: str,
    headers: Headers = (),
    body: bytes = b"",
    seconds: float = SECONDS,
) -> Reply:
    """One request with a Content-Length, and its answer.

    :raises OSError, http.client.HTTPException: no answer came.
    """
    length = [("Content-Length", str(len(body)))]
    with Wire(port, seconds) as wire:
        wire.send(head(method, path, [*headers, *length]) + body)
        return wire.reply(method)


def chunked(body: bytes, size: int = 1000) -> bytes:
    """A body in the chunked transfer coding (RFC 9112 §7.1)."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    coded = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join(coded) + b"0\r\n\r\n"


def at_once(calls: list[Callable[[], Result]]) -> list[Result]:
    """Make all calls at the same instant; their results, or the first error."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(number: int, call: Callable[[], Result]) -> None:
        barrier.wait()
        try:
            results[number] = call()
        except Exception as error:
            results[number] = error

    threads = [
        threading.Thread(target=run, args=item, daemon=True)
        for item in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results
