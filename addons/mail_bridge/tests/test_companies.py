# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged

from ..providers.base import InboundMail
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

    def secret_reply(self, **values):
        """Return the entry, in our account, of a reply into a thread of theirs."""
        secret = self.env["res.partner"].create(
            {"name": "Secret merger", "company_id": self.other.id}
        )
        parent = secret.message_post(body="We ask", message_type="comment")
        mime = self.make_mail(References=parent.message_id)
        return self.deliver(mime, [f"catchall@{DOMAIN}"], **values), mime

    def test_the_name_of_a_record_of_another_company_is_not_told(self):
        message, _mime = self.secret_reply(verdicts=self.verified())
        self.assertEqual(message.state, "routed")
        self.assertEqual(message.record_name, "Secret merger")
        self.assertFalse(message.with_user(self.ours).record_name)
        mine = self.deliver(recipients=[f"desk-a@{DOMAIN}"])
        self.assertEqual(
            mine.with_user(self.ours).record_name, mine._record().display_name
        )

    def test_nobody_releases_into_a_record_of_another_company(self):
        message, mime = self.secret_reply()
        self.assertEqual(message.state, "quarantined")
        mail = InboundMail(mime=mime, envelope_recipients=(f"catchall@{DOMAIN}",))
        user = message.with_user(self.ours).sudo()
        with self.assertRaises(UserError):
            user._route(mail, mime, released=True)
        message._route(mail, mime, released=True)
        self.assertEqual(message.state, "routed")
