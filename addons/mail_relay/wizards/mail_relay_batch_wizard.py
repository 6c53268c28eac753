# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import csv
import io

from odoo import fields, models
from odoo.exceptions import UserError

from ..models.mail_relay_batch import MOST_RECIPIENTS

ADDRESS = "address"


class MailRelayBatchWizard(models.TransientModel):
    """Recipients of a batch, pasted from a spreadsheet."""

    _name = "mail.relay.batch.wizard"
    _description = "Mail Relay: Add Recipients"

    batch_id = fields.Many2one("mail.relay.batch", required=True, ondelete="cascade")
    names = fields.Char(related="batch_id.template_id.names")
    recipients = fields.Text(required=True)

    def action_submit(self):
        """Hand the recipients over, and say what became of them."""
        self.ensure_one()
        self.batch_id.check_access("write")
        rows = self._rows()
        results = []
        for start in range(0, len(rows), MOST_RECIPIENTS):
            part = rows[start : start + MOST_RECIPIENTS]
            results += self.batch_id._submit_bulk(part)
        taken = sum(item["state"] in ("queued", "waiting") for item in results)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if taken == len(results) else "warning",
                "message": self.env._(
                    "%(taken)s of %(all)s recipients were taken over.",
                    taken=taken,
                    all=len(results),
                ),
                "next": {"type": "ir.actions.act_window_close"},
            },
        }

    def _rows(self):
        """Return the recipients: a header line with names, ``address`` among them."""
        text = (self.recipients or "").strip()
        first = text.partition("\n")[0]
        delimiter = next((mark for mark in "\t;," if mark in first), ",")
        reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
        if ADDRESS not in (reader.fieldnames or ()):
            raise UserError(
                self.env._("The first line names the columns, address among them.")
            )
        return [
            {
                "address": row[ADDRESS],
                "variables": {
                    name: value for name, value in row.items() if name and value
                },
            }
            for row in reader
        ]
