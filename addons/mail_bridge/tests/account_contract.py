# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the accounts of every provider have in common."""

from importlib import import_module

from odoo.exceptions import ValidationError
from odoo.tests import Form, new_test_user

from odoo.addons.mail_bridge_guard.answers import TRY_AGAIN_STATUS

from ..providers import registry


class AccountContract:
    """For a ``TransactionCase`` of a provider's addon.

    :cvar code: the provider.
    :cvar credentials: values without which an account cannot be enabled.
    """

    code = ""
    credentials = {}
    #: Without this, Odoo's loader runs only the tests that a class itself defines.
    allow_inherited_tests_method = True

    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {"name": "Account", "code": self.code, **values}
        )

    def head(self):
        """Return an administrator of Mail Bridge who may not change settings."""
        groups = "mail_bridge.group_administrator"
        return new_test_user(self.env, f"{self.code}-head", groups=groups)

    def test_an_account_made_by_new_has_the_provider_s_logo_and_addon(self):
        row = self.env.ref(f"mail_bridge.account_{self.code}")
        with Form(self.env["mail.bridge.account"].with_user(self.head())) as form:
            form.name = "A second one"
            form.code = self.code
        self.assertTrue(row.image_128)
        self.assertEqual(form.record.image_128, row.image_128)
        self.assertEqual(form.record.sudo().module_id, row.module_id)

    def test_who_switches_it_on_is_responsible_where_nobody_is(self):
        head = self.head()
        for button in ("action_enable", "action_test_mode"):
            account = self.make(user_id=False, **self.credentials)
            getattr(account.with_user(head), button)()
            self.assertEqual(account.user_id, head)
        account = self.make(user_id=self.env.ref("base.user_admin").id)
        account.write(self.credentials)
        account.with_user(head).action_enable()
        self.assertEqual(account.user_id, self.env.ref("base.user_admin"))

    def test_guard_and_adapter_agree_on_try_again(self):
        adapter = registry.get(self.code)
        self.assertEqual(TRY_AGAIN_STATUS[self.code], adapter.answers.try_again.status)

    def test_uninstalling_leaves_the_account_readable(self):
        account = self.make(state="enabled", **self.credentials)
        addon = import_module(f"odoo.addons.mail_bridge_{self.code}")
        addon.uninstall_hook(self.env)
        self.assertEqual((account.code, account.state), ("none", "disabled"))


class UnsignedAccountContract(AccountContract):
    """For a provider whose posts only their address or their network proves."""

    def test_address_holds_a_token(self):
        account = self.make(state="enabled")
        self.assertRegex(account.webhook_url, rf"/mailgate/{self.code}/[\w-]{{32}}$")

    def test_without_token_and_network_it_cannot_be_enabled(self):
        account = self.make(state="enabled")
        with self.assertRaises(ValidationError):
            account.require_token = False

    def test_network_alone_may_authenticate(self):
        account = self.make(
            state="enabled", require_token=False, allowed_networks="192.0.2.0/24"
        )
        self.assertEqual(account.state, "enabled")

    def test_the_form_lets_the_network_alone_authenticate(self):
        account = self.make(state="enabled").with_user(self.head())
        with Form(account) as form:
            with self.assertRaises(AssertionError):  # read-only: nothing else proves
                form.require_token = False
            form.allowed_networks = "192.0.2.0/24"
            form.require_token = False
        self.assertFalse(account.require_token)
        with Form(account) as form:
            form.require_token = True
            form.allowed_networks = False
        self.assertTrue(account.require_token)
