# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The simulator's events: JSON objects with the names of ``DeliveryEvent``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, get_args

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    DeliveryEvent,
    EventType,
    Reply,
    Stage,
)

MOST_EVENTS = 1000
_TEXTS = (
    "reference",
    "provider_reference",
    "event_reference",
    "message_id",
    "url",
    "user_agent",
    "ip",
)


def as_json(events: Iterable[DeliveryEvent]) -> list[dict[str, Any]]:
    """Return events as the simulator posts them."""
    return [
        asdict(event) | {"occurred_at": event.occurred_at.isoformat()}
        for event in events
    ]


def read(items: object) -> list[DeliveryEvent]:
    """Return the events of a post.

    :raises PayloadError: one of them makes no sense.
    """
    if not isinstance(items, list) or not 0 < len(items) <= MOST_EVENTS:
        raise PayloadError("events is no list of events")
    return [_event(item) for item in items]


def _event(item: object) -> DeliveryEvent:
    if not isinstance(item, dict):
        raise PayloadError("an event is not an object")
    kind = item.get("type")
    recipient = _text(item, "recipient")
    if not recipient.strip():
        raise PayloadError("an event without recipient")
    return DeliveryEvent(
        type=kind if kind in get_args(EventType) else "unknown",
        recipient=recipient,
        occurred_at=_moment(item.get("occurred_at")),
        bounce_class=_one_of(item, "bounce_class", get_args(BounceClass)),
        reply=_reply(item.get("reply")),
        **{name: _text(item, name) for name in _TEXTS},
    )


def _text(item: Mapping[str, object], name: str) -> str:
    value = item.get(name, "")
    if not isinstance(value, str):
        raise PayloadError(f"{name} is not a text")
    return value


def _one_of(item: Mapping[str, object], name: str, words: tuple) -> Any:
    value = item.get(name) or ""
    if not isinstance(value, str) or value not in words:
        raise PayloadError(f"{name} is unknown")
    return value


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return moment.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        raise PayloadError("occurred_at is no time") from None


def _reply(value: object) -> Reply | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise PayloadError("a reply is not an object")
    code = value.get("code", 0)
    if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 999:
        raise PayloadError("the code of a reply is no code")
    stage = _one_of(value, "stage", get_args(Stage))
    return Reply(stage, code, _text(value, "enhanced"), _text(value, "text")[:1000])
