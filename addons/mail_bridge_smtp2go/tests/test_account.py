# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from urllib.parse import urlencode

from odoo.tests import Form, TransactionCase, tagged

from odoo.addons.mail_bridge.exceptions import SignatureError
from odoo.addons.mail_bridge.providers.base import WebhookRequest, utcnow
from odoo.addons.mail_bridge.tests.account_contract import UnsignedAccountContract

from .. import proof

KEY = "api-0123456789ABCDEF0123456789ABCDEF"
TOKEN = "token-0123456789abcdef"
#: As SMTP2GO's documentation shows a webhook's post.
EVENT = {
    "event": "delivered",
    "time": "2026-11-21T03:00:00Z",
    "rcpt": "customer@outside.example",
    "email_id": "1u0SwL-B9zBpi9ffUq-JAB2",
    "message-id": "<mail@bridge.example.com>",
    "message": "250 2.0.0 Ok: queued as 4f7f4b3tWbzKy",
}
POSTS = {
    "application/json": json.dumps(EVENT).encode(),
    "application/x-www-form-urlencoded": urlencode(EVENT).encode(),
}


@tagged("post_install", "-at_install")
class TestSmtp2goAccount(UnsignedAccountContract, TransactionCase):
    code = "smtp2go"

    def post(self, kind="application/json", *headers):
        body = POSTS[kind]
        return WebhookRequest(
            method="POST",
            path="/mailgate/smtp2go/***",
            headers=(("Content-Type", kind), *headers),
            body=body,
            remote_addr="192.0.2.1",
            received_at=utcnow(),
            size=len(body),
        )

    def refused(self, account, *headers):
        """Tell whether a post with these headers is refused, in each form."""
        outcomes = set()
        for kind in POSTS:
            try:
                account._adapter().verify(self.post(kind, *headers), account._facts())
                outcomes.add(False)
            except SignatureError:
                outcomes.add(True)
        [outcome] = outcomes
        return outcome

    def test_facts_hold_what_the_adapter_asks_for(self):
        account = self.make(
            smtp2go_api_key=KEY, smtp2go_region="eu", smtp2go_fastaccept=True
        )
        facts = account._facts()
        self.assertEqual(facts.secret("api_key"), KEY)
        self.assertEqual(facts.options["region"], "eu")
        self.assertTrue(facts.options["fastaccept"])

    def test_other_providers_get_none_of_its_options(self):
        account = self.env["mail.bridge.account"].create({"name": "Other"})
        self.assertNotIn("region", account._adapter_options())

    def test_a_region_that_does_not_exist_cannot_be_chosen(self):
        with self.assertRaises(ValueError):
            self.make(smtp2go_region="mars")

    def test_with_an_authorization_only_posts_that_repeat_it_count(self):
        account = self.make(smtp2go_webhook_auth=TOKEN)
        self.assertTrue(self.refused(account))
        self.assertTrue(self.refused(account, ("Authorization", "Bearer wrong")))
        self.assertTrue(self.refused(account, ("Authorization", f"Basic {TOKEN}x")))
        self.assertFalse(self.refused(account, ("Authorization", f"Bearer {TOKEN}")))

    def test_user_and_password_make_it_basic(self):
        account = self.make(smtp2go_webhook_auth="odoo:secret-0123456789")
        given = proof.authorization("odoo:secret-0123456789")
        self.assertTrue(given.startswith("Basic "))
        self.assertFalse(self.refused(account, ("Authorization", given)))
        self.assertTrue(self.refused(account, ("Authorization", "Basic b2Rvbzp4")))

    def test_with_a_proxy_key_only_signed_posts_count(self):
        account = self.make(smtp2go_proxy_key="proxy-0123456789abcdef")
        self.assertTrue(self.refused(account))
        request = self.post()
        for key, is_refused in (
            ("proxy-0123456789abcdef", False),
            ("another-0123456789abc", True),
        ):
            seconds = int(request.received_at.timestamp())
            signed = self.post(
                "application/json", *proof.proxy_headers(key, request.body, seconds)
            )
            with self.subTest(key=key):
                if is_refused:
                    with self.assertRaises(SignatureError):
                        account._adapter().verify(signed, account._facts())
                else:
                    account._adapter().verify(signed, account._facts())

    def test_a_replaced_authorization_stays_live_while_posts_are_repeated(self):
        account = self.make(smtp2go_webhook_auth="old-0123456789abcdef")
        account.smtp2go_webhook_auth = TOKEN
        for token in (TOKEN, "old-0123456789abcdef"):
            self.assertFalse(
                self.refused(account, ("Authorization", f"Bearer {token}"))
            )

    def test_credentials_are_shown_as_a_mask(self):
        names = ["smtp2go_api_key", "smtp2go_webhook_auth", "smtp2go_proxy_key"]
        account = self.make(**dict.fromkeys(names, KEY))
        shown = account.with_user(self.head()).read(names)[0]
        for name in names:
            self.assertNotIn(KEY, shown[name])
            self.assertTrue(shown[name])

    def test_the_form_says_that_there_is_no_hmac(self):
        account = self.make().with_user(self.head())
        self.assertIn("no HMAC", account.get_view(view_type="form")["arch"])
        with Form(account) as form:
            form.smtp2go_api_key = KEY
            form.smtp2go_region = "au"
        self.assertEqual(form.record._facts().secret("api_key"), KEY)
