# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


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
