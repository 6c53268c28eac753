# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The routes, called as the doors call them, without a server."""

import json

from odoo.tests import TransactionCase, tagged

from ..rest.answers import ApiError
from ..rest.call import Call
from ..rest.const import ADMIN_SCOPE


class RelayApiCase(TransactionCase):
    """An instance with a key, and what a test asks of it."""

    def setUp(self):
        super().setUp()
        _key, self.admin = self.env["mail.bridge.key"]._issue(
            [ADMIN_SCOPE], name="instance"
        )

    def ask(self, method, path, body=None, token=None, remote_addr="198.51.100.1"):
        """Return (status, JSON) of a request; the token is the instance's."""
        path, _, query = path.partition("?")
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            call = Call(
                method,
                path,
                dict(pair.split("=") for pair in query.split("&") if pair),
                self.admin if token is None else token,
                remote_addr,
                lambda: data,
            )
            reply = self.env["mail.relay.api"]._answer(call)
        except ApiError as error:
            reply = error.reply
        self.reply = reply
        if "json" in reply.content_type:
            return reply.status, json.loads(reply.body)
        return reply.status, reply.body.decode()

    def tenant(self, name="t1", **values):
        """Register an application and return its key."""
        status, body = self.ask("POST", "/tenant", {"id": name, **values})
        self.assertEqual(status, 200, body)
        return body["api_key"]

    def account(self, tenant="t1", name="a1", **values):
        values = {"host": "smtp.example.com", "port": 587} | values
        body = {"id": name, "tenant_id": tenant, **values}
        self.assertEqual(self.ask("POST", "/account", body)[0], 200)

    def message(self, number=1, **values):
        good = {
            "id": f"m{number}",
            "tenant_id": "t1",
            "account_id": "a1",
            "from": "app@client.example",
            "to": "ann@example.com",
            "subject": f"Mail {number}",
            "body": "Hello",
        }
        return {k: v for k, v in {**good, **values}.items() if v is not ...}

    def add(self, *messages, token=None, **others):
        body = {"messages": list(messages), **others}
        return self.ask("POST", "/commands/add-messages", body, token)

    def postings(self, **values):
        domain = [(name, "=", value) for name, value in values.items()]
        return self.env["mail.relay.posting"].search(domain, order="id")


@tagged("post_install", "-at_install")
class TestRelayApi(RelayApiCase):
    def test_a_message_becomes_a_mail(self):
        key = self.tenant()
        self.account()
        status, body = self.add(self.message(), token=key)
        self.assertEqual(
            (status, body), (200, {"ok": True, "queued": 1, "rejected": []})
        )
        posting = self.postings(client_reference="m1")
        mail = posting.relay_message_id
        self.assertEqual(mail.state, "queued")
        self.assertEqual(mail.account_id, posting.account_id)
        self.assertEqual(mail.recipient_ids.address, "ann@example.com")
        self.assertIn(b"Subject: Mail 1\r\n", mail._read_part())
