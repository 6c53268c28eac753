# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import TransactionCase, new_test_user, tagged

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_relay.submission import Rcpt, Submission

from .common import SimulatorMixin


@tagged("post_install", "-at_install")
class TestSimulatedFate(SimulatorMixin, TransactionCase):
    """What the simulator tells of a mail that it took.

    The posts themselves go over HTTP against a real server in ``tests/``.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = cls.make_simulator(
            relay_track_opens=True, relay_track_clicks=True
        )

    def sent(self, *addresses, ago=60):
        """Return the recipients of a mail that the simulator took."""
        message_id = "<sent@example.com>"
        [mail] = self.env["mail.relay.message"]._enqueue(
            [
                Submission(
                    mime=b"Subject: x\r\n\r\nx",
                    envelope_sender="a@example.com",
                    email_from="a@example.com",
                    recipients=tuple(map(Rcpt, addresses)),
                    message_id=message_id,
                    account_id=self.account.id,
                )
            ]
        )
        at = fields.Datetime.now() - timedelta(seconds=ago)
        mail.write({"state": "done", "sent_at": at})
        mail.recipient_ids.write(
            {"state": "sent", "rank": 3, "told_rank": 3, "sent_at": at}
        )
        self.env.flush_all()
        return mail.recipient_ids.sorted("id")

    def tell(self, people):
        """Let the next event of each come in through the adapter's own post."""
        told = [person._demo_event(person._demo_next()[0]) for person in people]
        facts = self.account._facts()
        sample = self.account._adapter().compose_events(told, facts)
        intake = self.account._demo_store(sample, utcnow())
        events = self.account._adapter().parse(intake._request(), {}, facts)
        Event = self.env["mail.bridge.event"]
        Event._store(self.account, events, "webhook", intake)
        Event.search([("intake_id", "=", intake.id)])._apply_batch()
        self.env.invalidate_all()

    def test_a_mail_is_delivered_then_opened(self):
        person = self.sent("unsubscribe@example.com")
        for state in ("delivered", "opened", "unsubscribed"):
            self.tell(person)
            self.assertEqual(person.state, state)
        self.assertIsNone(person._demo_next())

    def test_the_address_chooses_the_bounce(self):
        people = self.sent(
            "bounce+7@example.com", "soft@example.com", "block@x.example"
        )
        self.tell(people)
        self.assertEqual(set(people.mapped("state")), {"bounced"})
        self.assertEqual(people.mapped("bounce_class"), ["hard", "soft", "block"])
        self.assertIn("No such user", people[0].failure_text)

    def test_nothing_is_seen_where_nothing_is_tracked(self):
        person = self.sent("ann@example.com")
        person.relay_message_id.write({"track_opens": False, "track_clicks": False})
        self.tell(person)
        self.assertEqual(person.state, "delivered")
        self.assertIsNone(person._demo_next())

    def test_only_fresh_mails_of_enabled_simulators_are_told_of(self):
        fresh, old = self.sent("ann@example.com"), self.sent("bob@x.example", ago=7200)
        early = self.sent("carl@example.com", ago=-5)
        due, wait = self.env["mail.relay.recipient"]._demo_due()
        self.assertIn(fresh, due)
        self.assertFalse((old | early) & due)
        self.assertGreater(wait, 0)
        self.account.action_disable()
        due, _wait = self.env["mail.relay.recipient"]._demo_due()
        self.assertFalse(fresh & due)

    def test_news_call_the_simulator(self):
        cron = self.env.ref("mail_bridge_demo.ir_cron_play")
        triggers = [("cron_id", "=", cron.id)]
        before = self.env["ir.cron.trigger"].search_count(triggers)
        self.sent("ann@example.com")._after_truth()
        after = self.env["ir.cron.trigger"].search_count(triggers)
        self.assertEqual(after, before + 1)

    def test_the_wizard_is_for_administrators_and_simulators(self):
        mail = self.sent("ann@example.com").relay_message_id
        self.assertTrue(mail.is_simulated)
        Wizard = self.env["mail.bridge.simulate.event.wizard"]
        user = new_test_user(self.env, "sim-user", groups="mail_bridge.group_user")
        with self.assertRaises(AccessError):
            Wizard.with_user(user).create({"relay_message_id": mail.id})
        self.account.action_disable()
        with self.assertRaises(UserError):
            Wizard.create({"relay_message_id": mail.id}).action_simulate()
