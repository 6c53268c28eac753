# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields
from odoo.tests import new_test_user, tagged

from .common import DOMAIN, BridgeCase


@tagged("post_install", "-at_install")
class TestCompanies(BridgeCase):
    """Each company sees its own mail, and its mail is processed in that company."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = cls.env["res.company"].create({"name": "Elsewhere"})
        cls.other_account = cls.env["mail.bridge.account"].create(
            {"name": "Account Elsewhere", "company_id": cls.other.id}
        )
        groups = "mail_bridge.group_administrator"
        cls.ours = new_test_user(cls.env, "bridge-ours", groups=groups)
        cls.theirs = new_test_user(
            cls.env,
            "bridge-theirs",
            groups=groups,
            company_id=cls.other.id,
            company_ids=[fields.Command.set(cls.other.ids)],
        )

    def make_one_of_each(self, account):
        """Return an account with a post, its mail, and a notice."""
        message = self.deliver(recipients=[f"nobody@{DOMAIN}"], account=account)
        self.env["mail.bridge.notice"]._record(account.id, "disabled", "detail")
        notice = self.env["mail.bridge.notice"].search(
            [("account_id", "=", account.id)]
        )
        return [account, message.intake_id, message, notice]

    def test_records_of_another_company_are_hidden(self):
        mine = self.make_one_of_each(self.account)
        foreign = self.make_one_of_each(self.other_account)
        for user, own, hidden in (
            (self.ours, mine, foreign),
            (self.theirs, foreign, mine),
        ):
            for visible, invisible in zip(own, hidden, strict=True):
                self.assertEqual((len(visible), len(invisible)), (1, 1))
                with self.subTest(user=user.login, model=visible._name):
                    found = visible.with_user(user).search([])
                    self.assertIn(visible, found)
                    self.assertNotIn(invisible, found)
                    self.assertFalse(invisible.with_user(user).has_access("read"))

    def test_a_record_is_made_in_the_account_s_company(self):
        """Here of a model whose company is the current one; any thread will do."""
        model = self.env["ir.model"]._get("mail.bridge.account")
        alias = self.make_alias("accounts", alias_model_id=model.id)
        for account in (self.account, self.other_account):
            message = self.deliver(recipients=[alias.alias_full_name], account=account)
            self.assertEqual(message.state, "routed")
            record = self.env[message.res_model].browse(message.res_id)
            self.assertEqual(record.company_id, account.company_id)
