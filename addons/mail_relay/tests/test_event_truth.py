# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random
from datetime import timedelta
from itertools import product
from typing import get_args

from odoo.tests import tagged

from odoo.addons.mail_bridge.providers.delivery import EventType, Reply

from ..engine.truths import MOMENTS, Told, judge
from ..providers.states import (
    IMPLIES,
    ORDER,
    RANKS,
    START,
    WORK_MOVES,
    Truth,
    advance,
    advance_all,
)
from ..submission import Rcpt
from .event_common import NOW, RelayEventCase

AT = NOW.replace(tzinfo=None)


@tagged("post_install", "-at_install")
class TestTwoMachines(RelayEventCase):
    """Issue 3 §A: work may go back, truth only forward by rank."""

    def people(self, count):
        addresses = [f"p{n}@customer.example" for n in range(count)]
        return self.send(*addresses).recipient_ids.sorted("id")

    def test_every_truth_after_every_other(self):
        pairs = list(product(ORDER, ORDER))
        people = self.people(len(pairs))
        for step in (0, 1):
            if not step:
                self.reset(people)
            self.Recipient._advance(
                Told(person.id, pair[step], AT)
                for person, pair in zip(people, pairs, strict=True)
            )
        for person, (first, second) in zip(people, pairs, strict=True):
            with self.subTest(first=first, second=second):
                expected = advance(first, second)
                self.assertEqual(Truth(*self.truth(person)), expected)
                self.assertEqual(person.rank, RANKS[expected])

    def reset(self, people):
        people.write({"state": START.state, "rank": RANKS[START]})

    def test_work_moves_along_its_table_and_no_other_way(self):
        for before, after in product(WORK_MOVES, WORK_MOVES):
            with self.subTest(before=before, after=after):
                mail = self.send("reader@customer.example", state=before)
                moved = mail._move(after)
                allowed = after in WORK_MOVES[before]
                self.assertEqual(bool(moved), allowed)
                self.assertEqual(mail.state, after if allowed else before)

    def test_complained_after_delivered(self):
        mail = self.send("reader@customer.example")
        for kind in ("delivered", "complained"):
            self.apply(self.event(mail, kind))
        person = mail.recipient_ids
        self.assertEqual(person.state, "complained")
        self.assertTrue(person.delivered_at and person.complained_at)

    def test_delivered_after_a_hard_bounce_is_kept_and_changes_nothing(self):
        mail = self.send("reader@customer.example")
        self.apply(self.bounce(mail))
        [late] = self.apply(self.event(mail))
        person = mail.recipient_ids
        self.assertEqual(self.truth(person), ("bounced", "hard"))
        self.assertEqual(person.failure_text, "no such user here")
        self.assertEqual((late.state, late.relay_recipient_id), ("applied", person))

    def test_every_type_of_event_leads_where_its_table_says(self):
        for kind, bounce_class in product(
            get_args(EventType), ("", "hard", "soft", "block")
        ):
            with self.subTest(kind=kind, bounce_class=bounce_class):
                mail = self.send("reader@customer.example", truth="pending")
                self.apply(self.event(mail, kind, bounce_class=bounce_class))
                truth, _reason = judge(kind, bounce_class, None)
                self.assertEqual(self.truth(mail.recipient_ids), tuple(truth or START))

    def test_a_bounce_without_a_class_is_judged_by_our_rules(self):
        gone = Reply("remote", 550, "5.1.1", "user unknown")
        full = Reply("remote", 552, "5.2.2", "mailbox full")
        odd = Reply("remote", 550, "", "no")
        for reply, expected, reason in (
            (gone, ("bounced", "hard"), "invalid"),
            (full, ("bounced", "soft"), "quota"),
            (odd, ("bounced", "hard"), "unknown"),
            (None, ("bounced", "soft"), "unknown"),
        ):
            with self.subTest(reply=reply):
                mail = self.send("reader@customer.example")
                self.apply(self.bounce(mail, "", reply))
                person = mail.recipient_ids
                self.assertEqual(self.truth(person), expected)
                self.assertEqual(person.reason, reason)

    def test_times_are_the_first_and_lie_between_ours(self):
        mail = self.send("reader@customer.example")
        hours = timedelta(hours=1)
        self.apply(
            self.event(mail, "opened", occurred_at=NOW - 0.2 * hours),
            self.event(mail, "opened", occurred_at=NOW - 0.5 * hours),
            self.event(mail, "delivered", occurred_at=NOW - 9000 * hours),
            self.event(mail, "clicked", occurred_at=NOW + 9000 * hours),
        )
        person = mail.recipient_ids
        self.assertEqual(person.opened_at, AT - 0.5 * hours)
        self.assertEqual(person.delivered_at, person.created_at)
        self.assertLessEqual(person.clicked_at, self.env.cr.now())

    def test_news_of_nobody_change_nothing(self):
        self.Recipient._advance([])
        self.Recipient._advance([Told(2**31 - 1, Truth("sent"), AT)])


@tagged("post_install", "-at_install")
class TestStorm(RelayEventCase):
    """Issue 3 §G: shuffled, duplicated, early, for deleted records."""

    def news(self, chance, mails):
        """Return random events of each recipient, and what they come to."""
        kinds = get_args(EventType)
        classes = ("", "hard", "soft", "block")
        told, expected = [], {}
        for person in mails.recipient_ids:
            own = [
                self.event(
                    person.relay_message_id,
                    chance.choice(kinds),
                    person.address.swapcase(),
                    bounce_class=chance.choice(classes),
                    occurred_at=NOW - timedelta(seconds=chance.randrange(3000)),
                )
                for _number in range(chance.randrange(6))
            ]
            truths = [judge(e.type, e.bounce_class, e.reply)[0] for e in own]
            expected[person.id] = (
                advance_all(Truth("sent"), truths),
                self.moments(own, truths),
            )
            told += own
        return told, expected

    def moments(self, events, truths):
        found = {}
        for event, truth in zip(events, truths, strict=True):
            for state in (truth.state, *IMPLIES[truth.state]) if truth else ():
                if state in MOMENTS:
                    moment = event.occurred_at.replace(tzinfo=None)
                    column = MOMENTS[state]
                    found[column] = min(moment, found.get(column, moment))
        return found

    def assert_known(self, expected):
        for recipient_id, (truth, moments) in expected.items():
            person = self.Recipient.browse(recipient_id)
            self.assertEqual(Truth(*self.truth(person)), truth)
            for column in MOMENTS.values():
                self.assertEqual(person[column] or None, moments.get(column))

    def test_whatever_the_order_all_end_in_the_same_truth(self):
        for seed in range(8):
            chance = random.Random(seed)
            mails = self.Message.browse()
            for number in range(6):
                mails |= self.send(*(f"p{n}@c{number}.example" for n in range(4)))
            told, expected = self.news(chance, mails)
            wanted = told + chance.sample(told, len(told) // 2)
            chance.shuffle(wanted)
            while wanted:
                size = chance.randrange(1, 15)
                batch, wanted = wanted[:size], wanted[size:]
                self.apply(*batch)
            with self.subTest(seed=seed):
                self.assert_known(expected)
                keys = self.Event.search([("relay_recipient_id", "!=", False)])
                own = keys.filtered(
                    lambda event, mails=mails: event.relay_recipient_id
                    in mails.recipient_ids
                )
                self.assertEqual(len(own), len(told))

    def test_an_early_event_finds_its_mail_later(self):
        mail = self.send("reader@customer.example", truth="pending", state="sending")
        [event] = self.apply(
            self.event(mail, reference="", provider_reference="later-known")
        )
        self.assertEqual(event.state, "unmatched")
        mail.recipient_ids.provider_reference = "later-known"
        self.env.flush_all()
        self.apply()
        self.assertEqual(event.state, "applied")
        self.assertEqual(mail.recipient_ids.state, "delivered")

    def test_an_event_of_a_deleted_mail_is_kept(self):
        mail = self.send("reader@customer.example")
        [before] = self.apply(self.event(mail))
        late = self.event(mail, "opened")
        mail.unlink()
        self.apply(late)
        self.assertEqual(before.exists().state, "applied")
        kept = self.Event.search([("type", "=", "opened")])
        self.assertEqual((len(kept), kept.state), (1, "unmatched"))

    def test_an_event_of_a_mail_of_a_deleted_record_is_applied(self):
        record = self.env["res.partner"].create({"name": "Gone"})
        message = record.message_post(body="Hello")
        mail = self.send("reader@customer.example", mail_message_id=message.id)
        record.unlink()
        self.env.flush_all()
        self.env.invalidate_all()
        self.apply(self.event(mail))
        self.tell()
        self.assertEqual(mail.recipient_ids.state, "delivered")

    def test_a_thousand_events_are_applied_and_told_together(self):
        partners = self.env["res.partner"].create(
            [
                {"name": f"Reader {n}", "email": f"reader{n}@customer.example"}
                for n in range(1000)
            ]
        )
        message = self.customer.message_post(body="News")
        self.env["mail.notification"].create(
            [
                {
                    "mail_message_id": message.id,
                    "res_partner_id": partner.id,
                    "notification_type": "email",
                    "notification_status": "process",
                }
                for partner in partners
            ]
        )
        mails = self.Message.browse()
        for partner in partners:
            mails |= self.send(
                Rcpt(partner.email, partner.id), mail_message_id=message.id
            )
        events = [self.event(mail) for mail in mails]
        before = self.env.cr.sql_log_count
        self.apply(*events)
        self.assertEqual(len(self.tell()), 1000)
        self.assertLess(self.env.cr.sql_log_count - before, 300)
        statuses = message.notification_ids.mapped("notification_status")
        self.assertEqual(set(statuses), {"sent"})
