# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from odoo import fields

from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, Reply
from odoo.addons.mail_bridge.tests.common import BridgeCase

from ..providers.states import RANKS, Truth
from ..submission import Rcpt, Submission

NOW = datetime.now(timezone.utc).replace(microsecond=0)
NO_SUCH_USER = Reply("remote", 550, "5.1.1", "no such user here")


class RelayEventCase(BridgeCase):
    """Mails of the relay, and what is told about them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Message = cls.env["mail.relay.message"]
        cls.Recipient = cls.env["mail.relay.recipient"]
        cls.Event = cls.env["mail.bridge.event"]
        cls.Suppression = cls.env["mail.relay.suppression"]

    def submission(self, *addresses, **values):
        names = {"message_id": f"<{uuid.uuid4().hex}@ours.example>"}
        return Submission(
            mime=b"Subject: x\r\n\r\nHello\r\n",
            envelope_sender="bounce@ours.example",
            email_from="us@ours.example",
            recipients=tuple(
                item if isinstance(item, Rcpt) else Rcpt(item) for item in addresses
            ),
            **(names | values),
        )

    def send(self, *addresses, state="done", truth="sent", at=None, **values):
        """Return a mail that was handed to a provider yesterday."""
        mail = self.Message._enqueue([self.submission(*addresses, **values)])
        moment = at or fields.Datetime.now() - timedelta(days=1)
        mail.write(
            {
                "state": state,
                "created_at": moment,
                "first_attempt_at": moment,
                "hold_reason": "doubt" if state == "held" else False,
            }
        )
        mail.recipient_ids.write({"created_at": moment})
        if truth:
            rank = self.rank(truth)
            mail.recipient_ids.write({"state": truth, "rank": rank, "told_rank": rank})
        self.env.flush_all()
        return mail

    @staticmethod
    def rank(state, bounce_class=""):
        return RANKS[Truth(state, bounce_class)]

    def event(self, mail, kind="delivered", recipient=None, **values):
        """Return an event about a mail, as its provider tells it."""
        event = DeliveryEvent(
            kind,
            mail.recipient_ids[:1].address if recipient is None else recipient,
            NOW - timedelta(minutes=10),
            reference=mail.reference,
            event_reference=uuid.uuid4().hex,
        )
        return replace(event, **values)

    def bounce(self, mail, bounce_class="hard", reply=NO_SUCH_USER, **values):
        return self.event(
            mail, "bounced", bounce_class=bounce_class, reply=reply, **values
        )

    def apply(self, *events, account=None):
        """Store events and apply what waits, as the drain does; return them."""
        self.Event._store(account or self.account, events, "webhook")
        waiting = self.Event.search([("state", "in", ("pending", "unmatched"))])
        waiting._apply_batch()
        self.env.flush_all()
        self.env.invalidate_all()
        return waiting

    def tell(self):
        """Let others know what became of mails, as the drain does."""
        self.env.flush_all()
        news = self.Recipient._hold_untold(self.Recipient.search([]).ids)
        news._after_truth()
        self.Recipient._set_told(news.ids)
        self.env.invalidate_all()
        return news

    def truth(self, recipient):
        return recipient.state, recipient.bounce_class or ""
