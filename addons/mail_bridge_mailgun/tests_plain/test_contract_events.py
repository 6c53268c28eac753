# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun keeps the contract of every adapter with its event webhooks, too."""

import json
import random
from collections.abc import Iterator

from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.payload import Json
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_VALUES,
    MAIL,
    NOW,
    RECIPIENT,
    EventContract,
    SignedPosts,
    replace_body,
)
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter
from odoo.addons.mail_bridge_mailgun.tests_plain.event_posts import (
    event,
    proof,
    status,
)

KEYS = ("key-canary-0123456789abcdef", "key-canary-fedcba9876543210")
ACCOUNT = AccountFacts(
    secrets={"signing_key": KEYS, "api_key": ("api-canary-77aa",)},
)


class TestMailgunEvents(SignedPosts, EventContract):
    adapter = MailgunAdapter()
    account = ACCOUNT
    signing_secret = "signing_key"
    keys = KEYS

    def post(self, mime=None, moment=NOW) -> WebhookRequest:
        data = event(
            "failed",
            severity="permanent",
            reason="bounce",
            recipient=RECIPIENT,
            timestamp=NOW.timestamp(),
            delivery_status=status(550, "5.1.1 No such user", bounce_type="hard"),
            tags=["invoice"],
            url="https://shop.example",
        )
        message_id = MAIL.header("message-id").strip("<>")
        data["message"] = {"headers": {"message-id": message_id, "to": "x@y.example"}}
        signature = proof(moment=moment, key=KEYS[0])
        return self.posted({"signature": signature, "event-data": data})

    def posted(self, data: Json, **form) -> WebhookRequest:
        body = json.dumps(data, **form).encode("utf-8", "surrogatepass")
        return self.request([("Content-Type", "application/json")], body)

    def signed_with(self, request: WebhookRequest, **changes) -> WebhookRequest:
        """The request with another signature object."""
        data = json.loads(request.body)
        data["signature"] = {**data["signature"], **changes}
        return self.posted(data)

    def unsigned(self, request):
        data = json.loads(request.body)
        for value in (None, [], {}, "x", 5, [data["signature"]]):
            yield self.posted({**data, "signature": value})
        yield self.posted({"event-data": data["event-data"]})
        for name in data["signature"]:
            for value in ("", None, 17, [], {}, "x" * 1_000_000):
                yield self.signed_with(request, **{name: value})
        for stamp in ("１７", "1_000", " 5", "5\n", "٣", "-1", "1e9", "9" * 13, "17.0"):
            yield self.signed_with(request, timestamp=stamp)
        yield replace_body(request, b"")
        twice = request.body.replace(b'{"signature"', b'{"signature": {}, "signature"')
        yield replace_body(request, twice)

    def forged(self, request):
        genuine = json.loads(request.body)["signature"]
        signature, stamp = genuine["signature"], genuine["timestamp"]
        last = "1" if signature[-1] == "0" else "0"
        for text in (
            signature[:-1] + last,
            signature.upper(),
            signature[:-1],
            "é" * 64,
        ):
            yield self.signed_with(request, signature=text)
        yield self.signed_with(request, token=genuine["token"] + "0")
        yield self.signed_with(request, timestamp="0" + stamp)
        yield self.signed_with(request, timestamp=str(int(stamp) - 1))

    def altered(self, request):
        data = json.loads(request.body)
        for path in _paths(data["event-data"]):
            yield self.posted(_changed(data, ("event-data", *path), "other"))
        yield self.posted({**data, "more": 1})

    def reordered(self, request):
        data = json.loads(request.body)
        for seed in range(3):
            yield self.posted(_shuffled(data, random.Random(seed)), indent=seed)

    def broken(self, account) -> Iterator[WebhookRequest]:
        data = json.loads(self.post().body)
        for value in (None, [], "x", 5, {}):
            yield self.posted({**data, "event-data": value})
        for name in ("event", "recipient"):
            for value in (None, "", 5, [], "a b, c", " "):
                changed = _changed(data, ("event-data", name), value)
                if name == "recipient" or value != "a b, c":
                    yield self.posted(changed)

    def mutants(self, request):
        data = json.loads(request.body)
        for path in _paths(data):
            for kind, value in BAD_VALUES.items():
                yield f"{path}: {kind}", self.posted(_changed(data, path, value))

    def around(self, content: bytes):
        yield replace_body(self.genuine, content)
        body = self.genuine.body
        yield replace_body(self.genuine, body.replace(b'"failed"', content))
        text = content.decode("latin-1")
        data = json.loads(body)
        for name in ("event", "recipient", "id", "url", "reason"):
            yield self.posted(_changed(data, ("event-data", name), text))

    def test_both_keys_of_a_rotation_are_live(self):
        for signer in KEYS:
            request = self.signed_with(self.post(), **proof(key=signer))
            self.adapter.verify(request, self.keyed(*KEYS))
            self.adapter.verify(request, self.keyed(*reversed(KEYS)))
        self.adapter.verify(request, self.keyed(KEYS[1]))


def _paths(data: Json, start: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in data.items():
        yield (*start, key)
        if isinstance(value, dict):
            yield from _paths(value, (*start, key))


def _changed(data: Json, path: tuple[str, ...], value) -> Json:
    copy = json.loads(json.dumps(data))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def _shuffled(data, rng: random.Random):
    if not isinstance(data, dict):
        return data
    items = [(key, _shuffled(value, rng)) for key, value in data.items()]
    rng.shuffle(items)
    return dict(items)
