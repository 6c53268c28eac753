# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether an account's key may do what this addon does."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.check import Check, CheckStep
from odoo.addons.mail_bridge.providers.delivery import Reply

from . import const
from .registration import missing_permissions


def check(account: AccountFacts) -> Check:
    """Ask for the permissions of the key.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it refuses the key.
    """
    began = time.monotonic()
    missing = missing_permissions(account)
    base = const.REGIONS[str(account.options.get("region") or "global")]
    seconds = time.monotonic() - began
    step = CheckStep("api", urlsplit(base).hostname or "", seconds)
    if not missing:
        return Check((step,))
    text = f"the key may not use {', '.join(missing)}"
    return Check((step,), Reply("auth", 403, "", text))
