# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO keeps the contract of every adapter: as JSON, as form, behind a proxy."""

import json
import random
from dataclasses import replace

import pytest

from odoo.addons.mail_bridge.exceptions import SignatureError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.mime import build_mime
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_TEXTS,
    BAD_VALUES,
    MAIL,
    NOW,
    RECIPIENT,
    SENDER,
    EventContract,
    SignedPosts,
    replace_body,
)
from odoo.addons.mail_bridge.tests_plain.forms_of import Item, multipart, urlencoded
from odoo.addons.mail_bridge_smtp2go import const, proof
from odoo.addons.mail_bridge_smtp2go.adapter import Smtp2goAdapter

TOKEN = "header-canary-0123456789"
KEYS = ("proxy-canary-0123456789", "proxy-canary-9876543210")
API_KEY = "api-canary-0123456789abcdef0123456789"
ACCOUNT = AccountFacts(secrets={"api_key": (API_KEY,)})


class TestJson(EventContract):
    adapter = Smtp2goAdapter()
    account = ACCOUNT

    def sent(self, data):
        return replace_body(self.genuine, json.dumps(data).encode())

    def altered(self, request):
        data = json.loads(request.body)
        for name in data:
            yield self.sent({**data, name: "other"})
        yield self.sent({**data, "more": "x"})
        yield self.sent([data, data])

    def reordered(self, request):
        data = json.loads(request.body)
        yield self.sent(dict(reversed(data.items())))
        yield replace_body(request, json.dumps(data, indent=3).encode())

    def broken(self, account):
        data = json.loads(self.post().body)
        for text in ("", "null", "17", '"x"', "{", '{"event": "open", "event": 1}'):
            yield replace_body(self.post(), text.encode())
        yield replace_body(self.post(), b'{"event":' + b"[" * 100_000)
        yield self.sent({})
        yield self.sent([[]])
        yield self.sent([data, 17])
        yield self.sent({**data, "event": ""})
        yield self.sent({**data, "event": ["delivered"]})
        yield self.sent({**data, "rcpt": ""})
        yield self.sent({**data, "rcpt": "a@b.example\r\nBcc: c@d.example"})
        yield self.sent({**data, "rcpt": "a@b.example, c@d.example"})
        yield self.sent({**data, "rcpt": None, "recipients": ["a@b.example", "c@d"]})
        yield self.sent({**data, "rcpt": "", "recipients": "[1"})
        yield self.sent([{"event": "reject", "rcpt": "a@b.example"}] * 10_001)

    def mutants(self, request):
        data = {
            **json.loads(request.body),
            **{"bounce": "hard", "recipients": [RECIPIENT], "email_id": "x"},
            **{"click_url": "https://a.example", "srchost": "192.0.2.1", "id": "1"},
        }
        for name in data:
            rest = {key: item for key, item in data.items() if key != name}
            yield f"{name}: dropped", self.sent(rest)
            for kind, value in BAD_VALUES.items():
                yield f"{name}: {kind}", self.sent({**data, name: value})
                yield f"{name}: only {kind}", self.sent([{**rest, name: value}, data])

    def around(self, content):
        yield replace_body(self.genuine, content)
        text = content.decode("utf-8", "surrogateescape")
        data = json.loads(self.genuine.body)
        for name in (*data, "recipients", "bounce", "click_url", "srchost"):
            yield self.sent({**data, name: text})
        yield self.sent({"event": "processed", "recipients": [text]})
        yield self.sent({text: text, "event": text})


class TestForm(EventContract):
    adapter = Smtp2goAdapter()
    account = ACCOUNT

    def post(self, mime=None, moment=NOW):
        mime = build_mime(MAIL) if mime is None else mime
        sample = self.adapter.compose_post(
            mime, SENDER, RECIPIENT, self.account, moment, form=True
        )
        return self.request(sample.headers, sample.body)

    def items(self, request):
        return [Item(part.name, part.content) for part in request.form.parts]

    def built(self, items, encode=urlencoded):
        content_type, body = encode(items)
        return self.request([("Content-Type", content_type)], body)

    def changed(self, request, name, *contents):
        items = [item for item in self.items(request) if item.name != name]
        return self.built([*items, *(Item(name, content) for content in contents)])

    def altered(self, request):
        for item in self.items(request):
            yield self.changed(request, item.name, item.content + b"x")
            yield self.changed(request, item.name, item.content, item.content)

    def reordered(self, request):
        items = self.items(request)
        for seed in range(5):
            random.Random(seed).shuffle(items)
            yield self.built(items)
        yield self.built(items, multipart)

    def broken(self, account):
        request = self.post()
        yield replace_body(request, b"")
        yield replace_body(request, b"{}")
        yield self.changed(request, "event")
        yield self.changed(request, "event", b"open", b"delivered")
        yield self.changed(request, "rcpt")
        yield self.changed(request, "rcpt", b"a@b.example", b"c@d.example")
        yield self.changed(request, "rcpt", b"a b@c.example")
        headers = [("Content-Type", "multipart/form-data; boundary=x")]
        yield self.request(headers, b"--x")

    def mutants(self, request):
        for name in [item.name for item in self.items(request)]:
            yield f"{name}: dropped", self.changed(request, name)
            content = request.form.first(name)
            yield f"{name}: twice", self.changed(request, name, content, content)
            for kind, text in BAD_TEXTS.items():
                bad = text.encode("utf-8", "surrogatepass")
                yield f"{name}: {kind}", self.changed(request, name, bad)

    def around(self, content):
        request = self.genuine
        yield replace_body(request, content)
        for name in ("event", "rcpt", "time", "message", const.REFERENCE_HEADER):
            yield self.changed(request, name, content)
        yield self.built([Item("event", b"processed"), Item("recipients[]", content)])


class TestBehindAProxy(SignedPosts, TestJson):
    """The proxy signs, and SMTP2GO sends its header through it."""

    account = AccountFacts(
        secrets={
            "api_key": (API_KEY,),
            "webhook_auth": (TOKEN,),
            "proxy_key": KEYS,
        }
    )
    signing_secret = "proxy_key"
    keys = KEYS

    def sent(self, data):
        return self.signed(json.dumps(data).encode())

    def signed(self, body):
        """A genuine frame around any body."""
        headers = [
            ("Content-Type", "application/json"),
            ("Authorization", f"Bearer {TOKEN}"),
            *proof.proxy_headers(KEYS[0], body, int(NOW.timestamp())),
        ]
        return self.request(headers, body)

    def reordered(self, request):
        data = json.loads(request.body)
        yield self.sent(dict(reversed(data.items())))

    def broken(self, account):
        for request in super().broken(account):
            yield self.signed(request.body)

    def around(self, content):
        for request in super().around(content):
            yield self.signed(request.body)

    def test_a_large_post_is_verified_and_reduced(self):
        super().test_a_large_post_is_verified_and_reduced()
        body = b'{"event":"' + b"x" * 3_000_000 + b'"}'
        self.adapter.verify(self.signed(body), self.account)

    def changed(self, request, name, *values):
        headers = [item for item in request.headers if item[0] != name]
        return self.request(
            [*headers, *((name, value) for value in values)], request.body
        )

    def unsigned(self, request):
        for name in (const.PROXY_TIMESTAMP, const.PROXY_SIGNATURE, "Authorization"):
            value = request.header(name)
            for values in ((), ("",), (value, value), (value + "x",), ("１７",)):
                yield self.changed(request, name, *values)

    def forged(self, request):
        yield replace_body(request, request.body + b" ")
        stamp = int(request.header(const.PROXY_TIMESTAMP))
        yield self.changed(request, const.PROXY_TIMESTAMP, str(stamp + 1))
        signature = request.header(const.PROXY_SIGNATURE)
        yield self.changed(request, const.PROXY_SIGNATURE, signature.upper())
        yield self.changed(request, const.PROXY_SIGNATURE, "0" * 64)
        yield self.changed(request, "Authorization", f"Bearer {TOKEN[:-1]}")
        yield self.changed(request, "Authorization", f"Basic {TOKEN[:-1]}")
        yield self.changed(request, "Authorization", f"Digest {TOKEN}")
        yield self.changed(request, "Authorization", TOKEN)

    @pytest.mark.parametrize("name", ["webhook_auth", "proxy_key"])
    def test_an_empty_secret_is_no_proof(self, name):
        secrets = {**self.account.secrets, name: ("",)}
        with pytest.raises(SignatureError):
            self.adapter.verify(self.post(), replace(self.account, secrets=secrets))
