# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields
from odoo.tests import TransactionCase, tagged

from odoo.addons.mail_relay.engine.truths import Told
from odoo.addons.mail_relay.providers.states import Truth
from odoo.addons.mail_relay.submission import Rcpt, Submission

MIME = (
    b"From: shop@example.com\r\nSubject: Sale\r\nMessage-ID: <1@example.com>\r\n\r\n!"
)


@tagged("post_install", "-at_install")
class TestTraces(TransactionCase):
    """The traces of a mailing follow the recipients of the relay."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.contacts = cls.env["mailing.list"].create({"name": "Customers"})
        cls.contact = cls.env["mailing.contact"].create(
            {
                "name": "Ann",
                "email": "ann@example.org",
                "list_ids": [fields.Command.link(cls.contacts.id)],
            }
        )
        cls.mailing = cls.env["mailing.mailing"].create(
            {
                "subject": "Sale",
                "body_html": "<p>Come</p>",
                "mailing_model_id": cls.env.ref("mass_mailing.model_mailing_list").id,
                "contact_list_ids": [fields.Command.link(cls.contacts.id)],
            }
        )

    def setUp(self):
        super().setUp()
        self.trace = self.env["mailing.trace"].create(
            {
                "mass_mailing_id": self.mailing.id,
                "model": "mailing.contact",
                "res_id": self.contact.id,
                "email": "ann@example.org",
                "message_id": "<1@example.com>",
                "trace_status": "process",
            }
        )
        self.recipient = self.queue()

    def queue(self):
        item = Submission(
            mime=MIME,
            envelope_sender="shop@example.com",
            email_from="shop@example.com",
            recipients=(Rcpt("ann@example.org", trace_id=self.trace.id),),
            message_id="<1@example.com>",
            is_marketing=True,
        )
        return self.env["mail.relay.message"]._enqueue([item]).recipient_ids

    def learn(self, *states, bounce_class=""):
        """Tell of the recipient, one state after the other."""
        for state in states:
            truth = Truth(state, bounce_class if state == "bounced" else "")
            now = fields.Datetime.now()
            self.recipient._advance([Told(self.recipient.id, truth, now)])
            self.recipient._after_truth()
            self.recipient._set_told(self.recipient.ids)
        return self.trace.trace_status

    def test_a_mail_on_its_way(self):
        self.assertEqual(self.learn("deferred"), "process")
        self.assertFalse(self.trace.sent_datetime)
        self.assertEqual(self.learn("sent"), "pending")
        self.assertTrue(self.trace.sent_datetime)
        self.assertEqual(self.learn("delivered"), "sent")
        self.assertEqual(self.learn("opened"), "open")
        self.assertTrue(self.trace.open_datetime)
        self.assertFalse(self.trace.links_click_datetime)
        self.assertEqual(self.learn("clicked"), "open")
        self.assertTrue(self.trace.links_click_datetime)

    def test_a_click_says_all_that_it_implies(self):
        self.assertEqual(self.learn("clicked"), "open")
        self.assertTrue(self.trace.sent_datetime)
        self.assertTrue(self.trace.open_datetime)

    def test_an_open_is_counted_once_whoever_tells_of_it(self):
        self.trace.set_opened()
        first = self.trace.open_datetime = "2026-01-02 03:04:05"
        self.assertEqual(self.recipient.state, "opened")
        self.assertEqual(self.learn("delivered", "opened", "opened"), "open")
        self.assertEqual(fields.Datetime.to_string(self.trace.open_datetime), first)
        self.assertEqual(self.mailing.opened, 1)

    def test_a_click_is_counted_once_whoever_tells_of_it(self):
        self.trace.set_clicked()
        self.trace.links_click_datetime = "2026-01-02 03:04:05"
        self.assertEqual(self.recipient.state, "clicked")
        self.recipient._after_truth()
        moment = fields.Datetime.to_string(self.trace.links_click_datetime)
        self.assertEqual(moment, "2026-01-02 03:04:05")

    def test_a_reply_says_more_than_anything(self):
        self.trace.set_replied()
        self.assertEqual(self.learn("sent", "delivered", "opened"), "reply")

    def test_a_hard_bounce(self):
        self.assertEqual(self.learn("sent", "bounced", bounce_class="hard"), "bounce")
        self.assertEqual(self.trace.failure_type, "mail_bounce")

    def test_a_soft_bounce_that_was_delivered_after_all(self):
        self.assertEqual(self.learn("sent", "bounced", bounce_class="soft"), "bounce")
        self.assertEqual(self.learn("delivered"), "sent")
        self.assertFalse(self.trace.failure_type)

    def test_a_mail_that_failed(self):
        self.assertEqual(self.learn("failed"), "error")
        self.assertEqual(self.trace.failure_type, "mail_smtp")

    def test_a_suppressed_address_is_cancelled_with_the_reason(self):
        self.env["mail.relay.suppression"].create(
            {
                "email_normalized": "ann@example.org",
                "scope": "marketing",
                "reason": "complained",
            }
        )
        self.recipient = self.queue()
        self.assertEqual(self.recipient.state, "rejected")
        self.recipient._after_truth()
        self.assertEqual(self.trace.trace_status, "cancel")
        self.assertEqual(self.trace.failure_type, "mail_bl")

    def test_what_a_mailing_says_of_its_mails(self):
        mail = self.env["mail.mail"].create(
            {
                "email_to": "ann@example.org",
                "model": "mailing.contact",
                "res_id": self.contact.id,
                "mailing_id": self.mailing.id,
                "mailing_trace_ids": [fields.Command.link(self.trace.id)],
            }
        )
        values = mail._relay_values()
        self.assertTrue(values["is_marketing"])
        self.assertEqual(values["trace_id"], self.trace.id)
        self.assertEqual(values["list_reference"], f"mailing.list,{self.contacts.id}")
        self.assertIs(values["track_opens"], False)
        self.assertIs(values["track_clicks"], False)
