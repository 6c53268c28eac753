# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import email_split

from ..exceptions import MailBridgeError
from ..gateway import CONTEXT_KEY, GatewayRun
from ..providers.authentication import from_domain, is_aligned
from ..providers.evidence import with_dkim_verdicts
from ..providers.mime import with_message_id
from ..providers.repair import make_safe
from ..providers.summary import one_line, summarize

#: Core's gateway sends nothing while it works; the queue does, woken afterwards.
GATEWAY_CONTEXT = {"mail_notify_force_send": False, "image_no_postprocess": True}
#: For rows of our own on the hot path; never for the records mails go to.
QUIET_CONTEXT = {
    "tracking_disable": True,
    "mail_create_nosubscribe": True,
    "mail_create_nolog": True,
}
REASONS = [
    ("no_route", "No alias or record matches"),
    ("refused", "The alias does not accept this sender"),
    ("loop", "The sender writes too much in a short time"),
    ("unverified_reply", "A reply whose sender is not verified"),
    ("unverified_sender", "An address of our own as sender, not verified"),
    ("reused_message_id", "Another mail had the same Message-ID"),
    ("not_ours", "No recipient in the accepted domains"),
    ("test_mode", "The account is in test mode"),
    ("failed", "Odoo could not process it"),
    ("too_large", "Larger than the account allows"),
    ("by_hand", "Decided by a person"),
]


class MailBridgeMessage(models.Model):
    """One mail that came in: what the sender sent, and where it went."""

    _name = "mail.bridge.message"
    _description = "Mail Bridge Message"
    _inherit = ["mail.thread", "mail.activity.mixin"]
    _order = "received_at desc, id desc"
    _rec_name = "subject"
    _primary_email = "email_from"
    _mail_post_access = "read"

    account_id = fields.Many2one(
        "mail.bridge.account", readonly=True, required=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", readonly=True, index=True)
    intake_id = fields.Many2one(
        "mail.bridge.intake", readonly=True, ondelete="cascade", index=True
    )
    number = fields.Integer(readonly=True, help="Position among the mails of one post.")
    state = fields.Selection(
        [
            ("received", "Received"),
            ("routed", "Routed"),
            ("repeated", "Repeated"),
            ("unrouted", "Unrouted"),
            ("quarantined", "Quarantined"),
            ("rejected", "Rejected"),
            ("held", "Held"),
            ("too_large", "Too Large"),
        ],
        required=True,
        readonly=True,
        default="received",
        index=True,
    )
    reason = fields.Selection(REASONS, readonly=True)
    is_bounce = fields.Boolean(string="Bounce", readonly=True)
    note = fields.Text(readonly=True, help="What could not be kept or was repaired.")

    # What the mail says
    subject = fields.Char(readonly=True)
    email_from = fields.Char(string="From", readonly=True)
    email_to = fields.Char(string="To", readonly=True)
    email_cc = fields.Char(string="Cc", readonly=True)
    message_id_header = fields.Char(string="Message-ID", readonly=True)
    mail_date = fields.Datetime(string="Date", readonly=True)
    stripped_text = fields.Text(
        readonly=True, help="The new text alone, as the provider cut it out."
    )
    size = fields.Integer(string="Size (bytes)", readonly=True)
    fingerprint = fields.Char(
        readonly=True, help="Tells two mails with one Message-ID apart (SHA-256)."
    )

    # What the provider says
    received_at = fields.Datetime(readonly=True)
    envelope_from = fields.Char(readonly=True)
    envelope_to = fields.Char(
        string="Envelope Recipients",
        readonly=True,
        help="The recipients the mail was delivered to.",
    )
    provider_reference = fields.Char(readonly=True)
    spf = fields.Char(string="SPF", readonly=True)
    dkim = fields.Char(string="DKIM", readonly=True)
    dmarc = fields.Char(string="DMARC", readonly=True)
    verdict_source = fields.Char(readonly=True)
    spam_flagged = fields.Boolean(string="Spam", readonly=True)
    spam_score = fields.Float(readonly=True)
    trust = fields.Selection(
        [
            ("verified", "Verified sender"),
            ("token", "Reply address of ours"),
            ("unverified", "Unverified sender"),
            ("released", "Released by a person"),
        ],
        readonly=True,
    )

    # Where it went
    res_model = fields.Char(string="Record Model", readonly=True)
    res_id = fields.Many2oneReference(
        string="Record", model_field="res_model", readonly=True
    )
    record_name = fields.Char(compute="_compute_record_name")
    posted_ids = fields.One2many("mail.message", "bridge_message_id", readonly=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_message_intake_uniq
                   ON mail_bridge_message (intake_id, number);
               CREATE INDEX IF NOT EXISTS mail_bridge_message_header_idx
                   ON mail_bridge_message USING hash (message_id_header);
               CREATE INDEX IF NOT EXISTS mail_bridge_message_account_date_idx
                   ON mail_bridge_message (account_id, received_at)"""
        )

    @api.depends("res_model", "res_id")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_record_name(self):
        """Name the records that the reader may read; others may be secret."""
        self.record_name = False
        for model, messages in self.grouped("res_model").items():
            if model not in self.env:
                continue
            ids = [message.res_id for message in messages if message.res_id]
            readable = self.env[model].browse(ids).exists()._filtered_access("read")
            names = {record.id: record.display_name for record in readable.sudo()}
            for message in messages:
                message.record_name = names.get(message.res_id)

    def _compute_display_name(self):
        for message in self:
            message.display_name = message.subject or self.env._("(no subject)")

    # --- Receiving ---

    @api.model
    def _receive(self, intake, number, mail):
        """Make a message of a parsed mail and send it on its way.

        :param mail: ``InboundMail``.
        """
        safe = make_safe(with_message_id(mail.mime, intake.received_at))
        message = self._dead_before(intake, number)
        if message and message.reason != "failed":
            return message  # a person was faster
        message = message or self._keep(intake, number, mail, safe)
        if (verdict := message._screen(mail)) is not None:
            message._note_outcome(verdict)
        else:
            message._route(mail, safe.mime)
        return message

    @api.model
    def _keep(self, intake, number, mail, safe, **values):
        values = self._prepare_values(intake, number, mail, safe) | values
        return self.with_context(**QUIET_CONTEXT).create(values).with_env(self.env)

    @api.model
    def _dead_before(self, intake, number):
        """Return the message of a post that was dead and is tried again, if any."""
        if not intake.error:
            return self
        place = [("intake_id", "=", intake.id), ("number", "=", number)]
        return self.search(place, limit=1)

    @api.model
    def _receive_dead(self, intake, number, mail):
        """Keep a mail that Odoo could not process where people see it."""
        if not self._dead_before(intake, number):
            safe = make_safe(with_message_id(mail.mime, intake.received_at))
            note = "\n".join((*mail.notes, *safe.notes, intake.error))
            self._keep(
                intake, number, mail, safe, state="held", reason="failed", note=note
            )

    @api.model
    def _prepare_values(self, intake, number, mail, safe):
        summary = summarize(safe.mime)
        verdicts, spam = mail.verdicts, mail.spam
        return {
            "account_id": intake.account_id.id,
            "company_id": intake.company_id.id,
            "intake_id": intake.id,
            "number": number,
            "received_at": intake.received_at,
            "subject": summary.subject,
            "email_from": summary.author,
            "email_to": summary.to,
            "email_cc": summary.cc,
            "message_id_header": summary.message_id,
            "mail_date": summary.date,
            "envelope_from": one_line(mail.envelope_sender or ""),
            "envelope_to": one_line(", ".join(mail.envelope_recipients)),
            "provider_reference": one_line(mail.provider_reference),
            "stripped_text": mail.stripped_text.replace("\0", "") or False,
            "size": mail.size or len(mail.mime),
            "spf": verdicts.spf,
            "dkim": verdicts.dkim,
            "dmarc": verdicts.dmarc,
            "verdict_source": verdicts.source,
            "spam_flagged": bool(spam.flagged),
            "spam_score": spam.score or 0.0,
            "note": "\n".join((*mail.notes, *safe.notes)) or False,
        }

    def _screen(self, mail):
        """Return the values of a mail that must not be routed, ``None`` otherwise."""
        self.ensure_one()
        account = self.account_id
        verdict = None
        if mail.truncated or self.size > account._mail_limit():
            verdict = {"state": "too_large", "reason": "too_large"}
        elif self._recipients(mail) and not self._own_recipients(mail):
            verdict = {"state": "rejected", "reason": "not_ours"}
        elif account.state == "test":
            verdict = {"state": "held", "reason": "test_mode"}
        if verdict:
            verdict["trust"] = "verified" if _is_proven(mail) else "unverified"
        return verdict

    def _recipients(self, mail):
        """Return who the mail is for: the envelope, else the header (addresses)."""
        shown_to = f"{self.email_to or ''},{self.email_cc or ''}"
        return list(mail.envelope_recipients) or email_split(shown_to)

    def _own_recipients(self, mail):
        return [
            address
            for address in self._recipients(mail)
            if self.account_id._accepts_domain(address)
        ]

    # --- Routing ---

    def _route(self, mail, mime, forced=None, released=False):
        """Hand the mail to Odoo's gateway and write down what became of it."""
        self.ensure_one()
        # a person may let a mail in that is for none of the accepted domains
        own = self._own_recipients(mail) or mail.envelope_recipients
        envelope = tuple(own) if mail.envelope_recipients else ()
        run = GatewayRun(self, mail, envelope, _is_proven(mail), released, forced)
        gateway = self.env["mail.thread"].with_company(self.company_id)
        gateway.with_context(**GATEWAY_CONTEXT, **{CONTEXT_KEY: run}).message_process(
            False, mime
        )
        self._note_outcome(self._outcome(run))
        if run.queued_mail:
            self.env.ref("mail.ir_cron_mail_scheduler_action").sudo()._trigger()

    def _note_outcome(self, values):
        self.with_context(**QUIET_CONTEXT).write(values)
        self._settle_dead()

    def _settle_dead(self):
        """Call a dead post done whose mails people have dealt with."""
        for intake in self.intake_id:
            if intake.state == "dead" and "failed" not in intake.message_ids.mapped(
                "reason"
            ):
                intake._set_done()

    def _outcome(self, run):
        """Return the values that tell what the gateway did."""
        values = {
            "trust": run.trust,
            "reason": run.reason or False,
            "is_bounce": run.is_bounce,
            "fingerprint": run.fingerprint,
            "res_model": False,
            "res_id": False,
        }
        if run.held_route:
            return dict(values, state="quarantined", **target_values(run.held_route))
        if run.is_bounce and run.bounced_message and not run.posted:
            target = run.bounced_message
            return dict(
                values,
                state="routed",
                trust=False,
                res_model=target.model,
                res_id=target.res_id,
            )
        if run.repeated:
            return dict(values, state="repeated", **target_values(run.repeated[0]))
        if run.reason:
            return dict(values, state="held" if run.reason == "loop" else "unrouted")
        res_model, res_id = run.posted or self._posted_by_others()
        return dict(
            values,
            state="routed",
            res_model=res_model,
            res_id=res_id,
            note=self._note_with(run),
        )

    def _posted_by_others(self):
        """Return where a model put the mail that takes mail and is no ``mail.thread``.

        Mailing lists (``mail.group``) do.
        """
        post = self.posted_ids.sudo()[:1]
        if not post:
            raise UserError(self.env._("The gateway did not take the mail."))
        return post.model, post.res_id

    def _note_with(self, run):
        """Return the note, with what the gateway has to add to it."""
        lines = (self.note or "").split("\n")
        if run.is_refused:
            lines.append(
                self.env._("One of its addresses does not accept this sender.")
            )
        if run.has_stand_in:
            lines.append(
                self.env._(
                    "Another message has this Message-ID. The record keeps the mail "
                    "under a new one, so that answers to the other stay where it is."
                )
            )
        return "\n".join(dict.fromkeys(filter(None, lines))) or False

    def _again(self, screen=False, forced=None, released=False):
        """Route a stored mail once more, as a person wants it.

        :param screen: the account's rules decide, as when the mail came in.
        """
        self.ensure_one()
        if self.posted_ids.filtered(lambda post: post.model != self._name):
            raise UserError(self.env._("This mail stands in a record already."))
        try:
            mail = self._mail()
        except MailBridgeError as error:
            raise UserError(
                self.env._("The mail cannot be read: %(why)s.", why=error)
            ) from error
        if self.account_id.check_dkim:
            [mail] = with_dkim_verdicts([mail])
        if screen and (verdict := self._screen(mail)) is not None:
            return self._note_outcome(verdict)
        safe = make_safe(with_message_id(mail.mime, self.received_at))
        self.posted_ids.sudo().unlink()
        return self._route(mail, safe.mime, forced=forced, released=released)

    def _mail(self):
        """Return the mail as it was parsed from the stored post."""
        self.ensure_one()
        mails = self.sudo().intake_id._mails()
        return mails[self.number]

    # --- Actions ---

    def action_process_again(self):
        """Route as if the mail had just come in."""
        for message in self:
            message.check_access("write")
            message.sudo()._again(screen=True)

    def action_release(self):
        """Let a held or quarantined mail into the record it was meant for.

        A mail that was held before it was judged may still be forged: it goes the way
        of a mail that comes in, but for the test mode.
        """
        for message in self:
            message.check_access("write")
            is_judged = message.state == "quarantined" or message.reason == "loop"
            message.sudo()._again(released=is_judged)

    def _check_release(self, routes):
        """Let nobody release a mail into a record of a company that is not theirs."""
        for model, res_id, *_rest in routes:
            record = self.env[model].sudo().browse(res_id)
            company = record.company_id if "company_id" in record._fields else None
            if company and company not in self.env.user.company_ids:
                raise UserError(
                    self.env._("This mail is meant for a record of another company.")
                )

    def action_reject(self):
        """Keep the mail out of the records for good."""
        self.check_access("write")
        waiting = self.filtered(lambda message: message.state != "routed")
        waiting.sudo().write({"state": "rejected", "reason": "by_hand"})
        waiting.sudo()._settle_dead()

    def action_route_by_hand(self):
        """Open the wizard that chooses the record."""
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Route"),
            "res_model": "mail.bridge.route.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_message_ids": self.ids},
        }

    def action_open_record(self):
        """Open the record whose chatter holds the mail."""
        self.ensure_one()
        if not self._record():
            raise UserError(self.env._("The mail stands in no record."))
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "views": [(False, "form")],
        }

    def action_download_original(self):
        """Download the mail as it came."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"/mail_bridge/message/{self.id}/original.eml",
            "target": "download",
        }

    def _record(self):
        """Return the record the mail stands in, if there is one."""
        self.ensure_one()
        if not self.res_id or self.res_model not in self.env:
            return None
        return self.env[self.res_model].browse(self.res_id).exists()


def target_values(route):
    """Return the record of a route that was served before, as far as it is known."""
    model, res_id = route[:2]
    return {"res_model": model, "res_id": res_id} if res_id else {}


def _is_proven(mail):
    """Tell whether the domain of the one author in From vouches for a mail."""
    # nothing is aligned with no verdict at all: the common case saves a parse
    return mail.verdicts.known and is_aligned(mail.verdicts, from_domain(mail.mime))
