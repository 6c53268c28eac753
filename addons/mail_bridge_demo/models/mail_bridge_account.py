# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random
import secrets
from datetime import timedelta, timezone

from odoo import api, fields, models

from odoo.addons.mail_bridge import setup_provider
from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field
from odoo.addons.mail_bridge.providers.base import WebhookRequest, utcnow

from ..mails import KINDS, NEWSLETTER_DOMAIN, Scene

#: RFC 2606: mail to it can reach nobody.
DEMO_DOMAIN = "mail.example.com"
#: What an alias leads to, the first one that is installed.
TARGETS = ("crm.lead", "res.partner")
#: The demo data's mails, a line a day, today's last.
TWO_WEEKS = (
    "unrouted plain",
    "plain plain rich",
    "reply newsletter",
    "plain attachment forged",
    "spam",
    "plain",
    "plain reply non_ascii unrouted",
    "plain plain spam",
    "plain bounce reply forged",
    "attachment plain plain newsletter",
    "rich reply plain",
    "spam",
    "plain non_ascii unrouted plain",
    "plain rich forged reply",
)


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("demo", "Simulator")], ondelete={"demo": "set default"}
    )
    demo_signing_key = secret_field(
        "Simulator Signing Key",
        "Made when the simulator was installed; nobody else needs it.",
    )

    # --- Set-up ---

    @api.model_create_multi
    def create(self, vals_list):
        accounts = super().create(vals_list)
        accounts.filtered(lambda account: account.code == "demo")._give_demo_key()
        return accounts

    @api.model
    def _set_up_simulator(self):
        """Make the catalogue row an account that only has to be enabled."""
        setup_provider(self.env, "demo")
        account = self.env.ref("mail_bridge.account_demo", raise_if_not_found=False)
        if account:
            account._give_demo_key()
        return account

    def _give_demo_key(self):
        for account in self.filtered(lambda account: not account.demo_signing_key):
            account.demo_signing_key = secrets.token_urlsafe(24)

    # --- Simulating ---

    def action_simulate(self):
        """Open the wizard that simulates mails."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Simulate Mails"),
            "res_model": "mail.bridge.simulate.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_account_id": self.id},
        }

    def _simulate(self, kind, moment=None, dice=None):
        """Return a signed post of one kind of mail (``SamplePost``).

        :param kind: a key of ``mails.KINDS``.
        :param moment: when it is written and posted, an aware time.
        """
        self.ensure_one()
        moment = moment or utcnow()
        mail = KINDS[kind](self._demo_scene(moment, dice))
        return self._adapter().compose_post(
            mail.mime,
            mail.sender,
            mail.recipient,
            self.sudo()._facts(),
            now=moment,
            verdicts=mail.verdicts,
            spam=mail.spam,
        )

    def _demo_scene(self, moment, dice):
        alias = self._demo_alias()
        manager = self.env.ref("base.user_admin").partner_id
        return Scene(
            alias=alias.alias_full_name,
            stranger=f"office@{alias.alias_domain_id.name}",
            manager=(manager.name, manager.email_normalized or "admin@example.com"),
            moment=moment,
            thread=self._demo_thread(),
            dice=dice or random.Random(),  # noqa: S311 nothing secret
        )

    def _demo_alias(self):
        """Return an alias that leads to records, made where there is none."""
        model = next(name for name in TARGETS if name in self.env)
        Alias = self.env["mail.alias"].sudo()
        model_id = self.env["ir.model"]._get_id(model)
        alias = Alias.search(
            [
                ("alias_model_id", "=", model_id),
                ("alias_name", "!=", False),
                ("alias_domain_id", "!=", False),
                ("alias_contact", "=", "everyone"),
            ],
            order="id",
            limit=1,
        )
        return alias or Alias.create(
            {
                "alias_name": "simulator",
                "alias_domain_id": self._demo_domain().id,
                "alias_model_id": model_id,
            }
        )

    def _demo_domain(self):
        Domain = self.env["mail.alias.domain"].sudo()
        domain = self.company_id.alias_domain_id or Domain.search([], limit=1)
        return domain or Domain.create({"name": DEMO_DOMAIN})

    def _demo_thread(self):
        """Return the last simulated conversation as ``Scene.thread`` wants it."""
        first = (
            self.env["mail.bridge.message"]
            .sudo()
            .search(
                [
                    ("account_id", "=", self.id),
                    ("state", "=", "routed"),
                    ("is_bounce", "=", False),
                    ("trust", "=", "verified"),
                    ("email_from", "not ilike", NEWSLETTER_DOMAIN),
                    ("res_model", "in", TARGETS),
                ],
                limit=1,
            )
        )
        record = first._record() if first else None
        if not record:
            return None
        last = record.message_ids.filtered("message_id").sorted("id")[-1:]
        asked = first.posted_ids[:1] or last
        name, _at, address = (asked.email_from or "").rpartition("<")
        person = (name.strip(' "') or "Customer", address.strip("<> "))
        subject = (first.subject or "").removeprefix("Re: ")
        return subject, last.message_id, person

    # --- Demo data ---

    @api.model
    def _demo_history(self):
        """Fill the Inbox with two weeks of mail, through the door's own code.

        Called by the demo data, in its transaction: nothing is posted over HTTP and
        nothing is committed.
        """
        account = self._set_up_simulator()
        if not account or account.intake_count:
            return
        account.write({"state": "enabled", "name": self.env._("Simulator: sales")})
        shop, old = account.copy(), account.copy()
        shop.write({"name": self.env._("Simulator: support"), "state": "test"})
        old.name = self.env._("Simulator: old shop")
        dice = random.Random(7)  # noqa: S311 the same history for everybody
        now = utcnow().replace(microsecond=0)
        for ago, kinds in reversed([*enumerate(reversed(TWO_WEEKS))]):
            account._demo_day(now - timedelta(days=ago), kinds, dice)
        for days in (6, 4, 1):
            shop._demo_receive("plain", now - timedelta(days=days, hours=2), dice)
        account._demo_dead_letter(now - timedelta(days=3))
        account._demo_notice("signature", "", 4)
        old._demo_notice("disabled", "", 17)

    def _demo_day(self, day, kinds, dice):
        kinds = kinds.split()
        for number, kind in enumerate(kinds):
            moment = day - timedelta(minutes=35 + 131 * (len(kinds) - number - 1))
            self._demo_receive(kind, moment, dice)

    def _demo_receive(self, kind, moment, dice):
        sample = self._simulate(kind, moment, dice)
        intake = self._demo_store(sample, moment)
        intake._deliver(intake._mails())
        intake.write({"done_at": _naive(moment), "attempts": 1})

    def _demo_store(self, sample, moment):
        """Verify and store a sample as the door does, at a moment of the past."""
        adapter, facts = self._adapter(), self.sudo()._facts()
        request = WebhookRequest(
            method="POST",
            path=f"/mailgate/{self.code}",
            headers=sample.headers,
            body=sample.body,
            remote_addr="127.0.0.1",
            received_at=moment,
            size=len(sample.body),
        )
        adapter.verify(request, facts)
        Intake = self.env["mail.bridge.intake"].sudo()
        dedupe_key, content = adapter.dedupe_key(request), adapter.content_hash(request)
        reference, _outcome = Intake._store_request(
            self.id, self.company_id.id, request, dedupe_key, content, ()
        )
        return Intake.search([("reference", "=", reference)])

    def _demo_dead_letter(self, moment):
        """Keep a genuine post that nobody understands."""
        adapter = self._adapter()
        sample = adapter.sign(
            b'{"sender": "a@b.example"}', self.sudo()._facts(), moment
        )
        intake = self._demo_store(sample, moment)
        intake.write(
            {
                "state": "dead",
                "attempts": 1,
                "error": "PayloadError: the post holds no mail",
            }
        )

    def _demo_notice(self, kind, detail, count):
        now = fields.Datetime.now()
        self.env["mail.bridge.notice"].sudo().create(
            {
                "account_id": self.id,
                "kind": kind,
                "detail": detail,
                "count": count,
                "first_seen": now - timedelta(days=2),
                "last_seen": now - timedelta(hours=3),
                "told": True,
            }
        )


def _naive(moment):
    """Return an aware time as the ORM writes it."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
