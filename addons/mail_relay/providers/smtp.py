# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An SMTP session: takes a mail, and tells what became of each recipient.

The one line that matters is the final dot. Before it the server cannot have taken the
mail, whatever breaks, and a connection kept from an earlier mail that turns out to be
dead is replaced once without a word. After it, only a reply says what happened; where
none comes the recipients are in doubt (facts/relay.md §3). Every reply carries the
stage of the conversation, because that says who is at fault (§4.2).

RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8); reviewed
on 2026-11-21.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType

from odoo.addons.mail_bridge.providers.connect import Attempt, ConnectError
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
    Stage,
)

from .hints import retry_hint
from .smtp_letter import BAD_RECIPIENT, BAD_SENDER, UTF8_RECIPIENT, Letter
from .smtp_link import Link, SmtpSettings, Stop, is_good
from .smtp_wire import ContentError, WireError

#: What every server must take in one mail: RFC 5321 §4.5.3.1.8.
MAX_RECIPIENTS = 100

_SESSION_STAGES: frozenset[Stage] = frozenset(("connect", "tls", "auth"))
#: 5xx that blame the session or its login and not the mail (RFC 5321 §4.2.4,
#: RFC 4954 §6): another attempt may find them mended.
_NOT_FOR_GOOD = frozenset((503, 530, 534, 535, 538))
#: Postfix and Exim say "queued as 4XyZ", "OK id=1abc-000"; others do likewise.
_QUEUED = re.compile(r"(?i)(?:\bqueued as |\bid=)<?([\w.+@-]{4,120})")


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
        self._link = Link(settings)
        self._is_reused = False

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
        wait = None
        try:
            for group in _groups(letter.recipients, MAX_RECIPIENTS):
                self._deliver(letter, group, results)
        except Stop as stop:
            self._link.drop()
            # 421 is about the server and not about a mail: RFC 5321 §3.8.
            wait = retry_hint(stop.reply.text) if stop.reply.code == 421 else None
            for address in letter.recipients:
                results.setdefault(address, _result(address, stop.reply))
        except BaseException:
            # In the middle of something: nobody can go on from here.
            self._link.drop()
            raise
        return SendReceipt(
            tuple(results[address] for address in mail.recipients),
            provider_reference=_reference(results.values()),
            retry_after=wait,
        )

    def probe(self) -> SmtpProbe:
        """Connect anew and log in, for a test of the account; no mail is sent."""
        self.close()
        failure, attempts = None, ()
        link = Link(self.settings)
        try:
            link.open()
        except Stop as stop:
            failure = stop.reply
            if isinstance(stop.__cause__, ConnectError):
                attempts = stop.__cause__.attempts
        done = link.connected
        found = SmtpProbe(
            attempts=done.attempts if done else attempts,
            address=done.address if done else "",
            steps=tuple(link.steps),
            extensions=tuple(sorted(link.extensions)),
            tls=link.tls,
            failure=failure,
        )
        link.close()
        return found

    def close(self) -> None:
        """Take leave, and hang up."""
        self._link.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, young enough for one more mail."""
        return self._link.is_young

    # A mail and its envelope

    def _deliver(
        self, letter: Letter, group: Sequence[str], results: dict[str, RecipientResult]
    ) -> None:
        """Note a result for each address; a stale connection is replaced once."""
        self._make_ready()
        try:
            self._transact(letter, group, results)
        except Stop as stop:
            if not (self._is_reused and stop.stale):
                raise
            self._link.drop()
            for address in group:
                results.pop(address, None)
            self._make_ready()
            self._transact(letter, group, results)

    def _transact(
        self, letter: Letter, group: Sequence[str], results: dict[str, RecipientResult]
    ) -> None:
        link = self._link
        refusal = letter.refusal(link.extensions)
        if refusal:
            results.update((item, _result(item, refusal)) for item in group)
            return
        offered = []
        for address in group:
            utf8 = letter.recipients[address].needs_utf8
            if utf8 and "SMTPUTF8" not in link.extensions:
                results[address] = _result(address, UTF8_RECIPIENT)
            else:
                offered.append(address)
        if offered:
            link.count += 1
            link.is_unclean = True
            heard = _Heard()
            try:
                self._offer(letter, offered, heard)
            finally:
                accepted = _note_refusals(offered, heard, results)
            self._conclude(letter, accepted, heard, results)

    def _offer(self, letter: Letter, offered: Sequence[str], heard: _Heard) -> None:
        """Send the envelope, in one go where the server can take it."""
        link = self._link
        mail = letter.mail_command(link.extensions, offered)
        rcpts = [letter.rcpt_command(address) for address in offered]
        if self.settings.pipelining and "PIPELINING" in link.extensions:
            link.write("mail", b"".join((mail, *rcpts, b"DATA\r\n")))
            heard.mail = link.hear("mail")
            for _ in rcpts:
                heard.rcpts.append(link.hear("rcpt"))
            heard.data = link.hear("data", "345")
            return
        heard.mail = link.ask("mail", mail)
        if is_good(heard.mail):
            for rcpt in rcpts:
                heard.rcpts.append(link.ask("rcpt", rcpt))
            if any(map(is_good, heard.rcpts)):
                heard.data = link.ask("data", b"DATA\r\n", "345")

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
        link, wire = self._link, self._link.wire
        try:
            content = letter.content(link.extensions)
            wire.write_content(content, self.settings.command_timeout)
            reply = wire.read("data", self.settings.data_timeout)
            if reply.code // 100 == 3:
                raise WireError("the server asks for more after the end")
        except ContentError as error:
            if error.unsure:
                raise _in_doubt(accepted, error, results) from None
            said = wire.last_words("data")
            stop = Stop(said or Reply("data", 0, "", str(error)), True)
            stop.stale = not said or said.code == 421
            raise stop from None
        except WireError as error:
            raise _in_doubt(accepted, error, results) from None
        results.update((item, _result(item, reply)) for item in accepted)
        link.is_unclean = False
        link.used = time.monotonic()
        if reply.code == 421:
            raise Stop(reply)

    def _end_without_content(self) -> None:
        """Answer a 354 that came although nobody was accepted (RFC 2920 §3.1)."""
        self._link.write("data", b".\r\n")
        self._link.hear("data")

    # The connection

    def _make_ready(self) -> None:
        self._is_reused = self._link.is_still_good()
        if not self._is_reused:
            self._link.close()
            self._link = Link(self.settings)
            self._link.open()

    def _check_stale(self, heard: _Heard, accepted: list[str]) -> None:
        """Leave a connection that an earlier mail has brought out of step."""
        said = [heard.mail]
        if heard.mail and is_good(heard.mail):
            said += heard.rcpts
        if accepted:
            said.append(heard.data)
        for reply in said:
            if self._is_reused and reply and reply.code == 503:
                raise Stop(reply, True)


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
    if not is_good(heard.mail):
        results.update((item, _result(item, heard.mail)) for item in offered)
        return []
    accepted = []
    for address, reply in zip(offered, heard.rcpts, strict=False):
        if is_good(reply):
            accepted.append(address)
        else:
            results[address] = _result(address, reply)
    return accepted


def _in_doubt(
    accepted: list[str], error: WireError, results: dict[str, RecipientResult]
) -> Stop:
    """Note that nobody knows, and return what ends the conversation."""
    reply = Reply("data", 0, "", f"{error} (after the mail was sent)")
    doubt = Outcome.IN_DOUBT
    results.update((item, RecipientResult(item, doubt, reply)) for item in accepted)
    return Stop(Reply("data", 0, "", str(error)))


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
