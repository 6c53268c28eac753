# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from ..providers.base import AuthenticationVerdicts
from .common import DOMAIN, BridgeCase


@tagged("post_install", "-at_install")
class TestReplySignature(BridgeCase):
    """Mail whose signature leaves out what it answers, as Exchange Online makes it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.record = cls.env["res.partner"].create({"name": "A deal"})
        cls.asked = cls.post_to(cls.customer | cls.admin.partner_id)
        cls.elsewhere = cls.post_to(cls.env["res.partner"])

    @classmethod
    def post_to(cls, partners):
        return cls.record.message_post(
            body="We ask", partner_ids=partners.ids, message_type="comment"
        )

    def reply(self, sender, parent, domain=DOMAIN, recipient="catchall", **verdicts):
        mime = self.make_mail("Approved", From=sender, References=parent.message_id)
        verdicts.setdefault("unthreaded_domains", (domain,))
        found = AuthenticationVerdicts(
            dkim="pass", dkim_domains=(domain,), source="own dkim check", **verdicts
        )
        return self.deliver(mime, [f"{recipient}@{DOMAIN}"], verdicts=found)

    def test_who_was_asked_may_answer(self):
        """Else every answer out of Outlook would wait in quarantine."""
        for sender, domain in (
            (self.admin.email, DOMAIN),
            ("customer@outside.example", "outside.example"),
        ):
            message = self.reply(sender, self.asked, domain)
            self.assertEqual((message.state, message.trust), ("routed", "verified"))
        self.assertIn(self.admin.partner_id, self.posts(self.record).author_id)

    def test_a_mail_sent_on_into_another_thread_waits(self):
        message = self.reply(self.admin.email, self.elsewhere)
        self.assertEqual(
            (message.state, message.reason), ("quarantined", "unverified_reply")
        )
        self.assertEqual(message.trust, "unverified")
        self.assertFalse(self.posts(self.record))

    def test_a_signature_over_the_thread_is_enough(self):
        message = self.reply(self.admin.email, self.elsewhere, unthreaded_domains=())
        self.assertEqual((message.state, message.trust), ("routed", "verified"))

    def test_a_new_record_needs_no_thread(self):
        stranger = self.make_mail(From=self.admin.email, References="<a@else.example>")
        found = AuthenticationVerdicts(
            dkim="pass", dkim_domains=(DOMAIN,), unthreaded_domains=(DOMAIN,)
        )
        message = self.deliver(stranger, [f"desk-a@{DOMAIN}"], verdicts=found)
        self.assertEqual((message.state, message.trust), ("routed", "verified"))
