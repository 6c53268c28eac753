# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class MailMail(models.Model):
    _inherit = "mail.mail"

    def _relay_values(self):
        """Say of a mailing's mail that it is one, to which list, and by which trace.

        Odoo tracks opens and clicks of mailings itself: a provider that did so, too,
        would rewrite its links.
        """
        values = super()._relay_values()
        if self.mailing_id:
            values |= {
                "is_marketing": True,
                "list_reference": self.mailing_id._relay_list_reference(),
                "trace_id": self.mailing_trace_ids[:1].id or 0,
                "track_opens": False,
                "track_clicks": False,
            }
        return values

    def _postprocess_sent_message(self, success_pids, *args, **kwargs):
        """A mail in the relay's queue is not sent yet."""
        result = super()._postprocess_sent_message(success_pids, *args, **kwargs)
        if "mail_relay_session" in self.env.context:
            traces = self.mailing_trace_ids.filtered(
                lambda trace: trace.trace_status == "sent"
            )
            traces.write({"trace_status": "process", "sent_datetime": False})
        return result
