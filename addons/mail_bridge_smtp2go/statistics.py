# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The account's figures, as SMTP2GO counts them.

https://developers.smtp2go.com/reference/email-summary and its neighbours, 2026-11-21
"""

from __future__ import annotations

from typing import Any

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.payload import Json

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
#: ``rejects`` has taken their place.
DEPRECATED = frozenset(("spam_rejects", "bounce_rejects"))


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
