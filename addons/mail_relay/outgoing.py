# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The last touch to a mail that Odoo built, before it is queued: header and bytes.

What Gmail, Yahoo and Microsoft demand of each mail stands in it by construction
(facts/relay.md §4.3), whoever built it. Pure functions over ``EmailMessage``.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from functools import cache
from typing import NamedTuple

from odoo.addons.mail_bridge.providers.base import utcnow

#: From ``mail.mail`` to the session: which mail, which partner. Never leaves.
REF_HEADER = "X-Mail-Relay-Ref"
#: What the envelope carries, and what is ours alone.
_INTERNAL = (REF_HEADER, "Bcc", "Return-Path")
_REF = re.compile(r"(\d{1,10})-(\d{1,10})", re.ASCII)
_BULK = frozenset(("bulk", "list", "junk"))
_NOT_ID = re.compile(r"[^a-z0-9._-]+")


class Ref(NamedTuple):
    """The ``mail.mail`` and the partner that a mail is for, 0 where there is none."""

    mail_id: int = 0
    partner_id: int = 0


def make_ref(mail_id: int, partner_id: int) -> str:
    """Return the value of ``REF_HEADER``."""
    return f"{mail_id}-{partner_id}"


def take_ref(message: EmailMessage) -> Ref:
    """Return what ``REF_HEADER`` says."""
    found = _REF.fullmatch(str(message.get(REF_HEADER, "")))
    return Ref(int(found[1]), int(found[2])) if found else Ref()


def is_bulk(message: EmailMessage) -> bool:
    """Whether a mail calls itself one of many: RFC 2369, or ``Precedence``."""
    precedence = str(message.get("Precedence", "")).strip().lower()
    return "List-Unsubscribe" in message or precedence in _BULK


def from_domain(message: EmailMessage) -> str:
    """Return the domain of the From, ``""`` where there is none."""
    return parseaddr(str(message.get("From", "")))[1].rpartition("@")[2].lower()


def complete(message: EmailMessage, rename: bool) -> None:
    """Add Date and Message-ID where they are missing.

    :param rename: no record knows the Message-ID, so it may get our own domain.
    """
    domain = from_domain(message)
    if "Date" not in message:
        message["Date"] = format_datetime(utcnow())
    if "Message-ID" not in message:
        message["Message-ID"] = make_msgid(domain=domain or None)
    elif rename:
        value = own_message_id(str(message["Message-ID"]), domain)
        message.replace_header("Message-ID", value)


def own_message_id(message_id: str, domain: str) -> str:
    """Return a Message-ID with a domain of ours in place of this machine's name."""
    left, at, right = message_id.strip().rpartition("@")
    if domain and at and right.rstrip(">").lower() in _machine_names():
        return f"{left}@{domain}>"
    return message_id


@cache
def _machine_names() -> frozenset[str]:
    """Return what Odoo and Python call this machine in a Message-ID."""
    names = (socket.gethostname(), socket.getfqdn(), "localhost")
    return frozenset(name.lower() for name in names)


def feedback_id(campaign: str, tenant: str, kind: str, seed: str) -> str:
    """Return a Feedback-ID (Gmail): three words to group by, and who sends.

    :param seed: what the sender's name of 10 characters is made from; the same for
        all mail of a database.
    """
    words = [_NOT_ID.sub("-", word.lower()).strip("-") for word in (campaign, tenant)]
    sender = hashlib.sha256(seed.encode()).hexdigest()[:10]
    return ":".join((*(word[:50] or "none" for word in words), kind, sender))


def as_mime(message: EmailMessage) -> bytes:
    """Return the mail as it goes over the wire, without what only we may know."""
    for name in _INTERNAL:
        del message[name]
    return message.as_bytes(policy=SMTP)


def with_headers(mime: bytes, fields: Mapping[str, str]) -> bytes:
    """Return a mail with some header fields (of ASCII) in front."""
    lines = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return lines.encode("ascii") + mime
