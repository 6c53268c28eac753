# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random
import secrets
from dataclasses import replace

from odoo import api, fields, models

from odoo.addons.mail_bridge import setup_provider
from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field
from odoo.addons.mail_bridge.providers.base import WebhookRequest, utcnow

from ..mails import KINDS, NEWSLETTER_DOMAIN, Scene

#: RFC 2606: mail to it can reach nobody.
DEMO_DOMAIN = "mail.example.com"
#: What an alias leads to, the first one that is installed.
TARGETS = ("crm.lead", "res.partner")


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
        return self._demo_post(KINDS[kind](self._demo_scene(moment, dice)), moment)

    def _demo_post(self, mail, moment):
        """Return the signed post of a mail (``SimulatedMail``)."""
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
        first = self._demo_first()
        record = first._record() if first else None
        if not record or record._name != self._demo_alias().alias_model_id.model:
            return None  # core takes a reply with another alias for a new matter
        last = record.message_ids.filtered("message_id").sorted("id")[-1:]
        asked = first.posted_ids[:1] or last
        name, _at, address = (asked.email_from or "").rpartition("<")
        person = (name.strip(' "') or "Customer", address.strip("<> "))
        subject = (first.subject or "").removeprefix("Re: ")
        return subject, last.message_id, person

    def _demo_first(self):
        """Return the last simulated mail that a customer's conversation holds."""
        return (
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

    # --- Receiving without HTTP ---

    def _demo_store(self, sample, moment, size=0):
        """Verify and store a sample as the door does, at a moment of the past.

        :param size: bytes the post claims to have where it is too large to be kept.
        """
        adapter, facts = self._adapter(), self.sudo()._facts()
        request = WebhookRequest(
            method="POST",
            path=f"/mailgate/{self.code}",
            headers=sample.headers,
            body=sample.body,
            remote_addr="127.0.0.1",
            received_at=moment,
            truncated=bool(size),
            size=size or len(sample.body),
        )
        adapter.verify(request, facts)
        if request.truncated:
            request = replace(request, body=adapter.reduce(request))
        Intake = self.env["mail.bridge.intake"].sudo()
        dedupe_key, content = adapter.dedupe_key(request), adapter.content_hash(request)
        reference, _outcome = Intake._store_request(
            self.id, self.company_id.id, request, dedupe_key, content, ()
        )
        return Intake.search([("reference", "=", reference)])
