# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hashlib
import logging
import os
import re
from datetime import timedelta
from pathlib import Path

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import config

from ..door_account import StoredSecret
from ..keyring import (
    KEY_FILE,
    RING_OPTION,
    KeyRing,
    KeyRingError,
    configured_keys,
    create_key_file,
    read_key_file,
)
from ..providers.redaction import register

_logger = logging.getLogger(__name__)

ADMIN = "mail_bridge.group_administrator"
MASK = "••••••••"
#: A credential that is replaced so soon was never used.
SLIP = timedelta(minutes=15)
FINGERPRINT_PARAMETER = "mail_bridge.key_fingerprint"
_rings: dict[tuple, KeyRing] = {}


class MailBridgeSecret(models.Model):
    """Encrypted credentials, one row per record and field.

    Nobody reads this model through the ORM's interfaces; records that own secrets use
    the mixin below.
    """

    _name = "mail.bridge.secret"
    _description = "Mail Bridge Secret"
    _inherit = "mail.bridge.cached"
    _allow_sudo_commands = False

    res_model = fields.Char(required=True)
    res_id = fields.Integer(required=True)
    name = fields.Char(required=True)
    ciphertext = fields.Char(required=True, groups="base.group_no_one")
    previous_ciphertext = fields.Char(groups="base.group_no_one")
    previous_until = fields.Datetime()
    key_fingerprint = fields.Char(required=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_secret_place_uniq
               ON mail_bridge_secret (res_model, res_id, name)"""
        )

    # --- Key ring ---

    @api.model
    def _ring(self, for_new_value=False):
        """Return this host's key ring for this database.

        While a new key is brought to one host after the other, a host that has not got
        it yet still reads all that its own keys decrypt; it must not write.

        :param for_new_value: a value is about to be encrypted: where the database
            holds none yet, a key file may be made.
        :raises KeyRingError: no key; for a new value: not the key in use.
        """
        path = Path(config["data_dir"]) / KEY_FILE
        keys = configured_keys(config.get(RING_OPTION)) or read_key_file(path)
        if not keys and for_new_value and not self.sudo().search_count([], limit=1):
            keys = create_key_file(path)
        if not keys:
            raise KeyRingError("this host has no Mail Bridge key")
        ring = _rings.get(tuple(keys))
        if ring is None:
            ring = _rings[tuple(keys)] = KeyRing(keys)
        if for_new_value:
            parameter = self.env["ir.config_parameter"].sudo()
            _check_has_keys(ring, [parameter.get_param(FINGERPRINT_PARAMETER)])
        return ring

    @api.model
    def _binding(self, res_model, res_id, name):
        """Return the place a value belongs to; a copied database is another place."""
        uuid = self.env["ir.config_parameter"].sudo().get_param("database.uuid")
        return f"{uuid}|{res_model}|{res_id}|{name}"

    @api.model
    def _is_ready(self):
        """Return why this host cannot decrypt all (text), ``False`` where it can."""
        used = [key for (key,) in self.sudo()._read_group([], ["key_fingerprint"])]
        if not used:
            return False
        try:
            _check_has_keys(self._ring(), used)
        except KeyRingError as error:
            return str(error)
        return False

    # --- Values ---

    @api.model
    def _store(self, record, name, value, keep_previous=None):
        """Encrypt and keep a value of ``record``; empty removes it.

        :param keep_previous: a timedelta for which the replaced value stays live.
        """
        place = (record._name, record.id, name)
        secret = self.sudo().search(
            [
                ("res_model", "=", place[0]),
                ("res_id", "=", place[1]),
                ("name", "=", name),
            ]
        )
        if name in record._fields:
            record.invalidate_recordset([name])
        if not value:
            return secret.unlink()
        register(value)
        try:
            ring = self._ring(for_new_value=True)
        except KeyRingError as error:
            raise UserError(
                self.env._("The secret cannot be stored: %(why)s.", why=error)
            ) from error
        values = {
            "ciphertext": ring.encrypt(value, self._binding(*place)),
            "key_fingerprint": ring.active,
        }
        if secret:
            secret._replace(ring, value, values, keep_previous)
        else:
            self.sudo().create(
                dict(values, res_model=place[0], res_id=place[1], name=name)
            )
        self.env["ir.config_parameter"].sudo().set_param(
            FINGERPRINT_PARAMETER, ring.active
        )
        return True

    def _replace(self, ring, value, values, keep_previous):
        """Write a new value; the replaced one stays live for a while.

        A value that is replaced at once was a slip: the one before it stays instead.
        """
        binding = self._binding(self.res_model, self.res_id, self.name)
        try:
            replaced = ring.decrypt(self.ciphertext, binding)
        except KeyRingError:
            replaced = None  # nobody can check a signature with it
        if replaced == value:
            return
        now = fields.Datetime.now()
        is_slip = self.write_date > now - SLIP and (self.previous_until or now) > now
        if keep_previous and replaced and not is_slip:
            values["previous_ciphertext"] = ring.encrypt(replaced, binding)
            values["previous_until"] = now + keep_previous
        self.write(values)

    def _as_stored(self):
        return StoredSecret(
            self.ciphertext, self.previous_ciphertext, self.previous_until
        )

    @api.model
    def _decrypt(self, res_model, res_id, stored):
        """Return ``{name: [value, previous value]}`` of one record.

        :param stored: ``{name: StoredSecret}``.
        :raises KeyRingError: this host cannot decrypt.
        """
        ring = self._ring() if stored else None
        now = fields.Datetime.now()
        return {
            name: [
                ring.decrypt(token, self._binding(res_model, res_id, name))
                for token in secret.live(now)
            ]
            for name, secret in stored.items()
        }

    @api.model
    def action_reencrypt(self):
        """Encrypt every value with the active key of the ring; return how many."""
        self._check_administrator()
        try:
            return self._reencrypt(self._ring(for_new_value=True))
        except KeyRingError as error:
            raise UserError(
                self.env._("Not all credentials can be read: %(why)s.", why=error)
            ) from error

    def _reencrypt(self, ring):
        secrets = self.sudo().search([])
        for secret in secrets:
            binding = self._binding(secret.res_model, secret.res_id, secret.name)
            if secret.previous_until and secret.previous_until < fields.Datetime.now():
                secret.previous_ciphertext = False
            values = {"key_fingerprint": ring.active}
            for field in ("ciphertext", "previous_ciphertext"):
                if secret[field]:
                    plain = ring.decrypt(secret[field], binding)
                    values[field] = ring.encrypt(plain, binding)
            secret.write(values)
        self.env["ir.config_parameter"].sudo().set_param(
            FINGERPRINT_PARAMETER, ring.active
        )
        return len(secrets)

    @api.model
    def action_forget(self):
        """Delete every value, for a database whose key is lost; accounts go off."""
        self._check_administrator()
        accounts = self.env["mail.bridge.account"].sudo()
        accounts.with_context(active_test=False).search([]).action_disable()
        self.sudo().search([]).unlink()
        parameter = self.env["ir.config_parameter"].sudo()
        parameter.search([("key", "=", FINGERPRINT_PARAMETER)]).unlink()

    def _check_administrator(self):
        if not self.env.su and not self.env.user.has_group("base.group_system"):
            raise AccessError(self.env._("Only an administrator may do this."))


def _check_has_keys(ring, fingerprints):
    """Raise ``KeyRingError`` where the ring lacks one of the keys."""
    for key in fingerprints:
        if key and key not in ring.fingerprints:
            raise KeyRingError(f"this host lacks the database's Mail Bridge key {key}")


def secret_field(string, help):  # noqa: A002 Odoo's own word
    """Return a field for one credential of a ``mail.bridge.secret.mixin``."""
    return fields.Char(
        string=string,
        help=help,
        secret=True,
        compute="_compute_secrets",
        inverse="_inverse_secrets",
        copy=False,
        groups=ADMIN,
    )


class MailBridgeSecretMixin(models.AbstractModel):
    """For records with credentials.

    A field made by :func:`secret_field` is write-only: it shows a mask, its value lives
    encrypted in ``mail.bridge.secret``, and the environment or odoo.conf may give it
    instead.
    """

    _name = "mail.bridge.secret.mixin"
    _description = "Mail Bridge: Record with Secrets"

    def _valid_field_parameter(self, field, name):
        return name == "secret" or super()._valid_field_parameter(field, name)

    @api.model
    def _secret_fields(self):
        """Return the names of the fields whose values are secrets."""
        return [
            name
            for name, field in self._fields.items()
            if getattr(field, "secret", False)
        ]

    @api.model
    def _secret_names(self):
        """Return the names of all secrets, of those too that no field shows."""
        return self._secret_fields()

    def _secret_outside(self, name):
        """Return a secret given by the environment or odoo.conf, or ``None``."""
        self.ensure_one()
        return self._outside_secret(self.reference or str(self.id), name)

    @api.model
    def _outside_secret(self, reference, name):
        return secret_outside(reference, name)

    def _has_secret(self, name):
        """Tell whether a secret is set; unlike its field also while that is written."""
        self.ensure_one()
        # ids: while a form is edited, the record is a draft of the one that is stored
        place = [("res_model", "=", self._name), ("res_id", "in", self.ids)]
        stored = self.env["mail.bridge.secret"].sudo()
        return bool(
            self._secret_outside(name)
            or stored.search_count([*place, ("name", "=", name)], limit=1)
        )

    def _secret_horizon(self):
        """Return how long a replaced secret stays live (timedelta)."""
        return timedelta(days=1)

    def _compute_secrets(self):
        names = self._secret_fields()
        stored = {}
        for secret in (
            self.env["mail.bridge.secret"]
            .sudo()
            .search([("res_model", "=", self._name), ("res_id", "in", self.ids)])
        ):
            stored.setdefault(secret.res_id, set()).add(secret.name)
        for record in self:
            known = stored.get(record.id, ())
            for name in names:
                outside = record.id and record._secret_outside(name)
                record[name] = MASK if outside or name in known else False

    def _inverse_secrets(self):
        Secret = self.env["mail.bridge.secret"]
        for record in self:
            # only what was written: reading the others would compute them all anew
            cached = record._cache
            written = {
                name: cached[name] for name in self._secret_fields() if name in cached
            }
            for name, value in written.items():
                if value != MASK and not record._secret_outside(name):
                    Secret._store(record, name, value, record._secret_horizon())

    def _live_secrets(self):
        """Return ``{field name: [value, previous value]}`` of one record.

        :raises KeyRingError: this host cannot decrypt.
        """
        self.ensure_one()
        values = self.env["mail.bridge.secret"]._decrypt(
            self._name, self.id, self._stored_secrets()
        )
        return values | self._outside_secrets(self.reference or str(self.id))

    def _stored_secrets(self):
        """Return ``{name: StoredSecret}`` of one record."""
        rows = (
            self.env["mail.bridge.secret"]
            .sudo()
            .search([("res_model", "=", self._name), ("res_id", "=", self.id)])
        )
        return {row.name: row._as_stored() for row in rows}

    @api.model
    def _outside_secrets(self, reference):
        """Return ``{field name: [value]}`` of what the environment gives a record."""
        given = {
            name: self._outside_secret(reference, name) for name in self._secret_names()
        }
        return {name: [value] for name, value in given.items() if value}

    def unlink(self):
        self.env["mail.bridge.secret"].sudo().search(
            [("res_model", "=", self._name), ("res_id", "in", self.ids)]
        ).unlink()
        return super().unlink()


def secret_variable(reference, name):
    """Return the environment variable that may give a secret of a record."""
    return re.sub(r"\W+", "_", f"MAIL_BRIDGE_{reference}_{name}").upper()


def secret_outside(reference, name):
    """Return a secret that the environment or odoo.conf gives, or ``None``."""
    variable = secret_variable(reference, name)
    value = os.environ.get(variable) or config.get(variable.lower()) or None
    register(value)
    return value


def token_digest(token):
    """Return the SHA-256 (hex) a URL token is looked up by."""
    return hashlib.sha256(token.encode()).hexdigest()
