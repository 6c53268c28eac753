# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.exceptions import ValidationError
from odoo.tests import TransactionCase, tagged

from odoo.addons.mail_bridge_guard.answers import TRY_AGAIN_STATUS

from .. import uninstall_hook
from ..adapter import ImprovmxAdapter


@tagged("post_install", "-at_install")
class TestImprovmxAccount(TransactionCase):
    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {"name": "Account", "code": "improvmx", **values}
        )

    def test_address_holds_a_token(self):
        account = self.make(state="enabled")
        self.assertRegex(account.webhook_url, r"/mailgate/improvmx/[\w-]{32}$")

    def test_without_token_and_network_it_cannot_be_enabled(self):
        account = self.make(state="enabled")
        with self.assertRaises(ValidationError):
            account.require_token = False

    def test_network_alone_may_authenticate(self):
        account = self.make(
            state="enabled", require_token=False, allowed_networks="192.0.2.0/24"
        )
        self.assertEqual(account.state, "enabled")

    def test_guard_and_adapter_agree_on_try_again(self):
        self.assertEqual(
            TRY_AGAIN_STATUS["improvmx"], ImprovmxAdapter.answers.try_again.status
        )

    def test_uninstalling_leaves_the_account_readable(self):
        account = self.make(state="enabled")
        uninstall_hook(self.env)
        self.assertEqual((account.code, account.state), ("none", "disabled"))
