# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.models.mail_bridge_account import ADMIN


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("improvmx", "ImprovMX")], ondelete={"improvmx": "set default"}
    )
    improvmx_api_key = fields.Char(
        string="ImprovMX API Key",
        secret=True,
        compute="_compute_secrets",
        inverse="_inverse_secrets",
        copy=False,
        groups=ADMIN,
        help="With it the original mail is fetched; without it the parts serve.",
    )
