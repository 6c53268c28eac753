# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

#: What the chatter shows of a delivery; values, not records: who reads a chatter need
#: not have any right in Mail Bridge.
FATE_FIELDS = ["relay_state", "relay_moment", "relay_reason"]
#: When a recipient came to a state.
MOMENTS = {
    "pending": "created_at",
    "sent": "sent_at",
    "delivered": "delivered_at",
    "opened": "opened_at",
    "clicked": "clicked_at",
    "bounced": "bounced_at",
    "complained": "complained_at",
    "unsubscribed": "unsubscribed_at",
}
#: The newest delivery of the message to the person of a notification. The deliveries
#: of the messages come first, once: a message may have gone to thousands.
NEWEST = """
    WITH person AS MATERIALIZED (
        SELECT recipient.id, recipient.partner_id, recipient.email_normalized,
               recipient.rank, mail.id AS mail_id, mail.mail_message_id
          FROM mail_relay_message mail
          JOIN mail_relay_recipient recipient ON recipient.relay_message_id = mail.id
         WHERE mail.mail_message_id IN (
               SELECT mail_message_id FROM mail_notification WHERE id = ANY(%(ids)s)))
    SELECT DISTINCT ON (note.id) note.id, person.id
      FROM mail_notification note
      JOIN person ON person.mail_message_id = note.mail_message_id AND {same}
     WHERE note.id = ANY(%(ids)s) AND note.notification_type = 'email'
  ORDER BY note.id, person.mail_id DESC, person.rank DESC"""
SAME_PARTNER = "person.partner_id = note.res_partner_id"
SAME_ADDRESS = "person.email_normalized = note.mail_email_address"


class MailNotification(models.Model):
    """What became of a mail, beside the status that core knows."""

    _inherit = "mail.notification"

    relay_state = fields.Char(compute="_compute_relay_fate", compute_sudo=True)
    relay_moment = fields.Datetime(compute="_compute_relay_fate", compute_sudo=True)
    relay_reason = fields.Char(compute="_compute_relay_fate", compute_sudo=True)

    @api.depends("mail_message_id", "res_partner_id", "notification_status")
    def _compute_relay_fate(self):
        found = self._relay_recipients()
        for notification in self:
            person = found.get(notification.id)
            state = person.state if person else False
            moment = MOMENTS.get(state, "last_event_at")
            is_trouble = notification.notification_status in ("bounce", "exception")
            notification.relay_state = state
            notification.relay_moment = (
                person[moment] or person.last_event_at if person else False
            )
            notification.relay_reason = (
                person._failure_reason()
                if person and (is_trouble or state == "deferred")
                else False
            )

    def _relay_recipients(self):
        """Return the recipient in the relay for each notification that has one."""
        self.flush_recordset()
        # 19.0 knows recipients without a partner.
        by_address = "mail_email_address" in self._fields
        same = f"({SAME_PARTNER} OR {SAME_ADDRESS})" if by_address else SAME_PARTNER
        self.env.cr.execute(NEWEST.format(same=same), {"ids": self._origin.ids})
        found = dict(self.env.cr.fetchall())
        people = self.env["mail.relay.recipient"].browse(found.values())
        people.invalidate_recordset()
        return {
            note_id: person.with_prefetch(people._prefetch_ids)
            for note_id, person in zip(found, people, strict=True)
        }

    # --- Web client ---

    def _to_store(self, store, *args, **kwargs):
        parent = super()
        if not hasattr(parent, "_to_store"):  # 19.0 asks for names, see below
            return store.add_records_fields(self, *args, **kwargs)
        result = parent._to_store(store, *args, **kwargs)
        if self.env.user._is_internal():
            for notification in self.filtered("relay_state"):
                fate = {name: notification[name] for name in FATE_FIELDS}
                store.add(notification, fate)
        return result

    def _to_store_defaults(self, target):
        """Add what became of mails on 19.0, where it is for internal users."""
        names = super()._to_store_defaults(target)
        return names + FATE_FIELDS if target.is_internal(self.env) else names
