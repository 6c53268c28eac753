# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.providers.delivery import Reply

from ..engine import matching, truths
from ..providers.states import ENDS_DOUBT

#: What a recipient wishes; it counts whatever else is known of his mail.
WISHES = ("complained", "unsubscribed")
#: Where nobody waits for a mail any more. A dead one has people that we gave up.
END_DOUBT = """
    UPDATE mail_relay_message mail
       SET state = 'done', done_at = now() AT TIME ZONE 'UTC', hold_reason = NULL,
           sent_at = coalesce(sent_at, now() AT TIME ZONE 'UTC'), error = NULL,
           claimed_by = NULL, claimed_until = NULL
     WHERE id = ANY(%s)
       AND (state IN ('in_doubt', 'queued', 'dead')
            OR state = 'held' AND hold_reason = 'doubt')
       AND NOT EXISTS (SELECT 1 FROM mail_relay_recipient person
                        WHERE person.relay_message_id = mail.id
                          AND (person.state IN ('pending', 'deferred')
                               OR mail.state = 'dead' AND person.state = 'failed'))"""


class MailBridgeEvent(models.Model):
    """Events about mails of the relay: they bring their recipients forward."""

    _inherit = "mail.bridge.event"

    relay_recipient_id = fields.Many2one(
        "mail.relay.recipient",
        string="Delivery",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )

    def _apply_batch(self):
        """Apply those that are about a mail of ours; the others wait."""
        addresses = [(event.id, event.email_normalized) for event in self]
        found = matching.match(self.env.cr, addresses)
        matched = self.filtered(lambda event: event.id in found)
        if matched:
            matched._link(found)
            news = [event._told(found[event.id]) for event in matched]
            self.env["mail.relay.recipient"]._advance(news)
            matched._end_doubt(found)
            matched._note_wishes()
            matched._set_applied()
        return super(MailBridgeEvent, self - matched)._apply_batch()

    def _link(self, found):
        values = [(event.id, found[event.id].recipient_id) for event in self]
        ids, recipients = (list(column) for column in zip(*values, strict=True))
        self.env.cr.execute(
            """UPDATE mail_bridge_event event SET relay_recipient_id = v.recipient_id
                 FROM unnest(%s, %s) AS v(id, recipient_id) WHERE event.id = v.id""",
            (ids, recipients),
        )
        self.invalidate_recordset(["relay_recipient_id"])

    def _told(self, match):
        """Return what an event tells of its recipient (``truths.Told``).

        Its time is between the mail's and our own: clocks differ.
        """
        reply = self._reply()
        truth, reason = truths.judge(self.type, self.bounce_class or "", reply)
        at = min(max(self.occurred_at, match.created_at), self.received_at)
        return truths.Told(
            match.recipient_id, truth, at, reason, reply, self.provider_reference or ""
        )

    def _reply(self):
        """Return what the server said, ``None``: nothing."""
        if not self.stage:
            return None
        words = self.enhanced_code or "", self.diagnostic or ""
        return Reply(self.stage, self.smtp_code, *words)

    def _end_doubt(self, found):
        """End mails that the other end knows after all, and nobody waits for."""
        telling = self.filtered(lambda event: event.type in ENDS_DOUBT)
        mails = sorted({found[event.id].mail_id for event in telling})
        self.env.cr.execute(END_DOUBT, (mails,))
        self.env["mail.relay.message"].browse(mails).invalidate_recordset()

    def _note_wishes(self):
        """Write down who wants no more mail."""
        wishes = self.filtered(lambda event: event.type in WISHES)
        self.env["mail.relay.suppression"]._note_wishes(wishes)
