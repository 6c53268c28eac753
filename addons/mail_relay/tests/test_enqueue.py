# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import new_test_user, tagged

from odoo.addons.mail_bridge.const import CHUNK_BYTES

from ..const import MAX_MIME_BYTES, MAX_RECIPIENTS
from ..exceptions import RelayRefused
from .event_common import RelayEventCase

ANN, BOB = "ann@customer.example", "bob@elsewhere.example"


@tagged("post_install", "-at_install")
class TestEnqueue(RelayEventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"].create({"name": "Relay Company"})
        cls.env = cls.env(
            context=dict(cls.env.context, allowed_company_ids=cls.company.ids)
        )
        cls.Message = cls.env["mail.relay.message"]

    def make_account(self, **values):
        return self.env["mail.bridge.account"].create(
            {
                "name": "Relay",
                "code": "smtp",
                "state": "enabled",
                "smtp_host": "127.0.0.1",
                "company_id": self.company.id,
            }
            | values
        )

    def route(self, *accounts, **values):
        lines = [(0, 0, {"account_id": account.id}) for account in accounts]
        return self.env["mail.relay.route"].create(
            {"name": "Route", "company_id": self.company.id, "line_ids": lines} | values
        )

    def submission(self, *addresses, **values):
        given = super().submission(*addresses)
        return replace(given, **values)

    def enqueue(self, *addresses, **values):
        values = {"company_id": self.company.id} | values
        [mail] = self.Message._enqueue([self.submission(*addresses, **values)])
        return mail

    def column(self, mail, name):
        self.env.flush_all()
        self.env.cr.execute(
            f"SELECT {name} FROM mail_relay_message WHERE id = %s", (mail.id,)
        )
        return self.env.cr.fetchone()[0]

    def states(self, mail):
        return {person.address: person.state for person in mail.recipient_ids}

    # --- Recipients ---

    def test_each_recipient_has_a_row_and_the_mail_its_domains(self):
        mail = self.enqueue(ANN, BOB)
        self.assertEqual(self.states(mail), {ANN: "pending", BOB: "pending"})
        self.assertEqual(mail.state, "queued")
        domains = ["customer.example", "elsewhere.example"]
        self.assertEqual(self.column(mail, "domains"), domains)

    def test_the_mails_come_back_in_their_order(self):
        mails = self.Message._enqueue(
            [
                self.submission(f"r{n}@customer.example", subject=str(n))
                for n in range(9)
            ]
        )
        self.assertEqual(mails.mapped("subject"), [str(n) for n in range(9)])
        addresses = [mail.recipient_ids.address for mail in mails]
        self.assertEqual(addresses, [f"r{n}@customer.example" for n in range(9)])

    def test_an_address_given_twice_gets_one_mail(self):
        mail = self.enqueue(ANN, f" {ANN} ", "ann@CUSTOMER.example", BOB)
        self.assertEqual(mail.recipient_ids.mapped("address"), [BOB, ANN])

    def test_whom_no_mail_can_reach_is_told_so_and_the_others_get_theirs(self):
        bad = [
            "nobody",
            "@customer.example",
            "ann@",
            "two@ats@customer.example",
            "with space@customer.example",
            "ann@customer.example>\r\nRCPT TO:<eve@customer.example",
            "ann@customer.example\nBcc: eve@customer.example",
            "x" * 300 + "@customer.example",
            "",
        ]
        mail = self.enqueue(ANN, *bad)
        people = mail.recipient_ids
        refused = people.filtered(lambda person: person.state == "rejected")
        self.assertEqual(len(refused), len(bad))
        self.assertEqual(set(refused.mapped("reason")), {"malformed"})
        self.assertTrue(all(refused.mapped("failure_text")))
        self.assertTrue(all(person.rank > person.told_rank for person in refused))
        self.assertEqual((people - refused).address, ANN)
        self.assertEqual(self.column(mail, "domains"), ["customer.example"])

    def test_a_mail_that_nobody_can_get_is_over_at_once(self):
        mail = self.enqueue("nobody")
        self.assertEqual((mail.state, bool(mail.done_at)), ("done", True))

    def test_international_addresses_count_by_their_ascii_domain(self):
        mail = self.enqueue("jörg@müller.example", "ann@xn--mller-kva.example")
        self.assertEqual(set(self.states(mail).values()), {"pending"})
        self.assertEqual(self.column(mail, "domains"), ["xn--mller-kva.example"])

    def test_a_suppressed_recipient_is_shown_as_such(self):
        entry = self.Suppression.create(
            {
                "email_normalized": ANN,
                "reason": "hard bounce",
                "company_id": self.company.id,
            }
        )
        mail = self.enqueue(ANN, BOB)
        ann = mail.recipient_ids.filtered(lambda person: person.address == ANN)
        self.assertEqual((ann.state, ann.reason), ("rejected", "suppressed"))
        self.assertEqual(ann.suppression_id, entry)
        self.assertEqual(self.states(mail)[BOB], "pending")

    def test_who_is_on_odoos_own_blacklist_gets_no_marketing(self):
        self.env["mail.blacklist"]._add(ANN)
        person = self.enqueue(ANN, is_marketing=True).recipient_ids
        self.assertEqual((person.state, person.reason), ("rejected", "suppressed"))
        self.assertEqual(person.failure_text, "blacklisted")
        self.assertEqual(self.enqueue(ANN).recipient_ids.state, "pending")

    def test_another_companys_suppression_is_its_own(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.Suppression.create(
            {"email_normalized": ANN, "reason": "x", "company_id": other.id}
        )
        self.assertEqual(self.states(self.enqueue(ANN)), {ANN: "pending"})

    def test_who_wants_no_advertising_gets_his_invoice(self):
        self.Suppression.create(
            {
                "email_normalized": ANN,
                "scope": "marketing",
                "reason": "unsubscribed",
                "company_id": self.company.id,
            }
        )
        self.assertEqual(self.states(self.enqueue(ANN)), {ANN: "pending"})
        marketing = self.enqueue(ANN, is_marketing=True)
        self.assertEqual(self.states(marketing), {ANN: "rejected"})

    # --- Refused as a whole: nothing is stored ---

    def assert_refused(self, text, **values):
        before = self.Message.search_count([])
        submission = self.submission(*values.pop("to", [ANN]), **values)
        with self.assertRaisesRegex(RelayRefused, text):
            self.Message._enqueue([self.submission(BOB), submission])
        self.assertEqual(self.Message.search_count([]), before)

    def test_without_recipients(self):
        self.assert_refused("no recipient", to=[])

    def test_for_too_many(self):
        people = [f"r{n}@customer.example" for n in range(MAX_RECIPIENTS + 1)]
        self.assert_refused(f"more than {MAX_RECIPIENTS} recipients", to=people)

    def test_too_large(self):
        self.assert_refused("bytes", mime=bytes(MAX_MIME_BYTES + 1))

    def test_through_the_account_of_another_company(self):
        other = self.env["res.company"].create({"name": "Other"})
        account = self.make_account(company_id=other.id)
        self.assert_refused(
            "another company", account_id=account.id, company_id=self.company.id
        )

    # --- Large and odd ---

    def test_ten_thousand_recipients_are_taken(self):
        people = [f"r{n}@customer.example" for n in range(MAX_RECIPIENTS)]
        mail = self.enqueue(*people)
        self.assertEqual(len(mail.recipient_ids), MAX_RECIPIENTS)

    def test_mime_comes_back_to_the_byte_whatever_its_size(self):
        for size in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1):
            mime = (b"\0\xff\r\n" * (size // 4 + 1))[:size]
            mail = self.enqueue(ANN, mime=mime, reference=uuid.uuid4().hex)
            self.assertEqual(mail._read_part(0), mime)
            self.assertEqual(mail.size, size)

    def test_a_mail_gets_header_fields_and_keeps_its_bytes(self):
        for mime in (b"", b"A: b\r\n\r\n\xff\0", b"A: b\n\nFeedback-ID: no\n"):
            mail = self.enqueue(ANN, mime=mime)
            added, _, rest = mail._read_part(0).partition(mime or b"\0")
            self.assertTrue(added.startswith(b"X-Mail-Relay-Token: "))
            self.assertIn(b"\r\nFeedback-ID: ", added)
            self.assertEqual((rest, mail.size), (b"", len(added) + len(mime)))

    def test_text_that_no_database_keeps_is_mended(self):
        mail = self.enqueue("a\0nn@customer.example", subject="a\0b \udcff")
        self.assertNotIn("\0", mail.subject)
        self.assertEqual(mail.recipient_ids.address, ANN)

    def test_a_priority_beyond_the_table_is_the_nearest(self):
        for given, level in ((-5, 0), (0, 0), (3, 3), (99, 3)):
            self.assertEqual(self.enqueue(ANN, priority=given).level, level)

    def test_an_absurd_date_is_when_it_is_due(self):
        past, far = datetime(1970, 1, 1), datetime(9999, 12, 31)
        self.assertLess(
            self.enqueue(ANN, not_before=past).next_attempt,
            fields.Datetime.now() + timedelta(minutes=1),
        )
        self.assertEqual(self.enqueue(ANN, not_before=far).next_attempt, far)

    def test_a_suspended_mail_waits_for_its_release(self):
        mail = self.enqueue(ANN, suspended=True)
        self.assertEqual((mail.state, mail.hold_reason), ("held", "suspended"))

    # --- Accounts ---

    def why(self, mail):
        return json.loads(mail.route_trace)

    def test_the_first_matching_route_decides_and_says_so(self):
        first, second = self.make_account(), self.make_account()
        archived = self.make_account(active=False)
        self.route(second, name="Elsewhere", from_domain="other.example", sequence=1)
        route = self.route(archived, first, second, name="Ours", sequence=2)
        mail = self.enqueue(ANN)
        self.assertEqual((mail.account_id, mail.route_id), (first, route))
        self.assertEqual(json.loads(mail.account_chain), [second.id])
        reasons = dict(self.why(mail))
        self.assertEqual(reasons[archived.id], "it is archived")
        self.assertEqual(reasons[first.id], "route Ours")

    def test_each_condition_of_a_route_counts(self):
        account = self.make_account()
        partner = self.env["ir.model"]._get("res.partner")
        conditions = {
            "from_domain": ("ours.example", {}),
            "recipient_domain": ("customer.example", {}),
            "model_ids": ([(6, 0, partner.ids)], {"model": "res.partner"}),
            "kind": ("marketing", {"is_marketing": True}),
            "level": ("1", {"priority": 1}),
        }
        misses = {
            "from_domain": {"email_from": "us@other.example"},
            "recipient_domain": {"to": BOB},
            "model_ids": {"model": "res.users"},
            "kind": {},
            "level": {},
        }
        for name, (value, hit) in conditions.items():
            with self.subTest(name):
                route = self.route(account, **{name: value})
                self.assertEqual(self.enqueue(ANN, **hit).route_id, route)
                miss = dict(misses[name])
                self.assertFalse(self.enqueue(miss.pop("to", ANN), **miss).route_id)
                route.unlink()

    def test_another_companys_routes_and_accounts_are_its_own(self):
        other = self.env["res.company"].create({"name": "Other"})
        theirs = self.make_account(company_id=other.id)
        self.route(theirs, company_id=other.id)
        mail = self.enqueue(ANN)
        self.assertFalse(mail.account_id)
        self.assertEqual(mail.company_id, self.company)

    def test_without_any_account_a_mail_waits_and_finds_the_first_that_comes(self):
        mail = self.enqueue(ANN)
        self.assertEqual((mail.state, mail.account_id.id), ("queued", False))
        mail._route_anew()
        self.assertIn("no account", mail.error)
        account = self.make_account()
        mail._route_anew()
        self.assertEqual((mail.account_id, mail.error), (account, False))

    def test_what_its_author_chose_no_other_account_sends(self):
        chosen, other = self.make_account(relay_enabled=False), self.make_account()
        mail = self.enqueue(ANN, account_id=chosen.id)
        self.assertEqual((mail.account_id, mail.is_pinned), (chosen, True))
        self.route(other)
        mail._route_anew()
        self.assertEqual(mail.account_id, chosen)
        self.assertEqual(mail.error, "it does not send")

    def test_a_server_that_was_switched_off_is_replaced_by_a_route_alone(self):
        default, other = self.make_account(state="disabled"), self.make_account()
        mail = self.enqueue(ANN, default_account_id=default.id)
        self.assertEqual(mail.account_id, default)
        mail._route_anew()
        self.assertEqual(mail.account_id, default)
        self.route(other)
        mail._route_anew()
        self.assertEqual(mail.account_id, other)

    # --- Rights ---

    def test_nobody_writes_on_a_mail_but_by_its_actions(self):
        mail = self.enqueue(ANN)
        for group in ("user", "administrator"):
            user = new_test_user(
                self.env,
                f"relay-{group}",
                groups=f"mail_bridge.group_{group}",
                company_id=self.company.id,
                company_ids=[(6, 0, self.company.ids)],
            )
            own = mail.with_user(user)
            for values in ({"state": "done"}, {"envelope_sender": "eve@x.example"}):
                with self.assertRaises(AccessError):
                    own.write(values)
            own.action_retry()
        mail.with_user(user).action_cancel()
        self.assertEqual(mail.state, "cancelled")
        self.assertEqual(self.states(mail), {ANN: "cancelled"})
