# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The account's figures, as SMTP2GO counts them.

https://developers.smtp2go.com/reference/email-summary and its neighbours, 2026-11-21
"""

from __future__ import annotations

from typing import Any

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.payload import Json
from odoo.addons.mail_bridge.providers.services import Figure

from .api import query

#: Report → its endpoint.
REPORTS = {
    "summary": "/stats/email_summary",
    "bounces": "/stats/email_bounces",
    "cycle": "/stats/email_cycle",
    "history": "/stats/email_history",
    "spam": "/stats/email_spam",
    "unsubscribes": "/stats/email_unsubs",
}
#: Our names of the figures that ``summary`` holds.
FIGURES: dict[Figure, str] = {
    "cycle_start": "cycle_start",
    "cycle_end": "cycle_end",
    "quota": "cycle_max",
    "quota_used": "cycle_used",
    "quota_left": "cycle_remaining",
    "sent": "email_count",
    "rejected": "rejects",
    "bounced_hard": "hardbounces",
    "bounced_soft": "softbounces",
    "bounce_percent": "bounce_percent",
    "complained": "spam_emails",
    "complaint_percent": "spam_percent",
    "unsubscribed": "unsubscribes",
    "opened": "opens",
    "clicked": "clicks",
}
#: ``rejects`` has taken their place.
DEPRECATED = frozenset(("spam_rejects", "bounce_rejects"))


def figures(account: AccountFacts) -> dict[Figure, str]:
    """Return the summary under our own names; errors as of :func:`report`."""
    told = report(account, "summary")
    found: dict[Figure, str] = {}
    for name, theirs in FIGURES.items():
        value = told.get(theirs)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            found[name] = storable(str(value))[:60]
    return found


def report(account: AccountFacts, name: str, **filters: Any) -> Json:
    """Return the figures of one of :data:`REPORTS`.

    ``summary`` and ``cycle`` are of the billing cycle, ``history`` of the time from
    ``start_date`` to ``end_date`` by ``group_by`` (``email_address``, ``username``,
    ``domain``, ``subaccount``), all others of the last 30 days.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all, or has no such report.
    """
    endpoint = REPORTS.get(name)
    if endpoint is None:
        raise PermanentError("SMTP2GO has no such report")
    data = query(endpoint, filters, account)
    if not isinstance(data, dict):
        raise TemporaryError(f"SMTP2GO {endpoint}: the answer holds no figures")
    return {key: value for key, value in data.items() if key not in DEPRECATED}
