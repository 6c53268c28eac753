# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import socket

from odoo.exceptions import AccessError, UserError
from odoo.tests import TransactionCase, new_test_user, tagged

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    Outcome,
    OutgoingMail,
)
from odoo.addons.mail_bridge.tests.provider_stub import PUBLIC, Patches, ProviderCase

from .. import const
from ..tests_plain.api_of import (
    DENIED,
    KEY,
    Webhooks,
    error,
    paths,
    said,
    smtp2go,
)

TOKEN = "token-0123456789abcdef"
SUMMARY = {
    "cycle_start": "2026-11-01 00:00:00+00:00",
    "cycle_max": 10000,
    "cycle_used": 100,
    "cycle_remaining": 9900,
    "email_count": 98,
    "bounce_percent": "1.02",
    "hardbounces": 1,
    "spam_rejects": 5,
}


@tagged("post_install", "-at_install")
class TestSmtp2goServices(ProviderCase, TransactionCase):
    """From a button through the adapter to an HTTP server, and back."""

    def setUp(self):
        super().setUp()
        self.make_public()
        self.account = self.make()

    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {
                "name": "SMTP2GO",
                "code": "smtp2go",
                "smtp2go_api_key": KEY,
                "state": "enabled",
                **values,
            }
        )

    def lead_to(self, **stubs):
        """Let each region lead to a stub of its own."""
        for region, stub in stubs.items():
            Patches(self).setitem(const.REGIONS, region.strip("_"), f"{stub.url}/v3")

    # --- Webhooks ---

    def test_registering_adds_one_webhook_and_repeating_it_none(self):
        hooks = Webhooks("https://elsewhere.example.com/hook")
        self.start(smtp2go, hooks)
        self.account.smtp2go_webhook_auth = TOKEN
        account = self.as_head(self.account)
        for _press in range(2):
            action = account.action_register_events()
            self.assertTold(action, account, "posts events to this account now")
        self.assertEqual(
            hooks.urls, ["https://elsewhere.example.com/hook", account.webhook_url]
        )
        self.assertTrue(account.webhook_url.startswith(f"{PUBLIC}/mailgate/smtp2go/"))
        ours = hooks.hooks[2]
        self.assertEqual(ours["output_format"], "json")
        self.assertEqual(ours["auth_header_value"], TOKEN)
        self.assertIn("X-Mail-Bridge-Reference", ours["headers"])

    def test_after_the_address_was_renewed_the_same_webhook_moves(self):
        hooks = Webhooks()
        self.start(smtp2go, hooks)
        account = self.as_head(self.account)
        account.action_register_events()
        old = account.webhook_url
        account.action_renew_token()
        account.action_register_events()
        self.assertNotEqual(account.webhook_url, old)
        self.assertEqual(hooks.urls, [account.webhook_url])

    def test_removing_leaves_what_is_not_ours(self):
        other = self.make(name="Another account of ours")
        hooks = Webhooks("https://elsewhere.example.com/hook", other.webhook_url)
        self.start(smtp2go, hooks)
        account = self.as_head(self.account)
        account.action_register_events()
        action = account.action_unregister_events()
        self.assertTold(action, account, "Webhooks removed at the provider: 1")
        self.assertEqual(
            hooks.urls, ["https://elsewhere.example.com/hook", other.webhook_url]
        )

    def test_a_refusal_is_told_and_holds_no_secret(self):
        self.start(smtp2go, error("API_EXCEPTION", f"No more webhooks for {KEY}"))
        account = self.as_head(self.account)
        action = account.action_register_events()
        self.assertTold(action, account, "No more webhooks", kind="danger")
        self.assertNotIn(KEY, action["params"]["message"])
        self.assertNotIn(KEY, account.message_ids[:1].body)

    def test_without_a_key_nothing_is_asked(self):
        stub = self.start(smtp2go, DENIED)
        self.account.smtp2go_api_key = False
        account = self.as_head(self.account)
        action = account.action_register_events()
        self.assertTold(action, account, "no API key", kind="danger")
        self.assertFalse(stub.asked)

    def test_an_address_that_only_this_machine_reaches_is_not_registered(self):
        stub = self.start(smtp2go, DENIED)
        parameter = self.env["ir.config_parameter"].sudo()
        parameter.set_param("web.base.url", "http://localhost:8069")
        with self.assertRaisesRegex(UserError, "only this machine"):
            self.as_head(self.account).action_register_events()
        self.assertFalse(stub.asked)

    def test_only_administrators_register_and_only_what_the_provider_offers(self):
        stub = self.start(smtp2go, DENIED)
        reader = new_test_user(self.env, "reader", groups="mail_bridge.group_user")
        with self.assertRaises(AccessError):
            self.account.with_user(reader).action_register_events()
        with self.assertRaisesRegex(UserError, "offers nothing"):
            self.as_head(self.account).action_register_inbound()
        self.assertFalse(stub.asked)

    def test_the_form_shows_the_buttons_it_has_a_use_for(self):
        account = self.as_head(self.account)
        arch = account.get_view(view_type="form")["arch"]
        for name in ("action_register_events", "action_refresh_statistics"):
            self.assertIn(name, arch)
        self.assertTrue(account.can_register_events)
        self.assertFalse(account.can_register_inbound)
        self.assertTrue(account.has_statistics)

    # --- Networks ---

    def test_the_published_addresses_are_added_to_the_allowed_ones(self):
        real = socket.getaddrinfo

        def answer(host, port, *values, **named):
            if host != "webhooks.smtp2go.com":
                return real(host, port, *values, **named)
            kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
            return [(*kind, (f"203.0.113.{number}", port)) for number in (7, 8)]

        Patches(self).setitem(vars(socket), "getaddrinfo", answer)
        self.account.allowed_networks = "192.0.2.0/24\n203.0.113.7"
        action = self.as_head(self.account).action_add_networks()
        self.assertEqual(action["params"]["type"], "success")
        self.assertEqual(
            self.account.allowed_networks, "192.0.2.0/24\n203.0.113.7\n203.0.113.8"
        )

    def test_the_first_event_ticks_a_step_off(self):
        account = self.as_head(self.account)
        labels = {step["label"]: step["state"] for step in account.checklist}
        self.assertEqual(labels["The provider told what became of a mail"], "todo")
        event = DeliveryEvent("delivered", "c@out.example", utcnow())
        self.env["mail.bridge.event"]._store(self.account, [event], "webhook")
        account.invalidate_recordset()
        labels = {step["label"]: step["state"] for step in account.checklist}
        self.assertEqual(labels["The provider told what became of a mail"], "done")

    # --- Figures ---

    def test_figures_stand_in_the_account_under_our_names(self):
        stub = self.start(smtp2go, said(SUMMARY))
        account = self.as_head(self.account)
        action = account.action_refresh_statistics()
        self.assertEqual(action["params"]["type"], "success")
        self.assertEqual(paths(stub), ["/stats/email_summary"])
        self.assertEqual(account.statistics["quota_left"], "9900")
        self.assertNotIn("spam_rejects", account.statistics)
        for text in ("9900", "98", "1.02"):
            self.assertIn(f'"{text}"', account.statistics_lines)
        self.assertTrue(account.statistics_date)

    def test_the_cron_asks_for_all_and_one_refusal_holds_up_no_other(self):
        refused = self.make(name="Refused", smtp2go_region="us")
        off = self.make(name="Off", state="disabled")
        bare = self.make(name="No key", smtp2go_api_key=False)
        stub = self.start(smtp2go, said(SUMMARY))
        denied = self.start(smtp2go, DENIED)
        self.lead_to(global_=stub, us=denied)
        self.env["mail.bridge.account"]._cron_statistics()
        self.assertEqual(self.account.statistics["sent"], "98")
        self.assertFalse((refused | off | bare).filtered("statistics"))
        self.assertEqual(len(refused.activity_ids), 1)
        self.assertFalse(bare.activity_ids)

    # --- Sending ---

    def test_a_mail_goes_out_with_what_the_account_holds(self):
        answer = said({"succeeded": 1, "failed": 0, "email_id": "1u0SwL-B9zBpi9-A"})
        stub = self.start(smtp2go, answer)
        mail = OutgoingMail(
            b"From: a@bridge.example.com\r\nTo: c@out.example\r\nSubject: Hello\r\n"
            b"Message-ID: <m@bridge.example.com>\r\n\r\nText\r\n",
            "a@bridge.example.com",
            ("c@out.example",),
            "0123456789abcdef0123456789abcdef",
            "<m@bridge.example.com>",
        )
        self.account.smtp2go_fastaccept = True
        facts = self.account._facts()
        receipt = self.account._adapter().send(mail, facts)
        self.assertEqual(receipt.results[0].outcome, Outcome.ACCEPTED)
        self.assertEqual(paths(stub), ["/email/mime"])
        self.assertTrue(stub.asked[0].json["fastaccept"])
