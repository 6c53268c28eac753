# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.mail_bridge.const import MAX_TRIES
from odoo.addons.mail_bridge.exceptions import PayloadError, PermanentError
from odoo.addons.mail_bridge.providers.base import utcnow

from .common import SimulatorCase


@tagged("post_install", "-at_install")
class TestDecisions(SimulatorCase):
    """Mail that waits for a person, and what the person's decision does."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.thread = cls.first._record()

    def posts(self):
        return self.thread.message_ids.filtered(lambda m: m.message_type == "email")

    def test_quarantine_says_where_the_mail_was_meant_for(self):
        forged = self.simulate(self.account, "forged")
        self.assertEqual(forged.state, "quarantined")
        self.assertEqual(forged._record(), self.thread)

    def test_released_from_quarantine_it_stands_in_the_record(self):
        forged = self.simulate(self.account, "forged")
        forged.action_release()
        self.assertEqual((forged.state, forged.trust), ("routed", "released"))
        self.assertEqual(len(self.posts()), 2)

    def test_released_twice_it_stands_in_the_record_once(self):
        copies = [self.simulate(self.account, "forged")]
        copies.append(self.receive_mime(self.account, copies[0]._mail().mime))
        self.assertEqual([copy.state for copy in copies], ["quarantined"] * 2)
        for copy in copies:
            copy.action_release()
        self.assertEqual([copy.state for copy in copies], ["routed", "repeated"])
        self.assertEqual(copies[1]._record(), self.thread)
        self.assertEqual(len(self.posts()), 2)

    def test_forgery_held_by_the_test_mode_is_still_a_forgery(self):
        self.account.state = "test"
        forged = self.simulate(self.account, "forged")
        self.assertEqual(
            (forged.state, forged.reason, forged.trust),
            ("held", "test_mode", "unverified"),
        )
        forged.action_release()
        self.assertEqual(forged.state, "quarantined")
        self.assertEqual(len(self.posts()), 1)

    def test_honest_mail_held_by_the_test_mode_is_let_in(self):
        self.account.state = "test"
        held = self.simulate(self.account, "plain")
        held.action_release()
        self.assertEqual((held.state, held.trust), ("routed", "verified"))

    def test_processing_again_obeys_the_account(self):
        self.account.accepted_domains = "nowhere.example"
        foreign = self.simulate(self.account, "plain")
        self.assertEqual((foreign.state, foreign.reason), ("rejected", "not_ours"))
        foreign.action_process_again()
        self.assertEqual((foreign.state, foreign.reason), ("rejected", "not_ours"))
        self.account.accepted_domains = False
        foreign.action_process_again()
        self.assertEqual(foreign.state, "routed")

    def test_processing_again_leaves_the_test_mode_on(self):
        self.account.state = "test"
        held = self.simulate(self.account, "plain")
        held.action_process_again()
        self.assertEqual(held.state, "held")

    def test_what_waits_for_a_person_outlives_the_retention_time(self):
        waiting = self.simulate(self.account, "forged")
        waiting += self.simulate(self.account, "unrouted")
        self.account.state = "test"
        waiting += self.simulate(self.account, "plain")
        self.assertEqual(waiting.mapped("state"), ["quarantined", "unrouted", "held"])
        everything = waiting.intake_id + self.first.intake_id
        everything.done_at = fields.Datetime.now() - timedelta(days=31)
        self.env.flush_all()
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertFalse(any(waiting.intake_id.mapped("body_deleted")))
        self.assertTrue(self.first.intake_id.body_deleted)
        waiting[0].action_release()
        self.assertEqual(waiting[0].state, "routed")
        waiting[0].intake_id.done_at = fields.Datetime.now() - timedelta(days=31)
        self.env.flush_all()
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertTrue(waiting[0].intake_id.body_deleted)

    def test_bounce_goes_where_a_person_wants_it(self):
        bounce = self.simulate(self.account, "bounce")
        self.assertEqual((bounce.state, len(bounce.posted_ids)), ("routed", 0))
        record = self.env["res.partner"].create({"name": "By hand"})
        bounce._again(forced=(record._name, record.id, None, None))
        self.assertEqual(bounce._record(), record)
        self.assertEqual(bounce.posted_ids.res_id, record.id)

    def dead(self):
        """Return the post of a mail that Odoo could not process."""
        intake = self.account._demo_store(self.account._simulate("plain"), utcnow())
        intake.attempts = MAX_TRIES
        self.env.flush_all()
        intake._write_failure(intake, MAX_TRIES, ValueError("odd"))
        return intake

    def test_dead_letter_stands_in_the_inbox(self):
        intake = self.dead()
        self.assertEqual(intake.state, "dead")
        message = intake.message_ids
        self.assertEqual((message.state, message.reason), ("held", "failed"))
        self.assertIn("odd", message.note)
        message.action_process_again()
        self.assertEqual((message.state, message.trust), ("routed", "verified"))

    def test_dead_letter_that_is_tried_again_is_the_same_mail(self):
        intake = self.dead()
        message = intake.message_ids
        intake.action_retry()
        intake._deliver(intake._mails())
        self.assertEqual((intake.state, intake.message_ids), ("done", message))
        self.assertEqual(message.state, "routed")

    def test_mail_processed_by_hand_is_not_processed_twice(self):
        intake = self.dead()
        message = intake.message_ids
        message.action_process_again()
        self.assertEqual(intake.state, "done")
        intake.action_retry()
        self.assertEqual(intake.state, "done")

    def test_dead_letter_that_is_rejected_is_done(self):
        intake = self.dead()
        intake.message_ids.action_reject()
        self.assertEqual(intake.state, "done")

    def test_dead_letter_that_still_breaks_is_told(self):
        """What made it dead is in the way of its record in the Inbox, too."""
        intake = self.account._demo_store(self.account._simulate("plain"), utcnow())
        self.env.cr.execute(
            """CREATE FUNCTION test_refuses_message() RETURNS trigger
               LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
               CREATE TRIGGER test_refuses BEFORE INSERT ON mail_bridge_message
               FOR EACH ROW EXECUTE FUNCTION test_refuses_message()"""
        )
        with mute_logger("odoo.sql_db"):
            intake._write_failure(intake, MAX_TRIES, ValueError("odd"))
        self.assertEqual((intake.state, len(intake.message_ids)), ("dead", 0))
        self.assertTrue(self.account.activity_ids)

    def test_dead_letter_that_nobody_can_read_has_no_mail(self):
        intake = self.account._demo_store(self.account._simulate("plain"), utcnow())
        self.env.cr.execute(
            "DELETE FROM mail_bridge_intake_body WHERE intake_id = %s", (intake.id,)
        )
        intake._write_failure(intake, 1, PayloadError("odd"))
        self.assertEqual((intake.state, len(intake.message_ids)), ("dead", 0))
        self.assertTrue(self.account.activity_ids)

    def test_without_its_original_a_mail_says_so(self):
        message = self.simulate(self.account, "unrouted")
        self.env.cr.execute(
            "DELETE FROM mail_bridge_intake_body WHERE intake_id = %s",
            (message.intake_id.id,),
        )
        with self.assertRaises(PermanentError):
            message._mail()
        with self.assertRaisesRegex(UserError, "retention"):
            message.action_process_again()
