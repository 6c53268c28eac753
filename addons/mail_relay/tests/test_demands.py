# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from email import message_from_bytes, policy
from unittest.mock import patch

from odoo import modules
from odoo.tests import HttpCase, TransactionCase, tagged

from odoo.addons.mail_relay.providers.tokens import make_bounce_token
from odoo.addons.mail_relay.submission import Rcpt, Submission

SENDER = "shop@demands.example"

REPORT = """\
From: {sender}
To: {to}
Return-Path: <>
Subject: Undelivered
Message-ID: <report-{number}@mx.outside.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It did not work.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.outside.example

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b
Content-Type: text/rfc822-headers

From: {author}
Message-ID: {message_id}
{token}
--b--
"""

COMPLAINT = """\
From: feedback@outside.example
To: abuse@demands.example
Subject: FW: offer
Message-ID: <complaint-{number}@outside.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is a complaint.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: FBL/1.0
Version: 1
Original-Rcpt-To: {recipient}

--b
Content-Type: message/rfc822

From: {author}
Message-ID: {message_id}
{token}

text
--b--
"""


class DemandsCase:
    """An outgoing mail server that is relayed, and mails that go through it."""

    def prepare(self):
        self.env["ir.mail_server"].search([]).active = False
        self.account = self.env["mail.bridge.account"].create(
            {
                "name": "Demands",
                "code": "smtp",
                "state": "enabled",
                "smtp_host": "127.0.0.1",
                "smtp_port": 9,
            }
        )
        self.server = self.env["ir.mail_server"].create(
            {"name": "Demands", "relay_account_id": self.account.id}
        )

    def send(self, **values):
        """Let a mail go; the row in the relay and the mail as it will be sent."""
        mail = self.env["mail.mail"].create(
            {
                "subject": "Offer",
                "email_from": SENDER,
                "email_to": "ann@outside.example",
                "body_html": "<p>Hello</p>",
                **values,
            }
        )
        with self.untested():
            mail.send()
        row = self.env["mail.relay.message"].search([], limit=1, order="id DESC")
        self.assertEqual(row.mail_mail_id, mail.id)
        mime = message_from_bytes(row._read_part(), policy=policy.default)
        return row, mime

    def untested(self):
        """Core sends nothing in tests; here nothing leaves the database anyway."""
        return patch.object(modules.module, "current_test", False)


@tagged("post_install", "-at_install")
class TestDemands(DemandsCase, TransactionCase):
    def setUp(self):
        super().setUp()
        self.prepare()

    def test_what_each_mail_carries(self):
        row, mail = self.send()
        self.assertTrue(mail["Date"])
        self.assertTrue(row.message_id.endswith("@demands.example>"))
        self.assertEqual(mail["Message-ID"], row.message_id)
        self.assertRegex(mail["Feedback-ID"], r"^[\w.-]+:\d+:transactional:\w{5,15}$")
        key = self.env["mail.relay.message"]._token_key()
        self.assertEqual(
            mail["X-Mail-Relay-Token"], make_bounce_token(key, row.reference)
        )
        self.assertNotIn("X-Mail-Relay-Ref", mail)
        self.assertNotIn("List-Unsubscribe", mail)

    def test_a_marketing_mail_has_one_click_to_leave(self):
        _row, mail = self.send(headers="{'Precedence': 'bulk'}")
        self.assertEqual(mail["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click")
        self.assertRegex(
            mail["List-Unsubscribe"], r"^<http\S+/mail_relay/unsubscribe/\S+>$"
        )
        self.assertIn(":marketing:", mail["Feedback-ID"])

    def submit(self, head=b"", **values):
        """Let another application's mail go, as the interface does."""
        item = Submission(
            mime=b"From: shop@demands.example\r\nSubject: Offer\r\n"
            b"Message-ID: <1@demands.example>\r\n" + head + b"\r\nHello\r\n",
            envelope_sender=SENDER,
            email_from=SENDER,
            recipients=(Rcpt("ann@outside.example"),),
            message_id="<1@demands.example>",
            **values,
        )
        row = self.env["mail.relay.message"]._enqueue([item])
        mime = message_from_bytes(row._read_part(), policy=policy.default)
        self.assertEqual(mime.get_content().strip(), "Hello")
        return row, mime

    def test_mail_of_another_application_carries_the_same(self):
        row, mail = self.submit()
        key = self.env["mail.relay.message"]._token_key()
        self.assertEqual(
            mail["X-Mail-Relay-Token"], make_bounce_token(key, row.reference)
        )
        self.assertIn(":transactional:", mail["Feedback-ID"])
        self.assertNotIn("List-Unsubscribe", mail)
        _row, mail = self.submit(is_marketing=True)
        self.assertEqual(mail["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click")
        self.assertIn("/mail_relay/unsubscribe/", mail["List-Unsubscribe"])

    def test_what_another_application_says_itself_stays(self):
        own = b"List-Unsubscribe: <mailto:a@b.c>\r\nFeedback-ID: a:b:c:d\r\n"
        _row, mail = self.submit(own, is_marketing=True)
        self.assertEqual(mail.get_all("List-Unsubscribe"), ["<mailto:a@b.c>"])
        self.assertEqual(mail.get_all("Feedback-ID"), ["a:b:c:d"])

    def test_a_link_of_the_author_stays(self):
        given = {
            "List-Unsubscribe": "<https://demands.example/out>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        _row, mail = self.send(headers=repr(given))
        self.assertEqual(mail["List-Unsubscribe"], given["List-Unsubscribe"])
        _row, mail = self.send(headers=repr({"List-Unsubscribe": "<mailto:a@b.c>"}))
        self.assertRegex(mail["List-Unsubscribe"], r"^<http\S+>, <mailto:a@b.c>$")

    def test_the_return_path_has_a_token_where_the_account_allows_it(self):
        domain = self.env["mail.alias.domain"].create({"name": "demands.example"})
        self.env.company.alias_domain_id = domain
        row, _mail = self.send()
        self.assertEqual(row.envelope_sender, "bounce@demands.example")
        self.account.relay_return_path = True
        row, _mail = self.send()
        self.assertRegex(
            row.envelope_sender, rf"^bounce\+{row.reference}-\w{{20}}@demands.example$"
        )

    # --- Reports ---

    def receive(self, text, row, token, number=1, to="bounce@demands.example"):
        """Let a report about a mail come in; the events that it left."""
        content = text.format(
            sender="MAILER-DAEMON@mx.outside.example",
            to=to,
            number=number,
            author=SENDER,
            recipient="ann@outside.example",
            message_id=row.message_id,
            token=token,
        )
        self.env["mail.thread"].message_process(False, content.encode())
        name = "complaint" if text is COMPLAINT else "report"
        return self.env["mail.bridge.event"].search(
            [("event_reference", "like", f"{name}-{number}@")]
        )

    def test_a_proven_report_is_an_event(self):
        row, mail = self.send()
        token = f"X-Mail-Relay-Token: {mail['X-Mail-Relay-Token']}\n"
        event = self.receive(REPORT, row, token)
        self.assertEqual(
            (event.type, event.reference, event.source, event.account_id),
            ("bounced", row.reference, "report", self.account),
        )

    def test_a_forged_report_changes_nothing(self):
        partner = self.env["res.partner"].create(
            {"name": "Ann", "email": "ann@outside.example"}
        )
        message = partner.message_post(body="Hello")
        row, _mail = self.send(
            mail_message_id=message.id, recipient_ids=[(4, partner.id)], email_to=False
        )
        for number, token in enumerate(
            ("", f"X-Mail-Relay-Token: {row.reference}-{'a' * 20}\n")
        ):
            event = self.receive(REPORT, row, token, number)
            self.assertFalse(event.reference)
            self.assertFalse(event.message_id)
        self.assertEqual(partner.message_bounce, 0)

    def test_a_report_that_comes_to_the_return_path_is_proven(self):
        domain = self.env["mail.alias.domain"].create({"name": "demands.example"})
        self.env.company.alias_domain_id = domain
        self.account.relay_return_path = True
        row, _mail = self.send()
        event = self.receive(REPORT, row, "", to=row.envelope_sender)
        self.assertEqual((event.type, event.reference), ("bounced", row.reference))

    def test_a_complaint_is_an_event(self):
        row, mail = self.send()
        token = f"X-Mail-Relay-Token: {mail['X-Mail-Relay-Token']}"
        event = self.receive(COMPLAINT, row, token)
        self.assertEqual((event.type, event.reference), ("complained", row.reference))

    # --- Replies ---

    def test_a_reply_threads_where_the_provider_changed_the_message_id(self):
        partner = self.env["res.partner"].create(
            {"name": "Ann", "email": "ann@outside.example"}
        )
        message = partner.message_post(body="Hello", message_type="comment")
        row, _mail = self.send(mail_message_id=message.id)
        row.provider_message_id = "<0107-theirs@provider.example>"
        reply = (
            "From: ann@outside.example\nTo: shop@demands.example\n"
            "Message-ID: <reply-1@outside.example>\nSubject: Re: Offer\n"
            "In-Reply-To: <0107-theirs@provider.example>\n\nYes\n"
        )
        self.env["mail.thread"].message_process(False, reply.encode())
        answer = self.env["mail.message"].search(
            [("message_id", "=", "<reply-1@outside.example>")]
        )
        self.assertEqual((answer.model, answer.res_id), ("res.partner", partner.id))
        self.assertEqual(answer.parent_id, message)


@tagged("post_install", "-at_install")
class TestUnsubscribe(DemandsCase, HttpCase):
    def setUp(self):
        super().setUp()
        self.prepare()

    def link(self):
        row, mail = self.send(headers="{'Precedence': 'bulk'}")
        path = mail["List-Unsubscribe"].strip("<>")
        return row, path[path.index("/mail_relay/") :]

    def entries(self):
        return self.env["mail.relay.suppression"].search(
            [("email_normalized", "=", "ann@outside.example")]
        )

    def test_get_asks_and_post_does_it(self):
        row, path = self.link()
        answer = self.url_open(path)
        self.assertEqual(answer.status_code, 200)
        self.assertIn("ann@outside.example", answer.text)
        self.assertFalse(self.entries())
        self.assertEqual(row.recipient_ids.state, "pending")
        self.assertNotIn("Set-Cookie", answer.headers)
        answer = self.url_open(path, data={"List-Unsubscribe": "One-Click"})
        self.assertEqual(answer.status_code, 200)
        entry = self.entries()
        self.assertEqual(
            (entry.scope, entry.reason, entry.company_id),
            ("marketing", "unsubscribed", row.company_id),
        )
        row.invalidate_recordset()
        row.recipient_ids.invalidate_recordset()
        self.assertEqual(row.recipient_ids.state, "unsubscribed")
        self.assertTrue(
            self.env["mail.blacklist"].search([("email", "=", "ann@outside.example")])
        )
        # once more is the same
        self.url_open(path, data={"List-Unsubscribe": "One-Click"})
        self.assertEqual(len(self.entries()), 1)

    def test_only_one_click_and_only_our_link(self):
        _row, path = self.link()
        answer = self.url_open(path, data={"other": "1"})
        self.assertEqual(answer.status_code, 400)
        answer = self.url_open(
            path[:-3] + "aaa", data={"List-Unsubscribe": "One-Click"}
        )
        self.assertEqual(answer.status_code, 404)
        self.assertFalse(self.entries())
