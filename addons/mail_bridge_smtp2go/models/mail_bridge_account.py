# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("smtp2go", "SMTP2GO")], ondelete={"smtp2go": "set default"}
    )
    smtp2go_api_key = secret_field(
        "SMTP2GO API Key",
        "SMTP2GO: Sending, API Keys. With the permissions for sending, activity, "
        "webhooks, suppressions and statistics.",
    )
    smtp2go_webhook_auth = secret_field(
        "SMTP2GO Webhook Authorization",
        "What SMTP2GO repeats in the Authorization header of each post: a token "
        "(bearer), or user:password (basic). Once it stands here, posts without it "
        "are refused.",
    )
    smtp2go_proxy_key = secret_field(
        "Signing Proxy Key",
        "Only for a proxy of your own that signs what it hands on (HMAC-SHA256); "
        "SMTP2GO itself signs nothing. Once it stands here, unsigned posts are "
        "refused.",
    )
    smtp2go_region = fields.Selection(
        [
            ("global", "The nearest"),
            ("us", "United States"),
            ("eu", "European Union"),
            ("au", "Oceania"),
        ],
        string="SMTP2GO Region",
        default="global",
        help="Where mail is handed over and questions are asked.",
    )
    smtp2go_fastaccept = fields.Boolean(
        string="Fast Accept",
        help="SMTP2GO takes mail before it has looked at it. Quicker; what it then "
        "refuses is told by events alone.",
    )

    def _adapter_options(self):
        options = super()._adapter_options()
        if self.code == "smtp2go":
            options["region"] = self.smtp2go_region
            options["fastaccept"] = self.smtp2go_fastaccept
        return options
