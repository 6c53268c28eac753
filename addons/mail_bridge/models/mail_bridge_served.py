# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..providers.base import digest


class MailBridgeServed(models.Model):
    """A route that a mail has taken: one Message-ID, one alias or record, once."""

    _name = "mail.bridge.served"
    _description = "Mail Bridge Served Route"
    _log_access = False

    key = fields.Char(required=True, help="SHA-256 of Message-ID and place.")
    fingerprint = fields.Char(required=True, help="SHA-256 of what the mail says.")
    taken_by = fields.Integer(required=True, help="The mail.bridge.message.")
    served_at = fields.Datetime(required=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_served_key_uniq
               ON mail_bridge_served (key)"""
        )

    @api.model
    def _take(self, message_id, place, fingerprint, taken_by):
        """Take a place for a mail.

        :return: ``(outcome, owner)``: ``fresh``, ``served`` (the same mail had it) or
            ``other_content``; the ``mail.bridge.message`` that has it.
        :raises psycopg2.errors.SerializationFailure: another drain took it at the same
            instant; the whole mail is tried again and then finds it served.
        """
        key = _key(message_id, place)
        cr = self.env.cr
        cr.execute(
            """INSERT INTO mail_bridge_served (key, fingerprint, taken_by, served_at)
               VALUES (%s, %s, %s, now() AT TIME ZONE 'UTC')
               ON CONFLICT (key) DO NOTHING RETURNING id""",
            (key, fingerprint, taken_by),
            log_exceptions=False,
        )
        if cr.fetchone():
            return "fresh", taken_by
        cr.execute(
            "SELECT fingerprint, taken_by FROM mail_bridge_served WHERE key = %s",
            (key,),
        )
        stored, owner = cr.fetchone()
        if owner == taken_by:
            return "fresh", owner  # held back before it was posted; now released
        return "served" if stored == fingerprint else "other_content", owner

    @api.model
    def _take_over(self, message_id, place, taken_by):
        """Give a place to another message: what the first one put there is gone."""
        self.env.cr.execute(
            """UPDATE mail_bridge_served
                  SET taken_by = %s, served_at = now() AT TIME ZONE 'UTC'
                WHERE key = %s""",
            (taken_by, _key(message_id, place)),
        )

    @api.model
    def _forget_before(self, horizon, batch):
        """Delete what is older than all messages, and return how many that were."""
        old = self.search([("served_at", "<", horizon)], limit=batch)
        old.unlink()
        return len(old)


def _key(message_id, place):
    return digest(message_id.encode(errors="replace"), place.encode())
