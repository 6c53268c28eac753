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

    # --- The shapes of a reply ---

    def other_thread(self):
        """Return a message in another record that nobody outside was sent."""
        return (
            self.env["res.partner"]
            .create({"name": "Secret"})
            .message_post(body="Among us", message_type="comment")
        )

    def test_no_shape_of_in_reply_to_goes_around_the_check(self):
        known = self.parent.message_id
        shapes = (
            known,
            f"<x@y.example> {known}",
            f"foo {known}",
            f"{known} (yesterday)",
            f"<x@y.example>{known}",
            f"{known}\r\n <x@y.example>",
        )
        failing = AuthenticationVerdicts(dmarc="fail", source="test")
        for policy in ("strict", "standard"):
            self.account.reply_policy = policy
            for shape in shapes:
                for sender in ("stranger@outside.example", self.admin.email):
                    with self.subTest(policy=policy, shape=shape, sender=sender):
                        mime = self.make_mail(From=sender).replace(
                            b"Subject:", f"In-Reply-To: {shape}\r\nSubject:".encode()
                        )
                        message = self.deliver(
                            mime, [f"catchall@{DOMAIN}"], verdicts=failing
                        )
                        self.assertFalse(self.posts(self.record))
                        self.assertIn(message.state, ("quarantined", "unrouted"))

    def test_recipient_of_one_thread_is_none_of_another(self):
        other = self.other_thread()
        odd = "<1-openerp-2-reply_to@host.example>"
        for names in (
            {"In_Reply_To": self.parent.message_id, "References": other.message_id},
            {"References": f"{other.message_id} {self.parent.message_id} {odd}"},
        ):
            with self.subTest(**names):
                mime = self.make_mail(From="customer@outside.example", **names)
                self.deliver(mime, [f"catchall@{DOMAIN}"])
                secret = self.env[other.model].browse(other.res_id)
                self.assertFalse(self.posts(secret))

    # --- Who wrote it ---

    def assertNotTheAdministrator(self, message):
        self.assertEqual(message.state, "routed")
        self.assertFalse(message.posted_ids.author_id)
        self.assertNotEqual(message.posted_ids.create_uid, self.admin)

    def test_token_proves_the_thread_and_not_the_person(self):
        self.env["ir.config_parameter"].set_param("mail_bridge.sign_reply_to", "True")
        reply_to = self.record._notify_get_reply_to()[self.record.id]
        address = reply_to.rpartition("<")[2].strip(">")
        failing = AuthenticationVerdicts(dmarc="fail", source="test")
        message = self.reply(self.admin.email, [address], verdicts=failing)
        self.assertNotTheAdministrator(message)
        self.assertEqual(message.trust, "token")

    def test_releasing_a_mail_does_not_make_its_sender_true(self):
        mime = self.make_mail(From=self.admin.email, References=self.parent.message_id)
        message = self.deliver(mime, [f"catchall@{DOMAIN}"])
        mail = InboundMail(mime=mime, envelope_recipients=(f"catchall@{DOMAIN}",))
        message._route(mail, mime, released=True)
        self.assertNotTheAdministrator(message)
        self.assertEqual(message._record(), self.record)

    def test_routing_a_mail_by_hand_does_not_make_its_sender_true(self):
        mime = self.make_mail(From=self.admin.email)
        message = self.deliver(mime, ["nobody@elsewhere.example"])
        mail = InboundMail(mime=mime)
        message.posted_ids.unlink()
        place = (self.record._name, self.record.id, None, None)
        message._route(mail, mime, forced=place)
        self.assertNotTheAdministrator(message)

    def test_proven_administrator_stays_himself_when_released(self):
        mime = self.make_mail(From=self.admin.email)
        message = self.deliver(mime, ["nobody@elsewhere.example"])
        mail = InboundMail(mime=mime, verdicts=self.verified(DOMAIN))
        message.posted_ids.unlink()
        place = (self.record._name, self.record.id, None, None)
        message._route(mail, mime, forced=place)
        self.assertEqual(message.posted_ids.author_id, self.admin.partner_id)

    def test_closed_alias_is_not_opened_by_a_forged_user(self):
        for contact in ("partners", "followers"):
            self.alias_a.alias_contact = contact
            self.alias_a.alias_parent_model_id = self.partner_model
            self.alias_a.alias_parent_thread_id = self.record.id
            self.record.message_subscribe(self.admin.partner_id.ids)
            with self.subTest(contact=contact):
                mime = self.make_mail(From=self.admin.email)
                forged = self.deliver(mime, [f"desk-a@{DOMAIN}"])
                self.assertEqual(
                    (forged.state, forged.reason), ("quarantined", "unverified_sender")
                )
                mime = self.make_mail(From=self.admin.email)
                genuine = self.deliver(
                    mime, [f"desk-a@{DOMAIN}"], verdicts=self.verified(DOMAIN)
                )
                self.assertEqual((genuine.state, genuine.trust), ("routed", "verified"))

    def test_name_server_that_says_nothing_convicts_nobody(self):
        silent = AuthenticationVerdicts(dkim="temperror", source="own dkim check")
        message = self.reply("customer@outside.example", verdicts=silent)
        self.assertEqual((message.state, message.trust), ("routed", "unverified"))

    # --- One Message-ID, two texts ---

    def test_second_text_with_a_known_message_id_is_not_hidden(self):
        first = self.make_mail(
            "One", From="customer@outside.example", References=self.parent.message_id
        )
        second = first.replace(b"One", b"Two")
        address = [f"catchall@{DOMAIN}"]
        states = [self.deliver(m, address).state for m in (first, first, second)]
        self.assertEqual(states, ["routed", "repeated", "quarantined"])
        message = self.env["mail.bridge.message"].search([], limit=1)
        self.assertEqual(message.reason, "reused_message_id")
        mail = InboundMail(mime=second, envelope_recipients=tuple(address))
        message._route(mail, second, released=True)
        self.assertEqual(message.state, "routed")
        self.assertEqual(len(self.posts(self.record)), 2)
