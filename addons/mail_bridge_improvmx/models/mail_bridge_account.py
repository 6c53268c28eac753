# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("improvmx", "ImprovMX")], ondelete={"improvmx": "set default"}
    )
    improvmx_api_key = secret_field(
        "ImprovMX API Key",
        "With it the original mail is fetched; without it the parts serve.",
    )
