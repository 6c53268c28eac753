# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from dataclasses import replace
from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.mail_bridge.providers.delivery import Reply

from .event_common import NOW, RelayEventCase

READER = "reader@customer.example"
FULL = Reply("remote", 552, "5.2.2", "mailbox full")
ODD = Reply("remote", 550, "", "no")
MONTH = timedelta(days=30)


@tagged("post_install", "-at_install")
class TestSuppression(RelayEventCase):
    def entries(self, **values):
        domain = [(name, "=", value) for name, value in values.items()]
        return self.Suppression.search([("email_normalized", "=", READER), *domain])

    def happen(self, mail, *events):
        self.apply(*events)
        self.tell()
        return mail

    def bounce_of(self, days_ago, reply, bounce_class):
        """A mail of some days ago that came back at once."""
        at = fields.Datetime.now() - timedelta(days=days_ago, minutes=1)
        mail = self.send(READER, at=at)
        event = self.bounce(mail, bounce_class, reply)
        moment = NOW - timedelta(days=days_ago)
        return self.happen(mail, replace(event, occurred_at=moment))

    def held(self, account=None, **values):
        account = account or self.account
        return bool(self.Suppression._held_back([READER], account, **values))

    # --- Dead addresses ---

    def test_a_hard_bounce_stops_all_mail_for_a_month(self):
        mail = self.bounce_of(0, self.gone, "hard")
        entry = self.entries()
        self.assertEqual((entry.scope, entry.reason), ("all", "invalid"))
        self.assertEqual(entry.until - entry.since, MONTH)
        self.assertEqual(entry.source, "event")
        self.assertIn("no such user", entry.evidence)
        self.assertIn(mail.message_id, entry.evidence)
        self.assertTrue(self.held() and self.held(is_marketing=True))

    gone = Reply("remote", 550, "5.1.1", "no such user here")

    def test_each_new_proof_renews_it(self):
        self.bounce_of(20, self.gone, "hard")
        first = self.entries()
        until = first.until
        self.bounce_of(1, self.gone, "hard")
        self.assertEqual(self.entries(), first)
        self.assertGreater(first.until, until + timedelta(days=18))
        self.bounce_of(10, self.gone, "hard")  # a late one takes nothing away
        self.assertGreater(first.until, until + timedelta(days=18))

    def test_the_same_bounce_told_again_renews_nothing(self):
        mail = self.bounce_of(20, self.gone, "hard")
        until = self.entries().until
        self.happen(mail, self.bounce(mail), self.bounce(mail))
        self.assertEqual(self.entries().until, until)

    def test_after_a_month_it_holds_nothing_back(self):
        self.bounce_of(31, self.gone, "hard")
        self.assertTrue(self.entries())
        self.assertFalse(self.held())

    def test_what_the_sender_or_the_moment_is_to_blame_for_proves_nothing(self):
        spam = Reply("remote", 550, "5.7.1", "spam")
        self.bounce_of(0, spam, "block")
        self.bounce_of(0, self.gone, "soft")
        self.bounce_of(0, FULL, "soft")
        self.assertFalse(self.entries())

    def test_a_full_mailbox_counts_after_two_weeks_and_three_mails(self):
        for days in (20, 10):
            self.bounce_of(days, FULL, "soft")
            self.assertFalse(self.entries())
        self.bounce_of(2, FULL, "soft")
        self.assertEqual(self.entries().reason, "quota")

    def test_an_unexplained_refusal_counts_the_second_time_in_a_week(self):
        self.bounce_of(12, ODD, "")
        self.bounce_of(3, ODD, "")
        self.assertFalse(self.entries())
        self.bounce_of(1, ODD, "")
        self.assertEqual(self.entries().reason, "unknown")

    def test_a_hard_bounce_that_the_provider_calls_so_needs_no_words(self):
        self.bounce_of(0, None, "hard")
        self.assertEqual(self.entries().reason, "invalid")

    def test_what_a_server_said_to_ourselves_counts_as_well(self):
        mail = self.send(READER, truth="pending")
        mail.recipient_ids.write(
            {
                "state": "bounced",
                "bounce_class": "hard",
                "rank": self.rank("bounced", "hard"),
                "reason": "invalid",
                "stage": "rcpt",
                "bounced_at": fields.Datetime.now(),
            }
        )
        self.tell()
        self.assertEqual(self.entries().source, "attempt")

    # --- Wishes ---

    def test_who_complains_or_unsubscribes_gets_no_marketing(self):
        for kind in ("complained", "unsubscribed"):
            with self.subTest(kind=kind):
                self.entries().unlink()
                self.env["mail.blacklist"].search([]).unlink()
                mail = self.send(READER)
                self.happen(mail, self.event(mail, kind))
                entry = self.entries()
                self.assertEqual((entry.scope, entry.reason), ("marketing", kind))
                self.assertFalse(entry.until)
                self.assertTrue(self.held(is_marketing=True))
                self.assertFalse(self.held(), "an invoice still goes")
                black = self.env["mail.blacklist"].search([("email", "=", READER)])
                self.assertEqual(len(black), 1)

    def test_who_is_on_odoos_own_blacklist_gets_no_marketing(self):
        self.env["mail.blacklist"]._add(READER)
        self.assertTrue(self.held(is_marketing=True))
        self.assertFalse(self.held())

    def test_an_account_may_hold_back_everything(self):
        mail = self.send(READER)
        self.happen(mail, self.event(mail, "complained"))
        self.account.relay_suppress_transactional = True
        self.assertTrue(self.held())

    def test_a_wish_counts_though_the_truth_is_beyond_it(self):
        mail = self.send(READER)
        self.happen(mail, self.bounce(mail))
        self.happen(mail, self.event(mail, "unsubscribed"))
        self.assertEqual(set(self.entries().mapped("scope")), {"all", "marketing"})

    def test_a_wish_that_was_told_twice_is_one(self):
        mail = self.send(READER)
        self.happen(mail, self.event(mail, "complained"))
        self.happen(mail, self.event(mail, "unsubscribed"))
        self.assertEqual(self.entries().reason, "complained")

    def test_who_is_back_from_the_blacklist_goes_there_again(self):
        black = self.env["mail.blacklist"].create({"email": READER})
        black.active = False
        mail = self.send(READER)
        self.happen(mail, self.event(mail, "unsubscribed"))
        self.assertTrue(black.active)

    def test_a_wish_of_nobody_we_know_is_kept_as_an_event_alone(self):
        mail = self.send(READER)
        event = self.event(mail, "complained", reference="f" * 32)
        self.happen(mail, event)
        self.assertFalse(self.entries())

    # --- By hand ---

    def test_taken_back_it_holds_nothing_back_until_the_next_proof(self):
        self.bounce_of(2, self.gone, "hard")
        self.entries().active = False
        self.assertFalse(self.held())
        self.bounce_of(0, self.gone, "hard")
        self.assertTrue(self.held())
        both = self.entries().with_context(active_test=False)
        self.assertEqual(len(both.search([("email_normalized", "=", READER)])), 2)

    def test_what_was_entered_without_an_end_keeps_its_reason(self):
        entry = self.Suppression.create({"email_normalized": READER})
        self.bounce_of(0, self.gone, "hard")
        self.assertEqual((entry.reason, entry.until), ("manual", False))

    def test_an_address_is_kept_as_it_is_compared(self):
        entry = self.Suppression.create(
            {"email_normalized": " Reader@Customer.Example"}
        )
        self.assertEqual(entry.email_normalized, READER)
        with self.assertRaises(ValidationError):
            entry.email_normalized = "nobody"

    def test_an_entry_for_a_list_names_it(self):
        with self.assertRaises(ValidationError):
            self.Suppression.create({"email_normalized": READER, "scope": "list"})
        self.Suppression.create(
            {"email_normalized": READER, "scope": "list", "list_reference": "news"}
        )
        self.assertTrue(self.held(list_reference="news"))
        self.assertFalse(self.held(list_reference="other") or self.held())

    def test_an_entry_ends_after_it_begins(self):
        with self.assertRaises(ValidationError):
            self.Suppression.create(
                {"email_normalized": READER, "until": NOW.replace(tzinfo=None) - MONTH}
            )

    # --- Companies, people ---

    def test_companies_do_not_share_entries(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        other = self.account.create({"name": "Elsewhere", "company_id": company.id})
        self.bounce_of(0, self.gone, "hard")
        self.assertTrue(self.held())
        self.assertFalse(self.held(other))
        user = new_test_user(
            self.env,
            "relay-elsewhere",
            groups="mail_bridge.group_administrator",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        self.assertFalse(self.Suppression.with_user(user).search([]))

    def test_administrators_work_with_entries_and_users_read_them(self):
        head = new_test_user(
            self.env, "relay-head", groups="mail_bridge.group_administrator"
        )
        with Form(self.Suppression.with_user(head)) as form:
            form.email_normalized = READER
        user = new_test_user(self.env, "relay-user", groups="mail_bridge.group_user")
        entry = self.entries().with_user(user)
        self.assertEqual(entry.read(["scope"])[0]["scope"], "all")
        with self.assertRaises(AccessError):
            entry.active = False
        for kind in ("list", "form", "search"):
            entry.get_view(view_type=kind)

    def test_an_entry_shows_what_it_has_held_back(self):
        self.bounce_of(0, self.gone, "hard")
        mail = self.Message._enqueue([self.submission(READER)])
        entry = self.entries()
        self.assertEqual(mail.recipient_ids.suppression_id, entry)
        self.assertEqual(entry.recipient_count, 1)
        action = entry.action_view_recipients()
        found = self.Recipient.search(action["domain"])
        self.assertEqual(found, mail.recipient_ids)
