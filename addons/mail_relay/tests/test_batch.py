# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from .people_case import PeopleCase


class BatchCase(PeopleCase):
    """Batches of one template with a gap for the name."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.template = cls.env["mail.relay.template"].create(
            {
                "name": "Letter",
                "subject": "News for {{ name }}",
                "body_html": "<p>Hello {{ name }}</p>",
            }
        )

    def batch(self, **values):
        return self.env["mail.relay.batch"].create(
            {
                "name": "Winter",
                "template_id": self.template.id,
                "account_id": self.account.id,
                "email_from": "Shop <news@example.com>",
                "unsubscribe_url": "https://example.com/bye?who={{ email }}",
                **values,
            }
        )

    def people(self, count, start=0):
        return [
            {"address": f"n{n}@outside.example", "variables": {"name": f"N{n}"}}
            for n in range(start, start + count)
        ]

    def mails(self, batch):
        return self.env["mail.relay.message"].search(
            [("batch_id", "=", batch.id)], order="id"
        )


@tagged("post_install", "-at_install")
class TestBatch(BatchCase):
    def test_each_recipient_gets_his_own_mail_and_result(self):
        self.env["mail.relay.suppression"].create(
            {"email_normalized": "dead@outside.example", "reason": "hard bounce"}
        )
        batch = self.batch()
        results = batch._submit_bulk(
            [
                {"address": "Ann <ann@outside.example>", "variables": {"name": "Ann"}},
                {"address": "bob@outside.example", "variables": {}},
                {"address": "nonsense", "variables": {"name": "x"}},
                {"address": "ANN@outside.example", "variables": {"name": "Ann"}},
                {"address": "dead@outside.example", "variables": {"name": "Dee"}},
                {"address": "carl@outside.example", "variables": {"name": ["x"]}},
            ]
        )
        states = [item["state"] for item in results]
        self.assertEqual(
            states, ["queued", "refused", "refused", "duplicate", "refused", "refused"]
        )
        self.assertIn("name", results[1]["reason"])
        self.assertIn("hard bounce", results[4]["reason"])
        mail = self.mails(batch)[0]
        self.assertEqual(mail.reference, results[0]["reference"])
        self.assertEqual(mail.subject, "News for Ann")
        self.assertEqual((mail.level, mail.is_marketing), (3, True))
        self.assertEqual(mail.template_id, self.template)
        self.assertEqual((batch.entry_count, batch.refused_count), (5, 4))

    def test_a_mail_names_who_it_is_for_and_how_to_unsubscribe(self):
        batch = self.batch()
        batch._submit_bulk(self.people(1))
        mail = message_from_bytes(self.mails(batch)._read_part(), policy=default)
        self.assertEqual(mail["To"], "n0@outside.example")
        self.assertEqual(
            mail["List-Unsubscribe"], "<https://example.com/bye?who=n0@outside.example>"
        )
        self.assertEqual(mail["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click")
        self.assertIn("Hello N0", mail.get_body(("html",)).get_content())
        self.assertIn("Hello N0", mail.get_body(("plain",)).get_content())

    def test_the_same_call_again_sends_nothing_twice(self):
        batch = self.batch()
        batch._submit_bulk(self.people(3))
        results = batch._submit_bulk(self.people(4))
        states = [item["state"] for item in results]
        self.assertEqual(states, ["duplicate"] * 3 + ["queued"])
        self.assertEqual(len(self.mails(batch)), 4)

    def test_a_call_takes_a_thousand_at_most(self):
        with self.assertRaises(UserError):
            self.batch()._submit_bulk(self.people(1001))

    def test_pause_resume_and_cancel_concern_what_was_not_sent(self):
        batch = self.batch()
        batch._submit_bulk(self.people(4))
        sent, claimed, *_rest = mails = self.mails(batch)
        self.put(sent, state="done")
        self.put(sent.recipient_ids, state="sent")
        self.put(claimed, claimed_by="worker")
        batch.action_pause()
        self.assertEqual(mails.mapped("state"), ["done"] + ["held"] * 3)
        self.assertFalse(claimed.claimed_by)
        batch._submit_bulk(self.people(1, start=9))
        self.assertEqual(self.mails(batch)[-1].state, "held")
        batch.action_resume()
        self.assertEqual(set((self.mails(batch) - sent).mapped("state")), {"queued"})
        batch.action_cancel()
        rest = self.mails(batch) - sent
        self.assertEqual(set(rest.mapped("state")), {"cancelled"})
        self.assertEqual(set(rest.recipient_ids.mapped("state")), {"cancelled"})
        self.assertEqual(sent.recipient_ids.state, "sent")
        with self.assertRaises(UserError):
            batch._submit_bulk(self.people(1))

    def test_a_mail_held_in_doubt_is_not_let_go_with_its_batch(self):
        batch = self.batch()
        batch._submit_bulk(self.people(1))
        self.put(self.mails(batch), state="held", hold_reason="doubt")
        batch.action_pause()
        batch.action_resume()
        batch.action_cancel()
        self.assertEqual(self.mails(batch).state, "held")

    def test_marketing_needs_a_way_out_and_from_an_address(self):
        with self.assertRaises(ValidationError):
            self.batch(unsubscribe_url=False)
        with self.assertRaises(ValidationError):
            self.batch(email_from="nobody")
        self.batch(unsubscribe_url=False, is_marketing=False)

    def test_recipients_are_pasted_from_a_spreadsheet(self):
        batch = self.batch()
        Wizard = self.env["mail.relay.batch.wizard"].with_user(self.head)
        with Form(Wizard.with_context(default_batch_id=batch.id)) as form:
            form.recipients = "address;name\nann@outside.example;Ann\nbob@x.example;"
        form.record.action_submit()
        self.assertEqual(batch.entry_ids.mapped("state"), ["queued", "refused"])
        with self.assertRaises(UserError):
            Wizard.create({"batch_id": batch.id, "recipients": "ann"}).action_submit()

    def test_rights_and_companies(self):
        batch = self.batch()
        batch._submit_bulk(self.people(1))
        for method in ("action_pause", "action_resume", "action_cancel"):
            with self.assertRaises(AccessError):
                getattr(batch.with_user(self.user), method)()
        self.assertTrue(batch.with_user(self.user).entry_ids.address)
        company = self.env["res.company"].create({"name": "Other Company"})
        stranger = new_test_user(
            self.env,
            "relay-other",
            groups="mail_bridge.group_administrator",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )
        for records in (batch, batch.entry_ids, self.template):
            found = records.with_user(stranger).search([("id", "in", records.ids)])
            self.assertFalse(found)


@tagged("post_install", "-at_install")
class TestVariants(BatchCase):
    def made(self, subjects=("One {{ name }}", "Two {{ name }}"), **values):
        return self.batch(
            variant_ids=[
                (0, 0, {"subject": subject, "sequence": number})
                for number, subject in enumerate(subjects)
            ],
            **({"test_percent": 50, "test_minimum": 5} | values),
        )

    def let_read(self, batch, **wins):
        """Let mails be sent, and so many of each variant be clicked."""
        for letter, count in wins.items():
            mails = self.mails(batch).filtered(lambda mail, x=letter: mail.variant == x)
            self.put(mails, state="done", sent_at=self.now)
            self.put(mails.recipient_ids, state="sent", sent_at=self.now)
            self.put(mails[:count].recipient_ids, state="clicked")

    def test_who_gets_what_is_always_the_same_and_evenly_spread(self):
        batch = self.made()
        batch._submit_bulk(self.people(400))
        again = batch.entry_ids.mapped(
            lambda entry: batch._variant_for(entry.email_normalized) or ""
        )
        self.assertEqual(again, [entry.variant or "" for entry in batch.entry_ids])
        counts = [again.count(letter) for letter in ("A", "B", "")]
        self.assertTrue(70 < counts[0] < 130 and 70 < counts[1] < 130, counts)
        self.assertEqual(batch.waiting_count, counts[2])
        first = self.mails(batch)[0]
        words = {"A": "One", "B": "Two"}[first.variant]
        self.assertTrue(first.subject.startswith(words))

    def test_a_test_is_tracked_whatever_the_account_says(self):
        self.assertFalse(self.account.relay_track_clicks)
        batch = self.made(test_percent=100)
        batch._submit_bulk(self.people(1))
        mail = self.mails(batch)
        self.assertTrue(mail.track_clicks and mail.track_opens)

    def test_the_winner_gets_the_rest_after_its_time(self):
        batch = self.made(test_hours=2)
        batch._submit_bulk(self.people(200))
        tried = len(self.mails(batch))
        self.let_read(batch, A=2, B=30)
        batch._cron_decide()
        self.assertFalse(batch.winner_id)
        self.put(batch, test_began_at=self.now - timedelta(hours=3))
        batch._cron_decide()
        self.assertEqual(batch.winner_id.letter, "B")
        rest = self.mails(batch)[tried:]
        self.assertEqual(len(rest), 200 - tried)
        self.assertEqual(set(rest.mapped("variant")), {"B"})
        self.assertFalse(batch.waiting_count)
        self.assertIn("B is better: significant", batch.verdict)
        later = batch._submit_bulk(self.people(1, start=500))
        self.assertEqual(later[0]["state"], "queued")
        self.assertEqual(self.mails(batch)[-1].variant, "B")

    def test_nothing_is_decided_on_too_few(self):
        batch = self.made(test_minimum=1000)
        batch._submit_bulk(self.people(40))
        self.let_read(batch, A=5, B=0)
        self.put(batch, test_began_at=self.now - timedelta(days=3))
        batch._cron_decide()
        self.assertFalse(batch.winner_id)
        self.assertIn("Too few", batch.verdict)

    def test_chance_is_called_chance(self):
        batch = self.made(test_percent=100)
        batch._submit_bulk(self.people(60))
        self.let_read(batch, A=4, B=5)
        self.assertIn("perhaps by chance", batch.verdict)
        first = batch.variant_ids.sorted("letter")[0]
        self.assertEqual(first.success_count, 4)
        self.assertTrue(first.sent_count > 15)
        self.assertIn("%", first.interval)

    def test_an_administrator_decides_by_hand(self):
        batch = self.made(test_metric="manual")
        batch._submit_bulk(self.people(60))
        self.put(batch, test_began_at=self.now - timedelta(days=30))
        batch._cron_decide()
        self.assertFalse(batch.winner_id)
        first = batch.variant_ids.sorted("letter")[0]
        with self.assertRaises(AccessError):
            first.with_user(self.user).action_choose()
        first.with_user(self.head).action_choose()
        batch._cron_decide()
        self.assertFalse(batch.waiting_count)
        with self.assertRaises(UserError):
            first.with_user(self.head).action_choose()

    def test_answers_count_where_answers_are_wanted(self):
        batch = self.made(test_percent=100, test_metric="replies")
        batch._submit_bulk(self.people(20))
        self.let_read(batch, A=0, B=0)
        mail = self.mails(batch).filtered(lambda item: item.variant == "A")[0]
        intake = self.env["mail.bridge.intake"].create(
            {
                "account_id": self.account.id,
                "company_id": self.account.company_id.id,
                "reference": "f" * 32,
                "dedupe_key": "answer",
                "content_hash": "0" * 64,
                "received_at": self.now,
                "method": "POST",
                "path": "/mailgate/none",
                "headers": "[]",
                "size": 1,
            }
        )
        self.env["mail.bridge.message"].create(
            {
                "account_id": self.account.id,
                "company_id": self.account.company_id.id,
                "intake_id": intake.id,
                "received_at": self.now + timedelta(minutes=1),
                "email_from": f"N <{mail.recipient_ids.address.upper()}>",
                "subject": f"Re: {mail.subject}",
            }
        )
        rates = batch._rates()
        self.assertEqual((rates["A"].wins, rates["B"].wins), (1, 0))

    def test_variants_are_two_to_four_and_fixed_once_they_were_sent(self):
        with self.assertRaises(ValidationError):
            self.made(subjects=("One",))
        with self.assertRaises(ValidationError):
            self.made(subjects=tuple("abcde"))
        batch = self.made(test_percent=100)
        batch._submit_bulk(self.people(1))
        with self.assertRaises(ValidationError):
            batch.variant_ids[0].subject = "Other"

    def test_a_paused_test_sends_the_rest_later(self):
        batch = self.made()
        batch._submit_bulk(self.people(40))
        batch.action_pause()
        batch._set_winner(batch.variant_ids[0])
        waiting = batch.waiting_count
        batch._cron_decide()
        self.assertEqual(batch.waiting_count, waiting)
        batch.action_resume()
        batch._cron_decide()
        self.assertFalse(batch.waiting_count)
