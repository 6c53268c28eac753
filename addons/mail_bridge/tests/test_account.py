# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import new_test_user, tagged
from odoo.tools import mute_logger

from ..door_account import is_allowed, parse_networks
from ..models import mail_bridge_notice
from ..models.mail_bridge_secret import token_digest
from .common import BridgeCase


@tagged("post_install", "-at_install")
class TestAccount(BridgeCase):
    def token(self, account=None):
        return (account or self.account)._live_secrets()["url_token"][0]

    def addresses(self):
        return self.env["mail.bridge.token"].search(
            [("account_id", "=", self.account.id)]
        )

    def test_address_has_at_least_128_bits_and_is_looked_up_by_hash(self):
        token = self.token()
        self.assertGreaterEqual(len(token) * 6, 128)
        self.assertEqual(self.addresses().digest, token_digest(token))
        self.assertNotIn(token, str(self.addresses().read()))

    def test_renewed_address_keeps_the_old_one_for_a_while(self):
        old = self.token()
        self.account.action_renew_token()
        self.assertNotEqual(self.token(), old)
        replaced = self.addresses().filtered("valid_until")
        self.assertEqual(replaced.digest, token_digest(old))

    def test_account_without_provider_cannot_be_enabled(self):
        with self.assertRaises(ValidationError):
            self.account.action_enable()

    def test_networks_are_checked(self):
        with self.assertRaises(ValidationError):
            self.account.allowed_networks = "300.1.1.1"
        self.account.allowed_networks = "192.0.2.0/24\n2001:db8::/32"
        for address, allowed in (
            ("192.0.2.77", True),
            ("::ffff:192.0.2.77", True),
            ("2001:db8::1", True),
            ("198.51.100.1", False),
            ("nonsense", False),
        ):
            networks = parse_networks(self.account.allowed_networks)
            self.assertEqual(is_allowed(networks, address), allowed, address)

    def test_user_reads_but_does_not_change_accounts(self):
        user = new_test_user(self.env, "bridge-user", groups="mail_bridge.group_user")
        account = self.account.with_user(user)
        self.assertEqual(account.name, "Test Account")
        with self.assertRaises(AccessError):
            account.name = "Changed"
        with self.assertRaises(AccessError):
            account.read(["webhook_url"])

    def test_nobody_reads_secrets_through_the_orm(self):
        with self.assertRaises(AccessError):
            self.env["mail.bridge.secret"].with_user(self.admin).search([])

    def test_stranger_sees_nothing(self):
        user = new_test_user(self.env, "stranger", groups="base.group_user")
        for model in ("account", "intake", "message", "notice"):
            with self.assertRaises(AccessError):
                self.env[f"mail.bridge.{model}"].with_user(user).search([])

    def test_accounts_of_other_companies_are_hidden(self):
        other = self.env["res.company"].create({"name": "Elsewhere"})
        self.account.company_id = other
        user = new_test_user(self.env, "one-company", groups="mail_bridge.group_user")
        found = self.env["mail.bridge.account"].with_user(user).search([])
        self.assertNotIn(self.account, found)

    def test_notice_is_sampled_and_told_once(self):
        Notice = self.env["mail.bridge.notice"]
        for _post in range(50):
            Notice._record(self.account.id, "disabled", "detail")
        notice = Notice.search([("account_id", "=", self.account.id)])
        self.assertEqual((len(notice), notice.count), (1, 1))
        Notice._cron_tell()
        Notice._cron_tell()
        self.assertEqual(len(self.account.activity_ids), 1)
        self.assertEqual(self.account.open_notice_count, 1)

    def test_notice_is_told_again_when_it_comes_back(self):
        Notice = self.env["mail.bridge.notice"]
        Notice._record(self.account.id, "ambiguous")
        notice = Notice.search([("account_id", "=", self.account.id)])
        notice.write({"told": True, "last_seen": "2026-01-01 00:00:00"})
        self.env.flush_all()
        mail_bridge_notice._written.clear()
        Notice._record(self.account.id, "ambiguous")
        notice.invalidate_recordset()
        self.assertEqual((notice.count, notice.told), (2, False))

    def test_whoever_cannot_see_it_is_not_the_one_who_is_told(self):
        admin = self.env.ref("base.user_admin")
        user = new_test_user(self.env, "responsible", groups="mail_bridge.group_user")
        stranger = new_test_user(self.env, "stranger", groups="base.group_user")
        for number, (person, told) in enumerate(
            [(user, user), (stranger, admin), (self.env["res.users"], admin)]
        ):
            self.account.user_id = person
            self.account._warn(f"Warning {number}")
            self.assertEqual(self.account.activity_ids[-1:].user_id, told)
        self.account.user_id = user
        user.active = False
        self.account._warn("Warning of nobody")
        self.assertEqual(self.account.activity_ids[-1:].user_id, admin)

    def test_account_with_mail_that_waits_is_not_deleted(self):
        intake = self.make_intake()
        with self.assertRaisesRegex(UserError, "not processed"):
            self.account.unlink()
        intake._set_done()
        self.account.unlink()
        self.assertFalse(self.account.exists())

    def test_address_of_the_environment_must_be_a_secret(self):
        self.account.reference = "outside"
        for token, counts in (
            ("abc", False),
            ("Zm9v+YmFyYmF6cXV4c2VjcmV0dG9rZW4=", False),
            ("0123456789abcdef.therestofthesecret", False),
            ("Zm9vYmFyYmF6cXV4c2VjcmV0", True),
        ):
            with patch.dict(os.environ, {"MAIL_BRIDGE_OUTSIDE_URL_TOKEN": token}):
                addresses = self.account._as_door().addresses
                self.assertEqual(token_digest(token) in addresses, counts)
                [step] = self.account._token_steps()
                self.assertEqual(step["state"], "done" if counts else "fault")

    def test_notice_that_cannot_be_told_holds_up_no_other(self):
        poison = self.env["mail.bridge.account"].create({"name": "Poison"})
        Notice = self.env["mail.bridge.notice"]
        for account in (self.account, poison):
            for kind in ("replay", "network"):
                Notice._record(account.id, kind)
        self.env.cr.execute(
            f"""CREATE FUNCTION test_refuses_activity() RETURNS trigger
                LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
                CREATE TRIGGER test_refuses BEFORE INSERT ON mail_activity
                FOR EACH ROW WHEN (NEW.res_id = {poison.id}
                                   AND NEW.res_model = 'mail.bridge.account')
                EXECUTE FUNCTION test_refuses_activity()"""
        )
        logged = self.assertLogs("odoo.addons.mail_bridge.models.mail_bridge_notice")
        with logged, mute_logger("odoo.sql_db"):
            Notice._cron_tell()
        self.assertEqual(len(self.account.activity_ids), 2)
        self.assertEqual([notice.told for notice in poison.notice_ids], [False, False])

    def test_retention_outlives_the_retries_of_providers(self):
        Settings = self.env["res.config.settings"]
        for name in ("mail_bridge_body_days", "mail_bridge_message_days"):
            for days in (-1, 0, 1):
                with self.assertRaises(ValidationError):
                    Settings.create({name: days})
            Settings.create({name: 2}).execute()
