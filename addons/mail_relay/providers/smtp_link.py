# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A connection to an SMTP server, ready for mail: connected, encrypted, logged in.

TLS and logins: RFC 3207, RFC 4954, RFC 8314; reviewed on 2026-11-21.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from odoo.addons.mail_bridge.providers.connect import (
    Connected,
    ConnectError,
    Family,
    connect,
)
from odoo.addons.mail_bridge.providers.delivery import Reply, Stage

from .smtp_address import ascii_domain
from .smtp_wire import Wire, WireError, WireTimeout, one_line, tls_context

Tls = Literal["auto", "implicit", "starttls", "none"]

#: Submission over TLS: https://www.rfc-editor.org/rfc/rfc8314#section-3.3.
IMPLICIT_PORT = 465
#: A connection idle for longer is asked whether it still stands; seconds, and seconds
#: for the answer.
IDLE = 30.0
IDLE_TIMEOUT = 10.0


@dataclass(frozen=True)
class SmtpSettings:
    """An SMTP account. All times are seconds.

    ``tls``: ``auto`` is ``implicit`` on port 465 and elsewhere STARTTLS where it is
    offered; ``starttls`` demands it; ``none`` does without. Whatever it says, a login
    is sent in clear only to this very machine or with ``allow_clear_text_login``.
    ``authorities`` is a file of certificates that count besides the system's.
    ``max_messages`` and ``max_age`` bound a connection's use. ``data_timeout`` is the
    wait for the reply to the final dot: 600 and more where the server is the
    recipient's own. ``local_name`` is how we present ourselves.
    """

    host: str
    port: int = 587
    tls: Tls = "auto"
    verify_certificate: bool = True
    authorities: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    allow_clear_text_login: bool = False
    pipelining: bool = True
    max_messages: int = 100
    max_age: float = 300.0
    family: Family = "auto"
    source_address: str = ""
    connect_timeout: float = 10.0
    command_timeout: float = 60.0
    data_timeout: float = 120.0
    local_name: str = ""


class Stop(Exception):
    """Nothing more can be sent now; the mail in hand was not taken.

    ``stale``: such a thing happens to a connection that was kept for too long.
    """

    def __init__(self, reply: Reply, stale: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.stale = stale


class Link:
    """One connection and what is known of its server; for one thread at a time.

    ``steps`` are the seconds of each stage passed on the way, ``opened`` and ``used``
    ``time.monotonic()``. ``is_unclean``: the server holds an envelope that came to
    nothing.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.settings = settings
        self.connected: Connected | None = None
        self.extensions: dict[str, str] = {}
        self.steps: list[tuple[Stage, float]] = []
        self.opened = self.used = time.monotonic()
        self.count = 0
        self.is_unclean = False
        self._wire: Wire | None = None
        self._own_address = ""

    @property
    def wire(self) -> Wire:
        """The connection.

        :raises RuntimeError: there is none.
        """
        if self._wire is None:
            raise RuntimeError("the link is not open")
        return self._wire

    @property
    def tls(self) -> str:
        """The version of TLS in use, empty without."""
        return self._wire.tls if self._wire else ""

    def close(self) -> None:
        """Take leave, and hang up."""
        if self._wire:
            with suppress(WireError):
                self._wire.write(b"QUIT\r\n", 1.0)
        self.drop()

    def drop(self) -> None:
        """Hang up."""
        if self._wire:
            self._wire.close()
        self._wire = None

    @property
    def is_young(self) -> bool:
        """Whether there is a connection, not used so often or so long as to end it."""
        wanted, age = self.settings, time.monotonic() - self.opened
        return (
            self._wire is not None
            and self.count < wanted.max_messages
            and age <= wanted.max_age
        )

    def is_still_good(self) -> bool:
        """Whether the connection of an earlier mail serves for one more."""
        if not self.is_young:
            return False
        if not self.is_unclean and time.monotonic() - self.used < IDLE:
            return True
        command = b"RSET\r\n" if self.is_unclean else b"NOOP\r\n"
        try:
            self.wire.write(command, IDLE_TIMEOUT)
            self.is_unclean = not is_good(self.wire.read("mail", IDLE_TIMEOUT))
        except WireError:
            return False
        return not self.is_unclean

    def open(self) -> None:
        """Connect, encrypt, log in.

        :raises Stop: the stage of its reply says how far it came.
        """
        wanted = self.settings
        implicit = wanted.tls == "implicit"
        implicit |= wanted.tls == "auto" and wanted.port == IMPLICIT_PORT
        self.opened = began = time.monotonic()
        self._wire = self._connect()
        if implicit:
            self._start_tls()
        banner = self.hear("connect")
        if not is_good(banner):
            raise Stop(banner)
        self._greet()
        self.steps.append(("connect", time.monotonic() - began))
        if not implicit:
            self._encrypt()
        self._log_in()
        self.used = time.monotonic()

    def _connect(self) -> Wire:
        wanted = self.settings
        host = ascii_domain(wanted.host)
        try:
            self.connected = connect(
                host,
                wanted.port,
                wanted.family,
                wanted.connect_timeout,
                wanted.source_address,
            )
        except ConnectError as error:
            raise Stop(Reply("connect", 0, "", one_line(str(error)))) from error
        sock = self.connected.socket
        self._own_address = sock.getsockname()[0].partition("%")[0]
        return Wire(sock)

    def _greet(self) -> None:
        """Say EHLO, or HELO to a server that is older than the extensions."""
        wire, timeout = self.wire, self.settings.command_timeout
        name = self._local_name()
        self.write("connect", b"EHLO " + name + b"\r\n")
        try:
            reply, self.extensions = wire.read_extensions(timeout)
        except WireError as error:
            raise _stop_at("connect", error) from None
        if reply.code == 421:
            raise Stop(reply)
        if not is_good(reply):
            self.extensions = {}
            reply = self.ask("connect", b"HELO " + name + b"\r\n")
        if not is_good(reply):
            raise Stop(reply)

    def _local_name(self) -> bytes:
        """Return our name; an address in brackets where this host has no full one."""
        name = ascii_domain(self.settings.local_name or socket.gethostname())
        if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name):
            return name.encode("ascii")
        kind = "IPv6:" if ":" in self._own_address else ""
        return f"[{kind}{self._own_address}]".encode("ascii")

    def _encrypt(self) -> None:
        if self.settings.tls == "none":
            return
        if "STARTTLS" in self.extensions:
            reply = self.ask("tls", b"STARTTLS\r\n")
            if not is_good(reply):
                raise Stop(reply)
            self._start_tls()
            self._greet()
        elif self.settings.tls == "starttls":
            raise Stop(Reply("tls", 0, "", "the server offers no STARTTLS"))

    def _start_tls(self) -> None:
        began, wanted = time.monotonic(), self.settings
        try:
            context = tls_context(wanted.verify_certificate, wanted.authorities)
        except OSError as error:
            text = "the file of authorities cannot be read"
            raise Stop(Reply("tls", 0, "", text)) from error
        host = ascii_domain(wanted.host)
        try:
            self.wire.start_tls(context, host, wanted.command_timeout)
        except WireError as error:
            raise _stop_at("tls", error) from None
        self.steps.append(("tls", time.monotonic() - began))

    def _log_in(self) -> None:
        wanted = self.settings
        if not wanted.login:
            return
        if not (self.wire.tls or self._may_show_login()):
            text = "without TLS the login would be sent in clear text"
            raise Stop(Reply("tls", 0, "", text))
        began, offered = time.monotonic(), self.extensions.get("AUTH", "").split()
        reply = Reply("auth", 0, "", "the server offers no login that we know")
        for name, log_in in _MECHANISMS.items():
            if name in offered:
                reply = log_in(self)
                # "504 not that way": RFC 4954 §4.
                if reply.code != 504:
                    break
        if not is_good(reply):
            hidden = reply.text.replace(wanted.password or "\0", "…")
            raise Stop(Reply("auth", reply.code, reply.enhanced, hidden))
        self.steps.append(("auth", time.monotonic() - began))

    def _may_show_login(self) -> bool:
        """Whether nobody can listen, or the account does not mind.

        The name must say so as well: one that anybody's DNS led here proves nothing.
        """
        host = self.settings.host.lower()
        named = host == "localhost" or _is_loopback(host)
        reached = self.connected is not None and _is_loopback(self.connected.address)
        return self.settings.allow_clear_text_login or (named and reached)

    def _log_in_plain(self) -> Reply:
        wanted = self.settings
        if "\0" in wanted.login + wanted.password:
            return Reply("auth", 0, "", "the login holds what cannot be sent")
        reply = self.ask("auth", b"AUTH PLAIN\r\n", "2345")
        if reply.code != 334:
            return reply
        secret = f"\0{wanted.login}\0{wanted.password}"
        return self.ask("auth", _base64(secret))

    def _log_in_login(self) -> Reply:
        reply = self.ask("auth", b"AUTH LOGIN\r\n", "2345")
        for secret in (self.settings.login, self.settings.password):
            if reply.code != 334:
                return reply
            reply = self.ask("auth", _base64(secret), "2345")
        return reply

    # Commands and replies

    def write(self, stage: Stage, data: bytes) -> None:
        """Send commands.

        :raises Stop: the connection is gone; with what the server said at the end.
        """
        wire = self.wire
        try:
            wire.write(data, self.settings.command_timeout)
        except WireError as error:
            said = wire.last_words(stage)
            raise Stop(said, True) if said else _stop_at(stage, error) from None

    def ask(self, stage: Stage, command: bytes, expected: str = "245") -> Reply:
        """Send a command and return its reply; as ``write`` and ``hear``."""
        self.write(stage, command)
        return self.hear(stage, expected)

    def hear(self, stage: Stage, expected: str = "245") -> Reply:
        """Return the next reply, whose code begins with one of the digits expected.

        :raises Stop: there is none, it is 421, or it makes no sense.
        """
        try:
            reply = self.wire.read(stage, self.settings.command_timeout)
            if str(reply.code)[0] not in expected:
                raise WireError(f"the server said {reply.code} out of turn")
        except WireError as error:
            raise _stop_at(stage, error) from None
        if reply.code == 421:
            raise Stop(reply, True)
        return reply


_MECHANISMS: dict[str, Callable[[Link], Reply]] = {
    "PLAIN": Link._log_in_plain,
    "LOGIN": Link._log_in_login,
}


def is_good(reply: Reply) -> bool:
    """Whether a server says yes."""
    return reply.code // 100 == 2


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _stop_at(stage: Stage, error: WireError) -> Stop:
    """A wait that ended in silence is not repeated on another connection."""
    return Stop(Reply(stage, 0, "", str(error)), not isinstance(error, WireTimeout))


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode("utf-8")) + b"\r\n"
