# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import email
import email.policy
import json
from dataclasses import replace

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from odoo.addons.mail_bridge.providers import dkim

from ..models.mail_relay_sending_domain import NAMESERVERS_PARAMETER
from .event_common import RelayEventCase
from .name_server import NameServer

DOMAIN = "shop.example"
ANN, BOB = "ann@customer.example", "bob@elsewhere.example"
MIME = (
    b"From: =?utf-8?q?J=C3=BCrgen?= <jo@%b>\r\n"
    b"To: ann@customer.example\r\n"
    b"Subject: Your\r\n order  \r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@shop.example>\r\n"
    b"References: <0@shop.example>\r\n"
    b"In-Reply-To: <0@shop.example>\r\n"
    b"List-Unsubscribe: <https://shop.example/u/1>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Feedback-ID: 1:shop\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"Thank  you.\t \r\n\r\n\r\n"
)


@tagged("post_install", "-at_install")
class TestSendingDomain(RelayEventCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"].create({"name": "Shop"})
        cls.env.user.company_ids += cls.company
        cls.env = cls.env(
            context=dict(cls.env.context, allowed_company_ids=cls.company.ids)
        )
        cls.Message = cls.env["mail.relay.message"]
        cls.Domain = cls.env["mail.relay.sending.domain"]

    def setUp(self):
        super().setUp()
        self.dns = NameServer()
        self.dns.start()
        self.addCleanup(self.dns.close)
        self.env["ir.config_parameter"].set_param(
            NAMESERVERS_PARAMETER, f"127.0.0.1#{self.dns.port}"
        )
        self.account = self.make_account("One")

    def make_account(self, name):
        return self.env["mail.bridge.account"].create(
            {
                "name": name,
                "code": "smtp",
                "state": "enabled",
                "smtp_host": "127.0.0.1",
                "company_id": self.company.id,
            }
        )

    def make_domain(self, name=DOMAIN, **values):
        values = {"company_id": self.company.id, "spf_term": "ip4:192.0.2.1"} | values
        return self.Domain.create({"name": name} | values)

    def publish(self, domain, name=None):
        """Publish what a domain shows, as it shows it."""
        for record in domain.record_ids:
            self.dns.publish(record.host, record.type, record.to_publish)

    def verified(self, name=DOMAIN, **values):
        domain = self.make_domain(name, **values)
        self.publish(domain)
        domain.action_check()
        self.assertEqual(domain.state, "verified")
        return domain

    def enqueue(self, domain=DOMAIN, *addresses, **values):
        item = replace(
            self.submission(*(addresses or (ANN,))),
            mime=MIME.replace(b"%b", domain.encode()),
            email_from=f"Jürgen <jo@{domain}>",
            company_id=self.company.id,
            **values,
        )
        [mail] = self.Message._enqueue([item])
        return mail

    def mime(self, mail):
        self.env.cr.execute(
            """SELECT data FROM mail_relay_message_body
                WHERE message_id = %s ORDER BY seq""",
            (mail.id,),
        )
        return b"".join(bytes(row[0]) for row in self.env.cr.fetchall())

    def verdicts(self, domain):
        return {one.purpose: (one.state, one.problem) for one in domain.record_ids}

    # --- Check ---

    def test_add_publish_check_verified_failing(self):
        domain = self.make_domain("@Shop.Example")
        self.assertEqual((domain.name, domain.state), (DOMAIN, "new"))
        domain.action_check()
        self.assertEqual(domain.state, "pending")
        missing = ("missing", False)
        self.assertEqual(self.verdicts(domain), {"spf": missing, "dmarc": missing})
        domain.action_make_key()
        self.publish(domain)
        domain.action_check()
        good = ("ok", False)
        self.assertEqual(
            self.verdicts(domain), {"spf": good, "dmarc": good, "dkim": good}
        )
        self.assertEqual(domain.state, "verified")
        self.assertTrue(domain.signs)
        self.assertTrue(domain.checked_at)
        del self.dns.records[f"_dmarc.{DOMAIN}", "TXT"]
        domain.action_check()
        self.assertEqual(domain.state, "failing")
        self.publish(domain)
        self.Domain._cron_check()
        self.assertEqual(domain.state, "verified")

    def test_a_failure_of_dns_keeps_the_verdict(self):
        domain = self.verified()
        fresh = self.make_domain("fresh.example")
        self.dns.is_down = True
        (domain + fresh).action_check()
        self.assertEqual((domain.state, fresh.state), ("verified", "new"))
        self.assertEqual(set(domain.record_ids.mapped("state")), {"ok"})
        self.assertIn("DNS", domain.findings)

    def test_what_is_wrong_is_named(self):
        table = [  # host, published, purpose, problem
            (DOMAIN, ["v=spf1 mx ~all"], "spf", "lacks"),
            (DOMAIN, ["v=spf1 ip4:192.0.2.1 -all", "v=spf1 -all"], "spf", "several"),
            (
                f"_dmarc.{DOMAIN}",
                ["v=DMARC1; rua=mailto:a@b.example"],
                "dmarc",
                "malformed",
            ),
            (
                f"_dmarc.{DOMAIN}",
                ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
                "dmarc",
                "several",
            ),
            (f"s._domainkey.{DOMAIN}", ["v=DKIM1; p=AAAA"], "dkim", "differs"),
            (f"bounce.{DOMAIN}", ["other.example."], "return_path", "differs"),
        ]
        lines = [
            (
                0,
                0,
                {
                    "purpose": "dkim",
                    "host": f"s._domainkey.{DOMAIN}",
                    "value": "p=BBBB",
                },
            ),
            (
                0,
                0,
                {
                    "purpose": "return_path",
                    "type": "CNAME",
                    "host": f"bounce.{DOMAIN}",
                    "value": "return.provider.example",
                },
            ),
        ]
        domain = self.verified(record_ids=lines)
        for host, published, purpose, problem in table:
            with self.subTest(published=published):
                self.publish(domain)
                kind = "CNAME" if purpose == "return_path" else "TXT"
                self.dns.publish(host, kind, *published)
                domain.action_check()
                self.assertEqual(self.verdicts(domain)[purpose], ("wrong", problem))
                self.assertEqual(domain.state, "failing")
                if problem == "lacks":
                    spf = domain.record_ids.filtered(lambda one: one.purpose == "spf")
                    self.assertEqual(spf.to_publish, "v=spf1 mx ip4:192.0.2.1 ~all")
                del self.dns.records[host, kind]

    def test_the_policy_of_the_organization_counts(self):
        domain = self.make_domain("mail.shop.example")
        self.dns.publish("mail.shop.example", "TXT", "v=spf1 ip4:192.0.2.1 -all")
        self.dns.publish("_dmarc.shop.example", "TXT", "v=DMARC1; p=reject")
        domain.action_check()
        self.assertEqual(self.verdicts(domain)["dmarc"], ("ok", "inherited"))
        self.assertEqual(domain.state, "verified")

    # --- Policy ---

    def test_mail_from_unverified_domains_leaves_by_default(self):
        mail = self.enqueue("elsewhere.example")
        self.assertEqual(mail.state, "queued")
        mime = MIME.replace(b"%b", b"elsewhere.example")
        self.assertTrue(self.mime(mail).endswith(mime))

    def test_refused(self):
        self.verified()
        self.company.mail_relay_from_policy = "refuse"
        self.assertEqual(self.enqueue().state, "queued")
        mail = self.enqueue("elsewhere.example", ANN, BOB)
        self.assertEqual(mail.state, "done")
        for person in mail.recipient_ids:
            self.assertEqual(
                (person.state, person.reason), ("rejected", "unverified_domain")
            )
            self.assertIn("elsewhere.example", person.failure_text)

    def test_rewritten(self):
        self.verified()
        with self.assertRaises(ValidationError):
            self.company.mail_relay_from_address = "office@elsewhere.example"
        self.company.write(
            {
                "mail_relay_from_policy": "rewrite",
                "mail_relay_from_address": f"office@{DOMAIN}",
            }
        )
        mail = self.enqueue("elsewhere.example")
        read = email.message_from_bytes(self.mime(mail), policy=email.policy.default)
        [author], [answer] = read["From"].addresses, read["Reply-To"].addresses
        self.assertEqual(
            (author.display_name, author.addr_spec), ("Jürgen", f"office@{DOMAIN}")
        )
        self.assertEqual(answer.addr_spec, "jo@elsewhere.example")
        self.assertEqual(mail.from_domain, DOMAIN)
        self.assertTrue(self.mime(mail).endswith(b"\r\n\r\nThank  you.\t \r\n\r\n\r\n"))

    def test_rewriting_to_a_domain_that_fails_refuses(self):
        domain = self.verified()
        self.company.write(
            {
                "mail_relay_from_policy": "rewrite",
                "mail_relay_from_address": f"office@{DOMAIN}",
            }
        )
        self.dns.records.clear()
        domain.action_check()
        mail = self.enqueue("elsewhere.example")
        self.assertEqual(mail.recipient_ids.state, "rejected")

    def test_only_the_accounts_of_a_domain_send_its_mail(self):
        other = self.make_account("Two")
        self.make_domain(account_ids=[(6, 0, other.ids)])
        mail = self.enqueue()
        self.assertEqual(mail.account_id, other)
        self.assertIn(self.account.id, dict(json.loads(mail.route_trace)))
        self.assertEqual(self.enqueue("elsewhere.example").account_id, self.account)

    def test_routes_name_verified_domains_only_where_others_are_not_sent(self):
        values = {
            "name": "Route",
            "company_id": self.company.id,
            "from_domain": f"{DOMAIN}, elsewhere.example",
            "line_ids": [(0, 0, {"account_id": self.account.id})],
        }
        self.verified()
        self.env["mail.relay.route"].create(values)
        self.company.mail_relay_from_policy = "refuse"
        with self.assertRaises(ValidationError):
            self.env["mail.relay.route"].create(values)
        self.env["mail.relay.route"].create(values | {"from_domain": DOMAIN})

    # --- Signature ---

    def test_the_signature_verifies_and_covers_what_it_must(self):
        domain = self.make_domain()
        domain.action_make_key()
        self.assertNotIn(b"DKIM-Signature", self.mime(self.enqueue()))
        self.publish(domain)
        domain.action_check()
        signed = self.mime(self.enqueue())
        lookup = dkim.txt_lookup(["127.0.0.1"], self.dns.port)
        [found] = dkim.verify(signed, lookup)
        self.assertEqual((found.result, found.domain), ("pass", DOMAIN), found.reason)
        self.assertTrue(found.covers_thread)
        for field in (
            "From", "To", "Subject", "Date", "Message-ID", "References", "In-Reply-To",
            "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "MIME-Version",
            "Content-Type",
        ):  # fmt: skip
            name = f"\r\n{field}:".encode()
            changed = signed.replace(name, name + b" other", 1)
            self.assertNotEqual(changed, signed)
            [found] = dkim.verify(changed, lookup)
            self.assertEqual(found.result, "fail", field)
        [found] = dkim.verify(b"Reply-To: x@evil.example\r\n" + signed, lookup)
        self.assertEqual(found.result, "fail")
        [found] = dkim.verify(signed.replace(b"Thank", b"Blame"), lookup)
        self.assertEqual(found.result, "fail")
        domain.action_drop_key()
        self.assertNotIn(b"DKIM-Signature", self.mime(self.enqueue()))

    def test_the_private_key_is_stored_encrypted_and_shown_to_nobody(self):
        domain = self.make_domain()
        domain.action_make_key()
        domain.invalidate_recordset()
        self.assertNotIn("PRIVATE", domain.dkim_private_key)
        self.assertIn("PRIVATE KEY", domain._private_key())
        secret = self.env["mail.bridge.secret"].sudo()
        stored = secret.search(
            [("res_model", "=", domain._name), ("res_id", "=", domain.id)]
        )
        self.assertNotIn("PRIVATE", stored.ciphertext)

    # --- People ---

    def test_rights_and_form(self):
        user = self.person("relay-reader", "mail_bridge.group_user")
        head = self.person("relay-head", "mail_bridge.group_administrator")
        elsewhere = self.env["res.company"].create({"name": "Elsewhere"})
        foreign = self.make_domain("other.example", company_id=elsewhere.id)
        domain = self.make_domain()
        with self.assertRaises(AccessError):
            domain.with_user(user).action_check()
        with self.assertRaises(AccessError):
            foreign.with_user(head).action_check()
        domain.with_user(head).action_make_key()
        domain.with_user(head).action_check()
        for one in (user, head):
            form = Form(domain.with_user(one))
            self.assertEqual(form.name, DOMAIN)
        form = Form(domain.with_user(head))
        with form.record_ids.new() as line:
            line.host = f"x.{DOMAIN}"
            line.value = "proof"
        form.save()
        self.assertEqual(len(domain.record_ids), 4)
        with self.assertRaises(ValidationError):
            self.make_domain(DOMAIN)
        with self.assertRaises(ValidationError):
            self.make_domain("not a domain")

    def person(self, login, group):
        return new_test_user(
            self.env,
            login,
            groups=group,
            company_id=self.company.id,
            company_ids=[(6, 0, self.company.ids)],
        )
