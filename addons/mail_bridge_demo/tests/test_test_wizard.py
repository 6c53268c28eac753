# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import socket

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, TransactionCase, new_test_user, tagged
from odoo.tools import config

from odoo.addons.mail_bridge.providers.base import utcnow

from .common import SimulatorMixin


@tagged("post_install", "-at_install")
class TestTestWizard(SimulatorMixin, TransactionCase):
    """What the test mail's dialog says, for each way it can go.

    The post itself goes over HTTP against a real server in the browser's tests.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = cls.make_simulator()
        cls.account._demo_alias()
        cls.wizard = cls.env["mail.bridge.test.wizard"].create(
            {"account_id": cls.account.id, "email_from": "Ada <ada@outside.example>"}
        )

    def answered(self, status, **values):
        self.wizard.write(
            {
                "is_posted": True,
                "status": status,
                "posted_at": fields.Datetime.now(),
                **values,
            }
        )
        return self.wizard.steps

    def accepted(self, **values):
        """A post that the door took (stored unless ``stored`` is False)."""
        sample = self.account._simulate("plain")
        intake = self.account._demo_store(sample, utcnow())
        return intake, self.answered(200, dedupe_key=intake.dedupe_key, **values)

    def labels(self, steps, state):
        return [step["label"] for step in steps if step["state"] == state]

    def test_it_offers_an_address_that_leads_to_a_record(self):
        alias = self.env["mail.alias"].search(
            [("alias_full_name", "=", self.wizard.email_to)]
        )
        self.assertTrue(alias)
        self.account.accepted_domains = "elsewhere.example"
        wizard = self.wizard.create({"account_id": self.account.id})
        self.assertEqual(wizard.email_to, "mail-bridge-test@elsewhere.example")

    def test_a_test_mail_proves_nothing_of_the_provider(self):
        first, found = "delivered a first mail", "found its record"

        def ticked():
            self.account.invalidate_recordset(["checklist"])
            done = self.labels(self.account.checklist, "done")
            return [any(step in label for label in done) for step in (first, found)]

        sample = self.account._adapter().compose_post(
            self.wizard._mime(),
            "ada@outside.example",
            self.wizard.email_to,
            self.account._facts(),
        )
        self.assertEqual(self.receive(self.account, sample).state, "routed")
        self.assertEqual(ticked(), [False, False])
        self.simulate(self.account, "unrouted")
        self.assertEqual(ticked(), [True, False])
        self.simulate(self.account, "plain")
        self.assertEqual(ticked(), [True, True])

    def test_nobody_answers(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            self.env["ir.config_parameter"].set_param(
                "web.base.url", f"http://127.0.0.1:{port}"
            )
            self.addCleanup(config.__setitem__, "http_port", config["http_port"])
            config["http_port"] = port
            self.wizard.action_post()
        [step] = self.wizard.steps
        self.assertEqual(step["state"], "fault")
        self.assertTrue(self.wizard.trouble)
        token = self.account._live_secrets()["url_token"][0]
        self.assertNotIn(token, step["hint"])

    def test_each_refusal_is_named(self):
        for status, words in (
            (404, "dbfilter"),
            (413, "size"),
            (403, "signature"),
            (301, "redirects"),
            (500, "log"),
            (503, "database was away"),
        ):
            [step] = self.answered(status)
            self.assertEqual(step["state"], "fault")
            self.assertIn(words, step["hint"], status)
            self.assertTrue(self.wizard.is_over)

    def test_a_refusal_may_be_the_network(self):
        self.account.allowed_networks = "192.0.2.0/24"
        [step] = self.answered(403)
        self.assertIn("allowed networks", step["hint"])

    def test_a_delay_is_explained_by_state_or_notice(self):
        self.account._demo_notice("key_ring", "wrong key", 1)
        [step] = self.answered(503)
        self.assertIn("wrong key", step["hint"])
        self.account.action_disable()
        [step] = self.answered(503)
        self.assertIn("disabled", step["hint"])

    def test_another_database_took_it(self):
        steps = self.answered(200, dedupe_key="0" * 32)
        self.assertEqual(steps[-1]["state"], "fault")
        self.assertIn("dbfilter", steps[-1]["hint"])

    def test_it_says_where_only_the_own_port_answered(self):
        intake, _steps = self.accepted(is_local=True)
        intake._deliver(intake._mails())
        self.env.invalidate_all()
        [label] = self.labels(self.wizard.steps, "warning")
        self.assertIn("own port", label)
        self.assertTrue(self.wizard.is_over)

    def test_it_waits_then_says_that_nobody_processes(self):
        _intake, steps = self.accepted()
        self.assertEqual(steps[-1]["state"], "wait")
        self.assertFalse(self.wizard.is_over)
        long_ago = fields.Datetime.subtract(fields.Datetime.now(), minutes=1)
        self.wizard.posted_at = long_ago
        self.env.invalidate_all()
        self.assertEqual(self.wizard.steps[-1]["state"], "fault")
        self.assertIn("max_cron_threads", self.wizard.steps[-1]["hint"])

    def test_an_error_in_processing_is_shown(self):
        intake, _steps = self.accepted()
        intake.write({"state": "failed", "error": "TemporaryError: the moon"})
        self.env.invalidate_all()
        self.assertIn("the moon", self.wizard.steps[-1]["hint"])
        self.assertTrue(self.wizard.is_over)

    def test_a_mail_in_a_record_is_success(self):
        intake, _steps = self.accepted()
        intake._deliver(intake._mails())
        self.env.invalidate_all()
        steps = self.wizard.steps
        self.assertEqual({step["state"] for step in steps}, {"done"})
        self.assertEqual(self.wizard.message_id, intake.message_ids)
        action = self.wizard.action_open_record()
        self.assertEqual(action["res_id"], intake.message_ids.res_id)

    def test_test_mode_keeps_it_in_the_inbox(self):
        self.account.action_test_mode()
        intake, _steps = self.accepted()
        intake._deliver(intake._mails())
        self.env.invalidate_all()
        self.assertFalse(self.labels(self.wizard.steps, "fault"))
        self.assertIn("test mode", self.wizard.steps[-1]["label"])

    def test_an_unrouted_mail_is_a_warning_with_its_reason(self):
        sample = self.account._simulate("unrouted")
        intake = self.account._demo_store(sample, utcnow())
        intake._deliver(intake._mails())
        steps = self.answered(200, dedupe_key=intake.dedupe_key)
        self.assertEqual(steps[-1]["state"], "warning")
        self.assertIn("No alias", steps[-1]["hint"])

    def test_addresses_are_checked(self):
        self.wizard.email_to = "nobody"
        with self.assertRaises(UserError):
            self.wizard.action_post()

    def test_users_cannot_send_test_mails(self):
        user = new_test_user(self.env, "reader-2", groups="mail_bridge.group_user")
        with self.assertRaises(AccessError):
            self.wizard.with_user(user).action_post()

    # --- Checklist ---

    def test_the_checklist_follows_the_account(self):
        def state(label):
            self.account.invalidate_recordset()
            steps = {step["label"]: step for step in self.account.checklist}
            return steps[label]["state"]

        self.assertEqual(state("The provider can prove who it is"), "done")
        self.assertEqual(state("The account is switched on"), "done")
        self.assertEqual(state("The provider delivered a first mail"), "todo")
        self.assertEqual(state("A real mail found its record"), "todo")
        self.simulate(self.account, "plain")
        self.assertEqual(state("The provider delivered a first mail"), "done")
        self.assertEqual(state("A real mail found its record"), "done")
        self.assertEqual(state("All notices are solved"), "done")
        self.account._demo_notice("replay", "", 1)
        self.assertEqual(state("All notices are solved"), "fault")
        self.account.action_disable()
        self.assertEqual(state("The account is switched on"), "todo")
        self.account.demo_signing_key = False
        self.assertEqual(state("The provider can prove who it is"), "todo")

    def test_the_checklist_stays_while_the_account_is_edited(self):
        steps = [step["label"] for step in self.account.checklist]
        with Form(self.account) as form:
            form.allowed_networks = "192.0.2.0/24"
            self.assertEqual([step["label"] for step in form.checklist], steps)

    def test_the_checklist_says_whether_providers_can_reach_us(self):
        for url, reachable in (
            ("https://odoo.example.com", "done"),
            ("http://odoo.example.com", "todo"),
            ("https://localhost:8069", "todo"),
            ("http://127.0.0.1", "todo"),
        ):
            self.env["ir.config_parameter"].set_param("web.base.url", url)
            self.account.invalidate_recordset()
            steps = {step["label"]: step["state"] for step in self.account.checklist}
            self.assertEqual(
                steps["The address is public and encrypted"], reachable, url
            )
