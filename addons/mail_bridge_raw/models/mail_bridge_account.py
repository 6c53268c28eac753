# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("raw", "Raw MIME")], ondelete={"raw": "set default"}
    )
    raw_signing_key = secret_field(
        "Signing Secret",
        "A Standard Webhooks secret (whsec_…). Where it is set, every post must "
        "be signed with it.",
    )
