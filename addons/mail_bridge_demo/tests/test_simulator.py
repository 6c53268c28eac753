# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re

from odoo.exceptions import UserError
from odoo.tests import new_test_user, tagged

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge_demo import uninstall_hook
from odoo.addons.mail_bridge_demo.mails import KINDS

from .common import SimulatorCase


@tagged("post_install", "-at_install")
class TestSimulator(SimulatorCase):
    def test_the_simulator_makes_its_own_key(self):
        [key] = self.account._live_secrets()["demo_signing_key"]
        self.assertGreaterEqual(len(key), 24)
        other = self.make_simulator()
        self.assertNotEqual(other._live_secrets()["demo_signing_key"], [key])

    def test_each_kind_becomes_what_it_shows(self):
        self.assertEqual(self.first.state, "routed")
        outcomes = {
            "plain": ("routed", "verified"),
            "rich": ("routed", "verified"),
            "attachment": ("routed", "verified"),
            "reply": ("routed", "verified"),
            "non_ascii": ("routed", "verified"),
            "bounce": ("routed", False),
            "newsletter": ("routed", "verified"),
            "forged": ("quarantined", "unverified"),
            "unrouted": ("unrouted", "verified"),
            "spam": ("unrouted", "unverified"),
        }
        self.assertEqual(set(outcomes), set(KINDS))
        for kind, expected in outcomes.items():
            with self.subTest(kind=kind):
                message = self.simulate(self.account, kind)
                self.assertEqual((message.state, message.trust), expected)
                self.assertEqual(message.is_bounce, kind == "bounce")
                self.assertEqual(message.spam_flagged, kind == "spam")

    def test_an_answer_joins_its_conversation(self):
        message = self.simulate(self.account, "reply")
        self.assertEqual(message._record(), self.first._record())

    def test_nobody_real_is_written_to_or_named(self):
        for kind in KINDS:
            message = self.simulate(self.account, kind)
            mail = message._mail()
            hosts = re.findall(rb"@([\w.-]+)", mail.mime)
            manager = self.env.ref("base.user_admin").email or ""
            own = {self.account._demo_alias().alias_domain_id.name.encode()}
            own.add(manager.rpartition("@")[2].encode())
            reserved = (b".example", b"example.com")  # RFC 2606: nobody's
            strangers = {host for host in hosts if not host.endswith(reserved)}
            self.assertLessEqual(strangers, own, kind)

    def test_history_fills_every_view(self):
        Account = self.env["mail.bridge.account"]
        account = Account._set_up_simulator()
        # a database with demo data has a history, perhaps an older one
        self.env["mail.bridge.intake"].search(
            [("account_id", "=", account.id)]
        ).unlink()
        self.env.invalidate_all()
        domain = [("account_id.code", "=", "demo"), ("id", ">", self.first.id)]
        Account._demo_history()
        messages = self.env["mail.bridge.message"].search(domain)
        self.assertGreaterEqual(len(messages), 30)
        states = {key for key, _label in messages._fields["state"].selection}
        # no mail stays "received": its state is decided in the same transaction
        self.assertEqual(set(messages.mapped("state")), states - {"received"})
        self.assertGreaterEqual(
            set(messages.mapped("reason")),
            {
                "no_route",
                "unverified_reply",
                "loop",
                "not_ours",
                "test_mode",
                "by_hand",
            },
        )
        trusts = {key for key, _label in messages._fields["trust"].selection}
        self.assertEqual(set(messages.mapped("trust")) - {False}, trusts)
        self.assertTrue(messages.activity_ids)
        days = {message.received_at.date() for message in messages}
        self.assertGreaterEqual(len(days), 13)
        posts = self.env["mail.bridge.intake"].search([("account_id", "=", account.id)])
        self.assertIn("dead", posts.mapped("state"))
        Account._demo_history()
        self.assertEqual(messages.search(domain), messages)

    def test_the_wizard_wants_an_enabled_simulator_and_a_sane_number(self):
        Wizard = self.env["mail.bridge.simulate.wizard"]
        for count in (0, -1, 51):
            wizard = Wizard.create(
                {"account_id": self.account.id, "kind": "plain", "count": count}
            )
            with self.assertRaises(UserError):
                wizard.action_simulate()
        self.account.action_disable()
        wizard = Wizard.create({"account_id": self.account.id})
        with self.assertRaises(UserError):
            wizard.action_simulate()

    def test_without_the_addon_posts_that_wait_are_dead_and_told(self):
        intake = self.account._demo_store(self.account._simulate("plain"), utcnow())
        uninstall_hook(self.env)
        self.assertEqual(intake.state, "dead")
        self.assertIn("uninstalled", intake.error)
        self.assertTrue(self.account.activity_ids)

    def test_without_the_addon_accounts_and_mails_stay_readable(self):
        uninstall_hook(self.env)
        user = new_test_user(self.env, "reader-1", groups="mail_bridge.group_user")
        account = self.account.with_user(user)
        self.assertEqual((account.code, account.state), ("none", "disabled"))
        message = self.first.with_user(user)
        self.assertTrue(message.subject and message.account_id.name)
        self.assertIn("not installed", message.read_content()["error"])
