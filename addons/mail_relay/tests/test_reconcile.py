# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta, timezone

from odoo import fields
from odoo.tests import tagged

from odoo.addons.mail_bridge.providers.base import utcnow

from ..models.mail_bridge_account_upkeep import OVERLAP, SPAN
from .asked_provider import BUSY, ask_it
from .event_common import RelayEventCase


@tagged("post_install", "-at_install")
class TestReconcile(RelayEventCase):
    """Of what nothing was heard, the provider is asked."""

    def setUp(self):
        super().setUp()
        self.provider = ask_it(self)
        self.account.state = "enabled"

    def sent(self, hours, address="reader@outside.example", truth="sent"):
        """Return a mail that was sent so many hours ago, and its last news as well."""
        moment = fields.Datetime.now() - timedelta(hours=hours)
        mail = self.send(address, at=moment, truth=truth, account_id=self.account.id)
        mail.account_id = self.account
        mail.recipient_ids.write({"sent_at": moment, "last_event_at": moment})
        self.env.flush_all()
        return mail

    def ask(self):
        self.env["mail.bridge.account"]._cron_reconcile()
        return self.Event.search([("account_id", "=", self.account.id)])

    def test_news_of_a_silent_mail_are_stored_as_asked_for(self):
        mail = self.sent(hours=8)
        news = self.event(mail, occurred_at=utcnow() - timedelta(hours=7))
        self.provider.events = [news]
        stored = self.ask()
        self.assertEqual((stored.type, stored.source), ("delivered", "reconcile"))
        begin, end = self.provider.spans[0]
        sent_at = mail.recipient_ids.sent_at.replace(tzinfo=timezone.utc)
        self.assertEqual(begin, sent_at.replace(microsecond=0))
        self.assertLess(utcnow() - end, timedelta(minutes=1))
        stored._apply_batch()
        self.env.invalidate_all()
        self.assertEqual(mail.recipient_ids.state, "delivered")

    def test_nobody_is_asked_while_nothing_is_silent(self):
        self.sent(hours=1)
        self.sent(hours=30, truth="delivered")
        self.sent(hours=24 * 6)
        self.assertFalse(self.ask() or self.provider.spans)
        self.sent(hours=30)
        self.account.relay_silence_hours = 0
        self.assertFalse(self.ask() or self.provider.spans)

    def test_mails_of_other_accounts_are_not_asked_for_here(self):
        mail = self.sent(hours=8)
        mail.account_id = self.env["mail.bridge.account"].create({"name": "Other"})
        self.assertFalse(self.ask() or self.provider.spans)

    def test_the_next_time_goes_on_where_the_last_one_ended(self):
        self.sent(hours=8)
        self.ask()
        until = self.account.relay_reconciled_until
        self.provider.spans.clear()
        self.ask()
        begin = self.provider.spans[0][0].replace(tzinfo=None)
        self.assertEqual(begin, until - OVERLAP)

    def test_what_a_webhook_told_and_what_is_not_ours_is_not_stored(self):
        mail = self.sent(hours=8)
        known = self.event(mail, "queued", occurred_at=utcnow() - timedelta(hours=7))
        self.Event._store(self.account, [known], "webhook")
        foreign = self.event(
            mail,
            recipient="somebody@else.example",
            reference="f" * 32,
            occurred_at=utcnow() - timedelta(hours=6),
        )
        self.provider.events = [known, foreign]
        stored = self.ask()
        self.assertEqual(stored.mapped("source"), ["webhook"])

    def test_a_long_time_is_read_in_spans_and_what_was_read_stays(self):
        mail = self.sent(hours=60)
        self.provider.events = [
            self.event(mail, kind, occurred_at=utcnow() - timedelta(hours=hours))
            for kind, hours in (("queued", 59), ("delivered", 30))
        ]
        self.provider.trouble = BUSY
        self.assertEqual(self.ask().mapped("type"), ["queued"])
        begin, end = self.provider.spans[0]
        self.assertEqual(end - begin, SPAN)
        until = self.account.relay_reconciled_until.replace(tzinfo=timezone.utc)
        self.assertEqual(until, end)
        self.provider.trouble = None
        self.assertEqual(set(self.ask().mapped("type")), {"queued", "delivered"})

    def test_the_button_says_how_much_was_new(self):
        mail = self.sent(hours=8)
        moment = utcnow() - timedelta(hours=7)
        self.provider.events = [self.event(mail, occurred_at=moment)]
        action = self.account.action_reconcile()
        self.assertIn("1", action["params"]["message"])
        self.provider.trouble = BUSY
        self.sent(hours=40)
        self.account.relay_reconciled_until = False
        action = self.account.action_reconcile()
        self.assertEqual(action["params"]["type"], "danger")
        self.assertIn("busy", action["params"]["message"])
