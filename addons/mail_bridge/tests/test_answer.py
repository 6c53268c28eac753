# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo.tests import HttpCase, new_test_user, tagged
from odoo.tools import email_normalize

from .common import DOMAIN, BridgeCase

CLERK = "bridge-clerk"


@tagged("post_install", "-at_install")
class TestAnswer(BridgeCase, HttpCase):
    """What happens when a clerk writes in the chatter of a mail without a record."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clerk = new_test_user(
            cls.env,
            CLERK,
            groups="mail_bridge.group_user,base.group_partner_manager",
            email=f"clerk@{DOMAIN}",
        )

    def suggested(self, message):
        return message.with_user(self.clerk)._message_get_suggested_recipients()

    def answer(self, message):
        """Send a message as the web client does: to whom is suggested."""
        suggested = self.suggested(message)
        known = [one["partner_id"] for one in suggested if one.get("partner_id")]
        others = [one["email"] for one in suggested if not one.get("partner_id")]
        post = {
            "body": "Which order do you mean?",
            "message_type": "comment",
            "subtype_xmlid": "mail.mt_comment",
            "partner_ids": known,
            "partner_emails": others,  # 19.0
        }
        params = {
            "thread_model": message._name,
            "thread_id": message.id,
            "post_data": post,
            "partner_emails": others,  # 18.0
        }
        self.env.flush_all()
        self.authenticate(CLERK, CLERK)
        reply = self.url_open(
            "/mail/message/post",
            data=json.dumps({"jsonrpc": "2.0", "method": "call", "params": params}),
            headers={"Content-Type": "application/json"},
        ).json()
        self.assertNotIn("error", reply)
        self.env.invalidate_all()
        return message.message_ids[0]

    def assertReaches(self, answer, address):
        self.assertIn("Which order", answer.body)
        self.assertIn(address, answer._bridge_recipients())
        mail = self.env["mail.mail"].search([("mail_message_id", "=", answer.id)])
        receivers = mail.mapped("recipient_ids.email_normalized")
        self.assertEqual(receivers, [address])

    def test_unknown_sender_gets_the_answer(self):
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"])
        self.assertEqual(message.state, "unrouted")
        self.assertReaches(self.answer(message), "somebody@outside.example")

    def test_an_address_of_ours_gets_no_copy(self):
        office, other = f"office@{DOMAIN}", "colleague@outside.example"
        mime = self.make_mail(To=f"{office}, {other}", Cc=f"desk@{DOMAIN}")
        message = self.deliver(mime, recipients=[office])
        self.assertEqual(message.state, "unrouted")
        options = {}
        if "incoming_email_to" in self.env["mail.message"]._fields:  # 19.0
            options["reply_discussion"] = True
        found = message._message_get_suggested_recipients(**options)
        addresses = {email_normalize(one["email"]) for one in found}
        self.assertIn("somebody@outside.example", addresses)
        self.assertFalse(addresses & {office, f"desk@{DOMAIN}"})

    def test_known_sender_gets_the_answer(self):
        mime = self.make_mail(From=self.customer.email)
        message = self.deliver(mime, recipients=[f"nobody@{DOMAIN}"])
        self.assertReaches(self.answer(message), self.customer.email)

    def test_the_sender_is_suggested_once(self):
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"])
        [only] = self.suggested(message)
        self.assertIn("somebody@outside.example", only["email"])

    def test_mail_without_a_sender_suggests_nobody(self):
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"])
        message.email_from = False
        self.assertFalse(self.suggested(message))
