# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from odoo.addons.mail_relay.providers.states import IMPLIES


class MailRelayRecipient(models.Model):
    """The trace of a mailing says what became of its recipient."""

    _inherit = "mail.relay.recipient"

    def _after_truth(self):
        result = super()._after_truth()
        traces = self.env["mailing.trace"].sudo().with_context(mail_relay_tells=True)
        for recipient in self.filtered("trace_id"):
            trace = traces.browse(recipient.trace_id).exists()
            if trace:
                recipient._update_trace(trace)
        return result

    def _update_trace(self, trace):
        """Bring a trace to what is known of its recipient; twice is once."""
        state = self.state
        reached = {state, *IMPLIES[state]}
        if "sent" in reached:
            status = "sent" if "delivered" in reached else "pending"
            moment = self.sent_at or self.last_event_at
            values = {} if trace.sent_datetime else {"sent_datetime": moment}
            trace._relay_forward(status, **values)
        if "opened" in reached:
            trace.set_opened()
        if state == "clicked" and not trace.links_click_datetime:
            trace.set_clicked()
        if state == "bounced":
            trace.set_bounced(bounce_message=self._failure_reason())
        elif state in ("failed", "rejected", "cancelled"):
            self._fail_trace(trace)

    def _fail_trace(self, trace):
        """Say why nobody got the mail."""
        if self.state == "cancelled" or self.reason == "suppressed":
            trace.set_canceled()
            failure = "mail_bl" if self.reason == "suppressed" else False
        else:
            failure = (
                "mail_email_invalid" if self.reason == "malformed" else "mail_smtp"
            )
            trace.set_failed(failure_type=failure)
        trace.write({"failure_type": failure, "failure_reason": self._failure_reason()})
