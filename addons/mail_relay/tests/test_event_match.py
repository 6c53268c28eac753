# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from ..providers.states import ENDS_DOUBT
from .event_common import RelayEventCase

READER = "reader@customer.example"


@tagged("post_install", "-at_install")
class TestMatch(RelayEventCase):
    """Whom an event is about."""

    def matched(self, mail, **values):
        """Tell whether an event without our reference finds a mail's recipient."""
        event = self.event(mail, **{"reference": "", **values})
        self.Event._store(self.account, [event], "webhook")
        found = self.Event.search([("event_reference", "=", event.event_reference)])
        found._apply_batch()
        self.env.invalidate_all()
        return found.relay_recipient_id

    def test_by_our_reference(self):
        mail = self.send(READER, "other@customer.example")
        self.assertEqual(
            self.matched(mail, reference=mail.reference, recipient=READER).address,
            READER,
        )

    def test_by_the_provider_s_name_of_the_mail(self):
        for holder in ("mail", "recipient"):
            mail = self.send(READER)
            record = mail if holder == "mail" else mail.recipient_ids
            record.provider_reference = f"theirs-{holder}"
            self.env.flush_all()
            found = self.matched(mail, provider_reference=f"theirs-{holder}")
            self.assertEqual(found, mail.recipient_ids)

    def test_by_the_message_id_ours_or_the_one_it_was_given(self):
        mail = self.send(READER)
        mail.provider_message_id = "<given@provider.example>"
        self.env.flush_all()
        for name in (mail.message_id, "<given@provider.example>"):
            self.assertEqual(self.matched(mail, message_id=name), mail.recipient_ids)

    def test_the_best_way_counts(self):
        mine, other = self.send(READER), self.send(READER)
        found = self.matched(
            mine, reference=mine.reference, message_id=other.message_id
        )
        self.assertEqual(found, mine.recipient_ids)

    def test_a_mail_that_was_sent_once_more_is_the_one_that_is_meant(self):
        first = self.send(READER)
        second = self.send(READER, message_id=first.message_id)
        queued = self.send(READER, message_id=first.message_id, state="queued")
        queued.first_attempt_at = False
        self.env.flush_all()
        found = self.matched(first, message_id=first.message_id)
        self.assertEqual(found, second.recipient_ids)

    def test_the_address_is_compared_normalised(self):
        mail = self.send('"Reader" <Reader@Customer.Example>')
        for written in ("READER@customer.example", " reader@CUSTOMER.example "):
            found = self.matched(mail, reference=mail.reference, recipient=written)
            self.assertEqual(found, mail.recipient_ids)

    def test_a_domain_beyond_ascii_is_known_in_both_spellings(self):
        mail = self.send("leser@münchen.example")
        for written in ("leser@münchen.example", "leser@xn--mnchen-3ya.example"):
            found = self.matched(mail, reference=mail.reference, recipient=written)
            self.assertEqual(found, mail.recipient_ids)

    def test_another_address_is_somebody_else(self):
        mail = self.send(READER)
        for way in (
            {"reference": mail.reference},
            {"message_id": mail.message_id},
        ):
            self.assertFalse(self.matched(mail, recipient="x@forward.example", **way))

    def test_a_mail_to_one_person_needs_no_address_with_our_reference(self):
        one, two = self.send(READER), self.send(READER, "other@customer.example")
        values = {"kind": "complained", "recipient": ""}
        found = self.matched(one, reference=one.reference, **values)
        self.assertEqual(found, one.recipient_ids)
        self.assertFalse(self.matched(two, reference=two.reference, **values))
        self.assertFalse(self.matched(one, message_id=one.message_id, **values))

    def test_mails_of_another_company_are_never_meant(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        mail = self.send(READER, company_id=company.id)
        for way in (
            {"reference": mail.reference},
            {"message_id": mail.message_id},
        ):
            self.assertFalse(self.matched(mail, **way))
        self.assertEqual(mail.recipient_ids.state, "sent")

    def test_an_empty_name_is_no_name(self):
        mail = self.send(READER)
        self.assertFalse(self.matched(mail))


@tagged("post_install", "-at_install")
class TestDoubt(RelayEventCase):
    """News that a mail arrived end the doubt about it."""

    def test_each_event_that_knows_the_mail_ends_the_doubt(self):
        for kind in sorted(ENDS_DOUBT):
            for state in ("in_doubt", "held"):
                with self.subTest(kind=kind, state=state):
                    mail = self.send(READER, state=state, truth="pending")
                    self.apply(self.event(mail, kind))
                    self.assertEqual((mail.state, mail.hold_reason), ("done", False))
                    self.assertTrue(mail.done_at)

    def test_other_events_leave_it(self):
        for kind in ("subscribed", "autoresponded", "unknown"):
            mail = self.send(READER, state="in_doubt", truth="pending")
            self.apply(self.event(mail, kind))
            self.assertEqual(mail.state, "in_doubt")

    def test_as_long_as_somebody_is_open_it_stays(self):
        mail = self.send(
            READER, "other@customer.example", state="held", truth="pending"
        )
        self.apply(self.event(mail, recipient=READER))
        self.assertEqual(mail.state, "held")
        self.apply(self.event(mail, recipient="other@customer.example"))
        self.assertEqual(mail.state, "done")

    def test_a_mail_that_waits_to_be_sent_again_is_not(self):
        mail = self.send(READER, state="queued", truth="pending")
        self.apply(self.event(mail))
        self.assertEqual(mail.state, "done")

    def test_a_mail_on_the_wire_and_a_suspended_one_are_left_alone(self):
        sending = self.send(READER, state="sending", truth="pending")
        suspended = self.send(READER, state="held", truth="pending")
        suspended.hold_reason = "suspended"
        self.env.flush_all()
        self.apply(self.event(sending), self.event(suspended))
        self.assertEqual((sending.state, suspended.state), ("sending", "held"))

    def test_a_dead_letter_lives_as_long_as_somebody_was_given_up(self):
        mail = self.send(READER, "other@customer.example", state="dead", truth="failed")
        self.apply(self.event(mail, recipient=READER))
        self.assertEqual(mail.state, "dead")
        self.apply(self.event(mail, recipient="other@customer.example"))
        self.assertEqual(mail.state, "done")

    def test_a_mail_whose_events_came_while_it_was_on_the_wire_is_done(self):
        mail = self.send(READER, state="in_doubt")
        mail._resolve_doubt()
        self.assertEqual((mail.state, bool(mail.done_at)), ("done", True))
        self.assertFalse(mail.account_id.activity_ids)

    def test_a_provider_that_tells_of_some_only_is_not_asked_for_ever(self):
        mail = self.send(READER, "other@customer.example", state="in_doubt", truth=None)
        mail.sending_since = mail.created_at
        event = self.event(mail, recipient=READER)
        mail._hear(self.account, [event])
        self.assertEqual(mail.state, "in_doubt", "these were news")
        self.apply()
        mail._hear(self.account, [event])
        self.assertEqual((mail.state, mail.hold_reason), ("held", "doubt"))

    def test_a_provider_gets_its_time_to_say_something(self):
        mail = self.send(READER, state="in_doubt", truth=None)
        mail.sending_since = self.env.cr.now()
        mail._hear(self.account, [])
        self.assertEqual(mail.state, "in_doubt")
        mail._hear(self.account, None)
        self.assertEqual(mail.state, "held", "it cannot be asked")
