# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import fields
from odoo.tests import tagged

from ..const import BACKOFF_MINUTES, MAX_TRIES
from ..exceptions import NotHereError, PermanentError, TemporaryError
from ..models.mail_bridge_queue import Overtaken
from ..providers.base import WebhookRequest, utcnow
from .common import DOMAIN, BridgeCase


@tagged("post_install", "-at_install")
class TestIntake(BridgeCase):
    def request(self, body=b"body", headers=()):
        return WebhookRequest(
            method="POST",
            path="/mailgate/none/***",
            headers=headers,
            body=body,
            remote_addr="192.0.2.1",
            received_at=utcnow(),
            size=len(body),
        )

    def store(self, request, key="key", content="a" * 64, secrets=()):
        return self.env["mail.bridge.intake"]._store_request(
            self.account.id, self.env.company.id, request, key, content, secrets
        )

    def test_body_survives_byte_for_byte_in_chunks(self):
        body = bytes(range(256)) * 10_000  # 2.5 MB: three chunks
        reference, outcome = self.store(self.request(body))
        intake = self.env["mail.bridge.intake"].search([("reference", "=", reference)])
        self.assertEqual(outcome, "new")
        self.assertEqual(intake._read_part(), body)
        self.env.cr.execute(
            "SELECT count(*) FROM mail_bridge_intake_body WHERE intake_id = %s",
            (intake.id,),
        )
        self.assertEqual(self.env.cr.fetchone()[0], 3)

    def test_empty_body_is_a_body(self):
        reference, _outcome = self.store(self.request(b""))
        intake = self.env["mail.bridge.intake"].search([("reference", "=", reference)])
        self.assertEqual(intake._read_part(), b"")

    def test_repetition_changes_nothing(self):
        first = self.store(self.request())
        second = self.store(self.request())
        self.assertEqual((first[1], second[1]), ("new", "repeated"))
        self.assertEqual(first[0], second[0])

    def test_same_key_with_other_content_is_altered(self):
        self.store(self.request())
        self.assertEqual(self.store(self.request(), content="b" * 64)[1], "altered")

    def test_no_credential_is_stored(self):
        headers = (
            ("Authorization", "Basic xyz"),
            ("Cookie", "session_id=1"),
            ("X-Token", "prefix hidden-value suffix"),
            ("X-Kept", "value"),
        )
        reference, _outcome = self.store(
            self.request(headers=headers), secrets=["hidden-value"]
        )
        intake = self.env["mail.bridge.intake"].search([("reference", "=", reference)])
        self.assertEqual(intake._request().headers, (("X-Kept", "value"),))

    def test_body_is_no_field(self):
        stored = set(self.env["mail.bridge.intake"]._fields)
        self.assertFalse(stored & {"body", "data", "raw", "content"})

    def claimed(self, attempt=1):
        """Return an intake as a claim leaves it."""
        later = fields.Datetime.now() + timedelta(minutes=1)
        intake = self.make_intake(attempts=attempt, next_attempt=later)
        self.env.flush_all()
        return intake

    def test_fenced_out_try_cannot_hold_the_row(self):
        intake = self.claimed(attempt=2)
        with self.assertRaises(Overtaken):
            intake._hold(intake.id, 1)
        self.assertEqual(intake._hold(intake.id, 2), intake)

    def test_done_row_cannot_be_held_again(self):
        intake = self.claimed()
        intake._set_done()
        self.env.flush_all()
        with self.assertRaises(Overtaken):
            intake._hold(intake.id, 1)

    def give_up(self, intake, error, attempt=1):
        """Write a failed try down, without the commit that ends it."""
        intake._write_failure(intake, attempt, error)

    def test_failure_is_retried_with_its_reason(self):
        intake = self.claimed()
        self.give_up(intake, ValueError("odd"))
        self.assertEqual((intake.state, intake.error), ("failed", "ValueError: odd"))

    def test_hint_of_the_peer_moves_the_next_try(self):
        intake = self.claimed()
        self.give_up(intake, TemporaryError("busy", retry_after=3600))
        wait = intake.next_attempt - fields.Datetime.now()
        self.assertGreater(wait, timedelta(minutes=59))

    def test_host_that_cannot_do_the_work_uses_up_no_try(self):
        intake = self.claimed(MAX_TRIES)
        self.give_up(intake, NotHereError("no key ring"), MAX_TRIES)
        self.assertEqual((intake.state, intake.attempts), ("failed", MAX_TRIES - 1))
        self.assertFalse(self.account.activity_ids)

    def test_host_without_the_key_ring_leaves_the_post_to_others(self):
        intake = self.make_intake()
        with self.assertRaises(NotHereError):
            intake._account_facts()  # the account has no provider at all

    def test_row_of_another_lane_is_left_to_its_own_drains(self):
        intake = self.claimed()
        intake._move("network", 1)
        self.assertEqual((intake.lane, intake.attempts), ("network", 0))
        self.assertLessEqual(intake.next_attempt, fields.Datetime.now())
        main, network = (intake._drain_crons(lane) for lane in ("main", "network"))
        self.assertEqual((len(main), len(network)), (2, 1))
        self.assertFalse(set(main) & set(network))

    def test_who_is_told_by_mail_is_told_by_the_mail_queue(self):
        self.account.user_id = self.admin
        self.admin.notification_type = "email"
        queue = self.env.ref("mail.ir_cron_mail_scheduler_action")
        calls = [("cron_id", "=", queue.id)]
        self.env["ir.cron.trigger"].search(calls).unlink()
        self.give_up(self.claimed(), PermanentError("never"))
        told = [("recipient_ids", "in", self.admin.partner_id.ids)]
        self.assertEqual(
            self.env["mail.mail"].search(told).mapped("state"), ["outgoing"]
        )
        self.assertTrue(self.env["ir.cron.trigger"].search_count(calls))

    def test_permanent_failure_is_dead_at_once_and_somebody_is_told(self):
        intake = self.claimed()
        self.give_up(intake, PermanentError("never"))
        self.assertEqual(intake.state, "dead")
        self.assertEqual(len(self.account.activity_ids), 1)

    def test_last_try_is_the_twelfth(self):
        intake = self.claimed(MAX_TRIES)
        self.give_up(intake, ValueError("odd"), MAX_TRIES)
        self.assertEqual((MAX_TRIES, intake.state), (12, "dead"))

    def test_dead_letter_can_be_tried_again(self):
        intake = self.claimed()
        self.give_up(intake, PermanentError("never"))
        intake.action_retry()
        self.assertEqual((intake.state, intake.attempts), ("pending", 0))
        self.assertLessEqual(intake.next_attempt, fields.Datetime.now())

    def test_backoff_runs_from_a_minute_to_six_hours(self):
        self.assertEqual((BACKOFF_MINUTES[0], BACKOFF_MINUTES[-1]), (1, 360))
        self.assertEqual(list(BACKOFF_MINUTES), sorted(BACKOFF_MINUTES))

    def test_retention_deletes_bodies_then_rows(self):
        now = fields.Datetime.now()
        month = self.make_intake(state="done", done_at=now - timedelta(days=31))
        fresh = self.make_intake(state="done", done_at=now - timedelta(days=29))
        failed = self.make_intake(state="failed", received_at=now - timedelta(days=400))
        year = self.make_intake(
            state="done",
            done_at=now - timedelta(days=366),
            received_at=now - timedelta(days=366),
        )
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertFalse(year.exists())
        self.assertTrue(month.body_deleted)
        with self.assertRaises(PermanentError):
            month._read_part()
        self.assertEqual((fresh._read_part(), failed._read_part()), (b"post", b"post"))

    def entry_of_last_year(self):
        """Return an entry of the Inbox that is older than messages are kept."""
        entry = self.deliver(self.make_mail(To=f"nobody@{DOMAIN}"))
        self.assertEqual(entry.state, "unrouted")
        then = fields.Datetime.now() - timedelta(days=400)
        entry.intake_id.write({"state": "done", "done_at": then, "received_at": then})
        self.env.flush_all()
        self.env.cr.execute(
            """UPDATE mail_message SET create_date = create_date - interval '400 days'
                WHERE model = %s AND res_id = %s""",
            (entry._name, entry.id),
        )
        self.env.invalidate_all()
        return entry

    def test_retention_keeps_a_conversation_in_the_inbox(self):
        silent, answered = self.entry_of_last_year(), self.entry_of_last_year()
        answered.message_post(body="An answer of today", message_type="comment")
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertFalse(silent.exists())
        self.assertIn("An answer of today", str(answered.message_ids.mapped("body")))

    def test_retention_keeps_what_a_waiting_reply_is_meant_for(self):
        entry = self.entry_of_last_year()
        reply = self.deliver(self.make_mail(To=f"nobody@{DOMAIN}"))
        reply.write({"res_model": entry._name, "res_id": entry.id})
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertTrue(entry.exists())

    def test_no_setting_deletes_what_a_provider_may_still_repeat(self):
        parameter = self.env["ir.config_parameter"]
        parameter.set_param("mail_bridge.body_days", "-5")
        parameter.set_param("mail_bridge.message_days", "0")
        moment = fields.Datetime.now() - timedelta(days=1)
        intake = self.make_intake(state="done", done_at=moment, received_at=moment)
        self.env["mail.bridge.intake"]._cron_retention()
        self.assertEqual(intake._read_part(), b"post")

    def test_wake_adds_one_trigger_row_per_drain(self):
        Intake = self.env["mail.bridge.intake"]
        crons = Intake._drain_crons()
        Trigger = self.env["ir.cron.trigger"].sudo()
        Trigger.search([("cron_id", "in", crons)]).unlink()
        self.env.flush_all()
        for _post in range(20):
            Intake._add_triggers()
        self.assertEqual(Trigger.search_count([("cron_id", "in", crons)]), len(crons))

    def test_wake_after_a_drain_looked_adds_a_row(self):
        Intake = self.env["mail.bridge.intake"]
        cron_id = Intake._drain_crons()[0]
        Trigger = self.env["ir.cron.trigger"].sudo()
        Trigger.search([("cron_id", "=", cron_id)]).unlink()
        self.env.flush_all()
        Intake._add_triggers()
        Intake._consume_triggers(cron_id)
        Intake._add_triggers()
        self.assertEqual(Trigger.search_count([("cron_id", "=", cron_id)]), 2)

    def test_trigger_that_no_drain_answers_becomes_stale(self):
        Intake = self.env["mail.bridge.intake"]
        cron_id = Intake._drain_crons()[0]
        Trigger = self.env["ir.cron.trigger"].sudo()
        Trigger.search([("cron_id", "in", Intake._drain_crons())]).unlink()
        self.env.flush_all()
        Intake._add_triggers()
        self.assertFalse(Intake._has_stale_trigger())
        row = Trigger.search([("cron_id", "=", cron_id)])
        row.call_at = fields.Datetime.now() - timedelta(seconds=10)
        self.env.flush_all()
        self.assertTrue(Intake._has_stale_trigger())
        Intake._consume_triggers(cron_id)
        self.assertFalse(Intake._has_stale_trigger())
