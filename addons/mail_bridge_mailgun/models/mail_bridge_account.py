# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from odoo.addons.mail_bridge.models.mail_bridge_secret import ADMIN, secret_field


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
    mailgun_mime_url = fields.Char(
        string="Original Mails To",
        compute="_compute_mailgun_mime_url",
        groups=ADMIN,
        help="The address for a route's forward(): Mailgun then posts each mail as it "
        "was sent.",
    )
    mailgun_trust_verdicts = fields.Boolean(
        string="Believe Mailgun's Verdicts",
        help="Switch on only where the domain's spam filter is set to deliver with "
        "headers: Mailgun then writes the X-Mailgun-Spf and X-Mailgun-Dkim headers "
        "itself. Otherwise a sender could write them.",
    )

    @api.depends("code", "webhook_url")
    def _compute_mailgun_mime_url(self):
        for account in self:
            url = account.code == "mailgun" and account.webhook_url
            account.mailgun_mime_url = url and f"{url}/mime"

    def _adapter_options(self):
        options = super()._adapter_options()
        options["trust_verdicts"] = self.mailgun_trust_verdicts
        return options
