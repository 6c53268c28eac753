# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What SMTP2GO tells of a mail, by a webhook or when it is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.base import digest
from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    DeliveryEvent,
    EventType,
    Reply,
)
from odoo.addons.mail_bridge.providers.payload import Json

from . import const, const_events
from .post import Fields, listed

#: A server's words begin with its code; SMTP2GO may put before them where it was
#: (``DATA: 452 Mailbox full``).
_CODE = re.compile(r"(?:\A|:\s{1,3})([245]\d\d)(?=[\s-]|\Z)", re.ASCII)
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"\s?(?:Z|UTC|([+-])(\d\d):?(\d\d))?",
    re.ASCII | re.IGNORECASE,
)
_WEB = re.compile(r"https?://[!-~]+", re.IGNORECASE)
#: SMTP2GO's clock may run ahead of ours.
_MAX_SKEW = timedelta(days=1)
_EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)


def read_events(
    items: Iterable[Fields], received_at: datetime
) -> Iterator[DeliveryEvent]:
    """Yield what each item tells, for each recipient that it is about.

    :param received_at: when it was, where an item does not say so.
    :raises PayloadError: an item is no event, or not of anybody; or there are more
        than ``MAX_EVENTS``.
    """
    count = 0
    for fields in items:
        for event in read_event(fields, received_at):
            count += 1
            if count > const_events.MAX_EVENTS:
                raise PayloadError("the post has too many events")
            yield event


def read_event(fields: Fields, received_at: datetime) -> list[DeliveryEvent]:
    """Return what one item tells: nothing for a text message (SMS).

    An event of a kind that nobody knows may be about nobody.
    """
    name = fields.text("event").lower()
    if not name:
        raise PayloadError("the post holds no event of SMTP2GO")
    if re.fullmatch(const_events.SMS, name):
        return []
    kind = const_events.TYPES.get(name, "unknown")
    shared = _shared(fields, name, kind, received_at)
    return [
        DeliveryEvent(
            kind,
            address,
            event_reference=_event_reference(fields, kind, address, shared),
            **shared,
        )
        for address in _recipients(fields, kind)
    ]


def activity_fields(item: Json) -> Fields:
    """Return an item of the activity search under the names that a post has."""
    renamed = {
        const_events.ACTIVITY_NAMES.get(name, name): value
        for name, value in item.items()
    }
    headers = item.get("custom_headers")
    return Fields({**headers, **renamed} if isinstance(headers, dict) else renamed)


def read_time(text: str) -> datetime | None:
    """Return an aware UTC time; one without a zone is UTC. ``None``: it is no time."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    numbers = [int(part) for part in found.groups()[:6]]
    micro = int((found[7] or "0").ljust(6, "0")[:6])
    offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
    try:
        moment = datetime(*numbers, micro, tzinfo=timezone.utc)
        return moment + offset if found[8] == "-" else moment - offset
    except (ValueError, OverflowError):
        return None


def _recipients(fields: Fields, kind: EventType) -> list[str]:
    """Return the bare addresses that an event is about, each once.

    All recipients of a mail share one event only while it is processed.
    """
    values = fields.texts("rcpt") or listed(fields.texts("recipients"))
    if not values and kind == "unknown":
        return [""]
    found = envelope.recipients(values)
    if len(found) > 1 and kind not in const_events.FANNED_OUT:
        raise PayloadError("the event does not say which recipient it is about")
    return list(found)


def _shared(
    fields: Fields, name: str, kind: EventType, received_at: datetime
) -> dict[str, Any]:
    """Return the values that do not depend on the recipient."""
    reply = _reply(fields)
    return {
        "occurred_at": _moment(fields, received_at) or received_at,
        "reference": _reference(fields),
        "provider_reference": fields.text("email_id"),
        "message_id": _message_id(fields),
        "bounce_class": _bounce_class(fields, name, kind, reply),
        "reply": reply,
        "url": _url(fields),
        "user_agent": fields.text("user-agent", limit=500),
        "ip": _ip(fields) if kind in const_events.BY_READERS else "",
        "metadata": _metadata(fields),
    }


def _moment(fields: Fields, received_at: datetime) -> datetime | None:
    """Return the event's own time, ``None`` where it has none that makes sense."""
    moment = read_time(fields.text("time"))
    if moment is None or not _EARLIEST <= moment <= received_at + _MAX_SKEW:
        return None
    return moment


def _event_reference(
    fields: Fields, kind: EventType, address: str, shared: dict[str, Any]
) -> str:
    """Return a computed name, the same from a webhook and from the activity search.

    Of the ``id`` in a post it is not sure that it names the event (facts/providers.md
    §0.3), and the search has none.
    """
    moment = read_time(fields.text("time"))
    second = f"{moment:%Y%m%d%H%M%S}" if moment else fields.text("time")
    mail = shared["provider_reference"] or shared["message_id"] or shared["reference"]
    parts = (mail, kind, address.lower(), second, shared["url"])
    return digest(*(part.encode() for part in parts))[:32]


def _reference(fields: Fields) -> str:
    value = fields.header(const.REFERENCE_HEADER)
    return value if re.fullmatch(const.REFERENCE_FORM, value) else ""


def _message_id(fields: Fields) -> str:
    value = fields.header("message-id", limit=998).strip("<> ")
    return f"<{value}>" if value else ""


def _reply(fields: Fields) -> Reply | None:
    """Return what the recipient's server, or SMTP2GO in its place, said."""
    said = [fields.text(name, limit=1000) for name in ("message", "context", "error")]
    said = [part for part in said if part.lower() not in ("", const_events.NO_CONTEXT)]
    if not said:
        return None
    codes = [found[1] for part in said if (found := _CODE.search(part))]
    enhanced = [found[1] for part in said if (found := _ENHANCED.search(part))]
    return Reply("remote", int((*codes, 0)[0]), (*enhanced, "")[0], said[0])


def _bounce_class(
    fields: Fields, name: str, kind: EventType, reply: Reply | None
) -> BounceClass:
    """Return whose fault a bounce is.

    SMTP2GO calls what a policy refused ``hard`` too; the address is none the worse.
    """
    if kind != "bounced":
        return ""
    told = const_events.BOUNCES.get(fields.text("bounce").lower() or name, "")
    if told == "hard" and reply and re.match(r"5\.7\.", reply.enhanced):
        return "block"
    if not told and reply and reply.code:
        return "soft" if reply.code < 500 else ""
    return told


def _url(fields: Fields) -> str:
    """Return the link that was clicked, not the one that counts the clicks."""
    limit = const_events.MAX_URL + 1
    for name in ("click_url", "link"):
        url = fields.text(name, limit=limit)
        if _WEB.fullmatch(url) and len(url) < limit:
            return url
    return ""


def _ip(fields: Fields) -> str:
    try:
        return str(ipaddress.ip_address(fields.text("srchost")))
    except ValueError:
        return ""


def _metadata(fields: Fields) -> dict[str, str]:
    found = {name: fields.text(*keys) for name, keys in const_events.METADATA}
    found["schedule"] = fields.header(const.SCHEDULE_HEADER)
    return {name: value for name, value in found.items() if value}
