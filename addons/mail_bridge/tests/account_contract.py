# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the accounts of every provider have in common."""

from importlib import import_module

from odoo.exceptions import ValidationError

from odoo.addons.mail_bridge_guard.answers import TRY_AGAIN_STATUS

from ..providers import registry


class AccountContract:
    """For a ``TransactionCase`` of a provider's addon.

    :cvar code: the provider.
    :cvar credentials: values without which an account cannot be enabled.
    """

    code = ""
    credentials = {}

    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {"name": "Account", "code": self.code, **values}
        )

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
