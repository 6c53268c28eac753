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

    # --- A known Message-ID draws no replies ---

    def assertAnswersStay(self):
        """Who answers our message is heard in its record, verified or not."""
        customer = "customer@outside.example"
        verified = {"verdicts": self.verified()}
        boss = {"verdicts": self.verified(DOMAIN)}
        for sender, values in ((customer, {}), (customer, verified)):
            message = self.reply(sender, **values)
            self.assertEqual(
                (message.state, message._record()), ("routed", self.record)
            )
        message = self.reply(self.admin.email, **boss)
        self.assertEqual((message.state, message._record()), ("routed", self.record))

    def stranger_reuses(self, message_id, name):
        address = f"{name}@{DOMAIN}"
        mime = self.make_mail(
            "A harmless question",
            From="stranger@attacker.example",
            To=address,
            Message_ID=message_id,
        )
        return self.deliver(mime, [address])

    def test_our_message_id_in_a_new_record_draws_no_answers(self):
        message = self.stranger_reuses(self.parent.message_id, "desk-a")
        self.assertEqual(message.state, "routed")
        self.assertNotEqual(message.posted_ids.message_id, self.parent.message_id)
        self.assertEqual(message.message_id_header, self.parent.message_id)
        self.assertIn("Message-ID", message.note)
        self.assertAnswersStay()

    def test_our_message_id_in_the_inbox_draws_no_answers(self):
        message = self.stranger_reuses(self.parent.message_id, "nobody")
        self.assertEqual(message.state, "unrouted")
        self.assertAnswersStay()
        mail = InboundMail(mime=self.make_mail(Message_ID=self.parent.message_id))
        message.posted_ids.unlink()
        place = (self.record._name, 0, {}, None)
        message._route(mail, mail.mime, forced=place)
        self.assertEqual(message.state, "routed")
        self.assertAnswersStay()

    def test_copy_in_the_inbox_draws_no_answers_out_of_the_record(self):
        for order in (("desk-a", "nobody"), ("nobody", "desk-a")):
            with self.subTest(order=order):
                mime = self.make_mail(
                    To=f"desk-a@{DOMAIN}", Cc=f"nobody@{DOMAIN}", Message_ID=None
                ).replace(
                    b"Subject:",
                    f"Message-ID: <{order[0]}@x.example>\r\nSubject:".encode(),
                )
                copies = {
                    name: self.deliver(mime, [f"{name}@{DOMAIN}"]) for name in order
                }
                record = copies["desk-a"]._record()
                more = self.make_mail(
                    "PS", References=copies["desk-a"].message_id_header
                )
                message = self.deliver(
                    more, [f"desk-a@{DOMAIN}"], verdicts=self.verified()
                )
                self.assertEqual(message._record(), record)

    def test_a_sender_s_message_id_elsewhere_draws_no_answers(self):
        order = self.make_mail("My order", Cc="stranger@attacker.example")
        first = self.deliver(order, [f"desk-a@{DOMAIN}"], verdicts=self.verified())
        self.stranger_reuses(first.message_id_header, "desk-b")
        more = self.make_mail("PS", References=first.message_id_header)
        message = self.deliver(more, [f"desk-a@{DOMAIN}"], verdicts=self.verified())
        self.assertEqual(message._record(), first._record())

    def test_user_who_writes_to_an_alias_through_odoo_makes_a_record(self):
        """Odoo's own message comes in again: nothing is held, its answers stay."""
        mime = self.make_mail(
            "We ask",
            From=self.admin.email,
            To=f"desk-b@{DOMAIN}",
            Message_ID=self.parent.message_id,
        )
        message = self.deliver(mime, [f"desk-b@{DOMAIN}"])
        self.assertEqual(message.state, "routed")
        self.assertNotEqual(message._record(), self.record)
        self.assertAnswersStay()

    def test_stand_in_that_comes_back_ends_the_circle(self):
        """As a notification does whose follower is an alias of ours."""
        message = self.stranger_reuses(self.parent.message_id, "desk-a")
        back = self.stranger_reuses(message.posted_ids.message_id, "desk-b")
        self.assertEqual(
            (back.state, back.reason), ("quarantined", "reused_message_id")
        )

    def test_copy_that_a_mailing_list_changed_makes_its_record(self):
        mime = self.make_mail("Hello", To=f"desk-a@{DOMAIN}, list@lists.example")
        first = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        changed = mime.replace(b"Subject: ", b"Subject: [List] ")
        second = self.deliver(changed, [f"desk-b@{DOMAIN}"])
        self.assertEqual((first.state, second.state), ("routed", "routed"))
        self.assertEqual(first.posted_ids.message_id, first.message_id_header)
        self.assertFalse(first.note)

    # --- Answers to internal notes ---

    def test_answer_to_a_note_is_a_note_and_no_customer_hears_of_it(self):
        self.record.message_subscribe(self.customer.ids)
        note = self.record.message_post(
            body="Among us",
            message_type="comment",
            subtype_xmlid="mail.mt_note",
            author_id=self.admin.partner_id.id,
        )
        public = self.record.message_post(
            body="My order",
            message_type="email",
            subtype_xmlid="mail.mt_comment",
            author_id=self.customer.id,
        )
        both = f"{public.message_id} {note.message_id}"
        for headers in (
            {"In_Reply_To": note.message_id, "References": both},
            {"In_Reply_To": f"{note.message_id} (yesterday)"},
            {"In_Reply_To": f"{note.message_id} (yesterday)", "References": both},
        ):
            with self.subTest(**headers):
                mime = self.make_mail(From=self.admin.email, **headers)
                message = self.deliver(
                    mime, [f"catchall@{DOMAIN}"], verdicts=self.verified(DOMAIN)
                )
                post = message.posted_ids
                self.assertEqual(
                    (message.state, post.res_id), ("routed", self.record.id)
                )
                self.assertTrue(post.subtype_id.internal)
                self.assertNotIn(self.customer, post.notified_partner_ids)
