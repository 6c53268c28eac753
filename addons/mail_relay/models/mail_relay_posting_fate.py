# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..providers.retry import PROFILES
from ..rest import reports

OPEN_STATES = ("pending", "deferred")
LOST_STATES = ("failed", "rejected", "cancelled")
#: What the contract knows of bounces: a block is the sender's own trouble, and passes.
BOUNCE_TYPES = {"hard": "hard"}


class MailRelayPosting(models.Model):
    """What became of the mails, in the words of the interface.

    An application knows one mail, whatever its number of recipients: it is ``sent``
    when all of them were accepted, and an ``error`` that names them when one was not.
    """

    _inherit = "mail.relay.posting"

    @api.model
    def _tell_about(self, recipients):
        """Tell applications what has become known of some recipients."""
        mails = recipients.relay_message_id.filtered("client_id")
        postings = self.search([("relay_message_id", "in", mails.ids)])
        news = []
        for posting in postings:
            changed = recipients & posting.relay_message_id.recipient_ids
            news += posting._news(changed)
        if news:
            self._report(news)

    def _news(self, changed):
        """Return what is new, as ``_report`` takes it, in the order in which it was."""
        self.ensure_one()
        mail = self.relay_message_id
        news = []
        if self.state == "queued":
            news += self._progress(mail)
        is_sent = self.state == "sent" or any(item[1] == "sent" for item in news)
        if is_sent and not self.bounce_at:
            news += self._bounces(changed)
        if self.client_id.report_profile == "extended":
            news += self._further(changed)
        return news

    def _progress(self, mail):
        """Return the last word on a mail, or that it is tried again."""
        people = mail.recipient_ids
        waiting = people.filtered(lambda one: one.state in OPEN_STATES)
        if not waiting:
            lost = people.filtered(_is_lost)
            if lost:
                text = self._error_text(mail, lost, people - lost)
                return [(self, "error", mail.done_at or _now(), (text,))]
            return [(self, "sent", mail.sent_at or _now(), ())]
        late = waiting.filtered(lambda one: one.state == "deferred")
        if late and mail.next_attempt:
            return [(self, "deferred", mail.next_attempt, (_why(late[0]),))]
        return []

    def _error_text(self, mail, lost, others):
        """Return why a mail did not reach everybody."""
        if lost[:1].reason == "limit":
            return "rate_limit_exceeded"
        delays = PROFILES[mail.account_id.relay_retry_profile or "genro"].delays
        prefix = ""
        if mail.attempts > len(delays) and "failed" in lost.mapped("state"):
            prefix = f"Max retries ({len(delays)}) exceeded: "
        if len(lost) == 1 and not others:
            return prefix + _why(lost)
        text = "; ".join(f"{one.address}: {_why(one)}" for one in lost[:20])
        if len(lost) > 20:
            text += f"; and {len(lost) - 20} more"
        if others:
            text += f" (accepted for {len(others)} of {len(lost) + len(others)})"
        return prefix + text

    def _bounces(self, changed):
        """Return that a mail came back after it had been accepted."""
        bounced = changed.filtered(lambda one: one.state == "bounced" and one.sent_at)
        return [
            (
                self,
                "bounce",
                one.bounced_at or _now(),
                (
                    BOUNCE_TYPES.get(one.bounce_class, "soft"),
                    one.enhanced_code or str(one.smtp_code or ""),
                    one.failure_text or "",
                ),
            )
            for one in bounced[:1]
        ]

    def _further(self, changed):
        """Return what only the extended profile tells."""
        return [
            (self, one.state, one.last_event_at or _now(), (one.state, one.address))
            for one in changed
            if one.state in reports.EXTENDED
        ]


class MailRelayRecipient(models.Model):
    _inherit = "mail.relay.recipient"

    def _after_truth(self):
        result = super()._after_truth()
        self.env["mail.relay.posting"]._tell_about(self)
        return result


def _now():
    return fields.Datetime.now()


def _is_lost(recipient):
    """Tell whether a recipient never got as far as being accepted."""
    is_back = recipient.state == "bounced" and not recipient.sent_at
    return recipient.state in LOST_STATES or is_back


def _why(recipient):
    if recipient.reason == "suppressed":
        return f"not sent, the address is suppressed: {recipient.failure_text}"
    code = str(recipient.smtp_code) if recipient.smtp_code else ""
    text = recipient.failure_text or recipient.reason or recipient.state
    return " ".join(filter(None, (code, recipient.enhanced_code, text)))
