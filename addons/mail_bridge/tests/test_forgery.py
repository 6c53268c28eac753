# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from ..providers.base import AuthenticationVerdicts, InboundMail
from .common import DOMAIN, BridgeCase


@tagged("post_install", "-at_install")
class TestForgery(BridgeCase):
    """Who may write into an existing record by replying."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.record = cls.env["res.partner"].create({"name": "A deal"})
        cls.parent = cls.record.message_post(
            body="We ask", partner_ids=cls.customer.ids, message_type="comment"
        )

    def reply(self, sender, recipients=(f"catchall@{DOMAIN}",), **values):
        mime = self.make_mail(
            "Pay to another account", From=sender, References=self.parent.message_id
        )
        return self.deliver(mime, recipients, **values)

    def assertQuarantined(self, message):
        self.assertEqual(message.state, "quarantined")
        self.assertEqual(message.reason, "unverified_reply")
        self.assertFalse(self.posts(self.record))
        self.assertFalse(message.posted_ids)

    def test_forged_administrator_never_posts_into_a_record(self):
        self.assertQuarantined(self.reply(f"Administrator <{self.admin.email}>"))

    def test_forged_administrator_with_failing_verdicts(self):
        failing = AuthenticationVerdicts(spf="fail", dkim="none", source="test")
        self.assertQuarantined(self.reply(self.admin.email, verdicts=failing))

    def test_signature_of_another_domain_does_not_help(self):
        self.assertQuarantined(
            self.reply(self.admin.email, verdicts=self.verified("attacker.example"))
        )

    def test_aligned_administrator_counts(self):
        message = self.reply(self.admin.email, verdicts=self.verified(DOMAIN))
        self.assertEqual((message.state, message.trust), ("routed", "verified"))
        self.assertEqual(self.posts(self.record).author_id, self.admin.partner_id)

    def test_outside_recipient_without_verdicts_counts_as_unverified(self):
        message = self.reply("customer@outside.example")
        self.assertEqual((message.state, message.trust), ("routed", "unverified"))

    def test_outside_recipient_with_failing_verdicts_does_not_count(self):
        failing = AuthenticationVerdicts(spf="fail", source="test")
        self.assertQuarantined(self.reply("customer@outside.example", verdicts=failing))

    def test_outsider_who_was_no_recipient_does_not_count(self):
        self.assertQuarantined(self.reply("stranger@outside.example"))

    def test_portal_user_does_not_count_by_from(self):
        user = (
            self.env["res.users"]
            .with_context(no_reset_password=True)
            .create({"name": "P", "login": "portal-p", "partner_id": self.customer.id})
        )
        self.assertTrue(user.partner_id.user_ids)
        self.assertQuarantined(self.reply("customer@outside.example"))

    def test_address_of_the_alias_domain_does_not_count_by_from(self):
        self.customer.email = f"anybody@{DOMAIN}"
        self.assertQuarantined(self.reply(f"anybody@{DOMAIN}"))

    def test_strict_policy_wants_authentication(self):
        self.account.reply_policy = "strict"
        self.assertQuarantined(self.reply("customer@outside.example"))

    def test_open_policy_is_odoo_s_own(self):
        self.account.reply_policy = "open"
        self.assertEqual(self.reply(self.admin.email).state, "routed")

    def test_our_token_in_the_reply_address_counts(self):
        self.env["ir.config_parameter"].set_param("mail_bridge.sign_reply_to", "True")
        reply_to = self.record._notify_get_reply_to()[self.record.id]
        address = reply_to.rpartition("<")[2].strip(">")
        self.assertIn("+", address)
        message = self.reply("stranger@outside.example", [address])
        self.assertEqual((message.state, message.trust), ("routed", "token"))

    def test_token_of_another_record_does_not_count(self):
        self.env["ir.config_parameter"].set_param("mail_bridge.sign_reply_to", "True")
        other = self.env["res.partner"].create({"name": "Another deal"})
        reply_to = other._notify_get_reply_to()[other.id]
        address = reply_to.rpartition("<")[2].strip(">")
        self.assertQuarantined(self.reply("stranger@outside.example", [address]))

    def test_release_posts_the_mail_where_it_was_meant_to(self):
        mime = self.make_mail(
            From="stranger@outside.example", References=self.parent.message_id
        )
        message = self.deliver(mime, [f"catchall@{DOMAIN}"])
        self.assertEqual(message.state, "quarantined")
        mail = InboundMail(mime=mime, envelope_recipients=(f"catchall@{DOMAIN}",))
        message._route(mail, mime, released=True)
        self.assertEqual((message.state, message.trust), ("routed", "released"))
        self.assertEqual(len(self.posts(self.record)), 1)

    def test_new_record_from_a_forged_administrator_is_not_the_administrator_s(self):
        mime = self.make_mail(From=self.admin.email)
        message = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        self.assertEqual((message.state, message.trust), ("routed", "unverified"))
        record = self.env[message.res_model].browse(message.res_id)
        self.assertNotEqual(record.create_uid, self.admin)
        self.assertFalse(message.posted_ids.author_id)
        self.assertIn(self.admin.email, message.posted_ids.email_from)

    def test_released_mail_with_a_reused_message_id_is_posted(self):
        mime = self.make_mail("One")
        self.deliver(mime, [f"desk-a@{DOMAIN}"])
        other = mime.replace(b"One", b"Two")
        message = self.deliver(other, [f"desk-a@{DOMAIN}"])
        self.assertEqual(message.state, "quarantined")
        mail = InboundMail(mime=other, envelope_recipients=(f"desk-a@{DOMAIN}",))
        message._route(mail, other, released=True)
        self.assertEqual(message.state, "routed")
        self.assertIn("Two", message.posted_ids.body)
