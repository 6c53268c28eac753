# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is the same for each telling of one delivery event, and only for it.

Computed, never received alone: one provider's id names a mail for all its recipients,
another's is unique for a day (facts/providers.md §0.3).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from .base import digest
from .delivery import DeliveryEvent
from .headers import clean_text


def event_key(event: DeliveryEvent, received_at: datetime | None = None) -> str:
    """Return a SHA-256 (hex) of who tells what about whom.

    Without an id of the provider's, the whole content is the id.

    :param received_at: when the post came (aware UTC); an event that bears this very
        time has none of its own, and another telling of it would bear another.
    """
    told = event.event_reference or _content(event, received_at)
    named = b"id" if event.event_reference else b"content"
    parts = (told, event.recipient.strip().lower(), event.type)
    return digest(named, *(clean_text(part).encode() for part in parts))


def _content(event: DeliveryEvent, received_at: datetime | None) -> str:
    content = asdict(event)
    moment = content.pop("occurred_at")
    content["occurred_at"] = "" if moment == received_at else moment.isoformat()
    return json.dumps(content, sort_keys=True)
