# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from lxml import etree

from odoo.exceptions import AccessError
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.mail.tools.discuss import Store

from ..models import mail_bridge_account_setup as setup
from .common import DOMAIN, BridgeCase

ACTIONS = (
    "mail_bridge_account_action",
    "mail_bridge_message_action",
    "mail_bridge_message_report_action",
    "mail_bridge_intake_action",
    "mail_bridge_event_action",
    "mail_bridge_notice_action",
)


@tagged("post_install", "-at_install")
class TestViews(BridgeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user = new_test_user(
            cls.env, "bridge-reader", groups="mail_bridge.group_user"
        )
        cls.head = new_test_user(
            cls.env, "bridge-head", groups="mail_bridge.group_administrator"
        )

    def arch(self, user, model, kind):
        view = self.env[model].with_user(user).get_view(view_type=kind)
        return etree.fromstring(view["arch"])

    def test_each_action_opens_for_users_and_administrators(self):
        for name in ACTIONS:
            action = self.env.ref(f"mail_bridge.{name}")
            model = self.env[action.res_model]
            for user in (self.user, self.head):
                for kind in [*action.view_mode.split(","), "search"]:
                    with self.subTest(action=name, user=user.login, kind=kind):
                        arch = self.arch(user, action.res_model, kind)
                        names = {
                            node.get("name")
                            for node in arch.iter("field")
                            if not node.xpath("ancestor::field")
                        }
                        model.with_user(user).search([], limit=5).read(
                            [name for name in names if name]
                        )

    def test_users_see_no_credentials(self):
        shown = {
            node.get("name")
            for node in self.arch(self.user, "mail.bridge.account", "form").iter()
        }
        for name in ("webhook_url", "checklist", "credentials", "action_renew_token"):
            self.assertNotIn(name, shown)
        self.assertTrue({"name", "state", "message_total"} <= shown)

    def test_an_administrator_edits_an_account(self):
        with Form(self.account.with_user(self.head)) as form:
            form.name = "Another Name"
        self.assertEqual(self.account.name, "Another Name")

    def test_the_catalogue_row_shows_whether_it_is_installed(self):
        account = self.env["mail.bridge.account"].create({"name": "Row"})
        self.assertFalse(account.is_installed)
        account.module_id = self.env.ref("base.module_mail")
        self.assertTrue(account.is_installed)

    def test_settings_open_and_change_the_number_of_drains(self):
        settings = self.env["res.config.settings"].create(
            {"mail_bridge_drain_count": 3}
        )
        settings.execute()
        drains = self.env["mail.bridge.intake"]._drain_crons()
        self.assertEqual(self.env["ir.cron"].search_count([("id", "in", drains)]), 3)

    def test_settings_leave_drains_alone_that_are_off_on_purpose(self):
        drains = self.env["mail.bridge.intake"]._drain_crons()
        self.env["ir.cron"].browse(drains).active = False
        self.env["res.config.settings"].create({"mail_bridge_body_days": 40}).execute()
        self.assertFalse(self.env["ir.cron"].search_count([("id", "in", drains)]))

    def test_each_lane_needs_somebody_who_works_on_it(self):
        Intake = self.env["mail.bridge.intake"]
        for lane in ("main", "network"):
            self.assertTrue(Intake._has_drain(lane))
            crons = self.env["ir.cron"].browse(Intake._drain_crons(lane))
            crons.active = False
            self.assertFalse(Intake._has_drain(lane))

    # --- Warnings ---

    def test_administrators_alone_are_warned(self):
        self.patch(setup, "guard_is_loaded", lambda: False)
        Account = self.env["mail.bridge.account"]
        self.assertEqual(Account.with_user(self.user).health_warnings(), [])
        [warning] = Account.with_user(self.head).health_warnings()
        self.assertIn("server_wide_modules", warning["text"])
        self.patch(setup, "guard_is_loaded", lambda: True)
        self.assertEqual(Account.with_user(self.head).health_warnings(), [])

    # --- Inbox ---

    def test_content_is_read_by_who_may_read_the_message(self):
        message = self.deliver()
        self.assertTrue(message.with_user(self.user).read_content()["error"])
        stranger = new_test_user(self.env, "bridge-stranger", groups="base.group_user")
        with self.assertRaises(AccessError):
            message.with_user(stranger).read_content()

    def test_an_original_whose_time_is_over_says_so(self):
        message = self.deliver()
        message.intake_id.body_deleted = True
        content = message.with_user(self.user).read_content()
        self.assertIn("retention", content["error"])


@tagged("post_install", "-at_install")
class TestChatterLine(BridgeCase):
    """What the chatter's small line is made of, on 18.0 and on 19.0."""

    def stored(self, message, user):
        """Return what the web client is told about a mail.message."""
        message = message.with_user(user)
        message.env.invalidate_all()
        store = Store()
        store.add(message)
        result = store.get_result()
        [data] = [item for item in result["mail.message"] if item["id"] == message.id]
        return data

    def post_of(self, **mail):
        message = self.deliver(recipients=[f"desk-a@{DOMAIN}"], **mail)
        [post] = self.posts(message._record())
        return post

    def test_an_internal_user_without_rights_in_mail_bridge_reads_the_line(self):
        clerk = new_test_user(self.env, "bridge-clerk", groups="base.group_user")
        for verdicts, trust in (
            ({"verdicts": self.verified()}, "verified"),
            ({}, "unverified"),
        ):
            post = self.post_of(**verdicts)
            with self.assertRaises(AccessError):
                post.bridge_message_id.with_user(clerk).read(["trust"])
            data = self.stored(post, clerk)
            self.assertEqual(data["bridge_account"], "Test Account")
            self.assertEqual(data["bridge_trust"], trust)
            self.assertEqual(data["bridge_message_ref"], post.bridge_message_id.id)

    def test_other_messages_have_no_line(self):
        clerk = new_test_user(self.env, "bridge-clerk", groups="base.group_user")
        post = self.customer.message_post(body="a note")
        self.assertFalse(self.stored(post, clerk).get("bridge_account"))

    def test_portal_users_learn_nothing(self):
        portal = new_test_user(self.env, "bridge-portal", groups="base.group_portal")
        post = self.post_of(verdicts=self.verified())
        post.sudo().partner_ids = portal.partner_id
        self.assertNotIn("bridge_account", self.stored(post.sudo(False), portal))
