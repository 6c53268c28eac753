# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
import secrets
from datetime import timedelta

from odoo import api, fields, models

from ..const import RETIRED_TOKEN_MEMORY
from .mail_bridge_secret import token_digest

TOKEN_BYTES = 24
#: What counts as a token: 128 bits at least, and nothing that a URL must escape.
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,}")
#: The name of the secret that holds the current token.
URL_TOKEN = "url_token"


class MailBridgeToken(models.Model):
    """An address (``/mailgate/<provider>/<token>``) that is or was an account's."""

    _name = "mail.bridge.token"
    _description = "Mail Bridge Address"

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, index=True, ondelete="cascade"
    )
    digest = fields.Char(required=True, help="SHA-256 of the token.")
    valid_until = fields.Datetime(help="Empty: the current token.")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_token_digest_uniq
               ON mail_bridge_token (digest)"""
        )

    @api.model
    def _renew(self, account, horizon=timedelta(0)):
        """Give an account a new token; the replaced one stays valid for a while."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        current = self.search(
            [("account_id", "=", account.id), ("valid_until", "=", False)]
        )
        current.write({"valid_until": fields.Datetime.now() + horizon})
        self.env.registry.clear_cache()
        self.create({"account_id": account.id, "digest": token_digest(token)})
        # the replaced one is kept as long: what is registered there must move
        keep = horizon or None
        self.env["mail.bridge.secret"]._store(account, URL_TOKEN, token, keep)
        account.invalidate_recordset(["webhook_url"])

    @api.autovacuum
    def _gc_retired(self):
        horizon = fields.Datetime.now() - RETIRED_TOKEN_MEMORY
        self.search([("valid_until", "<", horizon)]).unlink()
