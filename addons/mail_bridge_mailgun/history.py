# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Mailgun knows when it is asked: of one mail in doubt, and of all of them.

Events reach its storage late and out of order (the documentation speaks of half an
hour), so what is not there yet may still come: who asks regularly must overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers.base import AccountFacts, utcnow
from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, OutgoingMail
from odoo.addons.mail_bridge.providers.payload import Json

from . import const_api
from .api import Api
from .events import read_event


def find(
    mail: OutgoingMail, account: AccountFacts, now: datetime | None = None
) -> list[DeliveryEvent]:
    """Return the events of one mail of the last 15 minutes, the oldest first.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all: a sending key may only send.
    """
    now = now or utcnow()
    mail_id = mail.message_id.strip().strip("<>")
    begin = now - timedelta(seconds=const_api.FIND_SECONDS)
    wanted = (("message-id", mail_id),)
    found = [
        event
        for page in _pages(Api(account), begin, None, wanted)
        for event in _events(page, now)
    ]
    return [
        event
        for event in found
        if event.provider_reference == mail_id
        and event.reference in ("", mail.reference)
    ]


def events_between(
    account: AccountFacts, begin: datetime, end: datetime
) -> tuple[list[DeliveryEvent], datetime]:
    """Return what happened to sent mail in a span of time, the oldest first.

    :param begin: aware times, as ``end``.
    :return: the events, and the moment up to which all are listed that Mailgun has:
        ``end``, or that of the last one where there are very many.
    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    found: list[DeliveryEvent] = []
    count = 0
    for page in _pages(Api(account), begin, end, ()):
        count += 1
        found += _events(page, end)
    is_complete = count < const_api.MAX_PAGES or not found
    known = [event for event in found if event.type != "unknown"]
    return known, end if is_complete else max(item.occurred_at for item in found)


def _pages(
    api: Api, begin: datetime, end: datetime | None, wanted: Iterable[tuple[str, str]]
) -> Iterable[list[Json]]:
    query = [
        ("begin", _seconds(begin)),
        *([("end", _seconds(end + timedelta(seconds=1)))] if end else []),
        ("ascending", "yes"),
        ("limit", str(const_api.EVENT_LIMIT)),
        *wanted,
    ]
    return api.pages(f"/v3/{api.domain}/events", query, const_api.MAX_PAGES)


def _seconds(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def _events(page: Iterable[Json], now: datetime) -> list[DeliveryEvent]:
    """Return the events of a page; what makes no sense holds up nothing."""
    found = []
    for item in page:
        try:
            found += read_event(item, now)
        except PayloadError:
            continue
    return found
