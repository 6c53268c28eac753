# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError


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
    mail_relay_from_policy = fields.Selection(
        [
            ("allow", "Send it"),
            ("refuse", "Refuse it"),
            ("rewrite", "Send it from another address"),
        ],
        string="Mail from Unverified Domains",
        default="allow",
        required=True,
        help="What happens with mail whose From is not in a verified sending domain.",
    )
    mail_relay_from_address = fields.Char(
        string="Address to Send It from",
        help="An address in a verified sending domain. Answers go to the author.",
    )

    @api.constrains("mail_relay_from_address")
    def _check_mail_relay_from_address(self):
        Message = self.env["mail.relay.message"]
        for company in self.filtered("mail_relay_from_address"):
            address = company.mail_relay_from_address
            if not Message._is_verified_sender(company, address):
                raise ValidationError(
                    self.env._(
                        "%s is not in a verified sending domain of the company.",
                        address,
                    )
                )
