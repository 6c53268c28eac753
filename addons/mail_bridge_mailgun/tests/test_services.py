# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import TransactionCase, tagged

from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail
from odoo.addons.mail_bridge.tests.provider_stub import PUBLIC, ProviderCase
from odoo.addons.mail_bridge.tests_plain.api_stub import Said

from ..const_api import WEBHOOKS
from ..tests_plain.mailgun_stub import API_KEY, DOMAIN, running_mailgun

THEIRS = "https://elsewhere.example.com/hook"


@tagged("post_install", "-at_install")
class TestMailgunServices(ProviderCase, TransactionCase):
    """From a button through the adapter to an HTTP server, and back."""

    def setUp(self):
        super().setUp()
        self.make_public()
        self.mailgun = self.start(running_mailgun)
        self.account = self.as_head(self.make())

    def make(self, **values):
        return self.env["mail.bridge.account"].create(
            {
                "name": "Mailgun",
                "code": "mailgun",
                "mailgun_signing_key": "key-0123456789abcdef",
                "mailgun_api_key": API_KEY,
                "mailgun_domain": DOMAIN,
                "mailgun_region": "eu",
                "state": "enabled",
                **values,
            }
        )

    def test_registering_enters_our_events_address_for_all_kinds(self):
        self.mailgun.webhooks = {"delivered": [THEIRS]}
        for _press in range(2):
            action = self.account.action_register_events()
            self.assertTold(action, self.account, "posts events to this account now")
        ours = f"{PUBLIC}/mailgate/mailgun/events"
        for kind in WEBHOOKS:
            expected = [THEIRS, ours] if kind == "delivered" else [ours]
            self.assertEqual(self.mailgun.webhooks[kind], expected)

    def test_with_a_token_the_address_without_it_is_given_up(self):
        self.account.action_register_events()
        self.account.require_token = True
        self.account.action_register_events()
        [url] = self.mailgun.webhooks["delivered"]
        self.assertEqual(url, f"{self.account.webhook_url}/events")
        self.assertNotEqual(url, f"{PUBLIC}/mailgate/mailgun/events")

    def test_removing_leaves_what_is_not_ours(self):
        self.mailgun.webhooks = {"delivered": [THEIRS]}
        self.account.action_register_events()
        action = self.account.action_unregister_events()
        self.assertTold(action, self.account, "Webhooks removed at the provider: 1")
        left = {kind: urls for kind, urls in self.mailgun.webhooks.items() if urls}
        self.assertEqual(left, {"delivered": [THEIRS]})

    def test_a_kind_without_a_place_is_told(self):
        taken = [f"{THEIRS}/{number}" for number in range(3)]
        self.mailgun.webhooks = {"delivered": list(taken)}
        action = self.account.action_register_events()
        self.assertTold(action, self.account, "delivered", kind="danger")
        self.assertEqual(self.mailgun.webhooks["delivered"], taken)
        self.assertEqual(len(self.mailgun.webhooks["opened"]), 1)

    def test_the_route_is_made_once_and_removed_alone(self):
        self.mailgun.routes.append(
            {"id": "theirs", "description": "Support", "actions": ["stop()"]}
        )
        for _press in range(2):
            action = self.account.action_register_inbound()
            self.assertTold(action, self.account, "posts mail to this account now")
        [theirs, ours] = self.mailgun.routes
        url = self.account.mailgun_mime_url
        self.assertEqual(ours["actions"], [f'forward("{url}")'])
        self.assertIn("mg[.]example[.]com", ours["expression"])
        another = self.as_head(self.make(name="Another account"))
        another.action_unregister_inbound()
        self.assertEqual(self.mailgun.routes, [theirs, ours])
        action = self.account.action_unregister_inbound()
        self.assertTold(action, self.account, "Routes removed at the provider: 1")
        self.assertEqual(self.mailgun.routes, [theirs])

    def test_a_refusal_is_told_and_holds_no_secret(self):
        self.mailgun.answers = [Said(401, f"Forbidden for {API_KEY}".encode())]
        action = self.account.action_register_events()
        self.assertTold(action, self.account, "401", kind="danger")
        self.assertNotIn(API_KEY, action["params"]["message"])

    def test_a_refusal_that_repeats_our_address_does_not_give_it_away(self):
        self.account.require_token = True
        token = self.account.webhook_url.rpartition("/")[2]
        words = {"message": f"{self.account.webhook_url}/events is not reachable"}
        self.mailgun.answers = [Said(400, words)]
        action = self.account.action_register_events()
        self.assertTold(action, self.account, "is not reachable", kind="danger")
        self.assertNotIn(token, action["params"]["message"])
        self.assertNotIn(token, self.account.message_ids[:1].body)

    def test_without_domain_nothing_is_asked(self):
        self.account.mailgun_domain = False
        action = self.account.action_register_events()
        self.assertTold(action, self.account, "no domain", kind="danger")
        self.assertFalse(self.mailgun.stub.asked)

    def test_a_mail_goes_out_with_what_the_account_holds(self):
        mail = OutgoingMail(
            b"From: a@mg.example.com\r\nTo: c@out.example\r\nSubject: Hello\r\n"
            b"Message-ID: <m@mg.example.com>\r\n\r\nText\r\n",
            "a@mg.example.com",
            ("c@out.example",),
            "0123456789abcdef0123456789abcdef",
            "<m@mg.example.com>",
        )
        account = self.account.sudo()
        receipt = account._adapter().send(mail, account._facts())
        self.assertEqual(receipt.results[0].outcome, Outcome.ACCEPTED)
        [taken] = self.mailgun.mails
        self.assertEqual(taken["to"], ["c@out.example"])
        self.assertIn(mail.reference, str(taken))
