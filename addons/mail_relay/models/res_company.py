# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class ResCompany(models.Model):
    _inherit = "res.company"

    mail_relay_account_id = fields.Many2one(
        "mail.bridge.account",
        string="Mail Relay for New Mail Servers",
        domain=lambda self: self.env["mail.bridge.account"]._can_send_domain(),
        ondelete="set null",
        help="New outgoing mail servers send through this account of Mail Relay unless "
        "somebody chooses otherwise. Those that exist stay as they are.",
    )
