# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Ask SMTP2GO what became of mail: one in doubt, or all of a time.

``/activity/search`` takes 60 requests a minute from one account, and answers with at
most 1 000 events and a token for the next page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from odoo.addons.mail_bridge.exceptions import PayloadError, TemporaryError
from odoo.addons.mail_bridge.providers.base import AccountFacts, utcnow
from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, OutgoingMail
from odoo.addons.mail_bridge.providers.payload import Json

from . import const
from .addressing import address_key
from .api import query
from .events import activity_fields, read_event

#: Recipients that are asked for in search of one mail, and pages of each; the rest of
#: a minute's requests is for others.
MAX_ASKED = 5
MAX_PAGES = 3
#: How often a span of time is made shorter.
MAX_SHORTENED = 8
#: Mails that one reference of ours may stand for: an attempt each.
MAX_MAILS = 5
#: To be read from each mail's header.
_HEADERS = [const.REFERENCE_HEADER, "Message-ID", const.SCHEDULE_HEADER]


class _Page(NamedTuple):
    """Events in the order of the search, and what asks for the next page (``""``)."""

    events: list[DeliveryEvent]
    cursor: str
    total: int


def events_between(
    account: AccountFacts, begin: datetime, end: datetime
) -> tuple[list[DeliveryEvent], datetime]:
    """Return what happened to sent mail in a span of time, the oldest first.

    In which order SMTP2GO lists is not documented, so a span with too many events is
    made shorter until all of it fits, or it is a second.

    :param begin: aware times, as ``end``; ``end`` itself is not listed.
    :return: the events, and the moment up to which all are listed that SMTP2GO has.
    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    for _try in range(MAX_SHORTENED):
        span = {"start_date": _moment(begin), "end_date": _moment(_whole_second(end))}
        first = _search(span, account, "")
        share = 0.8 * const.PAGE * MAX_PAGES / max(first.total, 1)
        is_short = end - begin < timedelta(seconds=2)
        if share >= 0.8 or is_short:
            events, is_complete = _all(span, account, first)
            if is_complete or is_short:
                known = [event for event in events if event.type != "unknown"]
                return sorted(known, key=lambda event: event.occurred_at), end
        seconds = max(1, int((end - begin).total_seconds() * min(share, 0.5)))
        end = begin + timedelta(seconds=seconds)
    raise TemporaryError("SMTP2GO /activity/search: too many events at one time")


def find(mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
    """Return what SMTP2GO knows of a mail, for its recipients.

    Our own reference, or the Message-ID, says which mail it is; there is no search
    for either, so the recipients are asked for. The search may be minutes behind.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    names: dict[str, None] = {}
    for recipient in mail.recipients[:MAX_ASKED]:
        for event in _recent(account, search_recipient=recipient):
            if _is_of(event, mail) and event.provider_reference:
                names[event.provider_reference] = None
        if names:
            break
    wanted = {address_key(item): item for item in mail.recipients}
    found = []
    for name in list(names)[:MAX_MAILS]:
        for event in _recent(account, search_email_id=name):
            address = wanted.get(address_key(event.recipient))
            if address:
                own = replace(event, recipient=address, reference=mail.reference)
                found.append(own)
    return found


def _recent(account: AccountFacts, **wanted: str) -> list[DeliveryEvent]:
    start = _moment(utcnow() - const.FIND_WINDOW)
    values = {"start_date": start, **wanted}
    return _all(values, account, _search(values, account, ""))[0]


def _is_of(event: DeliveryEvent, mail: OutgoingMail) -> bool:
    """Whether an event is about a mail; a foreign reference outweighs a Message-ID."""
    if event.reference:
        return event.reference == mail.reference
    return bool(event.message_id) and event.message_id == mail.message_id.strip()


def _all(
    values: Json, account: AccountFacts, first: _Page
) -> tuple[list[DeliveryEvent], bool]:
    """Return the events of the first pages, and whether there are no more."""
    page, events = first, list(first.events)
    for _page in range(1, MAX_PAGES):
        if not page.cursor:
            break
        page = _search(values, account, page.cursor)
        events += page.events
    return events, not page.cursor


def _search(values: Json, account: AccountFacts, cursor: str) -> _Page:
    asked = {**values, "limit": const.PAGE, "custom_headers": _HEADERS}
    if cursor:
        asked["continue_token"] = cursor
    data = query("/activity/search", asked, account)
    items = (data.get("events") or []) if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise TemporaryError("SMTP2GO /activity/search: the answer holds no events")
    token, total = data.get("continue_token"), data.get("total_events")
    return _Page(
        list(_read(items)),
        token if isinstance(token, str) and token != cursor else "",
        total if isinstance(total, int) else 0,
    )


def _read(items: Iterable[Any]) -> Iterator[DeliveryEvent]:
    """Yield the events; an item that makes no sense holds up no other."""
    now = utcnow()
    for item in items:
        with suppress(PayloadError):
            if isinstance(item, dict):
                yield from read_event(activity_fields(item), now)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _whole_second(moment: datetime) -> datetime:
    """Return the first whole second that is not before a moment."""
    return moment.replace(microsecond=0) + timedelta(seconds=bool(moment.microsecond))
