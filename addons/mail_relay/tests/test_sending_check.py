# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import ssl
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, TransactionCase, new_test_user, tagged

from odoo.addons.mail_bridge.providers import connect as connecting
from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed
from odoo.addons.mail_relay.adapter import POOL
from odoo.addons.mail_relay.providers import smtp_link

from tests.support.black_hole import black_hole
from tests.support.smtp_sink import SmtpSink

RELAY = "relay.example"
LOGIN, PASSWORD = "shop", "pass-canary-5512"


class SinkCase(TransactionCase):
    """Accounts at an SMTP server on this machine that calls itself relay.example."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.certificate = str(self_signed(Path(folder.name) / "relay.pem", RELAY))
        cls.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.tls.load_cert_chain(cls.certificate)
        cls.head = new_test_user(
            cls.env,
            "relay-tester",
            groups="mail_bridge.group_administrator",
            email="tester@example.com",
        )

    def setUp(self):
        super().setUp()
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.addCleanup(POOL.close)
        self.lead_to("127.0.0.1")
        self.patch(connecting, "_memory", connecting._Memory())

    def lead_to(self, *addresses):
        """Let every name lead to these addresses."""
        self.patch(connecting, "resolve", lambda *_: list(addresses))

    def sink(self, **options):
        return self.stack.enter_context(SmtpSink(**options))

    def make(self, sink, **values):
        return self.env["mail.bridge.account"].create(
            {
                "name": "Relay",
                "code": "smtp",
                "state": "enabled",
                "smtp_host": RELAY,
                "smtp_port": sink.port,
                "smtp_authorities": self.certificate,
            }
            | values
        )


@tagged("post_install", "-at_install")
class TestSendingCheck(SinkCase):
    def run_test(self, account):
        action = account.with_user(self.head).action_test_sending()
        self.assertEqual(action["res_model"], "mail.relay.test.wizard")
        wizard = self.env[action["res_model"]].with_user(self.head)
        return wizard.browse(action["res_id"])

    def test_each_address_and_each_stage_has_its_time(self):
        sink = self.sink(tls=self.tls, credentials={LOGIN: PASSWORD})
        self.stack.enter_context(black_hole("::1", sink.port))
        self.lead_to("::1", "127.0.0.1")
        account = self.make(sink, smtp_user=LOGIN, smtp_password=PASSWORD)
        start = time.monotonic()
        wizard = self.run_test(account)
        self.assertLess(time.monotonic() - start, 5)
        self.assertTrue(wizard.is_good, wizard.line_ids.mapped("detail"))
        rows = [(line.label, line.subject, line.state) for line in wizard.line_ids]
        self.assertEqual(
            rows[:3],
            [
                ("Address", "127.0.0.1", "done"),
                ("Address", "::1", "warning"),
                ("Connected and greeted", "127.0.0.1", "done"),
            ],
        )
        self.assertEqual([row[0] for row in rows[3:]], ["Encrypted", "Logged in"])
        self.assertRegex(wizard.line_ids[3].subject, "^TLS")
        self.assertGreaterEqual(wizard.line_ids[1].milliseconds, 200)
        self.assertIn("PIPELINING", wizard.offers)
        self.assertFalse(sink.taken)
        with Form(wizard):
            pass

    def test_encryption_and_logins(self):
        """Issue 3 §A: 465 implicit, else STARTTLS; required before AUTH."""
        in_clear = {"auth_in_clear": True}
        trusted = {"smtp_host": "127.0.0.1", "smtp_authorities": False}
        allowed = {"smtp_allow_clear_text_login": True}
        offers = {"tls": self.tls}
        table = [  # server, account, encrypted, advice
            (offers, {}, True, None),
            (offers, {"smtp_tls": "starttls"}, True, None),
            (offers | {"implicit": True}, {"smtp_tls": "implicit"}, True, None),
            (offers | in_clear, {"smtp_tls": "none"}, None, "clear_text"),
            (offers | in_clear, {"smtp_tls": "none"} | allowed, False, None),
            (in_clear, {}, None, "clear_text"),
            (in_clear, allowed, False, None),
            (in_clear, trusted, False, None),
            (in_clear, {"smtp_tls": "starttls"} | allowed, None, "no_starttls"),
            (in_clear, {"smtp_tls": "implicit"} | allowed, None, "not_tls"),
            (offers, {"smtp_authorities": False}, None, "certificate"),
            (
                offers,
                {"smtp_authorities": False, "smtp_verify_certificate": False},
                True,
                None,
            ),
            (offers, {"smtp_host": "other.example"}, None, "certificate"),
            (offers, {"smtp_password": "wrong"}, None, "credentials"),
        ]
        for server, values, encrypted, advice in table:
            with (
                self.subTest(server=list(server), account=values),
                SmtpSink(credentials={LOGIN: PASSWORD}, **server) as sink,
            ):
                login = {"smtp_user": LOGIN, "smtp_password": PASSWORD}
                wizard = self.run_test(self.make(sink, **login | values))
                self.assertEqual(wizard.advice or None, advice)
                self.assertEqual(wizard.is_good, advice is None)
                found = " ".join(sink.verbs())
                if advice == "clear_text":
                    self.assertNotIn("AUTH", found)
                row = wizard.line_ids.filtered(lambda line: line.label == "Encrypted")
                if encrypted is not None:
                    state = "done" if encrypted else "warning"
                    self.assertEqual(row.state, state)
                    wizard.email_to = "ann@example.com"
                    wizard.action_send()
                    self.assertEqual(sink.taken[0].tls, encrypted)

    def test_port_465_is_tls_from_the_start(self):
        self.assertEqual(smtp_link.IMPLICIT_PORT, 465)
        sink = self.sink(tls=self.tls, implicit=True)
        self.patch(smtp_link, "IMPLICIT_PORT", sink.port)
        wizard = self.run_test(self.make(sink))
        self.assertTrue(wizard.is_good)
        self.assertIn("Encrypted", wizard.line_ids.mapped("label"))

    def test_a_mail_of_an_account_does_not_wait_for_a_dead_address(self):
        sink = self.sink(tls=self.tls)
        self.stack.enter_context(black_hole("::1", sink.port))
        self.lead_to("::1", "127.0.0.1")
        mail = OutgoingMail(
            b"Subject: one\r\n\r\nHello\r\n",
            "shop@example.com",
            ("ann@example.com",),
            "r1",
            "<1@example.com>",
        )
        for family, fast in (("auto", True), ("prefer_ipv4", True), ("ipv6", False)):
            with self.subTest(family=family):
                account = self.make(
                    sink, smtp_address_family=family, smtp_connect_timeout=2
                )
                start = time.monotonic()
                receipt = account._adapter().send(mail, account._facts())
                self.assertLess(time.monotonic() - start, 5)
                [result] = receipt.results
                accepted = result.outcome is Outcome.ACCEPTED
                self.assertEqual(accepted, fast, result.reply)
        self.assertEqual(len(sink.taken), 2)

    def test_a_password_of_the_environment_logs_in(self):
        sink = self.sink(tls=self.tls, credentials={LOGIN: PASSWORD})
        account = self.make(sink, reference="env", smtp_user=LOGIN)
        self.assertEqual(self.run_test(account).advice, "credentials")
        with patch.dict(os.environ, {"MAIL_BRIDGE_ENV_SMTP_PASSWORD": PASSWORD}):
            self.assertTrue(self.run_test(account).is_good)

    def test_a_test_mail(self):
        sink = self.sink(tls=self.tls)
        wizard = self.run_test(self.make(sink))
        self.assertEqual(wizard.email_to, "tester@example.com")
        wizard.email_from = "Shop <shop@example.com>"
        wizard.action_send()
        self.assertTrue(wizard.is_good)
        (taken,) = sink.taken
        self.assertEqual(taken.sender, "shop@example.com")
        self.assertEqual(taken.recipients, ("tester@example.com",))
        self.assertIn(b"Auto-Submitted: auto-generated", taken.data)
        self.assertRegex(taken.message_id, "@example.com>$")
        self.assertIn("queued as", wizard.line_ids[-1].detail)
        sink.fail("rcpt", "550 5.1.1 no such user")
        wizard.action_send()
        self.assertFalse(wizard.is_good)
        self.assertEqual(wizard.advice, "recipient")
        self.assertEqual(wizard.line_ids[-1].detail, "550 5.1.1 no such user")
        wizard.email_to = "nobody"
        with self.assertRaises(UserError):
            wizard.action_send()

    def test_password_is_never_shown(self):
        sink = self.sink(tls=self.tls, credentials={LOGIN: PASSWORD})
        sink.fail("auth", f"535 5.7.8 {PASSWORD} is wrong")
        wizard = self.run_test(self.make(sink, smtp_user=LOGIN, smtp_password=PASSWORD))
        self.assertFalse(wizard.is_good)
        self.assertNotIn(PASSWORD, str(wizard.line_ids.read()))

    def test_only_administrators_test(self):
        reader = new_test_user(
            self.env, "relay-reader", groups="mail_bridge.group_user"
        )
        account = self.make(self.sink()).with_user(reader)
        with self.assertRaises(AccessError):
            account.action_test_sending()
        view = account.get_view(view_type="form")["arch"]
        self.assertNotIn("action_test_sending", view)
