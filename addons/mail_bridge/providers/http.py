# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The one way out: fetch what a provider's post only points to, call its interface.

A URL may have come from outside, so it is a request forgery until proven otherwise
(facts/security.md §1.2 "SSRF"): https to one of the provider's own hosts, the name
resolved once, every address public, the connection made to that very address, no
redirect, no proxy, a cap on time and size. Credentials go to that host alone, and no
error text holds more of a URL than its host.

:func:`fetch` wants a body and turns every other answer into an error. :func:`call`
takes any answer, and when there is none it says whether the request may have been
taken: who sends a mail must know.

For tests against a server on this machine, ``MAIL_BRIDGE_ALLOW_LOOPBACK_FETCH=1`` in
the environment admits loopback addresses, there also plain http and any port; the
host must still be one of the request's ``hosts``. Nothing else is loosened by it.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, urlsplit

import certifi

from ..exceptions import (
    NoAnswerError,
    NotSentError,
    PermanentError,
    TemporaryError,
)
from .base import FetchRequest
from .connect import connect, resolve

LOOPBACK_VARIABLE = "MAIL_BRIDGE_ALLOW_LOOPBACK_FETCH"
#: Seconds to connect, and to wait for the next bytes.
TIMEOUT = (10.0, 30.0)
#: Seconds for all of it: a peer may send a byte every 29 seconds.
TOTAL_TIMEOUT = 45.0
MAX_RETRY_AFTER = 24 * 3600.0
MAX_URL = 4000
_CHUNK = 64 * 1024
_PLAIN_URL = re.compile(r"[!-~]+")
#: A credential may be mended, and a stored mail may appear a moment later.
_AGAIN = frozenset(
    (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
)

#: Returns the addresses of a host name and port; raises ``OSError``.
Resolver = Callable[[str, int], list[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class CallRequest:
    """One request to a provider's HTTP interface.

    ``hosts`` as for :func:`fetch`; ``auth`` is HTTP basic (user, password);
    ``timeout`` are seconds for all of it, ``max_bytes`` the most of an answer's body.
    ``allows`` tells which addresses may be called where the peer is no provider but
    chosen by somebody here: any port then, and plain http.
    """

    method: str
    url: str
    hosts: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    timeout: float = TOTAL_TIMEOUT
    max_bytes: int = 4 * 1024 * 1024
    allows: Callable[[Address], bool] | None = None


@dataclass(frozen=True)
class CallAnswer:
    """What a provider answered, whatever it was: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str, default: str = "") -> str:
        """Return the last value of a header, whatever its case."""
        wanted = name.lower()
        values = [value for key, value in self.headers if key.lower() == wanted]
        return values[-1] if values else default

    @property
    def retry_after(self) -> float | None:
        """The seconds that the provider wants us to wait, ``None``: it says nothing."""
        return _retry_after(self.header("Retry-After"))


@dataclass(frozen=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


def fetch(
    request: FetchRequest,
    *,
    timeout: tuple[float, float] = TIMEOUT,
    total: float = TOTAL_TIMEOUT,
    resolver: Resolver = resolve,
) -> bytes:
    """Return the body that the URL of a request gives.

    A host in ``request.hosts`` is meant exactly; one with a dot in front
    (``.provider.example``) stands for every host below it.

    :param timeout: seconds to connect, and between two arrivals of bytes.
    :param total: seconds for all of it.
    :raises TemporaryError: no connection, a timeout, 401, 403, 404, 408, 425, 429
        (with its Retry-After), 5xx, an answer cut short.
    :raises PermanentError: a URL that is not allowed, a redirect, any other status,
        more than ``request.max_bytes``.
    """
    end = time.monotonic() + total
    target, sock = _connect(_checked_url(request), resolver, timeout[0], end)
    wire = _Wire(sock, timeout[1], end)
    with sock, _mapped(target), _exchange(target, "GET", request, wire) as response:
        _check_answer(target, response)
        return _read(target, response, request.max_bytes)


def call(request: CallRequest, *, resolver: Resolver = resolve) -> CallAnswer:
    """Return what a provider answers to a request; any status is an answer.

    No redirect is followed.

    :raises NotSentError: no such name, no connection, no TLS: nothing was sent.
    :raises NoAnswerError: the request may have been taken, but no answer came that
        can be read: a timeout, an end of the connection, more than
        ``request.max_bytes``.
    :raises PermanentError: a URL or header that is not allowed; nothing was sent.
    """
    end = time.monotonic() + request.timeout
    url = _checked_url(request)
    wait = min(TIMEOUT[0], request.timeout)
    target, sock = _connect(url, resolver, wait, end, request.allows)
    wire = _Wire(sock, request.timeout, end)
    try:
        with (
            sock,
            _mapped(target),
            _exchange(target, request.method, request, wire, request.body) as response,
        ):
            body = _read(target, response, request.max_bytes)
            headers = tuple(response.headers.items())
            return CallAnswer(response.status, headers, body)
    except (TemporaryError, PermanentError) as error:
        if wire.has_sent:
            raise NoAnswerError(str(error)) from None
        raise


def host_matches(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a host is one of those allowed: exactly, or below one with a dot."""
    host = host.lower()
    return any(
        host.endswith(entry.lower()) and len(host) > len(entry)
        if entry.startswith(".")
        else host == entry.lower()
        for entry in allowed
    )


def _loopback_allowed() -> bool:
    return os.environ.get(LOOPBACK_VARIABLE) == "1"


def _checked_url(request: FetchRequest | CallRequest) -> SplitResult:
    """Return the URL in pieces, or raise without quoting it."""
    text = request.url
    if len(text) > MAX_URL or not _PLAIN_URL.fullmatch(text) or "\\" in text:
        raise PermanentError("the URL is malformed")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise PermanentError("the URL is malformed") from None
    if not url.hostname or not host_matches(url.hostname, request.hosts):
        raise PermanentError("the URL is not at a host of the provider")
    if url.username is not None or url.password is not None:
        raise PermanentError(f"{url.hostname}: the URL holds credentials")
    plain = url.scheme == "http" or port not in (None, 443)
    may_be_plain = _chooses(request) is not None or _loopback_allowed()
    if url.scheme not in ("https", "http") or (plain and not may_be_plain):
        raise PermanentError(f"{url.hostname}: only https on its own port is allowed")
    return url


def _chooses(request: FetchRequest | CallRequest) -> Callable[[Address], bool] | None:
    """Return what tells the addresses that may be called, ``None``: the public ones."""
    return request.allows if isinstance(request, CallRequest) else None


def _addresses(
    url: SplitResult,
    port: int,
    resolver: Resolver,
    seconds: float,
    allows: Callable[[Address], bool] | None = None,
) -> list[str]:
    """Return the addresses to try; the name is resolved once, all must be allowed."""
    host = url.hostname or ""
    try:
        found = _within(seconds, resolver, host, port)
        addresses = [ipaddress.ip_address(item) for item in found]
    except (OSError, UnicodeError, ValueError, futures.TimeoutError):
        raise NotSentError(f"{host}: the name could not be resolved") from None
    loopback = bool(addresses) and all(item.is_loopback for item in addresses)
    if allows is not None:
        if not addresses or not all(map(allows, addresses)):
            raise PermanentError(f"{host}: the address is not an allowed one")
    elif loopback and _loopback_allowed():
        pass
    elif url.scheme == "http" or port != 443 or not all(map(is_public, addresses)):
        raise PermanentError(f"{host}: the address is not a public one")
    return [str(item) for item in addresses]


def _within(seconds: float, resolver: Resolver, host: str, port: int) -> list[str]:
    """Resolve in time: the system's resolver knows no deadline, so a thread waits."""
    pool = futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(resolver, host, port).result(seconds)
    finally:
        pool.shutdown(wait=False)


def is_public(address: Address) -> bool:
    """Whether an address is reachable by everybody, and hides no other one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo:
            return False
    return address.is_global and not address.is_multicast


def _connect(
    url: SplitResult,
    resolver: Resolver,
    wait: float,
    end: float,
    allows: Callable[[Address], bool] | None = None,
) -> tuple[_Target, socket.socket]:
    """Return a connection to one of the addresses of a URL, with TLS where it says so.

    :param wait: seconds to connect, and again for TLS.
    :raises NotSentError: no address answers, or not with a certificate of the host.
    """
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    target = _Target(url.scheme, host, port, path)
    seconds = max(0.0, end - time.monotonic())
    addresses = _addresses(url, port, resolver, seconds, allows)
    left = min(wait, end - time.monotonic())
    sock = connect(host, port, timeout=left, addresses=addresses).socket
    sock.settimeout(max(0.001, min(wait, end - time.monotonic())))
    return target, _secured(target, sock)


def _secured(target: _Target, sock: socket.socket) -> socket.socket:
    """Greet and check the name that was asked for, not the address."""
    if target.scheme != "https":
        return sock
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
    try:
        return _tls(bundle).wrap_socket(sock, server_hostname=target.host)
    except (OSError, ValueError) as error:
        sock.close()
        problem = type(error).__name__
        raise NotSentError(f"{target.host}: no TLS ({problem})") from None


class _Wire:
    """A socket as ``http.client`` needs it, with an end to all waiting."""

    def __init__(self, sock: socket.socket, wait: float, end: float) -> None:
        self._sock = sock
        self._wait = wait
        self._end = end
        self.has_sent = False

    def sendall(self, data: bytes) -> None:
        self.has_sent = True
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._receive))

    def close(self) -> None:
        """Leave the socket open: ``http.client`` calls this before it has read."""

    def _receive(self, buffer: memoryview) -> int:
        self._sock.settimeout(min(self._left(), self._wait))
        return self._sock.recv_into(buffer)

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Incoming(io.RawIOBase):
    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._receive(buffer)


@contextmanager
def _mapped(target: _Target) -> Iterator[None]:
    """What goes wrong in a conversation, as errors of ours without a secret."""
    try:
        yield
    except (OSError, HTTPException) as error:
        problem = type(error).__name__
        raise TemporaryError(f"{target.host}: {problem}") from None
    except ValueError:
        raise PermanentError(f"{target.host}: a header is malformed") from None


def _exchange(
    target: _Target,
    method: str,
    request: FetchRequest | CallRequest,
    wire: _Wire,
    body: bytes = b"",
) -> HTTPResponse:
    """Ask over a connection, and return the answer with its body still to be read."""
    connection = HTTPConnection(target.host, target.port, timeout=TOTAL_TIMEOUT)
    connection.sock = wire
    # A peer that refuses what is too large closes before it has read all of it.
    with suppress(BrokenPipeError, ConnectionResetError):
        headers = _headers(target, request)
        connection.request(method, target.path, body or None, headers)
    return connection.getresponse()


@cache
def _tls(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities)


def _headers(target: _Target, request: FetchRequest | CallRequest) -> dict[str, str]:
    headers = {
        "Host": target.authority,
        "User-Agent": "mail-bridge",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **dict(request.headers),
    }
    if request.auth is not None:
        pair = ":".join(request.auth).encode("utf-8")
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    return headers


def _check_answer(target: _Target, response: HTTPResponse) -> None:
    status = response.status
    if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait = _retry_after(response.headers.get("Retry-After", ""))
        raise TemporaryError(f"{target.host} answered {status}", wait)
    if status != HTTPStatus.OK:
        raise PermanentError(f"{target.host} answered {status}")
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise PermanentError(f"{target.host} sent a packed body nobody asked for")


def _retry_after(value: str) -> float | None:
    """Return the seconds a peer wants us to wait (RFC 9110 §10.2.3)."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        return None
    seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _read(target: _Target, response: HTTPResponse, max_bytes: int) -> bytes:
    too_large = PermanentError(f"{target.host} sent more than {max_bytes} bytes")
    # Older Pythons do not count down ``length`` in read1.
    announced = response.length
    if announced is not None and announced > max_bytes:
        raise too_large
    chunks, size = [], 0
    while announced is None or size < announced:
        chunk = response.read1(_CHUNK)
        if not chunk:
            break
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        chunks.append(chunk)
    if announced is not None and size < announced:
        raise TemporaryError(f"{target.host} sent less than announced")
    return b"".join(chunks)
