# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid

from odoo.exceptions import UserError
from odoo.tests import tagged

from ..providers.base import InboundMail
from ..providers.evidence import with_server_results
from .common import DOMAIN, BridgeCase


@tagged("post_install", "-at_install")
class TestRouting(BridgeCase):
    def test_mail_to_an_alias_stands_in_a_new_record(self):
        mime = self.make_mail(
            "The text", attachments=[("a.bin", b"\x00\x01")], Subject="Offer wanted"
        )
        message = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        self.assertEqual(message.state, "routed")
        record = self.env[message.res_model].browse(message.res_id)
        self.assertEqual(record.name, "Offer wanted")
        post = self.posts(record)
        self.assertEqual(len(post), 1)
        self.assertIn("The text", post.body)
        self.assertEqual(post.attachment_ids.raw, b"\x00\x01")
        self.assertEqual(post.bridge_message_id, message)
        self.assertIn(post.message_id, message.message_id_header)

    def forwarded(self, subject, **headers):
        """Return a mail with another mail attached, as *forward as attachment* does."""
        inner = EmailMessage(policy=SMTP)
        inner["From"], inner["Subject"] = "first@outside.example", subject
        inner.set_content("The text of the first mail")
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"] = "somebody@outside.example", f"desk-a@{DOMAIN}"
        mail["Subject"] = "Fwd: Offer"
        mail["Message-ID"] = headers.get("message_id") or make_msgid()
        mail.set_content("See below")
        mail.add_attachment(inner, filename="offer.eml")
        return mail.as_bytes()

    def test_a_mail_attached_to_a_mail_arrives(self):
        mime = self.forwarded("The offer")
        message, again = (self.deliver(mime, [f"desk-a@{DOMAIN}"]) for _ in range(2))
        self.assertEqual((message.state, again.state), ("routed", "repeated"))
        [attachment] = message.posted_ids.attachment_ids
        self.assertEqual(attachment.name, "offer.eml")
        self.assertIn(b"Subject: The offer", attachment.raw)
        self.assertIn(b"The text of the first mail", attachment.raw)

    def test_another_attached_mail_is_another_mail(self):
        for subject, state in (("One", "routed"), ("Two", "quarantined")):
            mime = self.forwarded(subject, message_id="<forwarded@outside.example>")
            message = self.deliver(mime, [f"desk-a@{DOMAIN}"])
            self.assertEqual(message.state, state)

    def test_posted_once_per_recipient_makes_one_record_each(self):
        for order in (["desk-a", "desk-b"], ["desk-b", "desk-a"]):
            mime = self.make_mail(To=f"desk-a@{DOMAIN}, desk-b@{DOMAIN}")
            messages = [self.deliver(mime, [f"{name}@{DOMAIN}"]) for name in order]
            again = [self.deliver(mime, [f"{name}@{DOMAIN}"]) for name in order]
            self.assertEqual([m.state for m in messages], ["routed", "routed"])
            self.assertEqual(len({m.res_id for m in messages}), 2)
            self.assertEqual([m.state for m in again], ["repeated", "repeated"])

    def test_the_same_words_without_id_and_date_are_another_mail_the_next_day(self):
        """An alarm says the same every day."""
        mime = self.make_mail("Door 3 was opened", Message_ID=None, Date=None)
        states = []
        for moment in (
            "2026-11-20 10:00:00",
            "2026-11-20 10:00:09",
            "2026-11-21 10:00:00",
        ):
            intake = self.make_intake(received_at=moment)
            mail = InboundMail(mime=mime, envelope_recipients=(f"desk-a@{DOMAIN}",))
            message = self.env["mail.bridge.message"]._receive(intake, 0, mail)
            states.append(message.state)
        self.assertEqual(states, ["routed", "repeated", "routed"])

    def test_one_post_for_two_aliases_makes_one_record_each(self):
        mime = self.make_mail(To=f"desk-a@{DOMAIN}, desk-b@{DOMAIN}")
        message = self.deliver(mime, [f"desk-a@{DOMAIN}", f"desk-b@{DOMAIN}"])
        self.assertEqual(len(message.posted_ids), 2)
        self.assertEqual(len(set(message.posted_ids.mapped("res_id"))), 2)

    def test_bcc_alias_gets_its_own_record(self):
        mime = self.make_mail(To=f"desk-a@{DOMAIN}")
        self.deliver(mime, [f"desk-a@{DOMAIN}"])
        hidden = self.deliver(mime, [f"desk-b@{DOMAIN}"])
        self.assertEqual(hidden.state, "routed")
        self.assertEqual(hidden.posted_ids.message_id, hidden.message_id_header)

    def test_without_envelope_the_headers_route(self):
        mime = self.make_mail(To="x@elsewhere.example", Cc=f"desk-b@{DOMAIN}")
        self.assertEqual(self.deliver(mime).state, "routed")

    def test_envelope_alone_routes(self):
        """To names an alias, but the mail was delivered to somebody else."""
        mime = self.make_mail(To=f"desk-a@{DOMAIN}")
        message = self.deliver(mime, [f"nobody@{DOMAIN}"])
        self.assertEqual(message.state, "unrouted")

    def test_reply_reaching_one_thread_twice_is_one_mail(self):
        record = self.customer
        parent = record.message_post(
            body="We ask", partner_ids=record.ids, message_type="comment"
        )
        mime = self.make_mail(
            From="customer@outside.example",
            To=f"catchall@{DOMAIN}",
            Cc=f"desk-a@{DOMAIN}",
            References=parent.message_id,
        )
        first = self.deliver(mime, [f"catchall@{DOMAIN}"], verdicts=self.verified())
        second = self.deliver(mime, [f"desk-a@{DOMAIN}"], verdicts=self.verified())
        self.assertEqual((first.state, first.res_id), ("routed", record.id))
        self.assertEqual((second.state, second.res_id), ("repeated", record.id))
        self.assertEqual(len(self.posts(record)), 1)

    def test_own_notification_coming_back_is_not_posted_again(self):
        post = self.customer.message_post(body="News", message_type="comment")
        mime = self.make_mail(
            From=f"desk-a@{DOMAIN}",
            Message_ID=post.message_id,
            References=post.message_id,
        )
        message = self.deliver(
            mime, [f"desk-a@{DOMAIN}"], verdicts=self.verified(DOMAIN)
        )
        self.assertEqual(message.state, "repeated")

    def test_same_message_id_with_other_content_is_quarantined(self):
        mime = self.make_mail("One")
        self.deliver(mime, [f"desk-a@{DOMAIN}"])
        other = mime.replace(b"One", b"Two")
        message = self.deliver(other, [f"desk-a@{DOMAIN}"])
        self.assertEqual(message.state, "quarantined")
        self.assertEqual(message.reason, "reused_message_id")

    def test_mail_without_message_id_gets_the_same_one_each_time(self):
        mime = self.make_mail(Message_ID=None)
        first = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        second = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        self.assertEqual((first.state, second.state), ("routed", "repeated"))
        self.assertEqual(first.message_id_header, second.message_id_header)

    def test_unrouted_mail_stands_in_its_own_chatter_and_nobody_gets_a_bounce(self):
        sent = self.env["mail.mail"].search_count([])
        message = self.deliver(
            self.make_mail("Help me", To=f"catchall@{DOMAIN}"), [f"catchall@{DOMAIN}"]
        )
        self.assertEqual((message.state, message.reason), ("unrouted", "no_route"))
        self.assertIn("Help me", self.posts(message).body)
        self.assertEqual(self.env["mail.mail"].search_count([]), sent)

    def test_alias_that_refuses_the_sender_keeps_the_mail(self):
        self.alias_a.alias_contact = "partners"
        message = self.deliver(recipients=[f"desk-a@{DOMAIN}"])
        self.assertEqual((message.state, message.reason), ("unrouted", "refused"))
        self.assertEqual(len(self.posts(message)), 1)

    def test_answer_to_an_unrouted_mail_is_threaded_to_it(self):
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"])
        answer = message.message_post(
            body="Who are you?",
            partner_ids=self.customer.ids,
            message_type="comment",
            subtype_xmlid="mail.mt_comment",
        )
        reply = self.make_mail(
            From="customer@outside.example", In_Reply_To=answer.message_id
        )
        second = self.deliver(reply, [f"catchall@{DOMAIN}"], verdicts=self.verified())
        self.assertEqual(second.state, "routed")
        self.assertEqual((second.res_model, second.res_id), (message._name, message.id))

    def test_mail_without_a_route_stands_in_the_inbox_once(self):
        mime = self.make_mail(To="x@elsewhere.example")
        first = self.deliver(mime, ["x@elsewhere.example"])
        second = self.deliver(mime, ["X@elsewhere.example"])
        other = self.deliver(mime, ["y@elsewhere.example"])
        self.assertEqual(first.state, "unrouted")
        self.assertEqual((second.state, second.reason), ("repeated", False))
        self.assertEqual((second.res_model, second.res_id), (first._name, first.id))
        self.assertEqual(other.state, "unrouted")
        self.assertEqual(len(self.posts(first)), 1)

    def test_other_mail_with_the_same_message_id_is_kept_too(self):
        same = {"To": "x@elsewhere.example", "Message_ID": "<same@outside.example>"}
        first = self.deliver(self.make_mail("One", **same), ["x@elsewhere.example"])
        second = self.deliver(self.make_mail("Two", **same), ["x@elsewhere.example"])
        self.assertEqual((first.state, second.state), ("unrouted", "unrouted"))

    def test_refusal_of_one_alias_says_nothing_of_the_other(self):
        self.alias_a.alias_contact = "partners"
        both = [f"desk-a@{DOMAIN}", f"desk-b@{DOMAIN}"]
        message = self.deliver(self.make_mail(To=", ".join(both)), both)
        self.assertEqual((message.state, message.reason), ("routed", False))
        self.assertIn("does not accept", message.note)
        record = self.env[message.res_model].browse(message.res_id)
        self.assertEqual(len(self.posts(record)), 1)
        with self.assertRaises(UserError):
            message._again()
        self.assertEqual(len(self.posts(record)), 1)

    def test_answer_to_one_of_odoo_s_bounces_waits_in_the_inbox(self):
        bounce = "<123-openerp-loop-detection-bounce-email@host.example>"
        mime = self.make_mail(References=bounce)
        message = self.deliver(mime, [f"desk-a@{DOMAIN}"])
        self.assertEqual((message.state, message.reason), ("held", "loop"))
        self.assertEqual(len(self.posts(message)), 1)
        mail = InboundMail(mime=mime, envelope_recipients=(f"desk-a@{DOMAIN}",))
        message.posted_ids.unlink()
        message._route(mail, mime, released=True)
        self.assertEqual(message.state, "routed")

    def test_other_domains_are_rejected_and_kept(self):
        self.account.accepted_domains = f"{DOMAIN}, second.example"
        ours = self.deliver(recipients=[f"desk-a@{DOMAIN}"])
        foreign = self.deliver(recipients=["desk-a@stranger.example"])
        self.assertEqual(ours.state, "routed")
        self.assertEqual((foreign.state, foreign.reason), ("rejected", "not_ours"))
        self.assertFalse(foreign.posted_ids)

    def test_test_mode_holds_the_mail_until_released(self):
        # the account has no provider, so its state cannot be set the usual way
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE mail_bridge_account SET state = 'test' WHERE id = %s",
            (self.account.id,),
        )
        self.account.invalidate_recordset()
        message = self.deliver(recipients=[f"desk-a@{DOMAIN}"])
        self.assertEqual((message.state, message.reason), ("held", "test_mode"))
        self.assertFalse(message.posted_ids)

    def test_sender_in_a_loop_is_kept_out_of_the_records(self):
        self.env["ir.config_parameter"].set_param("mail.gateway.loop.threshold", "3")
        messages = [
            self.deliver(recipients=[f"desk-a@{DOMAIN}"]) for _number in range(5)
        ]
        self.assertEqual([m.state for m in messages[:3]], ["routed"] * 3)
        self.assertEqual(
            {(m.state, m.reason) for m in messages[3:]}, {("held", "loop")}
        )
        self.assertEqual(len(self.posts(messages[4])), 1)

    def test_read_receipt_is_no_bounce(self):
        mime = self.make_mail().replace(
            b"Content-Type: text/plain",
            b"Content-Type: multipart/report; report-type=disposition-notification;"
            b' boundary="b"\r\nX-Was: text/plain',
        )
        self.assertEqual(self.deliver(mime, [f"desk-a@{DOMAIN}"]).state, "routed")

    def test_bounce_reaches_the_message_it_is_about(self):
        post = self.customer.message_post(
            body="Hi", partner_ids=self.customer.ids, message_type="comment"
        )
        mime = (
            f"From: MAILER-DAEMON@outside.example\r\nTo: bounce@{DOMAIN}\r\n"
            "Subject: Undelivered\r\nMessage-ID: <dsn@outside.example>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/report; "
            'report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n'
            "Content-Type: text/plain\r\n\r\nnot delivered\r\n--b\r\n"
            "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
            "Final-Recipient: rfc822; customer@outside.example\r\nAction: failed\r\n"
            "Status: 5.1.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
            f"Message-ID: {post.message_id}\r\nSubject: Hi\r\n\r\nHi\r\n--b--\r\n"
        ).encode()
        message = self.deliver(mime, [f"bounce@{DOMAIN}"])
        self.assertTrue(message.is_bounce)
        self.assertEqual((message.state, message.res_id), ("routed", self.customer.id))
        self.assertEqual(self.customer.message_bounce, 1)

    def test_routing_happens_in_the_account_s_company(self):
        company = self.env["res.company"].create({"name": "Second"})
        account = self.env["mail.bridge.account"].create(
            {"name": "Other", "company_id": company.id}
        )
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"], account=account)
        self.assertEqual(message.company_id, company)

    def test_record_is_made_as_odoo_s_own_gateway_makes_it(self):
        """Our rows are quiet; the records that mails go to are not."""
        env = self.env(context=dict(self.env.context, tracking_disable=False))
        intake = self.make_intake().with_env(env)
        mail = InboundMail(self.make_mail(), envelope_recipients=(f"desk-a@{DOMAIN}",))
        message = env["mail.bridge.message"]._receive(intake, 0, mail)
        self.assertFalse(message.env.context.get("mail_create_nolog"))
        self.assertFalse(message.env.context.get("tracking_disable"))
        record = self.env[message.res_model].browse(message.res_id)
        self.assertEqual(len(self.posts(record)), 1)

    def test_trusted_mail_server_tells_who_the_sender_is(self):
        parent = self.customer.message_post(body="We ask", message_type="comment")
        results = b"Authentication-Results: mx.own.example; dkim=pass header.d="
        mime = results + b"outside.example\r\n"
        mime += self.make_mail(References=parent.message_id)
        mail = InboundMail(mime, envelope_recipients=(f"catchall@{DOMAIN}",))
        for trusted, state in (("", "quarantined"), ("mx.own.example", "routed")):
            intake = self.make_intake()
            intake._deliver([with_server_results(mail, trusted)])
            self.assertEqual(intake.message_ids.state, state, trusted)
            self.assertEqual(intake.state, "done")

    # --- One record, and one mail in it ---

    def test_two_aliases_of_one_record_are_one_mail(self):
        force = {"alias_force_thread_id": self.customer.id}
        both = [self.make_alias(f"force-{n}", **force).alias_full_name for n in "ab"]
        for recipients in (both, []):
            with self.subTest(recipients=recipients):
                mime = self.make_mail(To=", ".join(both))
                message = self.deliver(mime, recipients)
                self.assertEqual(message.state, "routed")
                self.assertEqual(message.posted_ids.res_id, self.customer.id)

    def test_mail_sent_again_after_its_record_was_deleted_makes_another(self):
        mime = self.make_mail()
        messages = [self.deliver(mime, [f"desk-a@{DOMAIN}"])]
        messages[0]._record().unlink()
        messages += [self.deliver(mime, [f"desk-a@{DOMAIN}"]) for _number in range(2)]
        states = [message.state for message in messages]
        self.assertEqual(states, ["routed", "routed", "repeated"])
        self.assertTrue(messages[1]._record())

    def test_another_sender_or_subject_is_another_mail(self):
        mime = self.make_mail(Subject="Door 3")
        self.deliver(mime, [f"desk-a@{DOMAIN}"])
        for old, new in ((b"Door 3", b"Door 4"), (b"somebody@", b"stranger@")):
            message = self.deliver(mime.replace(old, new), [f"desk-a@{DOMAIN}"])
            self.assertEqual(
                (message.state, message.reason), ("quarantined", "reused_message_id")
            )

    # --- Recipients of other domains ---

    def test_without_envelope_other_domains_route_nothing(self):
        other = self.env["mail.alias.domain"].create({"name": "other.example"})
        foreign = self.make_alias("hr", alias_domain_id=other.id)
        self.account.accepted_domains = DOMAIN
        both = {"To": f"Desk <desk-a@{DOMAIN}>", "Cc": foreign.alias_full_name}
        swapped = {"To": both["Cc"], "Cc": both["To"]}
        for headers in (both, swapped):
            with self.subTest(**headers):
                message = self.deliver(self.make_mail(**headers))
                self.assertEqual(message.state, "routed")
                self.assertEqual(len(message.posted_ids), 1)

    # --- Mailing lists (addon mail_group: no dependency, but in every test run) ---

    def make_group(self, access_mode):
        return self.env["mail.group"].create(
            {
                "name": "List",
                "alias_name": "list",
                "alias_domain_id": self.alias_domain.id,
                "access_mode": access_mode,
            }
        )

    def test_mailing_list_takes_mail_once(self):
        group = self.make_group("public")
        mime = self.make_mail(To=f"list@{DOMAIN}")
        first, second = (self.deliver(mime, [f"list@{DOMAIN}"]) for _ in range(2))
        self.assertEqual((first.state, second.state), ("routed", "repeated"))
        self.assertEqual(first._record(), group)
        self.assertEqual(len(group.mail_group_message_ids), 1)

    def test_forged_user_does_not_open_a_closed_mailing_list(self):
        group = self.make_group("members")
        self.env["mail.group.member"].create(
            {"mail_group_id": group.id, "partner_id": self.admin.partner_id.id}
        )
        states = []
        for verdicts in ({}, {"verdicts": self.verified(DOMAIN)}):
            mime = self.make_mail(From=self.admin.email, To=f"list@{DOMAIN}")
            states.append(self.deliver(mime, [f"list@{DOMAIN}"], **verdicts).state)
        self.assertEqual(states, ["quarantined", "routed"])
