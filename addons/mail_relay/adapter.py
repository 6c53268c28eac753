# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An SMTP server as a provider: the sessions of this process, and what a test finds."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

from odoo.addons.mail_bridge.exceptions import PermanentError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.check import Check, CheckStep, What
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    OutgoingMail,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.send_only import SendOnlyAdapter

from .providers.smtp import SmtpProbe, SmtpSession
from .providers.smtp_link import SmtpSettings
from .providers.smtp_pool import SmtpPool

#: The sessions of all SMTP accounts in this process.
POOL = SmtpPool()
_IN_CLEAR = "no: mail travels in clear text"
_NAMES = frozenset(field.name for field in fields(SmtpSettings))


class SmtpAdapter(SendOnlyAdapter):
    """Sends by SMTP; what becomes of a mail later, reports by mail tell."""

    code = "smtp"
    label = "SMTP Server"
    docs_url = "https://www.rfc-editor.org/rfc/rfc5321"
    reviewed_on = date(2026, 11, 21)

    def send(self, mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
        """Send over a session of the account that is free, or a new one."""
        return POOL.send(settings_of(account), mail)

    def find(self, mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
        """An SMTP server cannot be asked about a mail."""
        raise PermanentError("an SMTP server does not tell what it has taken")

    def check(self, account: AccountFacts) -> Check:
        """Connect, encrypt and log in, with the time of each address and stage."""
        return _as_check(SmtpSession(settings_of(account)).probe())


def settings_of(account: AccountFacts) -> SmtpSettings:
    """Return the settings of an account from its options and its password."""
    chosen = {name: account.options[name] for name in _NAMES & account.options.keys()}
    return SmtpSettings(**chosen, password=account.secret("password") or "")


def _as_check(found: SmtpProbe) -> Check:
    """Return what a probe found: its addresses, then the stages it passed."""
    steps = [
        CheckStep("address", item.address, item.seconds, item.error)
        for item in found.attempts
    ]
    named: dict[str, tuple[What, str]] = {
        "connect": ("greeting", found.address),
        "tls": ("tls", found.tls),
        "auth": ("auth", ""),
    }
    steps += [CheckStep(*named[stage], seconds) for stage, seconds in found.steps]
    if not (found.tls or found.failure):
        steps.append(CheckStep("tls", problem=_IN_CLEAR))
    return Check(tuple(steps), found.failure, found.extensions)
