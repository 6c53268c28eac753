# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from email.utils import parseaddr

from odoo import models

from ..outgoing import own_message_id


class MailMessage(models.Model):
    _inherit = "mail.message"

    def _get_message_id(self, values):
        """Name the sender's domain in place of this machine."""
        message_id = super()._get_message_id(values)
        if not self.env["ir.mail_server"]._relayed_ids():
            return message_id
        domain = parseaddr(values.get("email_from") or "")[1].rpartition("@")[2]
        return own_message_id(message_id, domain.lower())
