# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hmac
from datetime import datetime
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import ormcache

from odoo.addons.mail_bridge.door_account import is_allowed, parse_networks
from odoo.addons.mail_bridge.models.mail_bridge_key import TOKEN
from odoo.addons.mail_bridge.models.mail_bridge_secret import token_digest

from ..rest.const import ADMIN_SCOPE, CLIENT_SCOPE

FIND_FACTS = """
    SELECT k.id, k.hash, k.previous_hash, k.previous_until, k.expires_at, k.networks,
           k.scopes, k.company_id, c.id, c.identifier
      FROM mail_bridge_key k LEFT JOIN mail_relay_client c ON c.id = k.relay_client_id
     WHERE k.active AND (k.hash = %(digest)s OR k.previous_hash = %(digest)s)"""


class KeyFacts(NamedTuple):
    """A key as a request needs it, which costs no query."""

    id: int
    hash: str
    previous_hash: str | None
    previous_until: datetime | None
    expires_at: datetime | None
    networks: str | None
    scopes: str
    company_id: int
    client_id: int | None
    identifier: str | None

    def is_valid(self, digest, now):
        """Tell whether a token of this digest opens anything now."""
        if self.expires_at and self.expires_at <= now:
            return False
        if hmac.compare_digest(digest, self.hash):
            return True
        is_kept = bool(self.previous_until and self.previous_until > now)
        return is_kept and hmac.compare_digest(digest, self.previous_hash or "")

    def opens(self, scope):
        """Tell whether the key opens something."""
        return scope in self.scopes.split()


class MailBridgeKey(models.Model):
    _name = "mail.bridge.key"
    _inherit = ["mail.bridge.key", "mail.bridge.cached"]

    relay_client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        index="btree_not_null",
        ondelete="cascade",
        help="The application whose mail this key submits and reads.",
    )

    @api.model
    def _known_scopes(self):
        return super()._known_scopes() | {
            ADMIN_SCOPE: self.env._("Manage the applications that submit mail"),
            CLIENT_SCOPE: self.env._("Submit mail as one application"),
        }

    @api.constrains("scopes", "relay_client_id", "company_id")
    def _check_relay_client(self):
        for key in self:
            client = key.relay_client_id
            if key._opens(CLIENT_SCOPE) != bool(client):
                raise ValidationError(
                    self.env._("A key that submits mail belongs to one application.")
                )
            if client and client.company_id != key.company_id:
                raise ValidationError(
                    self.env._("The key and its application are of one company.")
                )

    # --- Use ---

    @api.model
    def _find_facts(self, token, remote_addr):
        """Return what a request needs to know of its key, ``None``: it has none.

        As ``_find``, from a cache: every change of a key empties it, in all workers.
        """
        if not TOKEN.fullmatch(token):
            return None
        digest = token_digest(token)
        try:
            facts = self.sudo()._known_facts(digest)
        except LookupError:
            return None
        if not facts.is_valid(digest, fields.Datetime.now()):
            return None
        if not is_allowed(parse_networks(facts.networks), remote_addr):
            return None
        self.sudo().browse(facts.id)._note_use()
        return facts

    @api.model
    @ormcache("digest")
    def _known_facts(self, digest):
        """Return the facts of a key.

        :raises LookupError: nobody has such a key, which is not remembered.
        """
        self.flush_model()
        self.env.cr.execute(FIND_FACTS, {"digest": digest})
        rows = self.env.cr.fetchall()
        if len(rows) != 1:
            raise LookupError
        return KeyFacts(*rows[0])
