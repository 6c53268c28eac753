# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO's list of the addresses (and domains) that it sends nothing to any more.

https://developers.smtp2go.com/reference/view-suppressions, 2026-11-21
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from odoo.addons.mail_bridge.exceptions import TemporaryError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.payload import Json
from odoo.addons.mail_bridge.providers.suppression import (
    Suppression,
    SuppressionReason,
)

from .api import query
from .events import read_time

#: What SMTP2GO calls its reasons. ``compliance`` is its own entry, for good.
REASONS: dict[str, SuppressionReason] = {
    "bounce": "bounced",
    "spam": "complained",
    "unsubscribe": "unsubscribed",
    "manual": "manual",
    "compliance": "manual",
}
#: Pages of the list, so that a token that never ends does.
MAX_PAGES = 1000
#: The documented defaults of the two dates contradict each other.
_ALWAYS = "2000-01-01"


def suppressions(
    account: AccountFacts, reason: SuppressionReason | None = None
) -> Iterator[Suppression]:
    """Yield the list, the oldest first; of one reason, or all.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    values: Json = {"start_date": _ALWAYS, "sort": "asc"}
    if reason:
        values["suppression_types"] = _words(reason)
    for _page in range(MAX_PAGES):
        data = query("/suppression/view", values, account)
        yield from _read(data)
        token = data.get("continue_token")
        if not isinstance(token, str) or token in ("", values.get("continue_token")):
            return
        values = {**values, "continue_token": token}


def suppressions_of(account: AccountFacts, address: str) -> list[Suppression]:
    """Return why nothing is sent to one address; empty: it is not suppressed.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    return list(_read(query("/suppression/view", {"email_address": address}, account)))


def add_suppressions(account: AccountFacts, items: Iterable[Suppression]) -> None:
    """Enter addresses. All stand there as ``manual``; the reason is in the text.

    :raises TemporaryError: SMTP2GO cannot be asked now; some may be entered.
    :raises PermanentError: it cannot be asked at all, or refuses an address.
    """
    for item in items:
        text = ": ".join(filter(None, (item.reason, item.evidence)))[:200]
        values = {"email_address": item.address, "block_description": text}
        query("/suppression/add", values, account)


def remove_suppression(
    account: AccountFacts, address: str, reason: SuppressionReason
) -> bool:
    """Lift one reason for which nothing is sent to an address; whether there was one.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    values = {"email_address": address, "reasons": _words(reason)}
    data = query("/suppression/remove", values, account)
    items = data.get("suppressions") if isinstance(data, dict) else None
    return any(item.get("removed") is True for item in _objects(items))


def _words(reason: SuppressionReason) -> list[str]:
    return [word for word, meaning in REASONS.items() if meaning == reason]


def _read(data: Any) -> Iterator[Suppression]:
    if not isinstance(data, dict):
        raise TemporaryError("SMTP2GO /suppression/view: the answer holds no list")
    for item in _objects(data.get("results")):
        address = _text(item, "email_address")
        if address:
            yield Suppression(
                address,
                REASONS.get(_text(item, "reason").lower(), "manual"),
                read_time(_text(item, "timestamp")),
                _text(item, "block_description") or _text(item, "complaint"),
            )


def _objects(items: Any) -> list[Json]:
    listed = items if isinstance(items, list) else []
    return [item for item in listed if isinstance(item, dict)]


def _text(item: Json, name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        return ""
    return " ".join(storable(value[:2000]).split())[:500]
