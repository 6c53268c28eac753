# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from unittest.mock import patch

from odoo.exceptions import ValidationError
from odoo.modules.neutralize import get_neutralization_queries
from odoo.tests import Form, TransactionCase, new_test_user, tagged

from odoo.addons.mail_bridge.providers import registry
from odoo.addons.mail_relay import uninstall_hook
from odoo.addons.mail_relay.adapter import settings_of

PASSWORD = "pass-canary-7731"


@tagged("post_install", "-at_install")
class TestSmtpAccount(TransactionCase):
    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {"name": "Our server", "code": "smtp", "smtp_host": "smtp.example.com"}
            | values
        )

    def head(self):
        groups = "mail_bridge.group_administrator"
        return new_test_user(self.env, "relay-head", groups=groups)

    def settings(self, account):
        return settings_of(account._facts())

    def test_it_stands_among_the_providers(self):
        row = self.env.ref("mail_bridge.account_smtp")
        self.assertEqual(row.code, "smtp")
        self.assertTrue(row.image_128)
        self.assertTrue(row.is_installed)

    def test_an_account_that_only_sends_has_no_door(self):
        account = self.make(state="enabled")
        self.assertEqual(
            (account.can_send, account.can_receive, account.can_report),
            (True, False, False),
        )
        self.assertFalse(account.has_door)
        self.assertFalse(account.webhook_url)
        self.assertNotIn("URL_TOKEN", account.secret_variables)
        labels = [step["label"] for step in account.checklist]
        self.assertIn("The server is named", labels)
        self.assertNotIn("The address is public and encrypted", labels)
        self.assertNotIn("The provider delivered a first mail", labels)

    def test_accounts_are_found_by_what_they_can(self):
        ours = self.make()
        other = self.env["mail.bridge.account"].create({"name": "None"})
        Account = self.env["mail.bridge.account"]
        for term, expected in (
            (("can_send", "=", True), ours),
            (("can_send", "!=", True), other),
            (("can_send", "=", False), other),
            (("can_send", "!=", False), ours),
            (("can_receive", "=", True), Account),
            (("can_report", "=", False), ours | other),
        ):
            with self.subTest(term=term):
                found = Account.search([term, ("id", "in", (ours | other).ids)])
                self.assertEqual(found, expected)

    def test_without_a_server_it_cannot_be_switched_on(self):
        account = self.make(smtp_host=False)
        with self.assertRaisesRegex(ValidationError, "names no server"):
            account.state = "enabled"
        account.write({"smtp_host": "smtp.example.com", "state": "enabled"})
        with self.assertRaisesRegex(ValidationError, "names no server"):
            account.smtp_host = False

    def test_server_and_numbers_are_checked(self):
        account = self.make()
        for name, wrong, right in (
            ("smtp_host", "https://smtp.example.com", "smtp.example.com"),
            ("smtp_host", "smtp.example.com:587", "127.0.0.1"),
            ("smtp_host", "smtp example", "mail.exämple.com"),
            ("smtp_host", "a\r\nb", "2001:db8::25"),
            ("smtp_port", 0, 25),
            ("smtp_port", 65536, 65535),
            ("smtp_connect_timeout", 0, 300),
            ("smtp_data_timeout", 4000, 600),
            ("smtp_max_messages", -1, 1),
            ("smtp_local_name", "odoo example", "odoo.example.com"),
            ("smtp_source_address", "eth0", "192.0.2.1"),
            ("smtp_authorities", "/nowhere/authority.pem", False),
            ("relay_threads", 0, 8),
            ("relay_batch_size", 5000, 1000),
        ):
            with self.subTest(field=name, value=wrong):
                with self.assertRaises(ValidationError):
                    account[name] = wrong
                account[name] = right

    def test_the_adapter_gets_every_setting(self):
        account = self.make(
            smtp_port=2525,
            smtp_tls="starttls",
            smtp_verify_certificate=False,
            smtp_user="shop",
            smtp_password=PASSWORD,
            smtp_allow_clear_text_login=True,
            smtp_pipelining=False,
            smtp_max_messages=7,
            smtp_max_age=11,
            smtp_address_family="prefer_ipv4",
            smtp_source_address="192.0.2.1",
            smtp_connect_timeout=3,
            smtp_command_timeout=4,
            smtp_data_timeout=5,
            smtp_local_name="odoo.example.com",
        )
        found = self.settings(account)
        self.assertEqual(
            (found.host, found.port, found.tls, found.verify_certificate),
            ("smtp.example.com", 2525, "starttls", False),
        )
        self.assertEqual(
            (found.login, found.password, found.allow_clear_text_login),
            ("shop", PASSWORD, True),
        )
        self.assertEqual(
            (found.pipelining, found.max_messages, found.max_age), (False, 7, 11)
        )
        self.assertEqual(
            (found.family, found.source_address, found.local_name, found.authorities),
            ("prefer_ipv4", "192.0.2.1", "odoo.example.com", ""),
        )
        self.assertEqual(
            (found.connect_timeout, found.command_timeout, found.data_timeout),
            (3, 4, 5),
        )
        self.assertNotIn(PASSWORD, repr(found))

    def test_password_is_masked_and_a_replaced_one_is_gone(self):
        account = self.make(smtp_user="shop", smtp_password="the-old-one")
        account.smtp_password = PASSWORD
        self.assertNotIn(PASSWORD, str(account.read()))
        self.assertEqual(account._facts().secrets["password"], [PASSWORD])

    def test_password_may_come_from_the_environment(self):
        account = self.make(reference="shop", smtp_user="shop")
        variable = "MAIL_BRIDGE_SHOP_SMTP_PASSWORD"
        self.assertEqual(account.secret_variables, variable)
        with patch.dict(os.environ, {variable: PASSWORD}):
            account.invalidate_recordset()
            self.assertEqual(account.secrets_outside, variable)
            self.assertEqual(self.settings(account).password, PASSWORD)

    def test_the_form_as_an_administrator_sees_it(self):
        with Form(self.env["mail.bridge.account"].with_user(self.head())) as form:
            form.name = "New"
            form.code = "smtp"
            form.smtp_host = "smtp.example.com"
            form.smtp_port = 465
            form.smtp_user = "shop"
            form.smtp_password = PASSWORD
            form.relay_doubt_policy = "resend"
            form.smtp_address_family = "ipv4"
        found = self.settings(form.record.sudo())
        self.assertEqual((found.port, found.password), (465, PASSWORD))
        self.assertEqual(found.family, "ipv4")

    def test_uninstalling_leaves_the_account_readable(self):
        account = self.make(state="enabled")
        uninstall_hook(self.env)
        self.assertEqual((account.code, account.state), ("none", "disabled"))

    def test_a_neutralized_copy_sends_nothing(self):
        account = self.make(state="enabled", smtp_password=PASSWORD)
        self.env.flush_all()
        for query in get_neutralization_queries(["mail_bridge", "mail_relay"]):
            self.env.cr.execute(query)
        self.env.invalidate_all()
        self.env.registry.clear_cache()
        self.assertEqual((account.state, account.relay_enabled), ("disabled", False))
        self.assertFalse(account._has_secret("smtp_password"))

    def test_the_door_does_not_know_it(self):
        self.assertFalse(registry.get("smtp").takes_posts)
