# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.tests import tagged

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.suppression import Suppression

from .asked_provider import BUSY, REFUSED, ask_it
from .event_common import RelayEventCase

DEAD, READER = "dead@outside.example", "reader@outside.example"


@tagged("post_install", "-at_install")
class TestSuppressionSync(RelayEventCase):
    """What stands in a provider's list stands here, and the other way round."""

    def setUp(self):
        super().setUp()
        self.provider = ask_it(self)
        self.account.state = "enabled"

    def read(self, *items):
        self.provider.listed = list(items)
        self.env["mail.bridge.account"]._cron_import_suppressions()
        return self.entries()

    def entries(self, *addresses):
        known = self.Suppression.with_context(active_test=False)
        return known.search(
            [("email_normalized", "in", addresses or (DEAD, READER))], order="id"
        )

    def tell(self):
        self.provider.told.clear()
        self.Suppression._cron_tell_providers()
        return self.provider.told

    def enter(self, address=DEAD, **values):
        return self.Suppression.create({"email_normalized": address, **values})

    # --- From the provider ---

    def test_a_bounce_holds_all_back_for_a_month_from_the_last_reading(self):
        since = utcnow().replace(microsecond=0) - timedelta(days=400)
        entry = self.read(Suppression(DEAD, "bounced", since, "550 no such user"))
        self.assertEqual((entry.scope, entry.source), ("all", "provider"))
        self.assertEqual(entry.evidence, "550 no such user")
        self.assertEqual(entry.account_id, self.account)
        days = (entry.until - fields.Datetime.now()).days
        self.assertIn(days, (29, 30))
        self.assertEqual(entry.since, since.replace(tzinfo=None))
        held = self.Suppression._held_back([DEAD], self.account)
        self.assertEqual(held[DEAD], entry)

    def test_a_wish_is_about_marketing_and_core_s_blacklist_follows(self):
        entry = self.read(Suppression(READER, "unsubscribed"))
        self.assertEqual((entry.scope, entry.until), ("marketing", False))
        blacklist = self.env["mail.blacklist"]
        self.assertTrue(blacklist.search([("email", "=", READER)]))
        self.assertFalse(self.Suppression._held_back([READER], self.account))

    def test_whom_a_person_took_off_the_blacklist_a_reading_does_not_put_back(self):
        listed = Suppression(READER, "complained")
        self.read(listed)
        found = self.env["mail.blacklist"].search([("email", "=", READER)])
        found.active = False
        self.read(listed)
        self.assertFalse(found.active)

    def test_what_was_entered_there_counts_and_a_tag_is_a_list(self):
        entries = self.read(
            Suppression(DEAD, "manual"),
            Suppression(READER, "unsubscribed", tags=("news",)),
            Suppression("@domain.example", "manual"),
            Suppression(f"<{DEAD}>", "manual"),
        )
        self.assertEqual(entries.mapped("scope"), ["all", "list"])
        self.assertEqual(entries.mapped("list_reference"), [False, "news"])

    def test_what_is_lifted_there_is_lifted_here_and_nothing_else(self):
        own = self.enter("own@outside.example")
        listed = Suppression(READER, "unsubscribed")
        self.read(Suppression(DEAD, "bounced"), listed)
        self.account.relay_suppressions_date -= timedelta(days=1)
        self.entries().write({"listed_at": fields.Datetime.now() - timedelta(days=1)})
        self.env.flush_all()
        entries = self.read(listed)
        self.assertEqual(entries.mapped("active"), [False, True])
        self.assertTrue(own.active)

    def test_a_list_that_was_not_read_to_its_end_lifts_nothing(self):
        self.read(Suppression(DEAD, "bounced"))
        read_on = self.account.relay_suppressions_date
        self.entries().write({"listed_at": read_on - timedelta(days=1)})
        self.env.flush_all()
        entries = self.read(Suppression(READER, "complained"), BUSY)
        self.assertEqual(entries.filtered("active").mapped("email_normalized"), [DEAD])
        self.assertEqual(self.account.relay_suppressions_date, read_on)

    def test_an_entry_that_an_event_made_is_renewed_not_doubled(self):
        soon = fields.Datetime.now() + timedelta(days=2)
        entry = self.enter(source="event", reason="invalid", until=soon)
        self.assertEqual(self.read(Suppression(DEAD, "bounced")), entry)
        self.assertGreater(entry.until, soon)

    # --- To the provider ---

    def test_what_a_person_enters_for_all_mail_the_provider_is_told(self):
        entry = self.enter(reason="asked by phone")
        self.enter(READER, scope="marketing")
        self.enter("event@outside.example", source="event", reason="invalid")
        self.assertEqual(self.tell(), [("suppress", DEAD, "manual")])
        self.assertEqual(entry.provider_state, "told")
        self.assertFalse(self.tell())

    def test_what_a_person_takes_back_is_lifted_there_and_stays_so(self):
        listed = Suppression(DEAD, "bounced")
        entry = self.read(listed)
        entry.active = False
        self.assertFalse(self.read(listed).active, "the provider does not know yet")
        self.assertEqual(self.tell(), [("unsuppress", DEAD, "bounced")])
        self.assertEqual(entry.provider_state, "told")
        self.assertFalse(self.read().filtered("active"))

    def test_a_busy_provider_is_told_later_and_a_refusal_is_shown(self):
        entry = self.enter()
        self.provider.trouble = BUSY
        self.assertFalse(self.tell())
        self.assertEqual(entry.provider_state, "waiting")
        self.provider.trouble = REFUSED
        self.assertFalse(self.tell())
        self.assertEqual(entry.provider_state, "refused")
        self.assertIn("Test Account: the provider refuses", entry.provider_error)
        self.provider.trouble = None
        entry.action_tell_providers()
        self.assertEqual(self.tell(), [("suppress", DEAD, "manual")])
        self.assertFalse(entry.provider_error)

    def test_what_waits_for_an_account_that_is_off_is_told_when_it_is_on(self):
        entry = self.enter(account_id=self.account.id)
        self.account.state = "disabled"
        self.assertFalse(self.tell())
        self.assertEqual(entry.provider_state, "waiting")
        self.account.state = "enabled"
        self.assertEqual(self.tell(), [("suppress", DEAD, "manual")])

    def test_providers_of_other_companies_are_not_told(self):
        other = self.env["res.company"].create({"name": "Elsewhere"})
        entry = self.enter(company_id=other.id)
        self.assertFalse(self.tell())
        self.assertFalse(entry.provider_state)

    def test_what_the_provider_lists_is_archived_not_deleted(self):
        entry = self.read(Suppression(DEAD, "bounced"))
        with self.assertRaisesRegex(UserError, "Archive"):
            entry.unlink()
        entry.active = False
        self.tell()
        entry.unlink()
        self.assertFalse(entry.exists())

    def test_the_forms_show_it(self):
        entry = self.enter()
        arch = entry.get_view(view_type="form")["arch"]
        self.assertIn("provider_state", arch)
        account = self.account.with_user(self.admin)
        self.assertTrue(account.has_history and account.has_suppressions)
        self.assertIn("relay_silence_hours", account.get_view(view_type="form")["arch"])
