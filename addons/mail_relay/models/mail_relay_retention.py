# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).

from odoo import api, models

from ..const import BODY_DAYS, LEAST_DAYS, MESSAGE_DAYS

#: Nobody needs the text of these any more; a dead mail may be tried again.
_SETTLED = ("done", "cancelled")
_OVER = (*_SETTLED, "dead")


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    @api.model
    def _cron_retention(self, batch=2000):
        """Delete the text of mails that are over, then the mails, in batches."""
        horizon = self._horizon("mail_relay.body_days", BODY_DAYS, LEAST_DAYS)
        bodies = self._delete_bodies(horizon, batch)
        horizon = self._horizon("mail_relay.message_days", MESSAGE_DAYS, LEAST_DAYS)
        if batch in (bodies, self._delete_old(horizon, batch)):
            self.env.ref("mail_relay.ir_cron_retention")._trigger()

    @api.model
    def _delete_bodies(self, horizon, batch):
        """Delete the MIME of mails that ended before a moment; return of how many."""
        self.env.cr.execute(
            """SELECT mail.id FROM mail_relay_message_body body
                 JOIN mail_relay_message mail ON mail.id = body.message_id
                WHERE body.part = 0 AND body.seq = 0
                  AND mail.state = ANY(%s) AND mail.done_at < %s
             ORDER BY body.message_id LIMIT %s FOR UPDATE OF mail SKIP LOCKED""",
            (list(_SETTLED), horizon, batch),
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        self.env.cr.execute(
            "UPDATE mail_relay_message SET body_deleted = true WHERE id = ANY(%s)",
            (ids,),
        )
        self.env.cr.execute(
            "DELETE FROM mail_relay_message_body WHERE message_id = ANY(%s)", (ids,)
        )
        self.env.invalidate_all()
        return len(ids)

    @api.model
    def _delete_old(self, horizon, batch):
        """Delete mails that ended before a moment; return how many."""
        self.env.cr.execute(
            """DELETE FROM mail_relay_message
                WHERE id IN (SELECT id FROM mail_relay_message
                              WHERE state = ANY(%s) AND done_at < %s
                           ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)""",
            (list(_OVER), horizon, batch),
        )
        self.env.invalidate_all()
        return self.env.cr.rowcount
