# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import requests

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..mails import KINDS

MOST_MAILS = 50


class MailBridgeSimulateWizard(models.TransientModel):
    """Mails of many kinds, posted to the account's real address."""

    _name = "mail.bridge.simulate.wizard"
    _description = "Mail Bridge: Simulate Mails"

    account_id = fields.Many2one(
        "mail.bridge.account",
        required=True,
        domain="[('code', '=', 'demo')]",
        default=lambda self: self._default_account_id(),
        ondelete="cascade",
    )
    kind = fields.Selection(
        [
            ("all", "One of each kind"),
            ("plain", "A customer's question"),
            ("rich", "HTML with an image inside"),
            ("attachment", "An order with three attachments"),
            ("reply", "An answer within a conversation"),
            ("non_ascii", "Japanese and Greek letters"),
            ("bounce", "A delivery report (bounce)"),
            ("newsletter", "A newsletter with remote images"),
            ("forged", "A forged answer in the administrator's name"),
            ("unrouted", "A mail to an address that leads nowhere"),
            ("spam", "Spam"),
        ],
        required=True,
        default="all",
    )
    count = fields.Integer(string="How Many", default=1, required=True)

    @api.model
    def _default_account_id(self):
        return self.env["mail.bridge.account"].search([("code", "=", "demo")], limit=1)

    def action_simulate(self):
        """Post the mails and open the Inbox."""
        self.ensure_one()
        self.account_id.check_access("write")
        if self.account_id.state == "disabled":
            raise UserError(self.env._("Enable the simulator first."))
        kinds = list(KINDS) if self.kind == "all" else [self.kind]
        if not 1 <= self.count * len(kinds) <= MOST_MAILS:
            raise UserError(
                self.env._("At most %(count)s mails at once.", count=MOST_MAILS)
            )
        for _round in range(self.count):
            for kind in kinds:
                self._post(kind)
        return self._result(self.count * len(kinds))

    def _post(self, kind):
        try:
            sample = self.account_id._simulate(kind)
            status, _local = self.account_id._post_sample(sample)
        except requests.RequestException as error:
            raise UserError(
                self.env._(
                    "Nobody answers at the account's address: %(why)s", why=error
                )
            ) from error
        if status != self.account_id._adapter().answers.stored.status:
            raise UserError(
                self.env._(
                    "The address answered %(status)s. A test mail tells why.",
                    status=status,
                )
            )

    def _result(self, count):
        inbox = self.account_id.action_view_messages()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._(
                    "%(count)s mails were posted; they arrive within seconds.",
                    count=count,
                ),
                "next": inbox,
            },
        }
