# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    mail_relay_account_id = fields.Many2one(
        related="company_id.mail_relay_account_id",
        readonly=False,
        domain=lambda self: self.env["mail.bridge.account"]._can_send_domain(),
    )
    mail_relay_from_policy = fields.Selection(
        related="company_id.mail_relay_from_policy", readonly=False, required=True
    )
    mail_relay_from_address = fields.Char(
        related="company_id.mail_relay_from_address", readonly=False
    )
