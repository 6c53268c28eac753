# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP as lines on a socket: commands out, replies in, TLS when it is asked for.

What comes back is hostile: each line, each reply and all waiting are bounded, and what
a server said before TLS is never read as if it had been said under it.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from functools import cache

import certifi

from odoo.addons.mail_bridge.providers.delivery import Reply, Stage

MAX_LINE = 8192
MAX_LINES = 200
MAX_TEXT = 1000
#: Bytes a second of a line that is slow and alive.
SLOWEST = 10_000
#: Seconds to read what a server said before it hung up.
LAST_WORDS = 1.0
#: Content is written in pieces; under TLS, of one record (RFC 8446 §5.1).
_PIECE = 256 * 1024
_TLS_PIECE = 16 * 1024

#: RFC 5321 §4.2 and RFC 3463 §2, reviewed on 2026-11-21.
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


class WireError(Exception):
    """The connection is of no use any more; the text says why, without secrets."""


class WireTimeout(WireError):
    """The server says nothing, and the connection stands."""


class ContentError(WireError):
    """The content of a mail did not get through.

    ``unsure``: its last byte may have been sent all the same.
    """

    def __init__(self, message: str, unsure: bool) -> None:
        super().__init__(message)
        self.unsure = unsure


class Wire:
    """One connection to an SMTP server. All times are seconds."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self.tls = ""

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Speak TLS from here on; the name of the host is greeted and checked.

        :raises WireError: no TLS, another certificate, or words before their time.
        """
        if self._buffer:
            raise WireError("the server spoke before TLS began")
        self._sock.settimeout(timeout)
        try:
            wrapped = context.wrap_socket(self._sock, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise WireError(f"certificate: {error.verify_message}") from None
        except (OSError, ValueError) as error:
            raise WireError(_problem(error)) from None
        self._sock, self.tls = wrapped, wrapped.version() or "TLS"

    def write(self, data: bytes, timeout: float) -> None:
        """Send commands.

        :raises WireError: the connection is gone.
        """
        try:
            self._sock.settimeout(timeout)
            self._sock.sendall(data)
        except OSError as error:
            raise WireError(_problem(error)) from None

    def write_content(self, data: bytes, timeout: float) -> None:
        """Send a mail with its final dot.

        :param timeout: for each piece, and for all beside what a slow line needs.
        :raises ContentError: the connection is gone.
        """
        view, done = memoryview(data), 0
        size = _TLS_PIECE if self.tls else _PIECE
        end = time.monotonic() + timeout + len(view) / SLOWEST
        while done < len(view):
            piece = view[done : done + size]
            try:
                self._sock.settimeout(_left(end, timeout))
                done += self._sock.send(piece)
            except OSError as error:
                # A plain socket that fails has taken nothing of the piece; a record
                # of TLS may be out before the failure is known.
                unsure = bool(self.tls) and done + len(piece) == len(view)
                raise ContentError(_problem(error), unsure) from None

    def read(self, stage: Stage, timeout: float) -> Reply:
        """Return the next reply.

        :raises WireError: none came in time, or it is not SMTP.
        """
        end = time.monotonic() + timeout
        texts = []
        while len(texts) < MAX_LINES:
            found = _LINE.fullmatch(self._line(end))
            if not found:
                raise WireError("the server said what is not SMTP")
            code, border, text = found.groups()
            texts.append(text or b"")
            if border != b"-":
                return _reply(stage, int(code), texts)
        raise WireError("the server's reply has no end")

    def last_words(self, stage: Stage) -> Reply | None:
        """Return the refusal that a server left behind when it hung up, if it did."""
        try:
            reply = self.read(stage, LAST_WORDS)
        except WireError:
            return None
        return reply if reply.code >= 400 else None

    def read_extensions(self, timeout: float) -> tuple[Reply, dict[str, str]]:
        """Return the reply to EHLO, and the parameters of each extension by name."""
        end = time.monotonic() + timeout
        extensions: dict[str, str] = {}
        for number in range(MAX_LINES):
            found = _LINE.fullmatch(self._line(end))
            if not found:
                raise WireError("the server said what is not SMTP")
            code, border, text = found.groups()
            if number:
                words = (text or b"").decode("ascii", "replace").upper()
                name, _, value = words.replace("=", " ", 1).partition(" ")
                # "AUTH=LOGIN" beside "AUTH PLAIN" is an old spelling of the same.
                extensions[name] = f"{extensions.get(name, '')} {value}".strip()
            if border != b"-":
                return _reply("connect", int(code), [text or b""]), extensions
        raise WireError("the server's reply has no end")

    def _line(self, end: float) -> bytes:
        seen = 0
        while (at := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > MAX_LINE:
                raise WireError("the server's reply has no end")
            self._receive(end)
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line.rstrip(b"\r")

    def _receive(self, end: float) -> None:
        try:
            self._sock.settimeout(_left(end))
            data = self._sock.recv(_TLS_PIECE)
        except TimeoutError as error:
            raise WireTimeout(_problem(error)) from None
        except OSError as error:
            raise WireError(_problem(error)) from None
        if not data:
            raise WireError("the server closed the connection")
        self._buffer += data


@cache
def tls_context(verify: bool, authorities: str) -> ssl.SSLContext:
    """Return what TLS demands.

    :param verify: whether the certificate must be valid for the host.
    :param authorities: a file of authorities that count besides the system's.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_verify_locations(certifi.where())
    if authorities:
        context.load_verify_locations(authorities)
    return context


def one_line(text: str) -> str:
    """Return a text as it may stand in a ``Reply``: printable, short, on one line."""
    return _ODD.sub(" ", text[: 2 * MAX_TEXT]).strip()[:MAX_TEXT]


def _reply(stage: Stage, code: int, texts: list[bytes]) -> Reply:
    """Join the lines of a reply; each may repeat the enhanced code."""
    enhanced, words = "", []
    for raw in texts:
        text = raw.decode("utf-8", "replace")
        found = _ENHANCED.match(text)
        if found:
            enhanced = enhanced or found[1]
            text = text[found.end() :]
        words.append(text)
    return Reply(stage, code, enhanced, one_line(" ".join(words)))


def _left(end: float, most: float = float("inf")) -> float:
    left = min(end - time.monotonic(), most)
    if left <= 0:
        raise TimeoutError
    return left


def _problem(error: Exception) -> str:
    """Return what is wrong with a connection; an error's own text may hold anything."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
