# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Mailgun tells of a mail, by a webhook or when it is asked: the same document."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    DeliveryEvent,
    EventType,
    Reply,
)
from odoo.addons.mail_bridge.providers.headerfix import read_mailboxes
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.payload import Json

from . import const, const_events

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
#: A reply's own words begin with its codes: ``550-5.1.1 …``, ``smtp; 550 5.1.1 …``.
_CODES = re.compile(
    r"(?:smtp;\s*)?(?:([245]\d\d)[ -])?(?:([245]\.\d{1,3}\.\d{1,3})\b)?",
    re.ASCII | re.IGNORECASE,
)
#: Other codes are Mailgun's own: no server was asked.
_SMTP_CODE = re.compile(r"[2-5][0-5]\d", re.ASCII)
#: Mailgun's clock may run ahead of ours.
_MAX_SKEW = timedelta(days=1)


def read_webhook(data: Json, received_at: datetime) -> list[DeliveryEvent]:
    """Return the events in the JSON of an event webhook: one for each recipient.

    :param received_at: when it was, where the event does not say so.
    :raises PayloadError: there is no event in it, or not of anybody.
    """
    event = data.get("event-data")
    if not isinstance(event, dict) or not _text(event, "event"):
        raise PayloadError(const.NO_EVENT)
    return read_event(event, received_at)


def read_event(data: Json, received_at: datetime) -> list[DeliveryEvent]:
    """Return what one event document tells, for each recipient that it is about.

    A mail that Mailgun rejects names its recipients only in a header. Events of its
    lists and of received mail are ``unknown``, and may be about nobody.

    :raises PayloadError: it is about a sent mail, and not of anybody.
    """
    kind = _type(data)
    recipients = list(dict.fromkeys(_recipients(data, kind)))
    if not recipients and kind != "unknown":
        raise PayloadError("the event names no recipient")
    shared = _shared(data, kind, received_at)
    return [DeliveryEvent(kind, item, **shared) for item in recipients or [""]]


def _type(data: Json) -> EventType:
    if _has_come_in(data):
        return "unknown"
    event, severity = _text(data, "event").lower(), _text(data, "severity").lower()
    kind = const_events.TYPES.get((event, severity), "unknown")
    return "rejected" if kind == "bounced" and _is_never_tried(data) else kind


def _has_come_in(data: Json) -> bool:
    """Whether this is about a received mail, or about its way through a route."""
    if _at(data, "flags", "is-routed") is True or data.get("routes"):
        return True
    is_ours = _at(data, "flags", "is-authenticated")
    return _text(data, "event").lower() == "accepted" and is_ours is False


def _is_never_tried(data: Json) -> bool:
    reason, code = _text(data, "reason"), _code(data)
    return (
        reason in const_events.NEVER_TRIED_REASONS
        or code in const_events.NEVER_TRIED_CODES
    )


def _recipients(data: Json, kind: EventType) -> Iterator[str]:
    """Yield the bare addresses that an event is about."""
    values = [_text(data, "recipient", limit=1000)]
    if kind == "rejected" and not values[0]:
        header = _text(data, "message", "headers", "to", limit=100_000).encode()
        boxes, _total = read_mailboxes(header, const_events.MAX_RECIPIENTS)
        values = [address for _name, address in boxes]
    for value in values:
        with suppress(PayloadError):
            yield from envelope.recipients([value])


def _shared(data: Json, kind: EventType, received_at: datetime) -> dict[str, Any]:
    """Return the fields that do not depend on the recipient."""
    moment = _moment(data, received_at)
    reply = _reply(data, kind)
    message_id = _text(data, "message", "headers", "message-id", limit=998).strip("<>")
    return {
        "occurred_at": moment or received_at,
        "reference": _reference(data),
        "provider_reference": message_id,
        "event_reference": _event_reference(data, moment),
        "message_id": f"<{message_id}>" if message_id else "",
        "bounce_class": _bounce_class(data, kind, reply),
        "reply": reply,
        "url": _text(data, "url", limit=const_events.MAX_URL),
        "user_agent": _text(data, "client-info", "user-agent", limit=500),
        "ip": _ip(_text(data, "ip")),
        "metadata": dict(_metadata(data)),
    }


def _moment(data: Json, received_at: datetime) -> datetime | None:
    """Return the event's own time, ``None`` where it has none that makes sense."""
    seconds = data.get("timestamp")
    if not _is_number(seconds) or not 0 < seconds < 1e11:
        return None
    moment = datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=seconds)
    return moment if moment <= received_at + _MAX_SKEW else None


def _event_reference(data: Json, moment: datetime | None) -> str:
    """Return what names an event for ever: an ``id`` is unique only within a day."""
    event_id = _text(data, "id", limit=100)
    return f"{moment:%Y%m%d}/{event_id}" if event_id and moment else event_id


def _reference(data: Json) -> str:
    value = _text(data, "user-variables", const_events.REFERENCE)
    return value if re.fullmatch(const_events.REFERENCE_FORM, value) else ""


def _reply(data: Json, kind: EventType) -> Reply | None:
    """Return what the recipient's server, or Mailgun itself, said.

    ``delivery-status`` may be null, and its message empty beside a description.
    """
    if kind == "rejected" and isinstance(data.get("reject"), dict):
        text = _text(data, "reject", "reason", limit=1000)
        return Reply("api", text=text or _text(data, "reject", "description"))
    if not isinstance(data.get("delivery-status"), dict):
        return None
    status = "delivery-status"
    message = _text(data, status, "message", limit=const_events.MAX_TEXT)
    description = _text(data, status, "description", limit=const_events.MAX_TEXT)
    said = _CODES.match(message)
    codes = said.groups() if said else (None, None)
    code = _code(data) or int(codes[0] or 0)
    given = [_text(data, status, key) for key in ("enhanced-code", "bounce-code")]
    enhanced = [value for value in given if _ENHANCED.fullmatch(value)]
    stage = "api" if code and not _SMTP_CODE.fullmatch(str(code)) else "remote"
    return Reply(stage, code, (*enhanced, codes[1] or "")[0], message or description)


def _bounce_class(data: Json, kind: EventType, reply: Reply | None) -> BounceClass:
    """Return whose fault a failure is, ``""`` where nothing says so for sure."""
    if kind not in ("bounced", "deferred", "failed"):
        return ""
    judged = _judged(data, reply or Reply("remote"))
    if kind == "deferred":
        return "block" if judged == "block" else "soft"
    return judged


def _judged(data: Json, reply: Reply) -> BounceClass:
    """Return the first class that one of the tables knows."""
    for pattern, found in const_events.ENHANCED_CLASSES:
        if re.fullmatch(pattern, reply.enhanced):
            return found
    for pattern, found in const_events.TEXT_CLASSES:
        if re.match(pattern, reply.text, re.IGNORECASE):
            return found
    bounce_type = _text(data, "delivery-status", "bounce-type").lower()
    return const_events.REASON_CLASSES.get(
        _text(data, "reason").lower(),
        const_events.TYPE_CLASSES.get(bounce_type, ""),
    )


def _code(data: Json) -> int:
    """Return the code of a delivery status; 0: none, or none that makes sense."""
    value = _at(data, "delivery-status", "code")
    if isinstance(value, str) and re.fullmatch(r"\d{3}", value, re.ASCII):
        value = int(value)
    return int(value) if _is_number(value) and 100 <= value <= 999 else 0


def _metadata(data: Json) -> Iterator[tuple[str, str]]:
    """Yield what else is worth showing: names of ours, then the mail's variables."""
    for name, path in const_events.METADATA:
        if value := _shown(_at(data, *path)):
            yield name, value
    tags = data.get("tags")
    if isinstance(tags, list):
        shown = filter(None, map(_shown, tags[: const_events.MAX_TAGS]))
        if text := ", ".join(shown):
            yield "tags", text
    variables = data.get("user-variables")
    if isinstance(variables, dict):
        for name in list(variables)[: const_events.MAX_VARIABLES]:
            value = _shown(variables[name])
            if value and name != const_events.REFERENCE:
                yield f"v:{_line(name, 60)}", value


def _shown(value: Any) -> str:
    """Return a plain value as text, ``""`` for what is false, empty or structured."""
    if value is True:
        return "yes"
    if isinstance(value, str):
        return _line(value, const_events.MAX_VALUE)
    return f"{value:.12g}" if _is_number(value) and value else ""


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _at(data: Any, *path: str) -> Any:
    """Return what stands at a path of keys, ``None`` where the path ends before."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def _text(data: Json, *path: str, limit: int = const_events.MAX_VALUE) -> str:
    value = _at(data, *path)
    return _line(value, limit) if isinstance(value, str) else ""


def _line(text: str, limit: int) -> str:
    """Return text in one line that a database can keep."""
    return " ".join(storable(text[: limit * 4]).split())[:limit]


def _is_number(value: Any) -> bool:
    """Whether a value is a number that can be reckoned with (JSON has no largest)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e15
