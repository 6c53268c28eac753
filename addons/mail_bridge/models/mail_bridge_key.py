# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hmac
import re
import secrets
import time
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import AccessError, ValidationError

from ..door_account import is_allowed, parse_networks
from ..providers.redaction import register
from .mail_bridge_queue import CONFLICTS
from .mail_bridge_secret import token_digest

#: 256 random bits, so a plain hash is enough (OWASP ASVS 6.5.2); 43 characters.
TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
PREFIX = 8
#: The last use of a key is written at most this often, seconds.
USE_SECONDS = 60
#: How long a replaced token stays valid where nobody says otherwise.
OVERLAP = timedelta(hours=24)
#: Nobody reads it but the superuser's code.
NOBODY = "."
FIND_KEY = """
    SELECT id, hash, previous_hash FROM mail_bridge_key
     WHERE active AND (expires_at IS NULL OR expires_at > now() AT TIME ZONE 'UTC')
       AND (hash = %(hash)s
            OR previous_hash = %(hash)s
               AND previous_until > now() AT TIME ZONE 'UTC')"""
#: A row that another request writes at the same instant is left to it.
NOTE_USE = """
    UPDATE mail_bridge_key SET last_used_at = now() AT TIME ZONE 'UTC'
     WHERE id = (SELECT id FROM mail_bridge_key
                  WHERE id = %(id)s
                    AND (last_used_at IS NULL
                         OR last_used_at < now() AT TIME ZONE 'UTC'
                                           - %(seconds)s * interval '1 second')
                    FOR UPDATE SKIP LOCKED)"""
_noted: dict[tuple[str, int], float] = {}


class MailBridgeKey(models.Model):
    """A key with which another program calls us.

    Its token is shown once, when it is made; here stands the SHA-256 of it. What it
    opens is a list of scopes.
    """

    _name = "mail.bridge.key"
    _description = "Mail Bridge API Key"
    _order = "active desc, id desc"
    _check_company_auto = True

    name = fields.Char(required=True, help="Which program uses it.")
    active = fields.Boolean(
        default=True, help="Switched off: the key was revoked.", copy=False
    )
    prefix = fields.Char(
        string="Begins With", readonly=True, copy=False, help="To tell keys apart."
    )
    hash = fields.Char(required=True, groups=NOBODY, copy=False)
    previous_hash = fields.Char(groups=NOBODY, copy=False)
    previous_until = fields.Datetime(
        string="Old Token Valid Until", readonly=True, copy=False
    )
    scopes = fields.Char(
        required=True, help="What the key opens: names separated by spaces."
    )
    company_id = fields.Many2one(
        "res.company",
        required=True,
        default=lambda self: self.env.company.id,
        index=True,
    )
    user_id = fields.Many2one(
        "res.users",
        string="Acts For",
        ondelete="cascade",
        help="Whose rights count where records are read.",
    )
    expires_at = fields.Datetime(help="Empty: never.")
    networks = fields.Text(
        string="Allowed Networks",
        help="Addresses or networks (one a line) that may use the key. Empty: all.",
    )
    last_used_at = fields.Datetime(
        readonly=True, copy=False, help="To the minute, at least."
    )

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_key_hash_uniq
                   ON mail_bridge_key (hash);
               CREATE INDEX IF NOT EXISTS mail_bridge_key_previous_idx
                   ON mail_bridge_key (previous_hash) WHERE previous_hash IS NOT NULL"""
        )

    # --- Constraints ---

    @api.model
    def _known_scopes(self):
        """Return what keys may open (label by name).

        For an addon to open something to keys, it must override this method and add
        its scopes.
        """
        return {"messages:read": self.env._("Read mails and what became of them")}

    @api.constrains("scopes")
    def _check_scopes(self):
        known = self._known_scopes()
        for key in self:
            scopes = (key.scopes or "").split()
            if not scopes or not known.keys() >= set(scopes):
                raise ValidationError(
                    self.env._(
                        "A key opens one or more of: %(scopes)s.",
                        scopes=", ".join(sorted(known)),
                    )
                )

    @api.constrains("networks")
    def _check_networks(self):
        for key in self:
            try:
                parse_networks(key.networks)
            except ValueError as error:
                raise ValidationError(
                    self.env._("Not a network: %(why)s", why=error)
                ) from error

    @api.constrains("user_id")
    def _check_user(self):
        """Nobody gets the rights of somebody else by a key that he makes."""
        user = self.env.user
        if any(key.user_id not in (user, user.browse()) for key in self) and not (
            user._is_superuser() or user.has_group("base.group_system")
        ):
            raise AccessError(self.env._("You can make keys that act for yourself."))

    # --- Use ---

    @api.model
    def _find(self, token, scope="", remote_addr=""):
        """Return the key of a token, as superuser, or an empty recordset.

        Empty too where it is revoked, expired, used from another network, or does not
        open ``scope``; ``""``: whatever it opens.
        """
        none = self.sudo().browse()
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            return none
        digest = token_digest(token)
        self.flush_model()
        self.env.cr.execute(FIND_KEY, {"hash": digest})
        key = none
        for key_id, *hashes in self.env.cr.fetchall():
            # both are compared, whichever it is
            same = [hmac.compare_digest(digest, known or "") for known in hashes]
            if any(same):
                key = none.browse(key_id)
        if not key or (scope and not key._opens(scope)):
            return none
        if not is_allowed(parse_networks(key.networks), remote_addr):
            return none
        key._note_use()
        return key

    def _opens(self, scope):
        """Tell whether a key opens something."""
        self.ensure_one()
        return scope in (self.scopes or "").split()

    def _note_use(self):
        """Write down that a key was used, at most once a minute.

        In a transaction of its own: two requests with one key must not meet.
        """
        place = self.env.cr.dbname, self.id
        now = time.monotonic()
        if now - _noted.get(place, -USE_SECONDS) < USE_SECONDS:
            return
        _noted[place] = now
        with self.env.registry.cursor() as cr:
            try:
                self._write_use(cr)
            except CONFLICTS:
                cr.rollback()

    def _write_use(self, cr):
        values = {"id": self.id, "seconds": USE_SECONDS}
        cr.execute(NOTE_USE, values, log_exceptions=False)
        return cr.rowcount

    # --- Life ---

    @api.model
    def _issue(self, scopes, **values):
        """Make a key.

        :param scopes: names of what it opens.
        :param values: other fields; ``name`` at least.
        :return: ``(key, token)``; nobody can be shown the token again.
        """
        token = _new_token()
        named = {"scopes": " ".join(scopes), **_kept(token)}
        return self.create({**values, **named}), token

    def _rotate(self, overlap=OVERLAP):
        """Give a key a new token and return it; the old one stays valid for a while."""
        self.ensure_one()
        token = _new_token()
        self.write(
            {
                "previous_hash": self.hash,
                "previous_until": fields.Datetime.now() + overlap,
                **_kept(token),
            }
        )
        return token

    def action_rotate(self):
        """Show a new token; the old one stays valid for a day."""
        self.ensure_one()
        self.check_access("write")
        return self._show(self.sudo()._rotate())

    def action_revoke(self):
        """End a key at once, with both its tokens."""
        self.check_access("write")
        self.sudo().write(
            {"active": False, "previous_hash": False, "previous_until": False}
        )

    def _show(self, token):
        """Return the action that shows a token once; it is stored nowhere."""
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Copy the Key Now"),
            "res_model": "mail.bridge.key.show",
            "view_mode": "form",
            "target": "new",
            "context": {"default_token": token},
        }

    @api.autovacuum
    def _gc_replaced(self):
        """Forget tokens that were replaced and are no longer valid."""
        over = [("previous_until", "<", fields.Datetime.now())]
        keys = self.with_context(active_test=False).search(over)
        keys.write({"previous_hash": False, "previous_until": False})


def _new_token():
    token = secrets.token_urlsafe(TOKEN_BYTES)
    register(token)
    return token


def _kept(token):
    """Return what is stored of a token."""
    return {"hash": token_digest(token), "prefix": token[:PREFIX]}
