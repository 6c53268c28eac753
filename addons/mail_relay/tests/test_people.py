# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from lxml import etree

from odoo import release
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, HttpCase, new_test_user, tagged

from odoo.addons.mail_bridge.providers.delivery import Reply

from .people_case import PeopleCase

ACTIONS = (
    "mail_relay_message_action",
    "mail_relay_recipient_action",
    "mail_relay_analysis_action",
    "mail_relay_suppression_action",
    "mail_relay_route_action",
    "mail_relay_limit_action",
    "mail_relay_gate_action",
    "mail_relay_template_action",
    "mail_relay_batch_action",
)


@tagged("post_install", "-at_install")
class TestPeople(PeopleCase):
    def arch(self, user, model, kind):
        view = self.env[model].with_user(user).get_view(view_type=kind)
        return etree.fromstring(view["arch"])

    def found(self, user, model, domain=()):
        return self.env[model].with_user(user).search(list(domain))

    # --- Views ---

    def test_each_action_opens_for_users_and_administrators(self):
        mail = self.enqueue("ann@outside.example", "bob@outside.example")
        self.tell(mail, "delivered")
        self.env["mail.relay.limit"].create({"account_id": self.account.id, "count": 5})
        for name in ACTIONS:
            action = self.env.ref(f"mail_relay.{name}")
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

    def test_the_account_form_shows_limits_to_administrators_alone(self):
        for user, shown in ((self.user, False), (self.head, True)):
            arch = self.arch(user, "mail.bridge.account", "form")
            found = arch.xpath("//field[@name='relay_limit_ids']")
            self.assertEqual(bool(found), shown)

    def test_an_administrator_makes_routes_and_limits(self):
        with Form(self.env["mail.relay.route"].with_user(self.head)) as form:
            form.name = "Newsletters"
            form.kind = "marketing"
            for account in (self.other, self.account):
                with form.line_ids.new() as line:
                    line.account_id = account
        self.assertEqual(form.record.account_ids, self.other | self.account)
        form = Form(self.account.with_user(self.head))
        with form.relay_limit_ids.new() as line:
            line.count, line.period, line.domain = 3, "second", "*"
        form.save()
        self.assertEqual(self.account.relay_limit_ids.count, 3)

    def test_a_user_changes_neither_routes_nor_limits_nor_suppressions(self):
        for model, values in (
            ("mail.relay.route", {"name": "x"}),
            ("mail.relay.limit", {"account_id": self.account.id, "count": 1}),
            (
                "mail.relay.suppression",
                {"email_normalized": "a@b.example", "reason": "x"},
            ),
        ):
            with self.assertRaises(AccessError):
                self.env[model].with_user(self.user).create(values)

    def test_the_kanban_shows_work_in_its_order(self):
        mails = self.enqueue() | self.enqueue() | self.enqueue()
        for mail, state in zip(mails, ("cancelled", "dead", "queued"), strict=True):
            self.put(mail, state=state)
        # compat: 18.0 wants fields before the groups
        extra = ([],) if release.version_info[0] < 19 else ()
        result = self.env["mail.relay.message"].web_read_group(
            [("id", "in", mails.ids)], *extra, ["state"]
        )
        states = [group["state"] for group in result["groups"]]
        self.assertEqual(states, ["queued", "dead", "cancelled"])

    # --- What is shown of a mail ---

    def test_recipients_are_named_and_their_fate_is_told(self):
        one = self.enqueue("ann@outside.example")
        many = self.enqueue(*(f"n{number}@outside.example" for number in range(5)))
        self.assertEqual(one.recipient_names, "ann@outside.example")
        self.assertEqual((one.fate, one.fate_tone), ("Pending", "open"))
        self.assertEqual(many.recipient_count, 5)
        self.assertIn("n0@outside.example", many.recipient_names)
        self.assertIn("2 more", many.recipient_names)
        first = many.recipient_ids.sorted("id")[0]
        self.put(first, state="delivered")
        self.assertEqual(many.fate, "1 delivered, 4 pending")
        self.assertEqual(many.fate_tone, "good")
        self.put(first, state="bounced")
        self.assertEqual(many.fate_tone, "bad")

    def test_mails_are_found_by_recipient_message_id_and_state(self):
        mail = self.enqueue("ann@outside.example", "bob@elsewhere.example")
        other = self.enqueue("carl@outside.example")
        Mail = self.env["mail.relay.message"].with_user(self.user)
        ours = [("id", "in", (mail | other).ids)]
        for term, expected in (
            (("recipient_names", "ilike", "Bob@Elsewhere.example"), mail),
            (("recipient_names", "ilike", "elsewhere"), mail),
            (("recipient_names", "ilike", "outside.example"), mail | other),
            (("recipient_names", "=", "nobody@outside.example"), Mail),
            (("message_id", "=", mail.message_id), mail),
            (("state", "=", "queued"), mail | other),
        ):
            with self.subTest(term=term):
                self.assertEqual(Mail.search([*ours, term]), expected)

    def test_a_whole_address_is_found_by_the_index(self):
        domain = self.env["mail.relay.message"]._search_recipient_names(
            "ilike", "Ann@Outside.example"
        )
        self.assertEqual(
            domain,
            [("recipient_ids.email_normalized", "in", ["ann@outside.example"])],
        )

    def test_the_route_is_told_with_the_names_of_the_accounts(self):
        mail = self.enqueue()
        self.assertEqual(mail.route_story, "First Account: chosen by the sender")

    # --- Timeline ---

    def test_the_timeline_tells_attempts_and_events_the_latest_first(self):
        mail = self.enqueue()
        self.put(mail, created_at=self.now - timedelta(hours=2))
        self.env["mail.relay.attempt"].create(
            {
                "relay_message_id": mail.id,
                "account_id": self.account.id,
                "number": 1,
                "started_at": self.now - timedelta(hours=1),
                "ended_at": self.now - timedelta(hours=1),
                "outcome": "deferred",
                "smtp_code": 451,
                "text": "4.7.1 try later",
                "next_attempt": self.now - timedelta(minutes=59),
            }
        )
        self.tell(
            mail,
            "bounced",
            bounce_class="hard",
            reply=Reply("remote", 550, "5.1.1", "no such user"),
        )
        timeline = mail.with_user(self.user).read_timeline()
        bounce, attempt, queued = timeline["entries"]
        self.assertFalse(timeline["more"])
        self.assertEqual((bounce["title"], bounce["tone"]), ("Bounced", "danger"))
        self.assertEqual(bounce["who"], "ann@outside.example")
        self.assertEqual(bounce["details"], ["550 5.1.1 no such user"])
        self.assertEqual(attempt["title"], "Attempt 1: Deferred")
        self.assertEqual(attempt["who"], "First Account")
        self.assertEqual(
            attempt["details"], ["451 4.7.1 try later", "Tried again after 1 min"]
        )
        self.assertEqual(queued["title"], "Queued")

    def test_an_event_without_our_reference_is_told_by_its_recipient(self):
        mail = self.enqueue()
        self.tell(mail, "delivered")
        event = self.env["mail.bridge.event"].search([], limit=1)
        person = mail.recipient_ids
        self.put(event, reference=None, relay_recipient_id=person.id)
        titles = [entry["title"] for entry in mail.read_timeline()["entries"]]
        self.assertIn("Delivered", titles)

    def test_the_timeline_names_who_got_nothing_and_why(self):
        self.env["mail.relay.suppression"].create(
            {"email_normalized": "ann@outside.example", "reason": "hard bounce"}
        )
        mail = self.enqueue("ann@outside.example", "bob@outside.example")
        titles = {
            entry["who"]: entry["details"]
            for entry in mail.read_timeline()["entries"]
            if entry["title"] == "Not sent"
        }
        self.assertEqual(titles, {"ann@outside.example": ["hard bounce"]})

    def test_who_may_not_see_a_mail_reads_no_timeline(self):
        stranger = new_test_user(self.env, "relay-stranger", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.enqueue().with_user(stranger).read_timeline()

    # --- Content ---

    def test_an_administrator_reads_the_text_a_user_does_not(self):
        mail = self.enqueue()
        content = mail.with_user(self.head).read_content()
        self.assertTrue(content["has_text"])
        self.assertIn("record", mail.with_user(self.user).read_content()["error"])

    def test_a_user_reads_what_he_can_read_in_the_record(self):
        partner = self.env["res.partner"].create({"name": "Customer"})
        post = partner.message_post(body="Hello", message_type="comment")
        mail = self.enqueue(
            model="res.partner", res_id=partner.id, mail_message_id=post.id
        )
        self.assertTrue(mail.with_user(self.user).read_content()["has_text"])

    def test_no_user_reads_a_mail_that_sets_a_password(self):
        post = self.env["mail.message"].create(
            {"model": "res.users", "res_id": self.head.id, "body": "your link"}
        )
        mail = self.enqueue(
            model="res.users", res_id=self.head.id, mail_message_id=post.id
        )
        self.assertFalse(mail.with_user(self.user).can_read_content)

    def test_a_mail_whose_time_is_over_says_so(self):
        mail = self.enqueue()
        self.env.cr.execute(
            "DELETE FROM mail_relay_message_body WHERE message_id = %s", (mail.id,)
        )
        error = mail.with_user(self.head).read_content()["error"]
        self.assertIn("retention", error)

    # --- Bulk actions ---

    def test_a_user_tries_dead_mails_again_and_cancels_waiting_ones(self):
        dead, queued = self.enqueue(), self.enqueue()
        self.put(dead, state="dead", attempts=9, error="refused")
        self.put(dead.recipient_ids, state="failed")
        dead.with_user(self.user).action_retry()
        self.assertEqual((dead.state, dead.attempts), ("queued", 0))
        self.assertEqual(dead.recipient_ids.state, "pending")
        (dead | queued).with_user(self.user).action_cancel()
        self.assertEqual(set((dead | queued).mapped("state")), {"cancelled"})
        self.assertEqual(queued.recipient_ids.state, "cancelled")

    def test_mails_in_doubt_are_sent_again_as_possible_duplicates(self):
        held, queued = self.enqueue(), self.enqueue()
        self.put(held, state="held", hold_reason="doubt")
        (held | queued).with_user(self.user).action_resend()
        self.assertEqual((held.state, held.possible_duplicates), ("queued", 1))
        self.assertEqual(queued.possible_duplicates, 0)
        with self.assertRaises(UserError):
            queued.with_user(self.user).action_resend()

    def test_suspended_mails_are_released_and_others_stay_held(self):
        suspended = self.enqueue(suspended=True)
        doubt = self.enqueue()
        self.put(doubt, state="held", hold_reason="doubt")
        (suspended | doubt).with_user(self.user).action_release()
        self.assertEqual((suspended.state, doubt.state), ("queued", "held"))

    def hand_over(self, mails, account=None, user=None):
        action = mails.with_user(user or self.user).action_choose_account()
        Wizard = self.env[action["res_model"]].with_user(user or self.user)
        with Form(Wizard.with_context(**action["context"])) as form:
            form.account_id = account or self.other
        return form.record.action_apply()

    def test_another_account_takes_what_waits_and_what_was_given_up(self):
        dead, queued, claimed, held, done = (self.enqueue() for _mail in range(5))
        self.put(dead, state="dead", error="refused")
        self.put(dead.recipient_ids, state="failed")
        self.put(
            claimed, claimed_by="worker", claimed_until=self.now + timedelta(minutes=1)
        )
        self.put(held, state="held", hold_reason="doubt")
        self.put(done, state="done")
        self.hand_over(dead | queued | claimed | held | done)
        self.assertEqual((dead | queued).account_id, self.other)
        self.assertEqual(dead.state, "queued")
        self.assertIn("chosen by", dead.route_story)
        self.assertEqual((claimed | held | done).account_id, self.account)

    def test_a_mail_that_may_have_arrived_gets_no_other_account(self):
        held = self.enqueue()
        self.put(held, state="held", hold_reason="doubt")
        with self.assertRaises(UserError):
            self.hand_over(held)

    def test_an_account_that_cannot_send_takes_nothing(self):
        mail = self.enqueue()
        self.other.action_disable()
        with self.assertRaises(UserError):
            mail.with_user(self.user)._hand_over(self.other)

    # --- Figures ---

    def figures(self, domain=()):
        [row] = self.env["mail.relay.analysis"]._read_group(
            [("account_id", "=", self.account.id), *domain],
            [],
            [
                "recipients:sum",
                "sent:sum",
                "delivered:sum",
                "delivered_rate:avg",
                "opened_rate:avg",
                "bounced_rate:avg",
            ],
        )
        return row

    def test_rates_are_shares_of_what_was_sent_and_delivered(self):
        mail = self.enqueue(*(f"n{number}@outside.example" for number in range(6)))
        states = ("pending", "sent", "delivered", "opened", "bounced", "failed")
        for person, state in zip(mail.recipient_ids.sorted("id"), states, strict=True):
            self.put(person, state=state)
        recipients, sent, delivered, d_rate, o_rate, b_rate = self.figures()
        self.assertEqual((recipients, sent, delivered), (6, 4, 2))
        self.assertEqual((d_rate, o_rate, b_rate), (0.5, 0.5, 0.25))

    def test_a_time_proves_what_a_later_state_no_longer_says(self):
        mail = self.enqueue()
        self.put(
            mail.recipient_ids, state="bounced", sent_at=self.now, delivered_at=self.now
        )
        _recipients, sent, delivered, *_rates = self.figures()
        self.assertEqual((sent, delivered), (1, 1))

    def test_every_figure_opens_its_recipients_and_these_their_mail(self):
        mail = self.enqueue("ann@outside.example")
        row = self.env["mail.relay.analysis"].search(
            [("relay_message_id", "=", mail.id)]
        )
        self.assertEqual(row.id, mail.recipient_ids.id)
        self.assertEqual(row.address, "ann@outside.example")
        self.assertEqual(row.action_open_mail()["res_id"], mail.id)

    def test_a_closed_door_is_shown(self):
        self.env.cr.execute(
            """INSERT INTO mail_relay_gate (account_id, domain, opens_at, reason)
               VALUES (%s, 'outside.example',
                       now() AT TIME ZONE 'UTC' + interval '1 hour', 'throttle'),
                      (%s, 'open.example',
                       now() AT TIME ZONE 'UTC' - interval '1 hour', 'over')""",
            (self.account.id, self.account.id),
        )
        gates = self.found(
            self.user, "mail.relay.gate", [("account_id", "=", self.account.id)]
        )
        self.assertEqual(gates.mapped("domain"), ["outside.example"])
        self.assertEqual(gates.company_id, self.account.company_id)

    # --- Gauges ---

    def test_gauges_count_what_waits_and_the_last_minute(self):
        mails = [self.enqueue() for _mail in range(6)]
        states = ("queued", "queued", "sending", "in_doubt", "held", "dead")
        for mail, state in zip(mails, states, strict=True):
            self.put(mail, state=state)
        self.put(mails[0], next_attempt=self.now - timedelta(minutes=10))
        self.put(mails[1], next_attempt=self.now + timedelta(days=1))
        for ago in (5, 30, 300):
            at = self.now - timedelta(seconds=ago)
            self.env["mail.relay.attempt"].create(
                {
                    "relay_message_id": mails[0].id,
                    "account_id": self.account.id,
                    "ended_at": at,
                    "outcome": "accepted",
                }
            )
        self.env.cr.execute(
            """INSERT INTO mail_relay_gate (account_id, domain, failures, reason)
               VALUES (%s, '', 3, 'connect')""",
            (self.account.id,),
        )
        gauges = self.env["mail.bridge.account"].with_user(self.user).relay_gauges()
        [own] = [gauge for gauge in gauges if gauge["id"] == self.account.id]
        counts = ("queued", "due", "sending", "in_doubt", "held", "dead", "rate")
        self.assertEqual([own[name] for name in counts], [2, 1, 1, 1, 1, 1, 2])
        self.assertAlmostEqual(own["lag"], 600, delta=30)
        self.assertEqual(own["doors"][0]["failures"], 3)
        [idle] = [gauge for gauge in gauges if gauge["id"] == self.other.id]
        self.assertEqual([idle[name] for name in counts], [0] * 7)

    def test_gauges_show_nothing_of_other_companies(self):
        company = self.env["res.company"].create({"name": "Other Company"})
        account = self.make_account("Theirs", company_id=company.id)
        for user in (self.user, self.head):
            gauges = self.env["mail.bridge.account"].with_user(user).relay_gauges()
            self.assertNotIn(account.id, [gauge["id"] for gauge in gauges])
        stranger = new_test_user(self.env, "relay-stranger", groups="base.group_user")
        with self.assertRaises(AccessError):
            self.env["mail.bridge.account"].with_user(stranger).relay_gauges()

    # --- Companies ---

    def test_companies_see_nothing_of_one_another(self):
        company = self.env["res.company"].create({"name": "Other Company"})
        account = self.make_account("Theirs", company_id=company.id)
        mail = self.enqueue(account_id=account.id, company_id=company.id)
        self.env["mail.relay.limit"].create({"account_id": account.id, "count": 1})
        self.env["mail.relay.route"].create(
            {
                "name": "Theirs",
                "company_id": company.id,
                "line_ids": [(0, 0, {"account_id": account.id})],
            }
        )
        self.env["mail.relay.suppression"].create(
            {
                "email_normalized": "x@y.example",
                "reason": "theirs",
                "company_id": company.id,
            }
        )
        self.env.cr.execute(
            """INSERT INTO mail_relay_gate (account_id, domain, failures)
               VALUES (%s, '', 3)""",
            (account.id,),
        )
        for user in (self.user, self.head):
            for model, domain in (
                ("mail.relay.message", [("id", "=", mail.id)]),
                ("mail.relay.recipient", [("relay_message_id", "=", mail.id)]),
                ("mail.relay.analysis", [("relay_message_id", "=", mail.id)]),
                ("mail.relay.limit", [("account_id", "=", account.id)]),
                ("mail.relay.gate", [("account_id", "=", account.id)]),
                ("mail.relay.route", [("company_id", "=", company.id)]),
                ("mail.relay.suppression", [("company_id", "=", company.id)]),
            ):
                with self.subTest(model=model, user=user.login):
                    self.assertTrue(self.env[model].search_count(domain))
                    self.assertFalse(self.found(user, model, domain))
            with self.assertRaises(AccessError):
                mail.with_user(user).read_timeline()
        ours = self.enqueue()
        with self.assertRaises(AccessError):
            ours._hand_over(account)


@tagged("post_install", "-at_install")
class TestMailPages(HttpCase, PeopleCase):
    def url(self, mail, what):
        return f"/mail_relay/message/{mail.id}/{what}"

    def test_an_administrator_downloads_the_mail_as_it_is_sent(self):
        mail = self.enqueue(mime=self.mime("A secret text"))
        self.authenticate("relay-head", "relay-head")
        answer = self.url_open(self.url(mail, "mail.eml"))
        self.assertEqual(answer.status_code, 200)
        self.assertIn("A secret text", answer.text)
        self.assertEqual(answer.headers["Content-Type"], "message/rfc822")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("attachment", answer.headers["Content-Disposition"])

    def test_the_preview_runs_and_loads_nothing(self):
        mail = self.enqueue()
        self.authenticate("relay-head", "relay-head")
        answer = self.url_open(self.url(mail, "view"))
        self.assertEqual(answer.status_code, 200)
        self.assertIn("Hello", answer.text)
        policy = answer.headers["Content-Security-Policy"]
        self.assertIn("sandbox", policy)
        self.assertIn("default-src 'none'", policy)

    def test_others_get_no_text(self):
        mail = self.enqueue(mime=self.mime("A secret text"))
        self.authenticate("relay-user", "relay-user")
        self.assertEqual(self.url_open(self.url(mail, "mail.eml")).status_code, 404)
        self.assertNotIn("secret", self.url_open(self.url(mail, "view")).text)
        answer = self.url_open(self.url(mail, "attachment/0"))
        self.assertEqual(answer.status_code, 404)
        new_test_user(self.env, "relay-nobody", groups="base.group_user")
        self.authenticate("relay-nobody", "relay-nobody")
        self.assertEqual(self.url_open(self.url(mail, "view")).status_code, 404)
