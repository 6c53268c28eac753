# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's three lists of addresses that a domain sends nothing to any more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from odoo.addons.mail_bridge.exceptions import PermanentError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.payload import Json
from odoo.addons.mail_bridge.providers.suppression import (
    Suppression,
    SuppressionReason,
)

from . import const_api
from .api import Api, NotFoundError, is_address, quoted

#: Where each list is.
LISTS: dict[SuppressionReason, str] = {
    "bounced": "bounces",
    "complained": "complaints",
    "unsubscribed": "unsubscribes",
}
#: An unsubscription from all of a domain's mail.
_ALL_TAGS = "*"


def suppressions(
    account: AccountFacts, reason: SuppressionReason
) -> Iterator[Suppression]:
    """Yield one of the lists, in the order of the addresses.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all, or has no such list.
    """
    api = Api(account)
    path = _path(api, reason)
    query = (("limit", str(const_api.SUPPRESSION_LIMIT)),)
    for page in api.pages(path, query, const_api.MAX_SUPPRESSION_PAGES):
        for item in page:
            if found := _read(item, reason):
                yield found


def add_suppressions(account: AccountFacts, items: Iterable[Suppression]) -> None:
    """Enter addresses, each in the list of its reason; one that is there is renewed.

    What somebody entered by hand (``manual``) counts as bounced: it gets no mail.

    :raises TemporaryError: Mailgun cannot be asked now; some may be entered.
    :raises PermanentError: it cannot be asked at all, or refuses an address.
    """
    api = Api(account)
    lists: dict[str, list[Json]] = {}
    for item in items:
        lists.setdefault(_path(api, item.reason), []).append(_write(item))
    size = const_api.SUPPRESSION_BATCH
    for path, values in lists.items():
        for start in range(0, len(values), size):
            api.post_json(path, values[start : start + size])


def remove_suppression(
    account: AccountFacts, address: str, reason: SuppressionReason
) -> bool:
    """Take one address off a list; whether it was there.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    if not is_address(address):  # what were left of the path would clear the list
        raise PermanentError("this is no address")
    api = Api(account)
    try:
        api.ask("DELETE", f"{_path(api, reason)}/{quoted(address)}")
    except NotFoundError:
        return False
    return True


def _path(api: Api, reason: SuppressionReason) -> str:
    return f"/v3/{api.domain}/{LISTS.get(reason, 'bounces')}"


def _read(item: Json, reason: SuppressionReason) -> Suppression | None:
    """Return an entry, ``None`` for one without an address."""
    address, tags = item.get("address"), item.get("tags")
    if not isinstance(address, str) or not is_address(address):
        return None
    tags = tags if isinstance(tags, list) else []
    tags = [tag for tag in tags if isinstance(tag, str)]
    said = " ".join(str(item.get(name) or "") for name in ("code", "error"))
    return Suppression(
        address,
        reason,
        since=_moment(item.get("created_at")),
        evidence=_line(said),
        tags=() if _ALL_TAGS in tags else tuple(map(_line, tags)),
    )


def _write(item: Suppression) -> Json:
    value: Json = {"address": item.address}
    if item.since:
        value["created_at"] = format_datetime(
            item.since.astimezone(timezone.utc), usegmt=True
        )
    if item.reason == "unsubscribed":
        value["tags"] = list(item.tags) or [_ALL_TAGS]
    elif item.reason != "complained":
        code = re.match(r"\d{3}\b", item.evidence, re.ASCII)
        value["code"] = code[0] if code else "550"
        value["error"] = item.evidence[len(code[0]) if code else 0 :].strip()
    return value


def _moment(value: Any) -> datetime | None:
    """Return a time as Mailgun writes it: ``Thu, 11 Dec 2025 01:49:40 UTC``."""
    try:
        moment = parsedate_to_datetime(value[:60] if isinstance(value, str) else "")
        return (
            moment.astimezone(timezone.utc)
            if moment.tzinfo
            else moment.replace(tzinfo=timezone.utc)
        )
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _line(text: str) -> str:
    return " ".join(storable(text[:2000]).split())[:500]
