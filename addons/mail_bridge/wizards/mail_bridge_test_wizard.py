# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import requests

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import email_normalize

from ..const import DRAIN_SECONDS
from ..models.mail_bridge_account_setup import TEST_MAIL_DOMAIN
from ..providers.base import WebhookRequest, utcnow

#: How long a test mail may take into the chatter before somebody must look, seconds.
PATIENCE = 4 * DRAIN_SECONDS


class MailBridgeTestWizard(models.TransientModel):
    """A test mail through the account's real address, and what became of it.

    Posting and watching are two calls: the first ends before the second begins, so
    that no transaction waits for the mail it has sent itself.
    """

    _name = "mail.bridge.test.wizard"
    _description = "Mail Bridge: Test Mail"

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, ondelete="cascade"
    )
    email_from = fields.Char(
        string="From", required=True, default=lambda self: self._default_email_from()
    )
    email_to = fields.Char(
        string="To",
        required=True,
        compute="_compute_email_to",
        store=True,
        readonly=False,
        precompute=True,
    )
    steps = fields.Json(compute="_compute_steps")
    is_posted = fields.Boolean()
    is_over = fields.Boolean(compute="_compute_steps")
    message_id = fields.Many2one("mail.bridge.message", compute="_compute_steps")
    dedupe_key = fields.Char()
    posted_at = fields.Datetime()
    milliseconds = fields.Integer()
    status = fields.Integer(help="What the address answered.")
    is_local = fields.Boolean(help="Only this server's own port answered.")
    trouble = fields.Char(help="Why nobody answered.")

    @api.model
    def _default_email_from(self):
        return self.env.user.email_formatted or self.env.company.email_formatted

    @api.depends("account_id")
    def _compute_email_to(self):
        """Offer an address that leads to a record, at a domain the account takes."""
        aliases = (
            self.env["mail.alias"]
            .sudo()
            .search(
                [("alias_name", "!=", False), ("alias_domain_id", "!=", False)],
                order="id",
            )
        )
        for wizard in self:
            accepts = wizard.account_id._accepts_domain
            fitting = [
                alias.alias_full_name
                for alias in aliases
                if accepts(alias.alias_full_name)
            ]
            wizard.email_to = fitting[0] if fitting else wizard._spare_address()

    def _spare_address(self):
        domain = (self.account_id.accepted_domains or "").split(",")[0].strip(" @")
        domain = domain or self.env.company.alias_domain_id.name or "example.com"
        return f"mail-bridge-test@{domain}"

    # --- Posting ---

    def action_post(self):
        """Post the mail and show the steps, which the dialog then follows."""
        self.ensure_one()
        self.account_id.check_access("write")
        adapter = self.account_id._adapter()
        if not adapter:
            raise UserError(self.env._("The account has no provider."))
        recipient = email_normalize(self.email_to)
        sender = email_normalize(self.email_from)
        if not recipient or not sender:
            raise UserError(self.env._("Enter one address each for From and To."))
        sample = adapter.compose_post(
            self._mime(), sender, recipient, self.account_id.sudo()._facts()
        )
        self.dedupe_key = adapter.dedupe_key(as_request(sample))
        self._send(sample)
        return self._reopen()

    def _send(self, sample):
        started = time.monotonic()
        values = {"is_posted": True, "status": 0, "trouble": False}
        try:
            values["status"], values["is_local"] = self.account_id._post_sample(sample)
        except requests.RequestException as error:
            values["trouble"] = f"{type(error).__name__}: {error}"[:500]
        values["milliseconds"] = 1000 * (time.monotonic() - started)
        values["posted_at"] = fields.Datetime.now()
        self.write(values)

    def _mime(self):
        mail = EmailMessage()
        mail["From"] = self.email_from
        mail["To"] = self.email_to
        mail["Subject"] = self.env._("Mail Bridge test")
        mail["Date"] = format_datetime(utcnow())
        mail["Message-ID"] = make_msgid(domain=TEST_MAIL_DOMAIN)
        mail.set_content(
            self.env._(
                "This test mail was posted through the account %(account)s. "
                "It may be deleted.",
                account=self.account_id.name,
            )
        )
        return mail.as_bytes()

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Send a Test Mail"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }

    def action_open_message(self):
        """Open the mail in the Inbox."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "mail.bridge.message",
            "res_id": self.message_id.id,
            "views": [(False, "form")],
        }

    def action_open_record(self):
        """Open the record the mail stands in."""
        return self.message_id.action_open_record()

    def action_again(self):
        """Go back to the addresses."""
        self.is_posted = False
        return self._reopen()

    # --- Watching ---

    @api.depends("is_posted", "status", "trouble", "posted_at", "dedupe_key")
    def _compute_steps(self):
        for wizard in self:
            wizard.message_id = False
            steps = wizard._door_steps() if wizard.is_posted else []
            wizard.steps = steps
            wizard.is_over = all(step["state"] != "wait" for step in steps)

    def _door_steps(self):
        """Return what the address said, then what the queue and the gateway did."""
        if self.trouble:
            label = self.env._("Nobody answers at the account's address")
            return [_fault(label, self._explain_silence())]
        answered = {"time": self.env._("%(count)s ms", count=self.milliseconds)}
        if not 200 <= self.status < 300:
            label = self.env._(
                "The post was answered with %(status)s", status=self.status
            )
            return [_fault(label, self._explain_refusal()) | answered]
        done = _done(self.env._("Signed, posted and accepted")) | answered
        return [done, *self._local_steps(), *self._queue_steps()]

    def _local_steps(self):
        """Say so where the way from outside could not be tried."""
        if not self.is_local:
            return []
        label = self.env._("Posted to this server's own port only")
        hint = self.env._(
            "web.base.url (%(url)s) does not answer from here. Providers may still "
            "reach it: write a real mail to be sure.",
            url=self.account_id.get_base_url(),
        )
        return [{"state": "warning", "label": label, "hint": hint}]

    def _explain_silence(self):
        return self.env._(
            "%(why)s. Check web.base.url and that a second worker is free to answer.",
            why=self.trouble,
        )

    def _explain_refusal(self):
        """Return in words what an answer of the door means."""
        answers = self.account_id._adapter().answers
        if self.status == 404:
            return self.env._(
                "This address is unknown there: either the request reached another "
                "database (check dbfilter), or the provider's addon is not loaded."
            )
        if self.status == answers.try_again.status:
            return self._explain_delay()
        if self.status == 413:
            return self.env._("The account takes no mail of this size.")
        if 300 <= self.status < 400:
            return self.env._(
                "The address redirects; providers do not follow. Set web.base.url to "
                "where it leads."
            )
        if self.status == answers.rejected.status:
            return self._explain_rejection()
        return self.env._("Look for the reason in the server's log.")

    def _explain_rejection(self):
        if self.account_id.allowed_networks:
            return self.env._(
                "Refused. This server itself may not be among the allowed networks, or "
                "a proxy hides where posts come from (proxy_mode)."
            )
        return self.env._(
            "The signature was refused. Is the account's signing key the one in use, "
            "and do both servers' clocks agree?"
        )

    def _explain_delay(self):
        """Return why the account asks the provider to try again."""
        if self.account_id.state == "disabled":
            return self.env._(
                "The account is disabled: providers are told to try later."
            )
        notice = self.account_id.notice_ids.filtered(lambda item: not item.resolved)[:1]
        if notice:
            kinds = dict(notice._fields["kind"]._description_selection(self.env))
            return f"{kinds[notice.kind]}. {notice.detail or ''}".strip()
        return self.env._(
            "The server could not take it: the database was away, or an error stands "
            "in its log."
        )

    def _queue_steps(self):
        intake = self.env["mail.bridge.intake"].search(
            [
                ("account_id", "=", self.account_id.id),
                ("dedupe_key", "=", self.dedupe_key),
            ],
            limit=1,
        )
        if not intake:
            return [
                _fault(
                    self.env._("The post is not in this database"),
                    self.env._(
                        "Another database took it, or another server answers at "
                        "web.base.url. Check dbfilter and the proxy."
                    ),
                )
            ]
        stored = _done(self.env._("Stored"))
        if intake.state == "done":
            return [stored, *self._mail_steps(intake)]
        if intake.error:
            label = self.env._("Stored, but processing fails")
            return [stored, _fault(label, intake.error)]
        return [stored, self._waiting_step()]

    def _waiting_step(self):
        waited = (fields.Datetime.now() - self.posted_at).total_seconds()
        if waited < PATIENCE:
            return {"state": "wait", "label": self.env._("Waiting to be processed…")}
        return _fault(
            self.env._("Stored, but nobody processes it"),
            self.env._(
                "Scheduled actions do not run: check max_cron_threads in odoo.conf and "
                "the scheduled action 'Mail Bridge: process intake'. The mail is safe."
            ),
        )

    def _mail_steps(self, intake):
        """Return where the mail went."""
        message = self.message_id = intake.message_ids[:1]
        processed = _done(self.env._("Processed"))
        reasons = dict(message._fields["reason"]._description_selection(self.env))
        reason = reasons.get(message.reason, "")
        if message.state == "routed":
            record = message.record_name or self.env._("a record you may not read")
            label = self.env._("It stands in %(record)s", record=record)
            return [processed, _done(label)]
        if message.state == "held" and message.reason == "test_mode":
            label = self.env._("It waits in the Inbox, as test mode means it")
            return [processed, _done(label)]
        states = dict(message._fields["state"]._description_selection(self.env))
        label = self.env._(
            "It is in the Inbox: %(state)s", state=states.get(message.state, "")
        )
        return [processed, {"state": "warning", "label": label, "hint": reason}]


def as_request(sample):
    """Return a sample as the door sees it (``WebhookRequest``)."""
    return WebhookRequest(
        method="POST",
        path="",
        headers=sample.headers,
        body=sample.body,
        remote_addr="",
        received_at=utcnow(),
        size=len(sample.body),
    )


def _done(label):
    return {"state": "done", "label": label}


def _fault(label, hint):
    return {"state": "fault", "label": label, "hint": hint}
