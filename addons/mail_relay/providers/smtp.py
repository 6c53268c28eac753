# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An SMTP session: takes a mail, and tells what became of each recipient.

The one line that matters is the final dot. Before it the server cannot have taken the
mail, whatever breaks, and a connection kept from an earlier mail that turns out to be
dead is replaced once without a word. After it, only a reply says what happened; where
none comes the recipients are in doubt (facts/relay.md §3). Every reply carries the
stage of the conversation, because that says who is at fault (§4.2).

RFC 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE), 6152
(8BITMIME), 6531 (SMTPUTF8); reviewed on 2026-11-21.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Literal

from odoo.addons.mail_bridge.providers.connect import (
    Attempt,
    Connected,
    ConnectError,
    Family,
    connect,
)
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
    Stage,
)

from .smtp_address import ascii_domain
from .smtp_letter import BAD_RECIPIENT, BAD_SENDER, UTF8_RECIPIENT, Letter
from .smtp_wire import (
    ContentError,
    Wire,
    WireError,
    WireTimeout,
    one_line,
    tls_context,
)

Tls = Literal["auto", "implicit", "starttls", "none"]

#: Submission over TLS: https://www.rfc-editor.org/rfc/rfc8314#section-3.3.
IMPLICIT_PORT = 465
#: What every server must take in one mail: RFC 5321 §4.5.3.1.8.
MAX_RECIPIENTS = 100
#: A connection idle for longer is asked whether it still stands; seconds, and seconds
#: for the answer.
IDLE = 30.0
IDLE_TIMEOUT = 10.0

_SESSION_STAGES: frozenset[Stage] = frozenset(("connect", "tls", "auth"))
#: 5xx that blame the session or its login and not the mail (RFC 5321 §4.2.4,
#: RFC 4954 §6): another attempt may find them mended.
_NOT_FOR_GOOD = frozenset((503, 530, 534, 535, 538))
#: Postfix and Exim say "queued as 4XyZ", "OK id=1abc-000"; others do likewise.
_QUEUED = re.compile(r"(?i)(?:\bqueued as |\bid=)<?([\w.+@-]{4,120})")


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


@dataclass(frozen=True)
class SmtpProbe:
    """What a test of an account found.

    ``steps`` are the seconds of each stage passed, ``attempts`` those of each address,
    ``extensions`` what the server offers at the end, ``tls`` the version in use or
    ``""``; ``failure`` is what ended it, ``None``: a mail could be sent.
    """

    attempts: tuple[Attempt, ...] = ()
    address: str = ""
    steps: tuple[tuple[Stage, float], ...] = ()
    extensions: tuple[str, ...] = ()
    tls: str = ""
    failure: Reply | None = None


class _Stop(Exception):
    """Nothing more can be sent now; the mail in hand was not taken.

    ``stale``: such a thing happens to a connection that was kept for too long.
    """

    def __init__(self, reply: Reply, stale: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.stale = stale


@dataclass
class _Heard:
    """The replies to an envelope so far; ``None``: not asked, or not answered."""

    mail: Reply | None = None
    rcpts: list[Reply] = field(default_factory=list)
    data: Reply | None = None


class SmtpSession:
    """One connection at a time, opened when it is needed; for one thread at a time."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.settings = settings
        self._wire: Wire | None = None
        self._extensions: dict[str, str] = {}
        self._connected: Connected | None = None
        self._own_address = ""
        self._steps: list[tuple[Stage, float]] = []
        self._opened = self._used = 0.0
        self._count = 0
        self._is_reused = False
        self._is_unclean = False

    def __enter__(self) -> SmtpSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, mail: OutgoingMail) -> SendReceipt:
        """Offer a mail to the server, and return what it said of each recipient."""
        letter = Letter(mail)
        results = {item: _result(item, BAD_RECIPIENT) for item in letter.malformed}
        if letter.sender is None:
            results = {item: _result(item, BAD_SENDER) for item in mail.recipients}
            return SendReceipt(tuple(results[item] for item in mail.recipients))
        try:
            for group in _groups(letter.recipients, MAX_RECIPIENTS):
                self._deliver(letter, group, results)
        except _Stop as stop:
            self._drop()
            for address in letter.recipients:
                results.setdefault(address, _result(address, stop.reply))
        return SendReceipt(
            tuple(results[address] for address in mail.recipients),
            provider_reference=_reference(results.values()),
        )

    def probe(self) -> SmtpProbe:
        """Connect anew and log in, for a test of the account; no mail is sent."""
        self.close()
        failure, attempts = None, ()
        try:
            self._open()
        except _Stop as stop:
            failure = stop.reply
            if isinstance(stop.__cause__, ConnectError):
                attempts = stop.__cause__.attempts
        done = self._connected
        found = SmtpProbe(
            attempts=done.attempts if done else attempts,
            address=done.address if done else "",
            steps=tuple(self._steps),
            extensions=tuple(sorted(self._extensions)),
            tls=self._wire.tls if self._wire else "",
            failure=failure,
        )
        self.close()
        return found

    def close(self) -> None:
        """Take leave, and hang up."""
        if self._wire:
            with suppress(WireError):
                self._wire.write(b"QUIT\r\n", 1.0)
        self._drop()

    def _drop(self) -> None:
        if self._wire:
            self._wire.close()
        self._wire = self._connected = None
        self._extensions = {}

    # A mail and its envelope

    def _deliver(
        self, letter: Letter, group: Sequence[str], results: dict[str, RecipientResult]
    ) -> None:
        """Note a result for each address; a stale connection is replaced once."""
        self._make_ready()
        try:
            self._transact(letter, group, results)
        except _Stop as stop:
            if not (self._is_reused and stop.stale):
                raise
            self._drop()
            for address in group:
                results.pop(address, None)
            self._make_ready()
            self._transact(letter, group, results)

    def _transact(
        self, letter: Letter, group: Sequence[str], results: dict[str, RecipientResult]
    ) -> None:
        refusal = letter.refusal(self._extensions)
        if refusal:
            results.update((item, _result(item, refusal)) for item in group)
            return
        offered = []
        for address in group:
            utf8 = letter.recipients[address].needs_utf8
            if utf8 and "SMTPUTF8" not in self._extensions:
                results[address] = _result(address, UTF8_RECIPIENT)
            else:
                offered.append(address)
        if offered:
            self._count += 1
            self._is_unclean = True
            heard = _Heard()
            try:
                self._offer(letter, offered, heard)
            finally:
                accepted = _note_refusals(offered, heard, results)
            self._conclude(letter, accepted, heard, results)

    def _offer(self, letter: Letter, offered: Sequence[str], heard: _Heard) -> None:
        """Send the envelope, in one go where the server can take it."""
        mail = letter.mail_command(self._extensions, offered)
        rcpts = [letter.rcpt_command(address) for address in offered]
        if self.settings.pipelining and "PIPELINING" in self._extensions:
            self._write("mail", b"".join((mail, *rcpts, b"DATA\r\n")))
            heard.mail = self._hear("mail")
            for _ in rcpts:
                heard.rcpts.append(self._hear("rcpt"))
            heard.data = self._hear("data", "345")
            return
        heard.mail = self._ask("mail", mail)
        if _is_good(heard.mail):
            for rcpt in rcpts:
                heard.rcpts.append(self._ask("rcpt", rcpt))
            if any(map(_is_good, heard.rcpts)):
                heard.data = self._ask("data", b"DATA\r\n", "345")

    def _conclude(
        self,
        letter: Letter,
        accepted: list[str],
        heard: _Heard,
        results: dict[str, RecipientResult],
    ) -> None:
        """Send the content to those who were accepted, if anybody was."""
        data = heard.data
        self._check_stale(heard, accepted)
        if data and data.code < 400:
            if accepted:
                self._send_content(letter, accepted, results)
            else:
                self._end_without_content()
        elif data:
            results.update((item, _result(item, data)) for item in accepted)

    def _send_content(
        self, letter: Letter, accepted: list[str], results: dict[str, RecipientResult]
    ) -> None:
        """Send the mail; from its last byte on, silence means doubt."""
        wire = self._opened_wire()
        try:
            content = letter.content(self._extensions)
            wire.write_content(content, self.settings.command_timeout)
            reply = wire.read("data", self.settings.data_timeout)
            if reply.code // 100 == 3:
                raise WireError("the server asks for more after the end")
        except ContentError as error:
            if error.unsure:
                raise _in_doubt(accepted, error, results) from None
            said = wire.last_words("data")
            stop = _Stop(said or Reply("data", 0, "", str(error)), True)
            stop.stale = not said or said.code == 421
            raise stop from None
        except WireError as error:
            raise _in_doubt(accepted, error, results) from None
        results.update((item, _result(item, reply)) for item in accepted)
        self._is_unclean = False
        self._used = time.monotonic()
        if reply.code == 421:
            raise _Stop(reply)

    def _end_without_content(self) -> None:
        """Answer a 354 that came although nobody was accepted (RFC 2920 §3.1)."""
        self._write("data", b".\r\n")
        self._hear("data")

    # The connection

    def _make_ready(self) -> None:
        self._is_reused = self._is_still_good()
        if not self._is_reused:
            self.close()
            self._open()

    def _is_still_good(self) -> bool:
        """Whether the connection of an earlier mail serves for one more."""
        now, wanted = time.monotonic(), self.settings
        if not self._wire or self._count >= wanted.max_messages:
            return False
        if now - self._opened > wanted.max_age:
            return False
        command = b"RSET" if self._is_unclean else b"NOOP"
        if not self._is_unclean and now - self._used < IDLE:
            return True
        try:
            self._wire.write(command + b"\r\n", IDLE_TIMEOUT)
            self._is_unclean = not _is_good(self._wire.read("mail", IDLE_TIMEOUT))
        except WireError:
            return False
        return not self._is_unclean

    def _open(self) -> None:
        """Connect, encrypt, log in.

        :raises _Stop: the stage of its reply says how far it came.
        """
        self._steps, self._count, self._is_unclean = [], 0, False
        self._extensions = {}
        wanted = self.settings
        implicit = wanted.tls == "implicit"
        implicit |= wanted.tls == "auto" and wanted.port == IMPLICIT_PORT
        self._opened = began = time.monotonic()
        self._wire = self._connect()
        if implicit:
            self._start_tls()
        banner = self._hear("connect")
        if not _is_good(banner):
            raise _Stop(banner)
        self._greet()
        self._steps.append(("connect", time.monotonic() - began))
        if not implicit:
            self._encrypt()
        self._log_in()
        self._used = time.monotonic()

    def _connect(self) -> Wire:
        wanted = self.settings
        host = ascii_domain(wanted.host)
        try:
            self._connected = connect(
                host,
                wanted.port,
                wanted.family,
                wanted.connect_timeout,
                wanted.source_address,
            )
        except ConnectError as error:
            raise _Stop(Reply("connect", 0, "", one_line(str(error)))) from error
        sock = self._connected.socket
        self._own_address = sock.getsockname()[0].partition("%")[0]
        return Wire(sock)

    def _greet(self) -> None:
        """Say EHLO, or HELO to a server that is older than the extensions."""
        wire, timeout = self._opened_wire(), self.settings.command_timeout
        name = self._local_name()
        self._write("connect", b"EHLO " + name + b"\r\n")
        try:
            reply, self._extensions = wire.read_extensions(timeout)
        except WireError as error:
            raise _stop_at("connect", error) from None
        if reply.code == 421:
            raise _Stop(reply)
        if not _is_good(reply):
            self._extensions = {}
            reply = self._ask("connect", b"HELO " + name + b"\r\n")
        if not _is_good(reply):
            raise _Stop(reply)

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
        if "STARTTLS" in self._extensions:
            reply = self._ask("tls", b"STARTTLS\r\n")
            if not _is_good(reply):
                raise _Stop(reply)
            self._start_tls()
            self._greet()
        elif self.settings.tls == "starttls":
            raise _Stop(Reply("tls", 0, "", "the server offers no STARTTLS"))

    def _start_tls(self) -> None:
        began, wanted = time.monotonic(), self.settings
        context = tls_context(wanted.verify_certificate, wanted.authorities)
        host = ascii_domain(wanted.host)
        try:
            self._opened_wire().start_tls(context, host, wanted.command_timeout)
        except WireError as error:
            raise _stop_at("tls", error) from None
        self._steps.append(("tls", time.monotonic() - began))

    def _log_in(self) -> None:
        wanted = self.settings
        if not wanted.login:
            return
        if not (self._opened_wire().tls or self._may_show_login()):
            text = "without TLS the login would be sent in clear text"
            raise _Stop(Reply("tls", 0, "", text))
        began, offered = time.monotonic(), self._extensions.get("AUTH", "").split()
        reply = Reply("auth", 0, "", "the server offers no login that we know")
        for name, log_in in _MECHANISMS.items():
            if name in offered:
                reply = log_in(self)
                # "504 not that way": RFC 4954 §4.
                if reply.code != 504:
                    break
        if not _is_good(reply):
            hidden = reply.text.replace(wanted.password or "\0", "…")
            raise _Stop(Reply("auth", reply.code, reply.enhanced, hidden))
        self._steps.append(("auth", time.monotonic() - began))

    def _may_show_login(self) -> bool:
        """Whether nobody can listen, or the account does not mind.

        The name must say so as well: one that anybody's DNS led here proves nothing.
        """
        host = self.settings.host.lower()
        named = host == "localhost" or _is_loopback(host)
        reached = self._connected is not None and _is_loopback(self._connected.address)
        return self.settings.allow_clear_text_login or (named and reached)

    def _log_in_plain(self) -> Reply:
        wanted = self.settings
        if "\0" in wanted.login + wanted.password:
            return Reply(
                "auth", 0, "", "the login holds a character that cannot be sent"
            )
        reply = self._ask("auth", b"AUTH PLAIN\r\n", "2345")
        if reply.code != 334:
            return reply
        secret = f"\0{wanted.login}\0{wanted.password}"
        return self._ask("auth", _base64(secret))

    def _log_in_login(self) -> Reply:
        reply = self._ask("auth", b"AUTH LOGIN\r\n", "2345")
        for secret in (self.settings.login, self.settings.password):
            if reply.code != 334:
                return reply
            reply = self._ask("auth", _base64(secret), "2345")
        return reply

    # Commands and replies

    def _opened_wire(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("there is no connection")
        return self._wire

    def _write(self, stage: Stage, data: bytes) -> None:
        wire = self._opened_wire()
        try:
            wire.write(data, self.settings.command_timeout)
        except WireError as error:
            said = wire.last_words(stage)
            raise _Stop(said, True) if said else _stop_at(stage, error) from None

    def _ask(self, stage: Stage, command: bytes, expected: str = "245") -> Reply:
        self._write(stage, command)
        return self._hear(stage, expected)

    def _hear(self, stage: Stage, expected: str = "245") -> Reply:
        """Return the next reply, whose code begins with one of the digits expected."""
        try:
            reply = self._opened_wire().read(stage, self.settings.command_timeout)
            if str(reply.code)[0] not in expected:
                raise WireError(f"the server said {reply.code} out of turn")
        except WireError as error:
            raise _stop_at(stage, error) from None
        if reply.code == 421:
            raise _Stop(reply, True)
        return reply

    def _check_stale(self, heard: _Heard, accepted: list[str]) -> None:
        """Leave a connection that an earlier mail has brought out of step."""
        said = [heard.mail]
        if heard.mail and _is_good(heard.mail):
            said += heard.rcpts
        if accepted:
            said.append(heard.data)
        for reply in said:
            if self._is_reused and reply and reply.code == 503:
                raise _Stop(reply, True)


_MECHANISMS: dict[str, Callable[[SmtpSession], Reply]] = {
    "PLAIN": SmtpSession._log_in_plain,
    "LOGIN": SmtpSession._log_in_login,
}


def outcome_of(reply: Reply) -> Outcome:
    """Return what a reply means for the recipient that it was said of.

    Trouble with the session is nobody's refusal of a mail; 552 to RCPT is "too many
    recipients" or a full mailbox, both for now (RFC 5321 §4.5.3.1.10).
    """
    if reply.code // 100 == 2:
        return Outcome.ACCEPTED
    if reply.stage in _SESSION_STAGES or reply.code in _NOT_FOR_GOOD:
        return Outcome.DEFERRED
    if reply.code == 552 and reply.stage == "rcpt":
        return Outcome.DEFERRED
    found_by_us = not reply.code and reply.enhanced.startswith("5")
    if reply.code // 100 == 5 or found_by_us:
        return Outcome.REJECTED
    return Outcome.DEFERRED


def _result(address: str, reply: Reply) -> RecipientResult:
    return RecipientResult(address, outcome_of(reply), reply)


def _note_refusals(
    offered: Sequence[str], heard: _Heard, results: dict[str, RecipientResult]
) -> list[str]:
    """Note what was refused of an envelope, and return the addresses that were not."""
    if heard.mail is None:
        return []
    if not _is_good(heard.mail):
        results.update((item, _result(item, heard.mail)) for item in offered)
        return []
    accepted = []
    for address, reply in zip(offered, heard.rcpts, strict=False):
        if _is_good(reply):
            accepted.append(address)
        else:
            results[address] = _result(address, reply)
    return accepted


def _in_doubt(
    accepted: list[str], error: WireError, results: dict[str, RecipientResult]
) -> _Stop:
    """Note that nobody knows, and return what ends the conversation."""
    reply = Reply("data", 0, "", f"{error} (after the mail was sent)")
    doubt = Outcome.IN_DOUBT
    results.update((item, RecipientResult(item, doubt, reply)) for item in accepted)
    return _Stop(Reply("data", 0, "", str(error)))


def _reference(results: Iterable[RecipientResult]) -> str:
    """Return the server's name of the mail, where it tells one."""
    for result in results:
        if result.outcome is Outcome.ACCEPTED:
            found = _QUEUED.search(result.reply.text)
            return found[1] if found else ""
    return ""


def _groups(addresses: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(addresses)
    while group := list(islice(left, size)):
        yield group


def _is_good(reply: Reply) -> bool:
    return reply.code // 100 == 2


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _stop_at(stage: Stage, error: WireError) -> _Stop:
    """A wait that ended in silence is not repeated on another connection."""
    return _Stop(Reply(stage, 0, "", str(error)), not isinstance(error, WireTimeout))


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode("utf-8")) + b"\r\n"
