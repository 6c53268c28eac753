# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from odoo.addons.mail_bridge.providers import registry

from ..engine.values import SendAccount
from ..providers.retry import PROFILES


class MailBridgeAccount(models.Model):
    """What the dispatchers and the routes ask of an account."""

    _inherit = "mail.bridge.account"

    relay_limit_ids = fields.One2many("mail.relay.limit", "account_id", string="Limits")

    @api.model
    def _sending_codes(self):
        """Return the codes of the providers that can send."""
        known = {code: registry.get(code) for code in registry.codes()}
        return [code for code, item in known.items() if "send" in item.supports]

    @api.model
    def _can_send_domain(self):
        """Return the domain of the accounts that could send, for a form to choose."""
        return [("code", "in", self._sending_codes())]

    @api.model
    def _sending_domain(self):
        """Return the domain of the accounts that send."""
        return [
            ("code", "in", self._sending_codes()),
            ("relay_enabled", "=", True),
            ("state", "=", "enabled"),
        ]

    def _sending_obstacle(self):
        """Return why the account sends nothing now, ``""`` if it does."""
        self.ensure_one()
        if not self.active:
            return self.env._("it is archived")
        if not self.can_send or not self.relay_enabled:
            return self.env._("it does not send")
        if self.state != "enabled":
            return self.env._("it is not enabled")
        return ""

    def _send_account(self):
        """Return the account as the dispatcher needs it.

        :raises KeyRingError: this host cannot decrypt the secrets.
        """
        self.ensure_one()
        return SendAccount(
            id=self.id,
            name=self.name,
            company_id=self.company_id.id,
            adapter=self._adapter(),
            facts=self._facts(),
            threads=self.relay_threads,
            batch=self.relay_batch_size,
            profile=PROFILES[self.relay_retry_profile],
            limits=self.relay_limit_ids._values(),
            rejects=self.relay_limit_behavior == "reject",
            strict=self.relay_suppress_transactional,
            logs=self.relay_log_attempts,
            breaker_failures=self.relay_breaker_failures,
            breaker_seconds=float(self.relay_breaker_seconds),
        )
