# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.tools import ormcache

from ..const import BODY_FACTOR, BODY_MARGIN_BYTES
from ..door_account import DoorAccount, parse_networks
from ..keyring import KeyRingError
from .mail_bridge_secret import ADMIN, token_digest
from .mail_bridge_token import TOKEN, URL_TOKEN

#: What the door remembers of an account between two posts.
DOOR_FIELDS = {
    "active",
    "code",
    "company_id",
    "reference",
    "state",
    "require_token",
    "allowed_networks",
    "mail_limit_mb",
}


class MailBridgeAccount(models.Model):
    """An account as the door sees it: its address, its limits, its credentials."""

    _inherit = "mail.bridge.account"

    webhook_url = fields.Char(compute="_compute_webhook_url", groups=ADMIN)

    @api.depends("code", "require_token")
    def _compute_webhook_url(self):
        for account in self:
            path = account._webhook_path()
            base = account.get_base_url().rstrip("/")
            account.webhook_url = f"{base}{path}" if path else False

    def write(self, vals):
        result = super().write(vals)
        if DOOR_FIELDS & vals.keys():
            self.env.registry.clear_cache()
        return result

    def unlink(self):
        self.env.registry.clear_cache()
        return super().unlink()

    @api.model
    @ormcache("code")
    def _door_accounts(self, code):
        """Return the accounts of a provider as the door needs them (a tuple).

        Archived ones too: their address is known, and nobody but us can tell.
        """
        known = self.sudo().with_context(active_test=False)
        return tuple(
            account._as_door() for account in known.search([("code", "=", code)])
        )

    def _as_door(self):
        tokens = (
            self.env["mail.bridge.token"].sudo().search([("account_id", "=", self.id)])
        )
        addresses = {row.digest: row.valid_until or None for row in tokens}
        return DoorAccount(
            id=self.id,
            company_id=self.company_id.id,
            code=self.code,
            reference=self.reference,
            state=self.state if self.active else "disabled",
            require_token=self.require_token,
            networks=parse_networks(self.allowed_networks),
            body_limit=self._body_limit(),
            secrets=super()._stored_secrets(),
            addresses=addresses | self._address_outside(),
        )

    @api.model
    def _secret_names(self):
        return [*super()._secret_names(), URL_TOKEN]

    @api.model
    def _outside_secret(self, reference, name):
        """Take no address that could be guessed, or that our logs would not mask."""
        value = super()._outside_secret(reference, name)
        if name == URL_TOKEN and value and not TOKEN.fullmatch(value):
            return None
        return value

    def _address_outside(self):
        """Return the address that the environment gives, as the door knows addresses.

        The one in the database counts beside it: providers may still post there.
        """
        token = self._secret_outside(URL_TOKEN)
        return {token_digest(token): None} if token else {}

    def _stored_secrets(self):
        """Take them from the door's memory, which every change clears."""
        for account in self._door_accounts(self.code):
            if account.id == self.id:
                return account.secrets
        return super()._stored_secrets()

    def _mail_limit(self):
        """Return the size of the largest mail, bytes."""
        return self.mail_limit_mb * 1024 * 1024

    def _body_limit(self):
        """Return the size of the largest request body, bytes."""
        return int(BODY_FACTOR * self._mail_limit()) + BODY_MARGIN_BYTES

    def _webhook_path(self):
        """Return the path that providers post to; ``""`` where none does."""
        self.ensure_one()
        if not self.has_door or not self.id:
            return ""
        if not self.require_token and self.can_omit_token:
            return f"/mailgate/{self.code}"
        try:
            token = self._live_secrets().get(URL_TOKEN)
        except KeyRingError:
            return ""
        return f"/mailgate/{self.code}/{token[0]}" if token else ""
