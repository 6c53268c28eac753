# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The values of outgoing mail: what is sent, what a server said, what became of it.

One vocabulary for every provider; the relay decides from these values alone, so that
no provider's words reach a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal

#: What may be told of one recipient of one mail.
EventType = Literal[
    "queued",
    "sent",
    "deferred",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "rejected",
    "failed",
    "complained",
    "unsubscribed",
    "subscribed",
    "autoresponded",
    "unknown",
]
#: Where a conversation with a server stood when it said what it said. ``api`` is the
#: one request of a provider's HTTP interface, ``remote`` a report about a later server.
Stage = Literal["connect", "tls", "auth", "mail", "rcpt", "data", "api", "remote"]
BounceClass = Literal["", "hard", "soft", "block"]


class Outcome(Enum):
    """What one attempt did for one recipient."""

    #: The server took the mail for this recipient: it is not sent again.
    ACCEPTED = "accepted"
    #: Refused for now: the recipient may be tried again.
    DEFERRED = "deferred"
    #: Refused for good.
    REJECTED = "rejected"
    #: The mail may have been taken, and nobody knows: sending again may send twice.
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True)
class Reply:
    """What a server said: RFC 5321 code, RFC 3463 code, text; and at which stage.

    ``code`` is 0 where nothing was said (no connection, a timeout); for ``api`` it is
    the SMTP code that the provider names, else the HTTP status. ``enhanced`` is
    ``"5.1.1"`` or ``""``. ``text`` is one line without secrets, at most 1 000
    characters.
    """

    stage: Stage
    code: int = 0
    enhanced: str = ""
    text: str = ""


@dataclass(frozen=True)
class RecipientResult:
    """What one attempt did for one recipient, and the reply that says so."""

    address: str
    outcome: Outcome
    reply: Reply


@dataclass(frozen=True)
class OutgoingMail:
    """One mail for some recipients, ready for the wire.

    ``mime`` are RFC 5322 bytes with Message-ID and Date and without Bcc; every attempt
    sends the same. ``recipients`` are those of this attempt. ``reference`` (ours, at
    most 64 ASCII letters, digits, ``-`` and ``_``) travels in a variable or header
    that the provider's events repeat. ``idempotency_key`` is the same for every
    attempt at these recipients.
    """

    mime: bytes = field(repr=False)
    envelope_sender: str
    recipients: tuple[str, ...]
    reference: str
    message_id: str
    idempotency_key: str = ""
    track_opens: bool = False
    track_clicks: bool = False


@dataclass(frozen=True)
class SendReceipt:
    """What one attempt did: one result for each of its recipients, in their order.

    ``provider_reference`` is the provider's name of the mail, ``message_id`` the
    Message-ID that it gave it in place of ours, if it did. ``retry_after``: seconds
    that the server asks to wait before anything more is sent to it.
    """

    results: tuple[RecipientResult, ...]
    provider_reference: str = ""
    message_id: str = ""
    retry_after: float | None = None


@dataclass(frozen=True)
class DeliveryEvent:
    """Something that a provider, or a report by mail, tells about one recipient.

    ``reference`` is ours, read from the variable or header that the mail carried;
    ``provider_reference`` the provider's name of the mail, ``event_reference`` of this
    event. ``occurred_at`` is an aware UTC time. ``bounce_class``: ``hard`` (the address
    is wrong), ``soft`` (for now), ``block`` (the sender is the reason). ``url`` is the
    link that was clicked. ``metadata`` holds what else is worth showing.
    """

    type: EventType
    recipient: str
    occurred_at: datetime
    reference: str = ""
    provider_reference: str = ""
    event_reference: str = ""
    message_id: str = ""
    bounce_class: BounceClass = ""
    reply: Reply | None = None
    url: str = ""
    user_agent: str = ""
    ip: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
