# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The simulator keeps the contract of every adapter."""

import copy
import json

from odoo.addons.mail_bridge.providers.base import (
    AccountFacts,
    AuthenticationVerdicts,
    SpamVerdict,
)
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_VALUES,
    NOW,
    RECIPIENT,
    SENDER,
    SignedContract,
    replace_body,
)
from odoo.addons.mail_bridge_demo import const
from odoo.addons.mail_bridge_demo.adapter import DemoAdapter

PROOF = (const.POST_ID, const.TIMESTAMP, const.SIGNATURE)
KEYS = ("canary-one-1234567890", "canary-two-1234567890")
PASS = AuthenticationVerdicts(spf="pass", dkim="pass", dmarc="pass")


class TestDemo(SignedContract):
    adapter = DemoAdapter()
    account = AccountFacts(secrets={"signing_key": KEYS})
    signing_secret = "signing_key"
    keys = KEYS

    def judged(self, **more):
        """A genuine post with verdicts."""
        sample = self.adapter.compose_post(
            b"From: a@b.example\r\n\r\nx",
            SENDER,
            RECIPIENT,
            self.account,
            NOW,
            verdicts=PASS,
            spam=SpamVerdict(True, 7.5),
        )
        return self.request(sample.headers, sample.body, **more)

    def signed(self, body):
        """A genuine frame around any body."""
        sample = self.adapter.sign(body, self.account, NOW)
        return self.request(sample.headers, sample.body)

    def sent(self, data):
        return self.signed(json.dumps(data).encode())

    def changed(self, request, name, *values):
        """The request with all headers of a name replaced by these."""
        headers = [h for h in request.headers if h[0] != name]
        headers += [(name, value) for value in values]
        return self.request(headers, request.body)

    def unsigned(self, request):
        for name in PROOF:
            value = request.header(name)
            for values in ((), ("",), (value, value), (value + "\r\n",), ("１７",)):
                yield self.changed(request, name, *values)

    def forged(self, request):
        yield replace_body(request, request.body + b"\n")
        yield replace_body(request, b"{}")
        stamp = int(request.header(const.TIMESTAMP))
        yield self.changed(request, const.TIMESTAMP, str(stamp + 1))
        yield self.changed(request, const.POST_ID, "f" * 32)
        yield self.changed(request, const.SIGNATURE, "0" * 64)

    def altered(self, request):
        data = json.loads(request.body)
        for name in data:
            yield self.sent({**data, name: "other"})
        yield self.sent({**data, "spam": {"flagged": True}})

    def reordered(self, request):
        data = json.loads(request.body)
        yield replace_body(request, json.dumps(dict(reversed(data.items()))).encode())
        yield replace_body(request, json.dumps(data, indent=2).encode())

    def broken(self, account):
        data = json.loads(self.post().body)
        for text in ("", "[]", "null", "{", '{"mime": "", "mime": ""}'):
            yield self.signed(text.encode())
        for name, value in (
            ("mime", "*"),
            ("mime", ""),
            ("mime", 17),
            ("sender", None),
            ("sender", "a@b\r\nBcc: c@d"),
            ("recipient", ""),
            ("verdicts", []),
            ("verdicts", {"spf": "Pass; dkim=pass"}),
            ("spam", {"flagged": "yes"}),
            ("spam", {"flagged": True, "score": True}),
        ):
            yield self.sent({**data, name: value})

    def mutants(self, request):
        data = json.loads(self.judged().body)
        for name in data:
            rest = {key: item for key, item in data.items() if key != name}
            yield f"{name}: dropped", self.sent(rest)
            for kind, value in BAD_VALUES.items():
                yield f"{name}: {kind}", self.sent({**data, name: value})
        for name in ("verdicts", "spam"):
            for key in data[name]:
                for kind, value in BAD_VALUES.items():
                    other = copy.deepcopy(data)
                    other[name][key] = value
                    yield f"{name}.{key}: {kind}", self.sent(other)

    def around(self, content):
        yield replace_body(self.post(), content)
        yield self.signed(content)
        text = content.decode("latin-1")
        for name in PROOF:
            yield self.changed(self.post(), name, text)
        data = json.loads(self.post().body)
        yield self.sent({**data, "sender": text})
        yield self.sent({**data, "mime": text})

    def test_verdicts_and_spam_arrive(self):
        [mail] = self.outcome(self.judged())
        assert (mail.verdicts.spf, mail.verdicts.dkim, mail.verdicts.dmarc) == (
            "pass",
            "pass",
            "pass",
        )
        assert mail.spam == SpamVerdict(True, 7.5)

    def test_without_verdicts_nothing_is_claimed(self):
        [mail] = self.outcome(self.post())
        assert not mail.verdicts.known and not mail.verdicts.source
        assert mail.spam.flagged is None
