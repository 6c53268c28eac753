# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from odoo.addons.mail_relay.engine.truths import Told
from odoo.addons.mail_relay.providers.states import Truth

#: From a trace's first word to its last: news only bring it forward.
ORDER = ("outgoing", "process", "pending", "sent", "open", "reply")


class MailingTrace(models.Model):
    """What Odoo's own picture and links tell goes to the deliveries as well."""

    _inherit = "mailing.trace"

    def set_opened(self, domain=None):
        """Tell the relay's recipient, too."""
        traces = super().set_opened(domain)
        traces._tell_relay("opened")
        return traces

    def set_clicked(self, domain=None):
        """Tell the relay's recipient, too."""
        traces = super().set_clicked(domain)
        traces._tell_relay("clicked")
        return traces

    def _tell_relay(self, state):
        """Bring the recipients forward, unless it is from them that we know."""
        if self.env.context.get("mail_relay_tells") or not self:
            return
        recipients = self.env["mail.relay.recipient"].sudo()
        found = recipients.search([("trace_id", "in", self.ids)])
        now = fields.Datetime.now()
        if found:
            recipients._advance(Told(item.id, Truth(state), now) for item in found)

    def _relay_forward(self, status, **values):
        """Bring traces to a status, but never back from one that says more."""
        behind = self.filtered(
            lambda trace: trace.trace_status not in ORDER
            or ORDER.index(trace.trace_status) < ORDER.index(status)
        )
        if behind:
            behind.write({"trace_status": status, "failure_type": False, **values})
