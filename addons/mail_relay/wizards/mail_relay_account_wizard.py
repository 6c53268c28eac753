# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import UserError


class MailRelayAccountWizard(models.TransientModel):
    """Another account for mails that wait or were given up."""

    _name = "mail.relay.account.wizard"
    _description = "Mail Relay: Other Account"

    message_ids = fields.Many2many("mail.relay.message", string="Mails", required=True)
    company_id = fields.Many2one("res.company", compute="_compute_company_id")
    account_id = fields.Many2one(
        "mail.bridge.account",
        required=True,
        ondelete="cascade",
        domain="[('can_send', '=', True), ('relay_enabled', '=', True), "
        "('state', '=', 'enabled'), ('company_id', '=', company_id)]",
    )

    @api.depends("message_ids")
    def _compute_company_id(self):
        for wizard in self:
            wizard.company_id = wizard.message_ids.company_id[:1]

    def action_apply(self):
        """Hand the mails over, and say how many."""
        self.ensure_one()
        self.account_id.check_access("read")
        taken = self.message_ids._hand_over(self.account_id)
        if not taken:
            raise UserError(
                self.env._(
                    "None of these mails can change its account: each is on its way, "
                    "is over, or is held because it may have arrived."
                )
            )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._(
                    "%(account)s sends %(count)s of %(all)s mails.",
                    account=self.account_id.name,
                    count=len(taken),
                    all=len(self.message_ids),
                ),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }
