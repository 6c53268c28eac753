# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo.exceptions import ValidationError
from odoo.tests import tagged

from .people_case import PeopleCase


@tagged("post_install", "-at_install")
class TestDemoData(PeopleCase):
    def test_every_state_has_a_mail_that_nobody_ever_sends(self):
        Mail = self.env["mail.relay.message"]
        Mail.search([]).unlink()
        Mail._demo_deliveries()
        mails = Mail.search([])
        states = {key for key, _label in Mail._fields["state"].selection}
        self.assertEqual(set(mails.mapped("state")), states)
        fates = {"delivered", "opened", "clicked", "bounced", "complained", "failed"}
        self.assertLessEqual(fates, set(mails.recipient_ids.mapped("state")))
        self.assertEqual(
            set(mails.recipient_ids.mapped("bounce_class")) - {False},
            {"hard", "soft", "block"},
        )
        self.assertGreater(len({mail.created_at.date() for mail in mails}), 12)
        waiting = mails.filtered(lambda mail: mail.state == "queued")
        self.assertGreater(min(waiting.mapped("next_attempt")).year, self.now.year + 5)
        domains = set(mails.recipient_ids.mapped("domain"))
        self.assertTrue(all(name.endswith(".example") for name in domains))
        Mail._demo_deliveries()
        self.assertEqual(Mail.search_count([]), len(mails))

    def test_its_history_is_whole(self):
        Mail = self.env["mail.relay.message"]
        Mail.search([]).unlink()
        Mail._demo_deliveries()
        mail = Mail.search([("recipient_ids.state", "=", "clicked")], limit=1)
        titles = [entry["title"] for entry in mail.read_timeline()["entries"]]
        self.assertEqual(
            titles, ["Clicked", "Opened", "Delivered", "Attempt 1: Accepted", "Queued"]
        )


@tagged("post_install", "-at_install")
class TestRetention(PeopleCase):
    def setUp(self):
        super().setUp()
        self.env["mail.relay.message"].search([]).unlink()

    def aged(self, days, state="done"):
        mail = self.enqueue()
        self.put(mail, state=state, done_at=self.now - timedelta(days=days))
        return mail

    def has_body(self, mail):
        self.env.cr.execute(
            "SELECT 1 FROM mail_relay_message_body WHERE message_id = %s", (mail.id,)
        )
        return bool(self.env.cr.fetchone())

    def test_texts_go_before_mails_and_dead_ones_keep_theirs(self):
        fresh, old, dead, ancient = (
            self.aged(29),
            self.aged(31),
            self.aged(31, "dead"),
            self.aged(366),
        )
        self.env["mail.relay.message"]._cron_retention()
        self.assertTrue(self.has_body(fresh) and self.has_body(dead))
        self.assertFalse(self.has_body(old))
        self.assertTrue(old.body_deleted and old.recipient_ids)
        self.assertFalse(ancient.exists())

    def test_what_waits_is_never_deleted(self):
        for state in ("queued", "sending", "in_doubt", "held"):
            mail = self.enqueue()
            self.put(mail, state=state, created_at=self.now - timedelta(days=900))
            self.env["mail.relay.message"]._cron_retention()
            self.assertTrue(self.has_body(mail), state)

    def test_a_full_batch_comes_again_at_once(self):
        mails = self.aged(40) | self.aged(40) | self.aged(40)
        self.env["mail.relay.message"]._cron_retention(batch=2)
        self.assertEqual([self.has_body(mail) for mail in mails], [False, False, True])
        cron = self.env.ref("mail_relay.ir_cron_retention")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        self.assertTrue(triggers)

    def test_settings_say_how_long_and_never_too_short(self):
        Settings = self.env["res.config.settings"]
        Settings.create({"mail_relay_body_days": 10}).execute()
        mail = self.aged(11)
        self.env["mail.relay.message"]._cron_retention()
        self.assertFalse(self.has_body(mail))
        with self.assertRaises(ValidationError):
            Settings.create({"mail_relay_body_days": 1})

    def test_settings_change_the_number_of_dispatchers(self):
        self.env["res.config.settings"].create(
            {"mail_relay_dispatch_count": 3}
        ).execute()
        crons = self.env["mail.relay.message"]._drain_crons()
        self.assertEqual(self.env["ir.cron"].search_count([("id", "in", crons)]), 3)
