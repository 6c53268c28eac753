# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A TCP connection to whichever address of a host answers first.

Python's own ``create_connection`` gives each address the whole timeout, one after the
other: a provider with IPv6 addresses that a firewall swallows costs a minute a mail
(facts/relay.md §6). Here the addresses start 250 ms apart, the families in turn, the
first one wins (RFC 8305), and one deadline holds for all of it, the name's resolution
included. A family that won is asked first for the next ten minutes.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from ..exceptions import NotSentError

Family = Literal["auto", "prefer_ipv4", "prefer_ipv6", "ipv4", "ipv6"]
#: Seconds for all of it.
TIMEOUT = 10.0
#: Seconds until the next address is tried beside those that have not answered:
#: "Connection Attempt Delay", https://www.rfc-editor.org/rfc/rfc8305#section-5.
STAGGER = 0.25
#: Seconds that a winning family is remembered, and for how many hosts.
MEMORY = 600.0
MAX_REMEMBERED = 1000
#: A name may have hundreds of addresses.
MAX_ADDRESSES = 8

_ONLY = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_FIRST = {"prefer_ipv4": socket.AF_INET, "prefer_ipv6": socket.AF_INET6}


@dataclass(frozen=True)
class Attempt:
    """One address: seconds from its first packet to its end, and what went wrong."""

    address: str
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Connected:
    """An open connection (its timeout is the caller's to set), and how it came about.

    ``attempts`` are the addresses tried, in the order in which they ended.
    """

    socket: socket.socket
    address: str
    attempts: tuple[Attempt, ...]


class ConnectError(NotSentError):
    """No address of a host could be connected to.

    ``attempts`` is empty where the name has no (suitable) address.
    """

    def __init__(self, message: str, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts


def connect(
    host: str,
    port: int,
    family: Family = "auto",
    timeout: float = TIMEOUT,
    source_address: str = "",
    addresses: Sequence[str] | None = None,
) -> Connected:
    """Return a connection to the first address of a host that answers.

    :param family: ``prefer_…`` names the family that starts, ``ipv4`` and ``ipv6`` the
        only one; ``auto`` starts with the one that won last, else as the system says.
    :param timeout: seconds for all of it.
    :param source_address: the address of ours to connect from; its family alone serves.
    :param addresses: what the host was resolved to already.
    :raises ConnectError: with every address and what became of it.
    """
    end = time.monotonic() + timeout
    if addresses is None:
        addresses = _resolved(host, port, family, timeout)
    ordered = _ordered(host, addresses, family, source_address)
    if not ordered:
        raise ConnectError(f"{host}: there is no suitable address")
    race = _Race(port, source_address, end)
    winner = race.run(ordered)
    attempts = tuple(race.attempts)
    if winner is None:
        _memory.forget(host)
        tried = "; ".join(f"{item.address}: {item.error}" for item in attempts)
        raise ConnectError(f"{host}: no connection to port {port} ({tried})", attempts)
    sock, address = winner
    _memory.note(host, _family(address))
    sock.settimeout(timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connected(sock, address, attempts)


def resolve(
    host: str,
    port: int,
    timeout: float = TIMEOUT,
    family: int = socket.AF_UNSPEC,
) -> list[str]:
    """Return the addresses of a host in the system's order of preference.

    The system's resolver knows no deadline, so it is left to a thread of its own.

    :raises OSError: there is none, or nobody says so in time.
    """
    answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()
    arguments = (answer, host, port, family)
    threading.Thread(target=_ask_system, args=arguments, daemon=True).start()
    try:
        found = answer.get(timeout=max(0.0, timeout))
    except queue.Empty:
        raise TimeoutError(errno.ETIMEDOUT, "no answer in time") from None
    if isinstance(found, OSError):
        raise found
    return found


def _ask_system(
    answer: queue.SimpleQueue[list[str] | OSError], host: str, port: int, family: int
) -> None:
    # Addresses of a family that this host has no route for are only in the way.
    flags = socket.AI_ADDRCONFIG if family == socket.AF_UNSPEC else 0
    kind = socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, port, family, kind, flags=flags)
        answer.put(list(dict.fromkeys(str(item[4][0]) for item in found)))
    except OSError as error:
        answer.put(error)
    except ValueError:
        answer.put(OSError(errno.EINVAL, "the name is malformed"))


def _resolved(host: str, port: int, family: Family, timeout: float) -> list[str]:
    if _family(host):
        return [host]
    try:
        return resolve(host, port, timeout, _ONLY.get(family, socket.AF_UNSPEC))
    except OSError as error:
        problem = error.strerror or type(error).__name__
        text = f"{host}: the name could not be resolved ({problem})"
        raise ConnectError(text) from None


def _family(address: str) -> int:
    """Return the socket family of an address, 0 for a name."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return 0
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _ordered(
    host: str, addresses: Iterable[str], family: Family, source_address: str
) -> list[str]:
    """Return the addresses to try, the families in turn."""
    allowed = {_ONLY.get(family), _family(source_address)} - {None, 0}
    usable = [item for item in addresses if allowed <= {_family(item)}]
    first = _FIRST.get(family) or (_memory.winner(host) if family == "auto" else 0)
    families: dict[int, list[str]] = {_family(item): [] for item in usable}
    for item in usable:
        families[_family(item)].append(item)
    lists = sorted(families.values(), key=lambda items: _family(items[0]) != first)
    turns = chain.from_iterable(zip_longest(*lists))
    return [item for item in turns if item is not None][:MAX_ADDRESSES]


class _Memory:
    """The family that won last, by host."""

    def __init__(self) -> None:
        self._winners: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def winner(self, host: str) -> int:
        family, until = self._winners.get(host.lower(), (0, 0.0))
        return family if time.monotonic() < until else 0

    def note(self, host: str, family: int) -> None:
        with self._lock:
            self._winners.pop(host.lower(), None)
            if len(self._winners) >= MAX_REMEMBERED:
                self._winners.pop(next(iter(self._winners)))
            self._winners[host.lower()] = (family, time.monotonic() + MEMORY)

    def forget(self, host: str) -> None:
        with self._lock:
            self._winners.pop(host.lower(), None)


_memory = _Memory()


class _Race:
    """Connects to several addresses, each a little after the one before."""

    def __init__(self, port: int, source_address: str, end: float) -> None:
        self._port = port
        self._source_address = source_address
        self._end = end
        self._running: dict[socket.socket, tuple[str, float]] = {}
        self._selector = selectors.DefaultSelector()
        self.attempts: list[Attempt] = []

    def run(self, addresses: Sequence[str]) -> tuple[socket.socket, str] | None:
        """Return the first connection, or ``None`` when all failed or time is up."""
        waiting, winner = deque(addresses), None
        with self._selector:
            try:
                while winner is None and (waiting or self._running):
                    now = time.monotonic()
                    if now >= self._end:
                        break
                    if waiting:
                        self._start(waiting.popleft())
                    winner = self._wait(now + STAGGER if waiting else self._end)
            finally:
                self._abandon("timed out" if winner is None else "another was faster")
        if winner is None:
            self.attempts += [Attempt(one, 0.0, "no time was left") for one in waiting]
        return winner

    def _start(self, address: str) -> None:
        began = time.monotonic()
        sock = socket.socket(_family(address), socket.SOCK_STREAM)
        self._running[sock] = (address, began)
        try:
            sock.setblocking(False)
            if self._source_address:
                sock.bind((self._source_address, 0))
            code = sock.connect_ex((address, self._port))
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._selector.register(sock, selectors.EVENT_WRITE)
        else:
            self._end_of(sock, os.strerror(code))

    def _wait(self, until: float) -> tuple[socket.socket, str] | None:
        """Return the connection there is by then; end early when an address fails."""
        if not self._running:
            return None
        left = min(until, self._end) - time.monotonic()
        for key, _ in self._selector.select(max(0.0, left)):
            self._selector.unregister(key.fileobj)
            code = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            address = self._end_of(key.fileobj, os.strerror(code) if code else "")
            if not code:
                return key.fileobj, address
        return None

    def _end_of(self, sock: socket.socket, error: str) -> str:
        address, began = self._running.pop(sock)
        self.attempts.append(Attempt(address, time.monotonic() - began, error))
        if error:
            sock.close()
        return address

    def _abandon(self, reason: str) -> None:
        for sock in list(self._running):
            self._end_of(sock, reason)
