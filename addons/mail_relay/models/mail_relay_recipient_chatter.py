# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

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
