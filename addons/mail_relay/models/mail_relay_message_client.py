# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from odoo.addons.mail_bridge.models.mail_bridge_queue import CONFLICTS

from ..routing import choose
from .mail_relay_client import EVERYTHING

#: Takes: the application, whether all of it waits, the batches that do.
_CONCERNED = """
  FROM mail_relay_posting posting
 WHERE posting.relay_message_id = mail.id AND posting.client_id = %s
   AND posting.state = 'queued' AND (%s OR posting.batch_code = ANY(%s))"""

HOLD_SUSPENDED = """
    UPDATE mail_relay_message mail SET state = 'held', hold_reason = 'suspended'
      FROM mail_relay_posting posting
      JOIN mail_relay_client client ON client.id = posting.client_id
     WHERE posting.relay_message_id = mail.id AND posting.state = 'queued'
       AND mail.state = 'queued' AND mail.claimed_by IS NULL
       AND (client.active IS NOT TRUE
            OR client.suspended_batches <> '[]'
               AND (client.suspended_batches::jsonb ? '*'
                    OR client.suspended_batches::jsonb ? posting.batch_code))"""


class MailRelayMessage(models.Model):
    """Mails of applications: whose they are, and while they must wait."""

    _inherit = "mail.relay.message"

    client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )

    @api.model
    def _row(self, item, choice):
        return super()._row(item, choice) | {"client_id": item.client_id or None}

    @api.model
    def _chosen(self, item, obstacles_of):
        """An application's mail goes through its own account or not at all."""
        if not item.client_id:
            return super()._chosen(item, obstacles_of)
        return choose([item.account_id], "the application's own", {})

    def _choice_of_row(self):
        """An application's mail goes through its own account or not at all."""
        if not self.client_id:
            return super()._choice_of_row()
        obstacles = self._account_obstacles(self.company_id.id, self.from_domain or "")
        posting = self.env["mail.relay.posting"].search(
            [("relay_message_id", "=", self.id)], limit=1
        )
        own = posting.account_id or self.account_id
        return choose(own.ids, "the application's own", obstacles)

    @api.model
    def _hold_for(self, client):
        """Hold queued mails of an application that has to wait, release the others."""
        codes = client._suspended()
        everything = EVERYTHING in codes or not client.active
        cr = self.env.cr
        self.env.flush_all()
        cr.execute(
            """UPDATE mail_relay_message mail
                  SET state = 'held', hold_reason = 'suspended', claimed_by = NULL
            """
            + _CONCERNED
            + " AND mail.state = 'queued'",
            (client.id, everything, codes),
        )
        cr.execute(
            """UPDATE mail_relay_message mail
                  SET state = 'queued', hold_reason = NULL, claimed_until = NULL,
                      next_attempt = greatest(now() AT TIME ZONE 'UTC', not_before)
            """
            + _CONCERNED.replace("(%s OR posting", "NOT (%s OR posting").replace(
                "posting.batch_code = ANY(%s))",
                "coalesce(posting.batch_code, '') = ANY(%s))",
            )
            + " AND mail.state = 'held' AND mail.hold_reason = 'suspended'",
            (client.id, everything, codes),
        )
        self.env.invalidate_all()
        cr.postcommit.add(lambda: self._wake(always=True))

    @api.model
    def _hold_suspended(self):
        """Hold mails that came back to the queue though their application waits."""
        try:
            self.env.cr.execute(HOLD_SUSPENDED, log_exceptions=False)
            self.env.cr.commit()
        except CONFLICTS:  # the next call does it
            self.env.cr.rollback()

    def _forget_client(self):
        """Their application has deleted them: what waits is not sent.

        What was sent, or may have been, stays in the log; its name is free again.
        """
        waiting = self.filtered(
            lambda mail: mail.state == "queued" or mail.hold_reason == "suspended"
        )
        taken = waiting._move("cancelled", done_at=fields.Datetime.now())
        taken.recipient_ids._take_back()
        self.exists().write({"client_reference": False})

    @api.model
    def _delete_of_clients(self, column, records):
        """Delete the mails of applications, of some accounts or some applications."""
        self.env.flush_all()
        self.env.cr.execute(
            f"""DELETE FROM mail_relay_message
                 WHERE client_id IS NOT NULL AND {column} = ANY(%s)""",
            (records.ids,),
        )
        self.env.invalidate_all()
