# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models
from odoo.tools import email_normalize_all


class MailBridgeMessage(models.Model):
    """Answering a mail from the chatter of its entry in the Inbox."""

    _inherit = "mail.bridge.message"

    def _message_get_suggested_recipients(self, *args, **kwargs):
        """Suggest the sender; without a recipient an answer would reach nobody."""
        found = super()._message_get_suggested_recipients(*args, **kwargs)
        # 19.0 takes the sender from `_primary_email` by itself
        if self.email_from and hasattr(self, "_message_add_suggested_recipient"):
            self._message_add_suggested_recipient(
                found, email=self.email_from, reason=self.env._("Sender")
            )
        return found

    def _message_get_suggested_recipients_batch(self, *args, **kwargs):
        """Suggest no address of ours: its copy of the answer would come back.

        19.0 suggests everybody whom the mail names.
        """
        found = super()._message_get_suggested_recipients_batch(*args, **kwargs)
        domains = self.env["mail.alias.domain"].sudo().search([]).mapped("name")
        for message in self:
            own = email_normalize_all(message.envelope_to or "")
            found[message.id] = [
                item
                for item in found[message.id]
                if item["email"] not in own
                # a colleague at such a domain is a contact
                and (item["partner_id"] or _domain(item["email"]) not in domains)
            ]
        return found


def _domain(address):
    return address.rpartition("@")[2]
