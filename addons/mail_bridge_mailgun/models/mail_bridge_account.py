# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("mailgun", "Mailgun")], ondelete={"mailgun": "set default"}
    )
    mailgun_signing_key = secret_field(
        "HTTP Webhook Signing Key",
        "Mailgun: Sending, Webhooks, HTTP webhook signing key. Not the API key.",
    )
    mailgun_api_key = secret_field(
        "Mailgun API Key",
        "Needed only for routes with store(): the mail is fetched with it.",
    )
    mailgun_region = fields.Selection(
        [("us", "US"), ("eu", "EU")], string="Region", default="us"
    )
    mailgun_trust_verdicts = fields.Boolean(
        string="Believe Mailgun's Verdicts",
        help="Switch on only where the domain's spam filter is set to deliver with "
        "headers: Mailgun then writes the X-Mailgun-Spf and X-Mailgun-Dkim headers "
        "itself. Otherwise a sender could write them.",
    )

    def _adapter_options(self):
        options = super()._adapter_options()
        options.update(
            region=self.mailgun_region or "us",
            trust_verdicts=self.mailgun_trust_verdicts,
        )
        return options
