# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from unittest.mock import patch

from odoo.exceptions import ValidationError
from odoo.tests import Form, TransactionCase, tagged

from odoo.addons.mail_bridge.tests.account_contract import AccountContract

KEY = "key-0123456789abcdef"


@tagged("post_install", "-at_install")
class TestMailgunAccount(AccountContract, TransactionCase):
    code = "mailgun"
    credentials = {"mailgun_signing_key": KEY}

    def test_account_is_created_and_enabled_in_one_call(self):
        account = self.make(mailgun_signing_key=KEY, state="enabled")
        self.assertEqual(account.state, "enabled")
        self.assertEqual(account._facts().secrets["signing_key"], [KEY])

    def test_without_signing_key_it_cannot_be_enabled(self):
        with self.assertRaises(ValidationError):
            self.make(state="enabled")
        account = self.make(mailgun_signing_key=KEY, state="enabled")
        with self.assertRaises(ValidationError):
            account.write({"mailgun_signing_key": False, "state": "test"})

    def test_key_is_shown_as_a_mask_and_the_mask_changes_nothing(self):
        account = self.make(mailgun_signing_key=KEY)
        shown = account.read(["mailgun_signing_key"])[0]["mailgun_signing_key"]
        self.assertNotIn(KEY, shown)
        account.mailgun_signing_key = shown
        self.assertEqual(account._facts().secrets["signing_key"], [KEY])

    def test_replaced_key_stays_live_for_a_while(self):
        account = self.make(mailgun_signing_key="key-old-old-old-old")
        account.mailgun_signing_key = KEY
        live = account._facts().secrets["signing_key"]
        self.assertEqual(live, [KEY, "key-old-old-old-old"])

    def test_key_may_come_from_the_environment(self):
        account = self.make(reference="shop")
        variable = "MAIL_BRIDGE_SHOP_MAILGUN_SIGNING_KEY"
        with patch.dict(os.environ, {variable: KEY}):
            account.invalidate_recordset()
            self.assertEqual(account.secrets_outside, variable)
            self.assertEqual(account._facts().secrets["signing_key"], [KEY])
            account.state = "enabled"
        self.assertEqual(account.state, "enabled")

    def test_recommended_address_is_ready_to_copy(self):
        account = self.make(mailgun_signing_key=KEY)
        for required in (False, True):
            account.require_token = required
            self.assertEqual(account.mailgun_mime_url, f"{account.webhook_url}/mime")
        view = account.get_view(view_type="form")
        self.assertIn('name="mailgun_mime_url"', view["arch"])
        other = account.create({"name": "Another provider", "code": "none"})
        self.assertFalse(other.mailgun_mime_url)

    def test_address_needs_no_token_unless_wished(self):
        account = self.make(mailgun_signing_key=KEY)
        self.assertTrue(account.webhook_url.endswith("/mailgate/mailgun"))
        account.require_token = True
        self.assertRegex(account.webhook_url, r"/mailgate/mailgun/[\w-]{32}$")

    def test_facts_hold_what_sending_needs(self):
        account = self.make(
            mailgun_api_key=KEY, mailgun_domain="mg.example.com", mailgun_region="eu"
        )
        facts = account._facts()
        self.assertEqual(facts.secret("api_key"), KEY)
        self.assertEqual(facts.options["domain"], "mg.example.com")
        self.assertEqual(facts.options["region"], "eu")

    def test_other_providers_get_none_of_its_options(self):
        other = self.env["mail.bridge.account"].create({"name": "Other"})
        self.assertFalse({"domain", "region"} & other._adapter_options().keys())

    def test_what_is_no_domain_is_refused_at_once(self):
        for name in ("mg.example.com/messages", "two words", "https://mg.example.com"):
            with self.subTest(name=name), self.assertRaises(ValidationError):
                self.make(mailgun_domain=name)

    def test_the_form_shows_what_sending_needs(self):
        account = self.make(mailgun_signing_key=KEY).with_user(self.head())
        with Form(account) as form:
            form.mailgun_api_key = KEY
            form.mailgun_domain = "mg.example.com"
            form.mailgun_region = "eu"
        self.assertEqual(account.sudo()._facts().options["region"], "eu")
        self.assertEqual(account.mailgun_events_url, f"{account.webhook_url}/events")
