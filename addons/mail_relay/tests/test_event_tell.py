# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.mail_bridge.providers.delivery import Reply

from ..providers.states import RANKS, Truth
from ..submission import Rcpt
from .event_common import RelayEventCase

FULL = Reply("remote", 552, "5.2.2", "mailbox full")
SPAM = Reply("remote", 550, "5.7.1", "<reader@x> looks like spam")


@tagged("post_install", "-at_install")
class TestTell(RelayEventCase):
    """Issue 3 §B: what core shows of a mail, and counts of a partner."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reader = cls.env["res.partner"].create(
            {"name": "Reader", "email": "reader@customer.example"}
        )

    def notified(self, partner=None, **values):
        """Return a message with a notification by mail, and its delivery."""
        partner = partner or self.reader
        message = self.customer.message_post(
            body="Hello", message_type="comment", subtype_xmlid="mail.mt_comment"
        )
        note = self.env["mail.notification"].create(
            {
                "mail_message_id": message.id,
                "res_partner_id": partner.id,
                "notification_type": "email",
                "notification_status": "ready",
            }
        )
        mail = self.send(
            Rcpt(partner.email, partner.id),
            truth="pending",
            mail_message_id=message.id,
            **values,
        )
        return note, mail

    def shown(self, note):
        return note.notification_status, note.failure_type or ""

    def test_each_event_is_shown_as_the_issue_says(self):
        for kind, values, expected in (
            ("queued", {}, ("pending", "")),
            ("sent", {}, ("pending", "")),
            ("deferred", {}, ("pending", "")),
            ("delivered", {}, ("sent", "")),
            ("opened", {}, ("sent", "")),
            ("clicked", {}, ("sent", "")),
            ("unsubscribed", {}, ("sent", "")),
            ("complained", {}, ("sent", "")),
            ("bounced", {"bounce_class": "hard"}, ("bounce", "mail_bounce")),
            ("bounced", {"bounce_class": "soft"}, ("exception", "mail_bounce")),
            ("bounced", {"bounce_class": "block"}, ("exception", "mail_bounce")),
            ("failed", {}, ("exception", "unknown")),
            ("rejected", {}, ("exception", "unknown")),
        ):
            with self.subTest(kind=kind, **values):
                note, mail = self.notified()
                self.apply(self.event(mail, kind, **values))
                self.tell()
                self.assertEqual(self.shown(note), expected)

    def test_each_state_of_work_is_shown_too(self):
        for state, expected in (
            ("pending", ("process", "")),
            ("deferred", ("process", "")),
            ("cancelled", ("canceled", "")),
        ):
            with self.subTest(state=state):
                note, mail = self.notified()
                mail.recipient_ids.write(
                    {"state": state, "rank": RANKS[Truth(state)], "told_rank": -1}
                )
                self.tell()
                self.assertEqual(self.shown(note), expected)

    def test_a_failure_shows_its_reason(self):
        note, mail = self.notified()
        self.apply(self.bounce(mail, "block", SPAM))
        self.tell()
        self.assertIn("<reader@x> looks like spam", note.failure_reason)
        note, mail = self.notified()
        self.apply(self.bounce(mail, "hard", SPAM))
        self.tell()
        self.assertIn("<reader@x> looks like spam", note.failure_reason)

    def test_what_was_a_failure_and_arrived_after_all_shows_none(self):
        note, mail = self.notified()
        self.apply(self.bounce(mail, "soft", FULL))
        self.tell()
        self.apply(self.event(mail))
        self.tell()
        self.assertEqual(self.shown(note), ("sent", ""))
        self.assertFalse(note.failure_reason or mail.recipient_ids.failure_text)

    def test_a_suppressed_recipient_is_shown_with_the_reason(self):
        self.Suppression.create({"email_normalized": self.reader.email})
        message = self.customer.message_post(body="Hello")
        note = self.env["mail.notification"].create(
            {
                "mail_message_id": message.id,
                "res_partner_id": self.reader.id,
                "notification_type": "email",
                "notification_status": "ready",
            }
        )
        self.Message._enqueue(
            [
                self.submission(
                    Rcpt(self.reader.email, self.reader.id), mail_message_id=message.id
                )
            ]
        )
        self.tell()
        self.assertEqual(note.notification_status, "exception")
        self.assertIn("own list", note.failure_reason)

    def test_the_newest_delivery_of_a_message_counts(self):
        note, first = self.notified()
        self.apply(self.bounce(first))
        self.tell()
        again = self.send(
            Rcpt(self.reader.email, self.reader.id),
            mail_message_id=note.mail_message_id.id,
        )
        self.apply(self.event(again))
        self.tell()
        self.assertEqual(self.shown(note), ("sent", ""))
        self.apply(self.event(first, "complained"))
        self.tell()
        self.assertEqual(self.shown(note), ("sent", ""))

    def test_other_notifications_are_left_alone(self):
        note, mail = self.notified()
        other, _mail = self.notified()
        inbox = self.env["mail.notification"].create(
            {
                "mail_message_id": note.mail_message_id.id,
                "res_partner_id": self.admin.partner_id.id,
                "notification_type": "inbox",
                "notification_status": "sent",
            }
        )
        self.apply(self.bounce(mail))
        self.tell()
        self.assertEqual(self.shown(other)[0], "ready")
        self.assertEqual(self.shown(inbox)[0], "sent")

    def test_an_address_without_a_partner_is_shown_where_core_can(self):
        fields = self.env["mail.notification"]._fields
        message = self.customer.message_post(body="Hello")
        mail = self.send("stranger@customer.example", mail_message_id=message.id)
        if "mail_email_address" in fields:  # 19.0
            note = self.env["mail.notification"].create(
                {
                    "mail_message_id": message.id,
                    "mail_email_address": "stranger@customer.example",
                    "notification_type": "email",
                    "notification_status": "pending",
                }
            )
        self.apply(self.bounce(mail))
        self.tell()
        if "mail_email_address" in fields:
            self.assertEqual(self.shown(note), ("bounce", "mail_bounce"))
        self.assertEqual(mail.recipient_ids.told_rank, mail.recipient_ids.rank)

    # --- Bounces ---

    def test_a_hard_bounce_is_counted_once_at_the_partner(self):
        _note, mail = self.notified()
        bounce = self.bounce(mail)
        self.apply(bounce, bounce, self.bounce(mail))
        self.tell()
        self.apply(bounce, self.bounce(mail))
        self.assertFalse(self.tell())
        self.assertEqual(self.reader.message_bounce, 1)

    def test_other_failures_are_no_bounces_of_the_partner(self):
        for kind, bounce_class in (
            ("bounced", "soft"),
            ("bounced", "block"),
            ("failed", ""),
            ("rejected", ""),
        ):
            _note, mail = self.notified()
            self.apply(self.event(mail, kind, bounce_class=bounce_class))
            self.tell()
        self.assertEqual(self.reader.message_bounce, 0)

    def test_nothing_is_told_twice(self):
        _note, mail = self.notified()
        self.apply(self.event(mail))
        self.assertEqual(self.tell(), mail.recipient_ids)
        self.assertFalse(self.tell())
        self.apply(self.event(mail, "sent"), self.event(mail))
        self.assertFalse(self.tell())

    def test_who_wrote_the_message_sees_it_at_once(self):
        note, mail = self.notified()
        message = note.mail_message_id
        message.author_id = self.admin.partner_id
        self.apply(self.event(mail))
        Bus = self.env["bus.bus"].sudo()
        Bus.search([]).unlink()
        self.tell()
        self.env.cr.precommit.run()  # where core hands its bus messages over
        sent = "".join(Bus.search([]).mapped("message"))
        self.assertIn("mail.notification", sent)
        self.assertIn(f'"id":{message.id}', sent.replace(" ", ""))
