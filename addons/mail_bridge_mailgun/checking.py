# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether an account's domain may send: GET /v4/domains/{name}.

Reviewed 2026-11-21 against
https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.check import Check, CheckStep
from odoo.addons.mail_bridge.providers.delivery import Reply

from .api import Api, quoted


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
