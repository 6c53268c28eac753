# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models


class MailRelayMessage(models.Model):
    """The batch and the template that a mail comes from."""

    _inherit = "mail.relay.message"

    batch_id = fields.Many2one(
        "mail.relay.batch", readonly=True, ondelete="set null", index="btree_not_null"
    )
    template_id = fields.Many2one(
        "mail.relay.template",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )

    @api.model
    def _row(self, item, choice):
        return super()._row(item, choice) | {
            "batch_id": item.batch_id or None,
            "template_id": item.template_id or None,
        }


class MailRelayAnalysis(models.Model):
    """Figures by batch and template, too."""

    _inherit = "mail.relay.analysis"

    batch_id = fields.Many2one("mail.relay.batch", readonly=True)
    template_id = fields.Many2one("mail.relay.template", readonly=True)

    def _columns(self):
        return super()._columns() | {
            "batch_id": "mail.batch_id",
            "template_id": "mail.template_id",
        }
