# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import smtplib
import socket
import threading
import time

from odoo import modules
from odoo.tests import Form, tagged

from odoo.addons.base.models import ir_mail_server as core
from odoo.addons.mail_relay.core_smtp import racing
from odoo.addons.mail_relay.providers.smtplib_racing import RacingSMTP

from tests.support.black_hole import black_hole

from .test_sending_check import RELAY, SinkCase

SENDER, RECIPIENT = "shop@example.com", "ann@example.com"
#: Seconds that Odoo gives each address here; a minute outside.
STOCK_TIMEOUT = 1.0


@tagged("post_install", "-at_install")
class TestMailServer(SinkCase):
    """Core's own sending, with an IPv6 address that swallows every packet."""

    def setUp(self):
        super().setUp()
        self.env["ir.mail_server"].search([]).active = False
        self.patch(modules.module, "current_test", False)
        self.patch(core, "SMTP_TIMEOUT", STOCK_TIMEOUT)

    def lead_to(self, *addresses):
        """Let the system's own resolver answer for the server."""
        ask = socket.getaddrinfo

        def answer(host, port, *args, **kwargs):
            if host != RELAY:
                return ask(host, port, *args, **kwargs)
            kinds = {True: socket.AF_INET6, False: socket.AF_INET}
            family = args[0] if args else 0
            return [
                (kinds[":" in item], socket.SOCK_STREAM, 6, "", (item, port))
                for item in addresses
                if family in (0, kinds[":" in item])
            ]

        self.patch(socket, "getaddrinfo", answer)

    def dead_ipv6(self, **options):
        sink = self.sink(**options)
        self.stack.enter_context(black_hole("::1", sink.port))
        self.lead_to("::1", "127.0.0.1")
        return sink

    def server(self, sink, **values):
        return self.env["ir.mail_server"].create(
            {"name": "Own", "smtp_host": RELAY, "smtp_port": sink.port} | values
        )

    def send(self):
        """Send as any module does; return the seconds it took."""
        mail = self.env["mail.mail"].create(
            {"email_from": SENDER, "email_to": RECIPIENT, "subject": "one"}
        )
        start = time.monotonic()
        mail.send(raise_exception=True)
        return time.monotonic() - start

    def test_as_odoo_does_unless_it_is_switched_on(self):
        sink = self.dead_ipv6()
        self.server(sink)
        self.assertGreaterEqual(self.send(), STOCK_TIMEOUT)
        sink.wait()

    def test_the_setting_makes_all_servers_fast(self):
        sink = self.dead_ipv6()
        self.patch(core, "SMTP_TIMEOUT", 30.0)
        self.server(sink)
        self.env["res.config.settings"].create(
            {"mail_relay_race_mail_servers": True}
        ).execute()
        self.assertLess(self.send(), 5)
        self.assertIn(RECIPIENT, sink.wait()[0].recipients)

    def test_a_server_may_say_so_itself(self):
        sink = self.dead_ipv6()
        self.patch(core, "SMTP_TIMEOUT", 30.0)
        for family in ("auto", "prefer_ipv4", "prefer_ipv6", "ipv4"):
            with self.subTest(family=family):
                server = self.server(sink, address_family=family)
                self.assertLess(self.send(), 5)
                server.unlink()
        self.assertEqual(len(sink.wait(4)), 4)

    def test_encrypted_ways(self):
        for options, encryption in (
            ({"tls": self.tls}, "starttls"),
            ({"tls": self.tls, "implicit": True}, "ssl"),
        ):
            with self.subTest(encryption=encryption):
                sink = self.dead_ipv6(**options)
                self.patch(core, "SMTP_TIMEOUT", 30.0)
                server = self.server(
                    sink, smtp_encryption=encryption, address_family="auto"
                )
                self.assertLess(self.send(), 5)
                self.assertTrue(sink.wait()[0].tls)
                server.unlink()

    def test_odoo_s_own_test_button(self):
        sink = self.dead_ipv6()
        self.patch(core, "SMTP_TIMEOUT", 30.0)
        self.env.user.email = SENDER
        start = time.monotonic()
        self.server(sink, address_family="auto").test_smtp_connection()
        self.assertLess(time.monotonic() - start, 5)

    def test_other_threads_and_modules_keep_python_s_classes(self):
        seen = []
        with racing("ipv4"):
            thread = threading.Thread(target=lambda: seen.append(core.smtplib.SMTP))
            thread.start()
            thread.join()
            self.assertTrue(issubclass(core.smtplib.SMTP, RacingSMTP))
            self.assertEqual(core.smtplib.SMTP.family, "ipv4")
            self.assertFalse(issubclass(smtplib.SMTP, RacingSMTP))
        self.assertEqual(seen, [smtplib.SMTP])
        self.assertIs(core.smtplib.SMTP, smtplib.SMTP)
        self.assertIs(core.smtplib.SMTP_SSL, smtplib.SMTP_SSL)
        self.assertIs(core.smtplib.SMTPException, smtplib.SMTPException)

    def test_the_forms(self):
        with Form(self.env["ir.mail_server"]) as form:
            form.name = "Own"
            form.smtp_host = RELAY
            form.address_family = "ipv4"
        self.assertEqual(form.record.address_family, "ipv4")
        settings = self.env["res.config.settings"].with_context(module="mail_bridge")
        arch = settings.get_view(view_type="form")["arch"]
        self.assertIn("mail_relay_race_mail_servers", arch)
