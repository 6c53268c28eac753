# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun keeps the contract of every adapter, with parsed and with raw posts."""

import random
from collections.abc import Iterator

from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.mime import build_mime
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_TEXTS,
    MAIL,
    NOW,
    RECIPIENT,
    SENDER,
    SignedContract,
    replace_body,
)
from odoo.addons.mail_bridge.tests_plain.forms_of import Item, multipart, urlencoded
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter

PROOF = ("timestamp", "token", "signature")
KEYS = ("key-canary-0123456789abcdef", "key-canary-fedcba9876543210")
ACCOUNT = AccountFacts(
    secrets={"signing_key": KEYS, "api_key": ("api-canary-77aa",)},
    options={"trust_verdicts": True},
)


class MailgunContract(SignedContract):
    adapter = MailgunAdapter()
    account = ACCOUNT
    signing_secret = "signing_key"
    keys = KEYS
    fetches = ("original",)

    def items(self, request: WebhookRequest) -> list[Item]:
        return [
            Item(part.name, part.content, part.filename, part.content_type)
            for part in request.form.parts
        ]

    def rebuilt(self, request, items, boundary="bOuNdArY") -> WebhookRequest:
        is_form = request.content_type == "application/x-www-form-urlencoded"
        encode = urlencoded if is_form else multipart
        args = () if is_form else (boundary,)
        content_type, body = encode(items, *args)
        return self.request([("Content-Type", content_type)], body)

    def changed(self, request, name: str, *contents: bytes) -> WebhookRequest:
        """The request with all parts of a name replaced by these."""
        items = [item for item in self.items(request) if item.name != name]
        items += [Item(name, content) for content in contents]
        return self.rebuilt(request, items)

    def unsigned(self, request):
        for name in PROOF:
            genuine = request.form.single(name)
            yield self.changed(request, name)
            yield self.changed(request, name, b"")
            yield self.changed(request, name, b"17", genuine, genuine)
        for stamp in ("１７", "1_000", " 5", "5\n", "٣", "-1", "1e9", "9" * 13, "17.0"):
            yield self.changed(request, "timestamp", stamp.encode())
        yield replace_body(request, b"")

    def forged(self, request):
        signature = request.form.single("signature")
        for place in (0, 31, 63):
            flipped = bytearray(signature)
            flipped[place] ^= 1
            yield self.changed(request, "signature", bytes(flipped))
        for text in (signature.upper(), signature[:-1], signature + b"0", b"\xff" * 64):
            yield self.changed(request, "signature", text)
        yield self.changed(request, "signature", b"x" * 1_000_000)
        yield self.changed(request, "token", request.form.single("token") + b"0")
        stamp = request.form.single("timestamp")
        yield self.changed(request, "timestamp", b"0" + stamp)
        yield self.changed(request, "timestamp", b"%d" % (int(stamp) - 1))

    def altered(self, request):
        for item in self.items(request):
            if item.name not in PROOF:
                yield self.changed(request, item.name, item.content + b"x")
                yield self.changed(request, item.name, item.content, item.content)

    def reordered(self, request):
        items = self.items(request)
        for seed in range(5):
            random.Random(seed).shuffle(items)
            yield self.rebuilt(request, items, f"other-{seed}")

    def broken(self, account: AccountFacts) -> Iterator[WebhookRequest]:
        request = self.post()
        for name in PROOF:
            genuine = request.form.single(name)
            yield self.changed(request, name, genuine, genuine)
            yield self.changed(request, name, b"17", genuine)
        yield self.changed(request, "recipient")
        yield self.changed(request, "recipient", b"a@b.example", b"c@d.example")
        yield self.changed(request, "recipient", b"")
        yield self.changed(request, "recipient", b"a@b.example\r\nBcc: c@d.example")
        yield self.changed(request, "sender")
        yield self.changed(request, "sender", b"a@b.example", b"")

    def mutants(self, request):
        items = self.items(request)
        for name in dict.fromkeys(item.name for item in items):
            yield f"{name}: dropped", self.changed(request, name)
            content = request.form.first(name)
            yield f"{name}: twice", self.changed(request, name, content, content)
            for kind, text in BAD_TEXTS.items():
                bad = text.encode("utf-8", "surrogatepass")
                yield f"{name}: {kind}", self.changed(request, name, bad)
                if name in PROOF:
                    continue
                as_file = [item for item in items if item.name != name]
                filename = text[:500].replace('"', "").replace("\r\n", "")
                as_file.append(Item(name, bad, filename, filename))
                yield f"{name}: {kind} file", self.rebuilt(request, as_file)

    def around(self, content: bytes):
        request = self.genuine
        yield replace_body(request, content)
        for name in ("message-headers", "content-id-map", "body-plain", "recipient"):
            yield self.changed(request, name, content)
        yield self.rebuilt(
            request,
            [Item(n, request.form.single(n)) for n in PROOF]
            + [
                Item("recipient", b"a@b.example"),
                Item("sender", b""),
                Item("body-mime", content),
            ],
        )


class TestMailgunParsed(MailgunContract):
    pass


class TestMailgunRaw(MailgunContract):
    def post(self, mime=None, moment=NOW):
        mime = build_mime(MAIL) if mime is None else mime
        sample = self.adapter.compose_post(
            mime, SENDER, RECIPIENT, self.account, moment, raw=True
        )
        return self.request(sample.headers, sample.body)

    def broken(self, account):
        yield from super().broken(account)
        yield self.changed(self.post(), "body-mime", b" \r\n")
        yield self.changed(self.post(), "body-mime", b"From: a", b"From: b")
