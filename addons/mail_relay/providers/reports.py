# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reports that come by mail: DSN (RFC 3464, RFC 6533), ARF (RFC 5965), and the rest.

What a report says is read from bytes that anybody may have sent, in linear time and
within limits; whether it is believed depends on our token alone (``tokens``). Nothing
of an unproven report names one of our mails in a way that a model could match.
Reviewed on 2026-11-21 against facts/relay.md §4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Literal

from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    DeliveryEvent,
    EventType,
    Outcome,
    Reply,
)
from odoo.addons.mail_bridge.providers.headerfix import decode, read_mailboxes
from odoo.addons.mail_bridge.providers.mimeparts import decoded, text_of
from odoo.addons.mail_bridge.providers.mimescan import (
    Part,
    Scan,
    header_fields,
    scan,
    unfold,
)
from odoo.addons.mail_bridge.providers.summary import read_date

from .classify import Verdict, classify, enhanced_in, parse_reply
from .rules import RULES, Rule
from .statusfields import Block, read_address, read_blocks
from .textreports import TextReport, read_exim, read_qmail
from .tokens import (
    TOKEN_HEADER,
    make_bounce_token,
    read_bounce_token,
    read_return_path,
)

__all__ = ["Report", "make_bounce_token", "read_bounce_token", "read_report"]

#: Behind this comes the rest of the mail that is sent back.
MAX_SIZE = 1024 * 1024
MAX_HEADER = 256 * 1024
MAX_CANDIDATES = 50
MAX_ID = 500
MAX_METADATA = 250

Kind = Literal["delivery", "feedback", "disposition", "automatic"]
Proof = Literal["", "return path", "header", "envelope id"]

STATUS_PARTS = frozenset(
    (b"message/delivery-status", b"message/global-delivery-status")
)
FEEDBACK_PARTS = frozenset((b"message/feedback-report",))
DISPOSITION_PARTS = frozenset(
    (b"message/disposition-notification", b"message/global-disposition-notification")
)
RETURNED_PARTS = frozenset(
    (
        *(b"text/rfc822-headers", b"message/rfc822", b"message/rfc822-headers"),
        *(b"message/global", b"message/global-headers"),
    )
)
#: https://www.rfc-editor.org/rfc/rfc3464#section-2.3.3 — ``relayed``: to a system that
#: reports no more; ``expanded``: delivered, and passed on to a list from there.
ACTIONS: dict[str, EventType] = {
    "failed": "bounced",
    "delayed": "deferred",
    "delivered": "delivered",
    "relayed": "sent",
    "expanded": "delivered",
}
#: For a block without an action: the class of its status.
ACTION_BY_CLASS: dict[str, EventType] = {
    "2": "delivered",
    "4": "deferred",
    "5": "bounced",
}
#: https://www.iana.org/assignments/marf-parameters/ — ``opt-out`` is older than that
#: and still sent; ``auth-failure`` and ``not-spam`` are no complaints.
FEEDBACK_TYPES: dict[str, EventType] = {
    "abuse": "complained",
    "fraud": "complained",
    "virus": "complained",
    "other": "complained",
    "opt-out": "unsubscribed",
    "opt-out-list": "unsubscribed",
}
#: Who signs a report where a provider tells the author for the null return-path.
DAEMONS = frozenset(("mailer-daemon", "postmaster"))
#: Values of Precedence that vacation programs write, and lists as well.
BULK = frozenset((b"bulk", b"junk"))
#: Fields that are worth showing beside an event.
SHOWN_FIELDS = (
    "reporting-mta",
    "remote-mta",
    "user-agent",
    "source-ip",
    "reported-uri",
)


@dataclass(frozen=True)
class Report:
    """What a report says, and whether it is ours to believe.

    ``proof`` says where our token stood; without one the report changes nothing: it is
    for a person to look at, ``reference`` is empty and no event names a mail.
    ``message_id`` is that of the mail it is about, as the report has it.
    """

    kind: Kind
    events: tuple[DeliveryEvent, ...]
    reference: str = ""
    proof: Proof = ""
    message_id: str = ""

    @property
    def is_proven(self) -> bool:
        """Whether a token of ours shows that the report answers a mail of ours."""
        return bool(self.proof)


@dataclass(frozen=True)
class _Mail:
    """The report as it came."""

    found: Scan
    received_at: datetime
    rules: tuple[Rule, ...]
    envelope_sender: str | None

    @property
    def parts(self) -> list[Part]:
        """The parts of the report itself, none of a mail that it encloses."""
        return [part for part in self.found.root.walk() if not part.messages]

    def value(self, name: bytes) -> bytes:
        """Return a field of the header."""
        return self.found.root.value(name)

    def blocks(self, types: frozenset[bytes]) -> list[Block]:
        """Return the blocks of fields in the first part of one of these types."""
        for part in self.parts:
            if part.media_type in types:
                return read_blocks(decoded(self.found, part))
        return []

    def text(self) -> str:
        """Return the first text of the report."""
        for part in self.parts:
            if part.media_type == b"text/plain":
                return text_of(part, decoded(self.found, part))
        return ""

    def moment(self, text: str = "") -> datetime:
        """Return a date of the report if it makes sense, else when the report came."""
        for value in (text, decode(self.value(b"date"))):
            found = read_date(value) if value else None
            if found is None:
                continue
            moment = found.replace(tzinfo=timezone.utc)
            if timedelta(-1) <= self.received_at - moment <= timedelta(30):
                return min(moment, self.received_at)
        return self.received_at


@dataclass(frozen=True)
class _Content:
    """What a report says, before anybody asks whether it is true."""

    kind: Kind
    events: tuple[DeliveryEvent, ...]
    returned: Sequence[tuple[bytes, bytes]] = ()
    envelope_ids: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    message_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def read_report(
    mime: bytes,
    keys: Sequence[bytes],
    received_at: datetime,
    envelope_sender: str | None = None,
    envelope_recipients: Sequence[str] = (),
    rules: Iterable[Rule] = RULES,
) -> Report | None:
    """Return what a mail reports about a mail of ours, ``None`` where it is no report.

    Never raises.

    :param keys: the live HMAC keys; without any no report is proven.
    :param received_at: an aware UTC time.
    :param envelope_sender: ``""`` for the null return-path, ``None``: not known.
    :param envelope_recipients: to whom it came, where known.
    :param rules: as for ``classify``.
    """
    found = scan(mime[:MAX_SIZE])
    mail = _Mail(found, received_at, tuple(rules), envelope_sender)
    addresses = [*envelope_recipients, *_own_addresses(mail)]
    came_home = any(
        read_return_path(keys, address) for address in addresses[:MAX_CANDIDATES]
    )
    for reader in READERS:
        content = reader(mail, came_home)
        if content is not None:
            return _judged(mail, content, keys, addresses)
    return None


def _judged(
    mail: _Mail, content: _Content, keys: Sequence[bytes], addresses: Sequence[str]
) -> Report:
    """Return the report, its events tied to a mail of ours or to none."""
    proof, reference = _origin(content, keys, addresses)
    if content.kind == "delivery" and not _is_from_a_server(mail.envelope_sender):
        proof, reference = "", ""
    message_id = content.message_id or _message_id(content.returned)
    name = decode(mail.value(b"message-id"))[:MAX_ID]
    marks = {} if proof else {"unproven": "yes"}
    events = tuple(
        replace(
            event,
            reference=reference,
            message_id=message_id if proof else "",
            event_reference=name,
            metadata={**content.metadata, **event.metadata, **marks},
        )
        for event in content.events
    )
    return Report(content.kind, events, reference, proof, message_id)


def _origin(
    content: _Content, keys: Sequence[bytes], addresses: Sequence[str]
) -> tuple[Proof, str]:
    """Return where our token stands, and the reference in it; nothing: two ``""``."""
    for proof, reference in islice(
        _candidates(content, keys, addresses), MAX_CANDIDATES
    ):
        if reference:
            return proof, reference
    return "", ""


def _candidates(
    content: _Content, keys: Sequence[bytes], addresses: Sequence[str]
) -> Iterator[tuple[Proof, str | None]]:
    for address in addresses:
        yield "return path", read_return_path(keys, address)
    wanted = TOKEN_HEADER.lower().encode()
    for name, value in content.returned:
        text = unfold(value).decode("latin-1")
        if name == wanted:
            yield "header", read_bounce_token(keys, text)
        elif name == b"return-path":
            yield "header", read_return_path(keys, text)
    for envelope_id in content.envelope_ids:
        yield "envelope id", read_bounce_token(keys, envelope_id)
    for address in content.addresses:
        yield "return path", read_return_path(keys, address)


def _is_from_a_server(envelope_sender: str | None) -> bool:
    """Whether a report on delivery may come from here (RFC 3461 §6.1: from ``<>``)."""
    if not envelope_sender:
        return True
    return envelope_sender.rpartition("@")[0].lower() in DAEMONS


def _own_addresses(mail: _Mail) -> list[str]:
    """Return to whom the report came by its own header."""
    found: list[str] = []
    for name in (b"delivered-to", b"x-original-to", b"to"):
        for value in mail.found.root.values(name)[:5]:
            boxes, _total = read_mailboxes(value[:MAX_HEADER], 10)
            found += [address for _name, address in boxes]
    return found


# -- RFC 3464


def _read_status(mail: _Mail, came_home: bool) -> _Content | None:
    """Read the delivery status: one event for each block that names a recipient."""
    if not any(part.media_type in STATUS_PARTS for part in mail.parts):
        return None
    whole, events, envelope_ids = Block(), [], []
    for block in mail.blocks(STATUS_PARTS):
        envelope_ids += block.all("original-envelope-id")
        if _is_about_a_recipient(block):
            events.append(_status_event(mail, block))
        else:
            whole.fields += block.fields
    return _Content(
        "delivery",
        tuple(events),
        _returned(mail),
        envelope_ids=tuple(envelope_ids),
        metadata=_shown(whole),
    )


def _is_about_a_recipient(block: Block) -> bool:
    names = {name for name, _ in block.fields}
    return bool(names & {"final-recipient", "original-recipient", "action"})


def _status_event(mail: _Mail, block: Block) -> DeliveryEvent:
    final = read_address(block.text("final-recipient"))
    original = read_address(block.text("original-recipient"))
    action = block.text("action").partition(" ")[0].lower()
    reply = _status_reply(block)
    kind = ACTIONS.get(action) or ACTION_BY_CLASS.get(reply.enhanced[:1], "unknown")
    metadata = {"action": action[:20], **_shown(block)}
    if original and final and final.lower() != original.lower():
        metadata["final-recipient"] = final
    moment = mail.moment(block.text("last-attempt-date"))
    event = DeliveryEvent(
        kind, original or final, moment, reply=reply, metadata=metadata
    )
    return _bounce(mail, event) if kind == "bounced" else event


def _status_reply(block: Block) -> Reply:
    """Return what the later server said, with the more exact of its two codes."""
    status = enhanced_in(block.text("status"))
    kind, mark, said = block.text("diagnostic-code").partition(";")
    said = said if mark else kind
    reply = parse_reply("remote", said.strip())
    if mark and kind.strip().lower() != "smtp":
        reply = replace(reply, code=0)
    exact = status and not (status.endswith(".0.0") and reply.enhanced)
    return replace(reply, enhanced=status if exact else reply.enhanced)


def _bounce(mail: _Mail, event: DeliveryEvent) -> DeliveryEvent:
    """Return a failure with its class: a report of it is final, whatever the code."""
    reply = event.reply or Reply("remote")
    verdict = classify(reply, mail.rules, Outcome.REJECTED)
    return replace(
        event,
        bounce_class=_final_class(verdict),
        metadata={**event.metadata, "reason": verdict.reason},
    )


def _final_class(verdict: Verdict) -> BounceClass:
    """Return the class of a final failure, also where the reason is no bounce."""
    if verdict.bounce_class:
        return verdict.bounce_class
    waited = verdict.outcome is Outcome.DEFERRED or verdict.blame == "destination"
    return "soft" if waited else "block"


# -- RFC 5965


def _read_feedback(mail: _Mail, came_home: bool) -> _Content | None:
    """Read a complaint: an event for each recipient it names, else for none by name."""
    blocks = mail.blocks(FEEDBACK_PARTS)
    if not blocks:
        return None
    told = Block([pair for block in blocks for pair in block.fields])
    feedback = told.text("feedback-type").lower()
    kind = FEEDBACK_TYPES.get(feedback, "unknown")
    addresses = map(read_address, told.all("original-rcpt-to"))
    recipients = list(dict.fromkeys(filter(None, addresses))) or [""]
    metadata = {"feedback-type": feedback[:50], **_shown(told)}
    moment = mail.moment()
    events = (DeliveryEvent(kind, name, moment) for name in recipients)
    return _Content(
        "feedback",
        tuple(events),
        _returned(mail),
        envelope_ids=tuple(told.all("original-envelope-id")),
        addresses=tuple(told.all("original-mail-from")),
        metadata=metadata,
    )


# -- RFC 8098


def _read_disposition(mail: _Mail, came_home: bool) -> _Content | None:
    """Read a receipt: a program answered, and says nothing about delivery."""
    blocks = mail.blocks(DISPOSITION_PARTS)
    if not blocks:
        return None
    told = blocks[0]
    name = told.text("original-recipient") or told.text("final-recipient")
    event = DeliveryEvent(
        "autoresponded",
        read_address(name),
        mail.moment(),
        metadata={"disposition": told.text("disposition")[:MAX_METADATA]},
    )
    return _Content(
        "disposition",
        (event,),
        _returned(mail),
        message_id=told.text("original-message-id")[:MAX_ID],
    )


# -- plain text


def _read_text(mail: _Mail, came_home: bool) -> _Content | None:
    """Read what qmail and Exim write."""
    failed = mail.value(b"x-failed-recipients")
    told = read_exim(mail.text(), failed) if failed else read_qmail(mail.text())
    return _text_content(mail, told) if told else None


def _text_content(mail: _Mail, told: TextReport) -> _Content:
    moment = mail.moment()
    events = tuple(
        _bounce(mail, DeliveryEvent("bounced", address, moment, reply=reply))
        for address, reply in told.failures
    )
    copy = told.copy[:MAX_HEADER].encode("utf-8", "replace")
    return _Content("delivery", events, _returned(mail) or header_fields(copy))


# -- programs that answer


def _read_automatic(mail: _Mail, came_home: bool) -> _Content | None:
    """Read an answer that no person wrote."""
    if not _is_automatic(mail, came_home):
        return None
    boxes, _total = read_mailboxes(mail.value(b"from"), 1)
    author = boxes[0][1] if boxes else ""
    event = DeliveryEvent("autoresponded", author, mail.moment())
    answered = mail.value(b"in-reply-to").decode("latin-1")[:MAX_ID]
    return _Content("automatic", (event,), _returned(mail), message_id=answered)


def _is_automatic(mail: _Mail, came_home: bool) -> bool:
    """Whether a program answered (RFC 3834 §5, and what came before it)."""
    submitted = mail.value(b"auto-submitted").partition(b";")[0].strip().lower()
    if submitted.startswith(b"auto-"):
        return True
    if mail.value(b"x-autoreply") or mail.value(b"x-autorespond"):
        return True
    precedence = mail.value(b"precedence").strip().lower()
    if precedence in (b"auto_reply", b"auto-reply"):
        return True
    return precedence in BULK and (came_home or mail.envelope_sender == "")


#: In this order: Exim's text reports also say that a program wrote them.
READERS: tuple[Callable[[_Mail, bool], _Content | None], ...] = (
    _read_status,
    _read_feedback,
    _read_disposition,
    _read_text,
    _read_automatic,
)


def _returned(mail: _Mail) -> list[tuple[bytes, bytes]]:
    """Return the header of the mail that the report sends back."""
    for part in mail.parts:
        if part.media_type in RETURNED_PARTS:
            return header_fields(decoded(mail.found, part)[:MAX_HEADER].lstrip(b"\r\n"))
    return []


def _message_id(returned: Sequence[tuple[bytes, bytes]]) -> str:
    found = next((value for name, value in returned if name == b"message-id"), b"")
    return unfold(found).decode("latin-1")[:MAX_ID]


def _shown(block: Block) -> dict[str, str]:
    values = {name: block.text(name)[:MAX_METADATA] for name in SHOWN_FIELDS}
    return {name: value for name, value in values.items() if value}
