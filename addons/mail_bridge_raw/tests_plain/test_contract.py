# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The raw door keeps the contract of every adapter, signed and with a token only."""

import base64

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_TEXTS,
    AdapterContract,
    SignedContract,
    replace_body,
)
from odoo.addons.mail_bridge_raw.adapter import RawAdapter

SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")
KEYS = tuple(
    "whsec_" + base64.b64encode(bytes([n]) * 32).decode("ascii") for n in (1, 2)
)


class RawContract(AdapterContract):
    adapter = RawAdapter()

    def changed(self, request, name, *values):
        """The request with all headers of a name replaced by these."""
        headers = [h for h in request.headers if h[0].lower() != name.lower()]
        headers += [(name, value) for value in values]
        return self.request(headers, request.body)

    def altered(self, request):
        yield replace_body(request, request.body + b"x")
        yield replace_body(request, request.body[:-3])
        yield self.changed(request, "X-Envelope-From", "other@sender.example")
        yield self.changed(request, "X-Envelope-To", "other@inbound.example")
        yield self.changed(request, "X-Envelope-To", "a@b.example", "c@d.example")
        yield self.changed(request, "X-Envelope-To")

    def reordered(self, request):
        yield self.request(reversed(request.headers), request.body)
        upper = [(name.upper(), value) for name, value in request.headers]
        yield self.request(upper, request.body)

    def broken(self, account):
        request = self.post()
        for value in ("text/plain", "", "multipart/form-data; boundary=x"):
            yield self.changed(request, "Content-Type", value)
        yield self.changed(request, "Content-Type")
        yield self.changed(request, "X-Envelope-From", "a@b.example", "c@d.example")
        yield self.changed(request, "X-Envelope-To", "a@b.example\r\nBcc: c@d.example")
        yield self.changed(request, "X-Envelope-To", " , ")
        yield self.post(b" \r\n")

    def mutants(self, request):
        for name, value in request.headers:
            yield f"{name}: dropped", self.changed(request, name)
            yield f"{name}: twice", self.changed(request, name, value, value)
            for kind, text in BAD_TEXTS.items():
                yield f"{name}: {kind}", self.changed(request, name, text)
        for kind, text in BAD_TEXTS.items():
            body = text.encode("utf-8", "surrogatepass")
            yield f"body: {kind}", replace_body(request, body)
            for name in ("X-Envelope-From", "Content-Type"):
                both = self.changed(self.post(body), name, text)
                yield f"{name} and body: {kind}", both

    def around(self, content):
        yield self.post(content)
        yield replace_body(self.genuine, content)
        text = content.decode("latin-1")
        for name in ("Content-Type", "X-Envelope-To", "X-Envelope-From", *SIGNED):
            yield self.changed(self.genuine, name, text)


class TestRawSigned(RawContract, SignedContract):
    account = AccountFacts(secrets={"signing_key": KEYS})
    signing_secret = "signing_key"
    keys = KEYS

    def unsigned(self, request):
        for name in SIGNED:
            value = request.header(name)
            for values in ((), ("",), (value, value), (value + "\r\n",), ("１７",)):
                yield self.changed(request, name, *values)
        signature = request.header("webhook-signature")
        for text in ("v1", "v1,", "v1,****", ",", signature[3:], "v1a" + signature[2:]):
            yield self.changed(request, "webhook-signature", text)
        yield self.changed(request, "webhook-signature", "v1,\u00fc " * 500)

    def forged(self, request):
        yield replace_body(request, request.body + b"\n")
        yield replace_body(request, request.body[1:])
        yield replace_body(request, b"\xff\xfe")
        stamp = int(request.header("webhook-timestamp"))
        yield self.changed(request, "webhook-timestamp", str(stamp + 1))
        yield self.changed(request, "webhook-id", "msg_other0000")
        yield self.changed(request, "webhook-signature", "v1," + "A" * 43 + "=")


class TestRawWithTokenOnly(RawContract):
    account = AccountFacts(secrets={"other": ("canary-99",)})
