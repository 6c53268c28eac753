# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..engine.truths import Told
from ..providers.states import Truth

#: What core's notification has no status for; the chatter shows it all the same.
BEYOND_CORE = ("opened", "clicked", "unsubscribed", "complained", "deferred")


class MailRelayRecipient(models.Model):
    _inherit = "mail.relay.recipient"

    def _after_truth(self):
        """Let open chatters follow what core's status does not tell, too."""
        result = super()._after_truth()
        people = self.filtered(lambda person: person.state in BEYOND_CORE)
        messages = people.relay_message_id.mail_message_id.sudo().exists()
        messages._notify_message_notification_update()
        return result

    @api.model
    def _leave(self, leave):
        """Send no more of it to who unsubscribed by the link in a mail.

        :param leave: ``providers.unsubscribe.Leave``.
        """
        now = fields.Datetime.now()
        suppressions = self.env["mail.relay.suppression"]
        suppressions._renew(
            [
                {
                    "company_id": leave.company_id,
                    "email_normalized": leave.address,
                    "scope": "list" if leave.list_reference else "marketing",
                    "list_reference": leave.list_reference or None,
                    "reason": "unsubscribed",
                    "source": "event",
                    "since": now,
                    "evidence": f"{leave.reference}: one-click (RFC 8058)",
                }
            ]
        )
        if not leave.list_reference:
            suppressions._blacklist({leave.address})
        people = self.search(
            [
                ("relay_message_id.reference", "=", leave.reference),
                ("email_normalized", "=", leave.address),
            ]
        )
        self._advance(Told(item.id, Truth("unsubscribed"), now) for item in people)
