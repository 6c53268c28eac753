# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from odoo import fields
from odoo.tests import new_test_user, tagged

from ..const import EVENT_BATCH, MAX_TRIES, UNMATCHED_DAYS
from ..exceptions import PermanentError
from ..providers.base import InboundMail
from ..providers.delivery import DeliveryEvent, Reply
from .common import DOMAIN, BridgeCase

MOMENT = datetime(2026, 11, 20, 10, 0, 0, 250_000, timezone.utc)
EVENT = DeliveryEvent("delivered", "vera@customer.example", MOMENT, event_reference="1")


class EventCase(BridgeCase):
    def store(self, *events, **values):
        """Store events; return how many were new."""
        account = values.pop("account", self.account)
        count = self.env["mail.bridge.event"]._store(
            account, events, values.pop("source", "webhook"), **values
        )
        self.env.invalidate_all()
        return count

    def found(self, **values):
        domain = [(name, "=", value) for name, value in values.items()]
        own = ("account_id", "=", self.account.id)
        return self.env["mail.bridge.event"].search([own, *domain], order="id")

    def claimed(self, *events, attempts=1):
        """Store events as a claim leaves them; ``{id: number of this try}``."""
        self.store(*events)
        rows = self.found(state="pending")
        later = fields.Datetime.now() + timedelta(minutes=1)
        rows.write({"attempts": attempts, "next_attempt": later})
        self.env.flush_all()
        return dict.fromkeys(rows.ids, attempts)


@tagged("post_install", "-at_install")
class TestEvent(EventCase):
    def test_everything_that_was_told_is_kept(self):
        reply = Reply("remote", 550, "5.1.1", "no such user")
        self.store(
            DeliveryEvent(
                "bounced",
                "Vera@Customer.Example",
                MOMENT,
                reference="ref-1",
                provider_reference="mail-1",
                event_reference="event-1",
                message_id="<1@x.example>",
                bounce_class="hard",
                reply=reply,
                url="https://x.example/",
                user_agent="Reader",
                ip="192.0.2.7",
                metadata={"city": "Graz"},
            )
        )
        event = self.found()
        expected = {
            "type": "bounced",
            "state": "pending",
            "source": "webhook",
            "recipient": "Vera@Customer.Example",
            "email_normalized": "vera@customer.example",
            "reference": "ref-1",
            "provider_reference": "mail-1",
            "event_reference": "event-1",
            "message_id": "<1@x.example>",
            "bounce_class": "hard",
            "stage": "remote",
            "smtp_code": 550,
            "enhanced_code": "5.1.1",
            "diagnostic": "no such user",
            "url": "https://x.example/",
            "user_agent": "Reader",
            "ip": "192.0.2.7",
            "company_id": self.account.company_id,
        }
        self.assertEqual({name: event[name] for name in expected}, expected)
        self.assertEqual(event.occurred_at, MOMENT.replace(tzinfo=None))
        self.assertEqual(json.loads(event.metadata), {"city": "Graz"})

    def test_the_same_event_is_kept_once(self):
        self.assertEqual(self.store(EVENT, EVENT), 1)
        self.assertEqual(self.store(EVENT), 0)
        self.assertEqual(self.store(EVENT, source="reconcile"), 0)

    def test_one_id_for_several_recipients_or_types_names_several_events(self):
        others = (
            replace(EVENT, recipient="erik@customer.example"),
            replace(EVENT, type="opened"),
            replace(EVENT, event_reference="2"),
        )
        self.assertEqual(self.store(EVENT, *others), 4)

    def test_accounts_do_not_share_events(self):
        other = self.env["mail.bridge.account"].create({"name": "Other"})
        self.assertEqual(self.store(EVENT), 1)
        self.assertEqual(self.store(EVENT, account=other), 1)

    def test_an_event_without_an_id_is_known_by_its_content(self):
        event = replace(EVENT, event_reference="", reference="ref-1")
        later = replace(event, occurred_at=MOMENT + timedelta(seconds=1))
        self.assertEqual(self.store(event, event, later), 2)
        self.assertEqual(self.store(event), 0)

    def test_the_time_of_a_post_is_no_content(self):
        """An event without a time bears that of the post, and of the next one then."""
        for hour in (1, 2):
            received = fields.Datetime.now() - timedelta(hours=hour)
            intake = self.make_intake(received_at=received)
            told = intake.received_at.replace(tzinfo=timezone.utc)
            event = replace(EVENT, event_reference="", occurred_at=told)
            self.store(event, intake=intake)
        self.assertEqual(len(self.found()), 1)

    def test_what_no_database_keeps_is_left_out(self):
        event = replace(
            EVENT,
            recipient="ve\0ra@x.example",
            message_id="<" + "ü" * 5000 + ">",
            reply=Reply("remote", 550, "", "odd \ud800 \0 text"),
            url="x" * 9000,
            metadata={"a\0": "\udfff"},
        )
        self.assertEqual(self.store(event, event), 1)
        self.assertEqual(self.found().recipient, "vera@x.example")
        self.assertEqual(self.found().diagnostic, "odd \ufffd  text")

    def test_nobody_is_a_recipient_too(self):
        self.store(replace(EVENT, type="unknown", recipient=""))
        self.assertFalse(self.found().recipient)

    def test_thousands_of_events_are_stored_together(self):
        events = [replace(EVENT, event_reference=f"n{n}") for n in range(3000)]
        before = self.env.cr.sql_log_count
        self.assertEqual(self.store(*events), 3000)
        self.assertLess(self.env.cr.sql_log_count - before, 30)

    # --- Intake ---

    def test_a_post_may_hold_mails_and_events(self):
        intake = self.make_intake()
        mail = InboundMail(
            mime=self.make_mail(), envelope_recipients=(f"desk-a@{DOMAIN}",)
        )
        intake._deliver([mail], [EVENT])
        self.assertEqual((intake.state, intake.message_count), ("done", 1))
        self.assertEqual(self.found().intake_id, intake)

    # --- Applying ---

    def test_without_anybody_who_knows_the_mail_an_event_waits(self):
        self.env["mail.bridge.event"]._hold(self.claimed(EVENT))._set_unmatched()
        event = self.found()
        self.assertEqual(event.state, "unmatched")
        self.assertGreater(event.next_attempt, fields.Datetime.now())

    def test_after_some_days_it_waits_for_nothing(self):
        [event_id] = self.claimed(EVENT)
        event = self.env["mail.bridge.event"].browse(event_id)
        event.received_at = fields.Datetime.now() - timedelta(days=UNMATCHED_DAYS)
        self.env.flush_all()
        event._set_unmatched()
        self.assertEqual((event.state, event.next_attempt), ("unmatched", False))

    def test_another_drain_that_has_claimed_it_since_goes_on(self):
        Event = self.env["mail.bridge.event"]
        claimed = self.claimed(EVENT, replace(EVENT, event_reference="2"), attempts=2)
        mine, theirs = claimed
        self.assertEqual(Event._hold({mine: 2, theirs: 1}).ids, [mine])
        Event.browse(mine)._set_applied()
        self.assertFalse(Event._hold({mine: 2}))

    def test_an_event_whose_mail_is_known_by_now_is_due_again(self):
        Event = self.env["mail.bridge.event"]
        names = ("reference", "provider_reference", "message_id")
        for name in names:
            Event.browse(
                self.claimed(replace(EVENT, event_reference=name, **{name: name}))
            )._set_unmatched()
        for name in names:
            self.assertEqual(Event._make_due(name, ["other", name]), 1)
        self.env.invalidate_all()
        self.assertEqual(len(self.found()), 3)
        for event in self.found():
            self.assertLessEqual(event.next_attempt, self.env.cr.now())

    def test_an_event_that_cannot_be_applied_is_dead_at_last(self):
        [event_id] = self.claimed(EVENT)
        event = self.env["mail.bridge.event"].browse(event_id)
        event._write_failure(ValueError("odd"))
        self.assertEqual((event.state, event.error), ("pending", "ValueError: odd"))
        event.attempts = MAX_TRIES
        self.env.flush_all()
        event._write_failure(PermanentError("odd"))
        self.assertEqual((event.state, event.next_attempt), ("dead", False))
        event.action_retry()
        self.assertEqual((event.state, event.attempts), ("pending", 0))
        self.assertLessEqual(event.next_attempt, self.env.cr.now())

    def test_an_event_that_kills_its_worker_is_given_up(self):
        [event_id] = self.claimed(EVENT, attempts=MAX_TRIES + 1)
        self.assertTrue(self.env["mail.bridge.event"].browse(event_id)._has_given_up())

    # --- Retention, companies ---

    def test_retention_deletes_what_is_over(self):
        self.store(*(replace(EVENT, event_reference=str(n)) for n in range(3)))
        old, waiting, fresh = self.found()
        year = fields.Datetime.now() - timedelta(days=366)
        (old | waiting).received_at = year
        (old | fresh).state = "applied"
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertEqual(self.found(), waiting | fresh)

    def test_a_batch_of_retention_has_an_end(self):
        self.store(*(replace(EVENT, event_reference=str(n)) for n in range(3)))
        self.found().state = "unmatched"
        self.env.flush_all()
        later = fields.Datetime.now() + timedelta(days=1)
        self.assertEqual(self.env["mail.bridge.event"]._forget_before(later, 2), 2)
        self.assertEqual(len(self.found()), 1)

    def test_each_company_sees_its_own_events(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        other = self.env["mail.bridge.account"].create(
            {"name": "Elsewhere", "company_id": company.id}
        )
        self.store(EVENT)
        self.store(EVENT, account=other)
        user = new_test_user(
            self.env, "bridge-clerk", groups="mail_bridge.group_administrator"
        )
        seen = self.env["mail.bridge.event"].with_user(user).search([])
        self.assertEqual(seen.account_id, self.account)
        self.assertFalse(seen.has_access("unlink") or seen.has_access("create"))

    def test_a_copy_of_the_database_applies_nothing(self):
        self.store(EVENT)
        self.neutralize()
        self.assertEqual(self.found().state, "dead")

    def test_a_batch_is_bounded(self):
        events = [
            replace(EVENT, event_reference=str(n)) for n in range(EVENT_BATCH + 1)
        ]
        self.assertEqual(self.store(*events), EVENT_BATCH + 1)
