# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The routes, called as the doors call them, without a server."""

import json

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, TransactionCase, new_test_user, tagged

from ..models.mail_relay_message_client import HOLD_SUSPENDED
from ..rest.answers import ApiError
from ..rest.call import Call
from ..rest.const import ADMIN_SCOPE, CLIENT_SCOPE
from ..submission import Rcpt, Submission


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

    def client(self, name="t1"):
        return self.env["mail.relay.client"].search([("identifier", "=", name)])

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

    def test_a_message_from_an_unverified_domain_is_refused_by_policy(self):
        key = self.tenant()
        self.account()
        self.client().company_id.mail_relay_from_policy = "refuse"
        status, body = self.add(self.message(), token=key)
        self.assertEqual(status, 400)
        self.assertIn("client.example", json.dumps(body))
        self.assertFalse(self.postings(client_reference="m1").relay_message_id)

    def fate(self, posting, **states):
        """Let recipients come to states, by the local part of their address."""
        mail = posting.relay_message_id
        for name, state in states.items():
            mail.recipient_ids.filtered(
                lambda one, name=name: one.address.startswith(f"{name}@")
            ).write({"state": state} | {"sent_at": fields.Datetime.now()})
        mail.write({"state": "done"})
        self.env["mail.relay.posting"]._tell_about(mail.recipient_ids)
        self.env.flush_all()

    def entries(self, posting):
        return [json.loads(one.entry) for one in posting.report_ids.sorted("id")]

    def test_only_the_extended_profile_tells_of_readers(self):
        key = self.tenant()
        self.account()
        client = self.client()
        for number, profile in enumerate(("genro", "extended")):
            client.report_profile = profile
            self.add(self.message(number), token=key)
            posting = self.postings(client_reference=f"m{number}")
            self.fate(posting, ann="opened")
            kinds = [set(entry) for entry in self.entries(posting)]
            further = {"id", "event", "event_ts", "recipient"}
            wanted = [{"id", "sent_ts"}] + [further] * number
            self.assertEqual(kinds, wanted)

    def test_a_mail_is_sent_when_all_have_it(self):
        key = self.tenant()
        self.account()
        self.add(self.message(to="ann@example.com,ben@example.com"), token=key)
        posting = self.postings(client_reference="m1")
        mail = posting.relay_message_id
        self.env["mail.relay.posting"]._tell_about(mail.recipient_ids)
        self.assertEqual(self.entries(posting), [])
        self.fate(posting, ann="sent", ben="delivered")
        self.assertEqual(
            [set(one) for one in self.entries(posting)], [{"id", "sent_ts"}]
        )
        self.fate(posting, ann="delivered")
        self.assertEqual(len(self.entries(posting)), 1)

    def test_the_mail_of_an_application_has_no_other_way(self):
        """Neither the company's mail through its account, nor the other way round."""
        self.tenant()
        self.account()
        own = self.client().account_ids
        choice = self.env["mail.relay.message"]._by_route(
            own.company_id.id, ("client.example", set(), "", False, 2), {}, 0
        )
        self.assertNotIn(own.id, choice.account_ids)
        self.add(self.message())
        mail = self.postings(client_reference="m1").relay_message_id
        own.state = "disabled"
        self.assertEqual(mail._choice_of_row().account_ids, ())
        own.state = "enabled"
        self.assertEqual(mail._choice_of_row().account_ids, (own.id,))

    def test_a_key_belongs_to_one_application_of_its_company(self):
        self.tenant()
        client = self.client()
        Key = self.env["mail.bridge.key"]
        other = self.env["res.company"].create({"name": "Other"})
        with self.assertRaises(ValidationError), self.cr.savepoint():
            Key._issue([CLIENT_SCOPE], name="nobody's")
        with self.assertRaises(ValidationError), self.cr.savepoint():
            Key._issue(
                [CLIENT_SCOPE],
                name="another's",
                company_id=other.id,
                relay_client_id=client.id,
            )

    def test_a_key_ends_at_once_when_it_expires(self):
        key = self.tenant()
        self.assertEqual(self.ask("GET", "/status", token=key)[0], 200)
        record = self.env["mail.bridge.key"].search([("prefix", "=", key[:8])])
        record.networks = "192.0.2.0/24"
        self.assertEqual(self.ask("GET", "/status", token=key)[0], 401)
        here = self.ask("GET", "/status", token=key, remote_addr="192.0.2.7")
        self.assertEqual(here[0], 200)
        record.networks = False
        record.expires_at = fields.Datetime.now()
        self.assertEqual(self.ask("GET", "/status", token=key)[0], 401)

    def test_people_see_the_applications_of_their_companies(self):
        self.tenant()
        self.account()
        self.add(self.message(), self.message(2, to=""))
        other = self.env["res.company"].create({"name": "Other"})
        user = new_test_user(
            self.env, "relay_reader", "base.group_user,mail_bridge.group_user"
        )
        for model in ("client", "posting", "report"):
            Model = self.env[f"mail.relay.{model}"].with_user(user)
            self.assertTrue(Model.search([]))
            user.write({"company_ids": [(4, other.id)], "company_id": other.id})
            theirs = Model.with_context(allowed_company_ids=other.ids)
            self.assertFalse(theirs.search([]))
            user.company_id = self.env.ref("base.main_company")
            with self.assertRaises(AccessError):
                Model.search([]).unlink()
        with self.assertRaises(AccessError):
            self.env["mail.relay.command"].with_user(user).search([])

    def test_the_views_open_for_those_who_may(self):
        for group in ("group_user", "group_administrator"):
            user = new_test_user(
                self.env, group, f"base.group_user,mail_bridge.{group}"
            )
            for model in ("client", "posting"):
                Model = self.env[f"mail.relay.{model}"].with_user(user)
                views = [(False, kind) for kind in ("list", "form", "search")]
                self.assertEqual(len(Model.get_views(views)["views"]), 3)
        self.tenant()
        client = self.client()
        with Form(client) as form:
            form.base_url = "https://app.example.com"
            form.auth_method = "bearer"
            form.auth_token = "hidden-token"
        self.assertEqual(client._auth()["token"], "hidden-token")
        self.assertNotIn("hidden", client.auth_token)
        action = client.action_issue_key()
        self.assertEqual(action["res_model"], "mail.bridge.key.show")
        client.action_report_now()
        self.assertTrue(client.action_view_postings()["domain"])

    def test_a_deleted_application_leaves_an_account_that_others_used(self):
        self.tenant()
        self.account()
        account = self.client().account_ids
        letter = Submission(
            mime=b"Subject: x\r\n\r\n",
            envelope_sender="us@example.com",
            email_from="us@example.com",
            recipients=(Rcpt("ann@example.com"),),
            message_id="<x@example.com>",
            account_id=account.id,
        )
        mail = self.env["mail.relay.message"]._enqueue([letter])
        client = self.client()
        client.unlink()
        self.assertTrue(mail.exists())
        self.assertFalse(account.active)
        self.assertEqual(account.state, "disabled")

    def test_an_archived_application_may_come_back(self):
        self.tenant()
        self.account()
        self.add(self.message())
        mail = self.postings(client_reference="m1").relay_message_id
        client = self.client()
        client.active = False
        self.assertEqual((mail.state, mail.hold_reason), ("held", "suspended"))
        client.active = True
        self.assertEqual(mail.state, "queued")

    def test_what_comes_back_to_the_queue_waits_with_the_others(self):
        self.tenant()
        self.account()
        self.add(self.message(batch_code="spring"), self.message(2))
        client = self.client()
        client.suspended_batches = '["spring"]'
        self.env.flush_all()
        self.env.cr.execute(HOLD_SUSPENDED)
        self.env.invalidate_all()
        mails = self.postings(client_id=client.id).relay_message_id
        self.assertEqual(mails.mapped("state"), ["held", "queued"])
