# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, new_test_user, tagged

from .common import SimulatorCase


@tagged("post_install", "-at_install")
class TestPeople(SimulatorCase):
    """What people decide about mails, with Mail Bridge's own groups and no more."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.users = [
            new_test_user(
                cls.env,
                f"bridge-people-{role}",
                groups=f"mail_bridge.group_{role},base.group_partner_manager",
            )
            for role in ("user", "administrator")
        ]
        cls.user, cls.head = cls.users
        cls.reader = new_test_user(
            cls.env, "bridge-people-reader", groups="mail_bridge.group_user"
        )

    def dialog(self, message, user):
        """Return the form that the button *Route…* opens."""
        action = message.with_user(user).action_route_by_hand()
        wizard = self.env[action["res_model"]].with_user(user)
        return Form(wizard.with_context(**action["context"]))

    def choices(self, user, name):
        wizard = self.env["mail.bridge.route.wizard"].with_user(user)
        return dict(wizard.fields_get([name])[name]["selection"])

    # --- Route… ---

    def test_a_mail_becomes_a_new_record(self):
        for user in self.users:
            with self.subTest(user=user.login):
                message = self.simulate(self.account, "unrouted")
                form = self.dialog(message, user)
                self.assertEqual(form.target, "new")
                form.model = "res.partner"
                action = form.save().action_route()
                self.assertEqual(message.state, "routed")
                self.assertEqual(message.res_model, "res.partner")
                self.assertEqual(
                    (action["res_model"], action["res_id"]),
                    ("res.partner", message.res_id),
                )
                self.assertEqual(message.posted_ids.res_id, message.res_id)

    def test_a_mail_goes_into_an_existing_record(self):
        for user in self.users:
            with self.subTest(user=user.login):
                record = self.env["res.partner"].create({"name": "Known"})
                message = self.simulate(self.account, "unrouted")
                form = self.dialog(message, user)
                form.target = "record"
                form.record_ref = f"res.partner,{record.id}"
                form.save().action_route()
                self.assertEqual(message._record(), record)
                self.assertEqual(message.posted_ids.res_id, record.id)

    def test_an_administrator_makes_an_alias_for_now_and_later(self):
        message = self.simulate(self.account, "unrouted")
        form = self.dialog(message, self.head)
        form.target = "alias"
        self.assertEqual(form.alias_name, "office")
        form.model = "res.partner"
        form.save().action_route()
        self.assertEqual((message.state, message.res_model), ("routed", "res.partner"))
        later = self.simulate(self.account, "unrouted")
        self.assertEqual((later.state, later.res_model), ("routed", "res.partner"))
        self.assertNotEqual(later.res_id, message.res_id)

    def test_an_alias_that_is_there_is_never_turned_to_another_kind(self):
        message = self.simulate(self.account, "unrouted")
        alias = self.account._demo_alias()
        kinds = self.choices(self.head, "model")
        kinds.pop(alias.alias_model_id.model, None)
        form = self.dialog(message, self.head)
        form.target = "alias"
        form.alias_name = alias.alias_name
        form.alias_domain_id = alias.alias_domain_id
        form.model = next(iter(kinds))
        wizard = form.save()
        with self.assertRaises(UserError):
            wizard.action_route()

    def test_a_user_is_offered_no_alias_and_makes_none(self):
        self.assertEqual(set(self.choices(self.user, "target")), {"record", "new"})
        self.assertIn("alias", self.choices(self.head, "target"))
        message = self.simulate(self.account, "unrouted")
        Wizard = self.env["mail.bridge.route.wizard"].with_user(self.user)
        wizard = Wizard.create(
            {"message_ids": message.ids, "model": "res.partner", "target": "alias"}
        )
        with self.assertRaises(AccessError):
            wizard.action_route()

    def test_nobody_routes_to_what_they_may_not_write(self):
        for name in ("model", "record_ref"):
            self.assertIn("res.partner", self.choices(self.user, name))
            self.assertNotIn("res.partner", self.choices(self.reader, name))
            self.assertNotIn("mail.bridge.account", self.choices(self.head, name))
        message = self.simulate(self.account, "unrouted")
        partner = self.env["res.partner"].create({"name": "Not Theirs"})
        Wizard = self.env["mail.bridge.route.wizard"]
        wizard = Wizard.create(
            {
                "message_ids": message.ids,
                "model": "res.partner",
                "record_ref": f"res.partner,{partner.id}",
            }
        ).with_user(self.reader)
        with self.assertRaises(AccessError):
            wizard._route_to_new(message)
        with self.assertRaises(AccessError):
            wizard._route_to_record(message)

    # --- The other buttons ---

    def test_a_quarantined_mail_is_released(self):
        for user in self.users:
            with self.subTest(user=user.login):
                message = self.simulate(self.account, "forged")
                self.assertEqual(message.state, "quarantined")
                self.assertEqual(message._record(), self.first._record())
                message.with_user(user).action_release()
                self.assertEqual((message.state, message.trust), ("routed", "released"))
                self.assertEqual(message._record(), self.first._record())

    def test_a_mail_of_test_mode_is_released(self):
        for user in self.users:
            with self.subTest(user=user.login):
                self.account.state = "test"
                message = self.simulate(self.account, "plain")
                self.assertEqual(message.state, "held")
                message.with_user(user).action_release()
                self.assertEqual((message.state, message.trust), ("routed", "verified"))

    def test_a_mail_is_processed_again(self):
        alias = self.account._demo_alias()
        for user in self.users:
            with self.subTest(user=user.login):
                message = self.simulate(self.account, "unrouted")
                self.assertEqual(message.state, "unrouted")
                new_alias = alias.copy({"alias_name": "office"})
                message.with_user(user).action_process_again()
                self.assertEqual(message.state, "routed")
                self.assertEqual(message.res_model, alias.alias_model_id.model)
                new_alias.unlink()

    def test_a_mail_is_rejected(self):
        for user in self.users:
            for kind in ("unrouted", "forged"):
                with self.subTest(user=user.login, kind=kind):
                    message = self.simulate(self.account, kind)
                    message.with_user(user).action_reject()
                    self.assertEqual(
                        (message.state, message.reason), ("rejected", "by_hand")
                    )

    # --- The Inbox ---

    def test_what_waits_for_a_person_is_counted_and_shown_first(self):
        Message = self.env["mail.bridge.message"].with_user(self.user)
        before = Message.count_undecided()
        self.simulate(self.account, "plain")
        self.simulate(self.account, "forged")
        self.simulate(self.account, "unrouted")
        self.simulate(self.account, "unrouted").action_reject()
        self.assertEqual(Message.count_undecided(), before + 2)
