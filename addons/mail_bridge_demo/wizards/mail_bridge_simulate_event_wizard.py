# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import requests

from odoo import fields, models
from odoo.exceptions import UserError

KINDS = [
    ("delivered", "Delivered"),
    ("opened", "Opened"),
    ("clicked", "Clicked"),
    ("bounced", "Bounced"),
    ("complained", "Complained"),
    ("unsubscribed", "Unsubscribed"),
]


class MailBridgeSimulateEventWizard(models.TransientModel):
    """Something that the simulator tells of a mail, posted to its account's address."""

    _name = "mail.bridge.simulate.event.wizard"
    _description = "Mail Bridge: Simulate an Event"

    relay_message_id = fields.Many2one(
        "mail.relay.message", string="Mail", required=True, ondelete="cascade"
    )
    kind = fields.Selection(KINDS, string="Event", required=True, default="delivered")
    recipient_ids = fields.Many2many(
        "mail.relay.recipient",
        domain="[('relay_message_id', '=', relay_message_id)]",
        help="Empty: all.",
    )

    def action_simulate(self):
        """Post the event of each recipient."""
        self.ensure_one()
        mail = self.relay_message_id
        account = mail.account_id
        account.check_access("write")
        if account.code != "demo" or account.state == "disabled":
            raise UserError(self.env._("An enabled simulator must send the mail."))
        people = self.recipient_ids or mail.recipient_ids
        told = [person._demo_event(self.kind) for person in people]
        try:
            status = account._demo_tell(told)
        except requests.RequestException as error:
            raise UserError(
                self.env._(
                    "Nobody answers at the account's address: %(why)s", why=error
                )
            ) from error
        if status != account._adapter().answers.stored.status:
            raise UserError(
                self.env._("The address answered %(status)s.", status=status)
            )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("Told; it is known within seconds."),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }
