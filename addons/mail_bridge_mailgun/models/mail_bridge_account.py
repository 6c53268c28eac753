# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from odoo.addons.mail_bridge.models.mail_bridge_secret import ADMIN, secret_field
from odoo.addons.mail_bridge.providers.authentication import normal_domain

from .. import const, const_api


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
        "Mail is sent with it, and mail that a route with store() keeps is fetched. A "
        "domain sending key is enough to send; all else needs an account key.",
    )
    mailgun_domain = fields.Char(
        help="The domain at Mailgun that sends and whose events come, e.g. "
        "mg.example.com.",
    )
    mailgun_region = fields.Selection(
        [("us", "United States"), ("eu", "European Union")],
        default="us",
        help="Where the domain was made; in the other region nobody knows it.",
    )
    mailgun_mime_url = fields.Char(
        string="Original Mails To",
        compute="_compute_mailgun_mime_url",
        groups=ADMIN,
        help="The address for a route's forward(): Mailgun then posts each mail as it "
        "was sent.",
    )
    mailgun_events_url = fields.Char(
        string="Events To",
        compute="_compute_mailgun_mime_url",
        groups=ADMIN,
        help="The address for Mailgun's webhooks: what became of mail that was sent.",
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
            account.mailgun_mime_url = url and f"{url}{const.MIME_PATH}"
            account.mailgun_events_url = url and f"{url}{const.EVENTS_PATH}"

    @api.constrains("mailgun_domain")
    def _check_mailgun_domain(self):
        for account in self.filtered("mailgun_domain"):
            if not normal_domain(account.mailgun_domain):
                raise ValidationError(
                    self.env._("Not a domain: %(name)s", name=account.mailgun_domain)
                )

    def _adapter_options(self):
        options = super()._adapter_options()
        if self.code == "mailgun":
            options["trust_verdicts"] = self.mailgun_trust_verdicts
            options[const_api.DOMAIN] = self.mailgun_domain
            options[const_api.REGION] = self.mailgun_region
        return options
