# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether an account's domain may send, and its records: GET /v4/domains/{name}.

Reviewed 2026-11-21 against
https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.check import Check, CheckStep
from odoo.addons.mail_bridge.providers.delivery import Reply

from .api import Api, quoted

#: Purpose, type, name and value.
DomainRecord = tuple[str, str, str, str]


def check(account: AccountFacts) -> Check:
    """Ask for the state of the domain.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it refuses key, domain or region. A key that is for sending
        only may not ask either.
    """
    api = Api(account)
    began = time.monotonic()
    found = api.ask("GET", f"/v4/domains/{quoted(api.domain)}").get("domain")
    seconds = time.monotonic() - began
    step = CheckStep("api", urlsplit(api.base).hostname or "", seconds)
    state = str(found.get("state")) if isinstance(found, dict) else ""
    if state == "active":
        return Check((step,))
    text = f"{api.domain} is {state[:50] or 'unknown'} at Mailgun, not active"
    return Check((step,), Reply("mail", 0, "", text))


def domain_records(account: AccountFacts, domain: str) -> list[DomainRecord]:
    """Return the records with which a domain sends through Mailgun.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it refuses, or knows no such domain.
    """
    told = Api(account).ask("GET", f"/v4/domains/{quoted(domain)}")
    rows = told.get("sending_dns_records")
    rows = rows if isinstance(rows, list) else []
    found = (_record(row) for row in rows if isinstance(row, dict))
    return [record for record in found if record]


def _record(row: Mapping[str, object]) -> DomainRecord | None:
    """Return what a domain cannot send without: no CNAME for tracking, say."""
    kind, name, value = (
        str(row.get(x) or "") for x in ("record_type", "name", "value")
    )
    if value.startswith("v=spf1"):
        terms = (word for word in value.split() if word.startswith("include:"))
        return ("spf", "TXT", name, next(terms, ""))
    is_key = "._domainkey." in name and kind in ("TXT", "CNAME")
    return ("dkim", kind, name, value) if is_key else None
