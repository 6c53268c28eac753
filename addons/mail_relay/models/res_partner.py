# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class ResPartner(models.Model):
    _inherit = "res.partner"

    relay_recipient_ids = fields.One2many(
        "mail.relay.recipient",
        "partner_id",
        string="Deliveries",
        groups="mail_bridge.group_user",
    )
    relay_delivery_count = fields.Integer(
        compute="_compute_relay_delivery_count", groups="mail_bridge.group_user"
    )

    @api.depends("relay_recipient_ids")
    def _compute_relay_delivery_count(self):
        found = self.env["mail.relay.recipient"]._read_group(
            [("partner_id", "in", self.ids)], ["partner_id"], ["__count"]
        )
        counts = {partner.id: count for partner, count in found}
        for partner in self:
            partner.relay_delivery_count = counts.get(partner.id, 0)

    def action_view_relay_deliveries(self):
        """Open what was sent to this partner, and what became of it."""
        self.ensure_one()
        action = self.env["ir.actions.actions"]._for_xml_id(
            "mail_relay.mail_relay_recipient_action"
        )
        return action | {
            "domain": [("partner_id", "=", self.id)],
            "context": {"create": False},
        }
