# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class MailingMailing(models.Model):
    _inherit = "mailing.mailing"

    def _relay_list_reference(self):
        """Return the name of the one mailing list that a mailing goes to, else ``""``.

        Who leaves a list still gets the mail of others.
        """
        self.ensure_one()
        if self.mailing_model_real != "mailing.contact":
            return ""
        lists = self.contact_list_ids
        return f"mailing.list,{lists.id}" if len(lists) == 1 else ""
