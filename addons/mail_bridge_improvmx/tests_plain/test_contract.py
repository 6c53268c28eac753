# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""ImprovMX keeps the contract of every adapter; it has nothing that is signed."""

import copy
import json
from collections.abc import Iterator

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.tests_plain.contract import (
    BAD_VALUES,
    AdapterContract,
    replace_body,
)
from odoo.addons.mail_bridge_improvmx.adapter import ImprovmxAdapter


def paths(value, path=()) -> Iterator[tuple]:
    """The way to each value within a JSON value."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, (*path, number))


def changed(data, path, *replacement):
    """A copy with the value at a path replaced, or gone."""
    data = copy.deepcopy(data)
    parent = data
    for step in path[:-1]:
        parent = parent[step]
    if replacement:
        parent[path[-1]] = replacement[0]
    else:
        del parent[path[-1]]
    return data


class TestImprovmx(AdapterContract):
    adapter = ImprovmxAdapter()
    account = AccountFacts(secrets={"api_key": ("sk_canary_123456",)})
    fetches = ("original",)

    def sent(self, data):
        return replace_body(self.genuine, json.dumps(data).encode())

    def altered(self, request):
        data = json.loads(request.body)
        for path in paths(data):
            yield self.sent(changed(data, path, {"other": list(map(str, path))}))

    def reordered(self, request):
        data = json.loads(request.body)
        yield self.sent(dict(reversed(data.items())))
        yield replace_body(request, json.dumps(data, indent=3).encode())
        yield replace_body(request, json.dumps(data, ensure_ascii=False).encode())

    def broken(self, account):
        data = json.loads(self.post().body)
        for text in ("", "[]", "null", "{", '{"a": NaN}', '{"from": 1, "from": 2}'):
            yield replace_body(self.post(), text.encode())
        yield replace_body(self.post(), b'{"from":' + b"[" * 100_000)
        yield replace_body(self.post(), b'{"from":' + b"[" * 60 + b"]" * 60 + b"}")
        yield replace_body(self.post(), b'{"text": "\xff"}')
        yield replace_body(self.post(), b'{"event": "delivered"}')
        yield self.sent(changed(data, ("headers",), ["Subject"]))
        yield self.sent(changed(data, ("headers", "Subject"), [["x"]]))
        yield self.sent(changed(data, ("headers", "Subject"), 17))
        yield self.sent(changed(data, ("text",), ["x"]))
        yield self.sent(changed(data, ("attachments",), "x"))
        yield self.sent(changed(data, ("attachments", 0), "x"))
        yield self.sent(changed(data, ("attachments", 0, "content"), 5))
        yield self.sent(changed(data, ("return-path", "email"), "a@b\r\nBcc: c@d"))
        yield self.sent({**data, "raw_url": ["https://api.improvmx.com/x"]})

    def mutants(self, request):
        data = json.loads(request.body)
        for path in paths(data):
            yield f"{path}: dropped", self.sent(changed(data, path))
            key = json.dumps(str(path[-1]))
            twice = f"{{{key}: 1, {key}: 2}}".encode()
            yield f"{path}: twice", replace_body(request, twice)
            for kind, value in BAD_VALUES.items():
                yield f"{path}: {kind}", self.sent(changed(data, path, value))

    def around(self, content):
        yield replace_body(self.genuine, content)
        text = content.decode("utf-8", "surrogateescape")
        data = json.loads(self.genuine.body)
        for path in (
            ("headers", "Subject"),
            ("headers", "Delivered-To"),
            ("text",),
            ("message-id",),
            ("attachments", 0, "content"),
            ("attachments", 0, "type"),
            ("attachments", 0, "name"),
        ):
            yield self.sent(changed(data, path, text))

    def test_the_answer_names_our_reference(self):
        answer = self.adapter.stored_answer("MB/7")
        assert json.loads(answer.body) == {
            "success": True,
            "message": "stored",
            "email_id": "MB/7",
        }
        for answer in (self.adapter.answers.rejected, self.adapter.answers.try_again):
            assert json.loads(answer.body)["success"] is False
            assert answer.content_type == "application/json"
