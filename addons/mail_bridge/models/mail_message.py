# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models
from odoo.tools import email_normalize_all


class MailMessage(models.Model):
    _inherit = "mail.message"

    bridge_message_id = fields.Many2one(
        "mail.bridge.message",
        string="Came Through",
        index="btree_not_null",
        ondelete="set null",
        readonly=True,
        copy=False,
    )

    def _bridge_recipients(self):
        """Return the normalized addresses this very message was sent to (a set)."""
        self.ensure_one()
        partners = self.partner_ids | self.notified_partner_ids
        found = {partner.email_normalized for partner in partners}
        mails = self.env["mail.mail"].sudo().search([("mail_message_id", "=", self.id)])
        texts = [text for mail in mails for text in (mail.email_to, mail.email_cc)]
        if "outgoing_email_to" in self._fields:  # 19.0
            texts.append(self.outgoing_email_to)
        for text in texts:
            found.update(email_normalize_all(text or ""))
        return found - {False}
