# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import uuid
from email.utils import parseaddr

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import email_normalize

from odoo.addons.mail_bridge.providers.base import utcnow

from .. import templating
from ..bulk import letter
from ..providers.smtp_address import wire_address
from ..providers.states import RANKS, Truth
from ..submission import LOW, Rcpt, Submission

#: Recipients of one call.
MOST_RECIPIENTS = 1000
_HOLD = """
    UPDATE mail_relay_message
       SET state = 'held', hold_reason = 'suspended', claimed_by = NULL
     WHERE batch_id = %s AND state = 'queued'"""
_LET_GO = """
    UPDATE mail_relay_message
       SET state = 'queued', hold_reason = NULL, claimed_until = NULL,
           next_attempt = greatest(now() AT TIME ZONE 'UTC', not_before)
     WHERE batch_id = %s AND state = 'held' AND hold_reason = 'suspended'"""
_CANCEL = f"""
    WITH mail AS (
        UPDATE mail_relay_message
           SET state = 'cancelled', hold_reason = NULL, claimed_by = NULL,
               done_at = now() AT TIME ZONE 'UTC'
         WHERE batch_id = %s AND (state = 'queued' OR state = 'held'
                                  AND hold_reason = 'suspended')
     RETURNING id)
    UPDATE mail_relay_recipient person
       SET state = 'cancelled', rank = {RANKS[Truth("cancelled")]}, told_rank = -1
      FROM mail WHERE person.relay_message_id = mail.id
       AND person.state IN ('pending', 'deferred')"""


class MailRelayBatch(models.Model):
    """Many mails of one template, handed over in calls of at most a thousand."""

    _name = "mail.relay.batch"
    _description = "Mail Relay Batch"
    _order = "id desc"
    _check_company_auto = True

    name = fields.Char(required=True)
    reference = fields.Char(
        readonly=True, required=True, copy=False, default=lambda self: uuid.uuid4().hex
    )
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    state = fields.Selection(
        [("open", "Open"), ("paused", "Paused"), ("cancelled", "Cancelled")],
        required=True,
        readonly=True,
        default="open",
        copy=False,
    )
    template_id = fields.Many2one(
        "mail.relay.template", required=True, ondelete="restrict", check_company=True
    )
    account_id = fields.Many2one(
        "mail.bridge.account",
        ondelete="restrict",
        domain="[('can_send', '=', True), ('company_id', '=', company_id)]",
        help="Empty: as the routes say.",
    )
    email_from = fields.Char(string="From", required=True)
    reply_to = fields.Char(string="Answers To")
    is_marketing = fields.Boolean(string="Marketing", default=True)
    list_reference = fields.Char(string="List")
    unsubscribe_url = fields.Char(
        string="Unsubscribe Link",
        help="Where a recipient unsubscribes, with gaps as in the template; "
        "{{ email }} is his address. With https one click is enough (RFC 8058).",
    )
    entry_ids = fields.One2many("mail.relay.batch.entry", "batch_id", readonly=True)
    entry_count = fields.Integer("Recipients", compute="_compute_counts")
    refused_count = fields.Integer("Refused", compute="_compute_counts")
    waiting_count = fields.Integer("Waiting", compute="_compute_counts")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_batch_reference_uniq
                   ON mail_relay_batch (reference)"""
        )

    def _compute_counts(self):
        groups = self.env["mail.relay.batch.entry"]._read_group(
            [("batch_id", "in", self.ids)], ["batch_id", "state"], ["__count"]
        )
        counts = {(batch.id, state): count for batch, state, count in groups}
        for batch in self:
            own = {key[1]: n for key, n in counts.items() if key[0] == batch.id}
            batch.entry_count = sum(own.values())
            batch.refused_count = own.get("refused", 0)
            batch.waiting_count = own.get("waiting", 0)

    @api.constrains("is_marketing", "unsubscribe_url")
    def _check_unsubscribe(self):
        for batch in self:
            if batch.is_marketing and not batch.unsubscribe_url:
                raise ValidationError(
                    self.env._(
                        "Marketing needs an unsubscribe link: Gmail, Yahoo and "
                        "Microsoft refuse it without."
                    )
                )

    @api.constrains("email_from")
    def _check_email_from(self):
        for batch in self:
            if wire_address(parseaddr(batch.email_from)[1]) is None:
                raise ValidationError(self.env._("From is no mail address."))

    # --- Submitting ---

    def _submit_bulk(self, recipients):
        """Take recipients over, in this transaction; what cannot be sent is told.

        :param recipients: dicts with ``address`` and ``variables`` (by name).
        :return: for each, in the same order, ``{"address", "state", "reason",
            "reference"}``; the state is ``queued``, ``waiting`` (for the winner of a
            test), ``refused`` or ``duplicate``.
        """
        self.ensure_one()
        if len(recipients) > MOST_RECIPIENTS:
            raise UserError(
                self.env._("At most %s recipients in one call.", MOST_RECIPIENTS)
            )
        self._lock()
        if self.state == "cancelled":
            raise UserError(self.env._("The batch was cancelled."))
        known = self._known(recipients)
        entries = [self._taken(item, known) for item in recipients]
        new = [entry for entry in entries if entry["state"] != "duplicate"]
        ids = self.env["mail.relay.message"]._insert(
            "mail_relay_batch_entry",
            [{"batch_id": self.id, **_columns(entry)} for entry in new],
        )
        for entry, entry_id in zip(new, ids, strict=True):
            entry["id"] = entry_id
        self._enqueue_entries([entry for entry in new if entry["state"] == "queued"])
        self.invalidate_recordset()
        names = ("address", "state", "reason", "reference")
        return [{name: entry.get(name, "") for name in names} for entry in entries]

    def _lock(self):
        """Let nobody pause, cancel or add to the batch at once."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT 1 FROM mail_relay_batch WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            (self.ids,),
        )
        self.invalidate_recordset()

    def _known(self, recipients):
        """Return who of some recipients is in the batch already (normalized)."""
        wanted = [_normalized(item) for item in recipients]
        self.env.cr.execute(
            """SELECT email_normalized FROM mail_relay_batch_entry
                WHERE batch_id = %s AND email_normalized = ANY(%s)""",
            (self.id, wanted),
        )
        return {row[0] for row in self.env.cr.fetchall()}

    def _taken(self, item, known):
        """Return what becomes of one recipient; ``known`` grows."""
        address, normalized = str(item.get("address") or "").strip(), _normalized(item)
        variables = item.get("variables") or {}
        entry = {
            "address": address,
            "email_normalized": normalized,
            "variables": json.dumps(variables, default=str),
            "state": "queued",
            "variant": self._variant_for(normalized),
        }
        if normalized in known:
            return entry | {"state": "duplicate", "reason": "duplicate"}
        known.add(normalized)
        if wire_address(parseaddr(address)[1]) is None:
            reason = self.env._("This is not a mail address.")
            return entry | {"state": "refused", "reason": reason}
        if self._waits(entry):
            entry["state"] = "waiting"
        return entry | self._written(entry, variables)

    def _variant_for(self, normalized):
        """For a batch that tries variants, it must return the one of a recipient."""
        return None

    def _waits(self, entry):
        """For a batch that tries variants, it must tell who waits for the winner."""
        return False

    def _words(self, entry, variables):
        """Return the words of one recipient (``templating.Rendered``)."""
        return templating.Rendered(*self.template_id.render(variables))

    def _written(self, entry, variables):
        """Return the finished mail of a recipient, or why there is none."""
        given = {"email": entry["email_normalized"]} | variables
        try:
            words = self._words(entry, given)
            link = templating.Rendered(self.unsubscribe_url or "", "", "")
            url = templating.render(link, given, self.template_id._defaults()).subject
            mime, message_id = letter(
                words,
                self.email_from,
                entry["address"],
                utcnow(),
                unsubscribe_url=url.replace(" ", "%20"),
                reply_to=self.reply_to or "",
            )
        except templating.MissingVariables as error:
            names = ", ".join(error.names)
            return _refused(self.env._("No value for: %s", names))
        except templating.BadVariables as error:
            names = ", ".join(error.names)
            return _refused(self.env._("Neither text nor number: %s", names))
        except ValueError:
            return _refused(self.env._("This address fits into no header."))
        subject = words.subject
        return {"mime": mime, "message_id": message_id, "subject": subject}

    def _enqueue_entries(self, entries):
        """Queue the mails of entries, write down which they are, and return them."""
        mails = self.env["mail.relay.message"]._enqueue(
            [self._submission(entry) for entry in entries]
        )
        people = {
            person.relay_message_id.id: person for person in mails.sudo().recipient_ids
        }
        for entry, mail in zip(entries, mails, strict=True):
            person = people[mail.id]
            entry["reference"] = mail.reference
            if person.state == "rejected":
                entry |= _refused(person.failure_text or person.reason or "")
        self.env.cr.execute(
            """UPDATE mail_relay_batch_entry entry
                  SET relay_message_id = v.mail_id, state = v.state, reason = v.reason,
                      variant = v.variant
                 FROM unnest(%s, %s, %s::text[], %s::text[], %s::text[])
                      AS v(id, mail_id, state, reason, variant)
                WHERE entry.id = v.id""",
            (
                [entry["id"] for entry in entries],
                mails.ids,
                [entry["state"] for entry in entries],
                [entry.get("reason") for entry in entries],
                [entry.get("variant") for entry in entries],
            ),
        )
        return mails

    def _submission(self, entry):
        """Return the mail of an entry as the relay takes it."""
        address = parseaddr(entry["address"])[1]
        return Submission(
            mime=entry["mime"],
            envelope_sender=self._bounce_address(),
            email_from=self.email_from,
            recipients=(Rcpt(address, variables=json.loads(entry["variables"])),),
            message_id=entry["message_id"],
            subject=entry["subject"],
            company_id=self.company_id.id,
            account_id=self.account_id.id or 0,
            priority=LOW,
            is_marketing=self.is_marketing,
            list_reference=self.list_reference or "",
            batch_id=self.id,
            template_id=self.template_id.id,
            variant=entry.get("variant") or "",
            suspended=self.state == "paused",
            **self._tracking(),
        )

    def _tracking(self):
        """Return what is tracked; nothing said: as the account."""
        return {}

    def _bounce_address(self):
        bounce = self.company_id.sudo().bounce_email
        return bounce or parseaddr(self.email_from)[1]

    # --- Pause, resume, cancel ---

    def action_pause(self):
        """Hold what was not sent yet."""
        self._steer("open", "paused", _HOLD)

    def action_resume(self):
        """Let go what was held."""
        self._steer("paused", "open", _LET_GO)
        mails = self.env["mail.relay.message"]
        self.env.cr.postcommit.add(lambda: mails._wake(always=True))

    def action_cancel(self):
        """Take back what was not sent yet, for good."""
        for state in ("open", "paused"):
            self._steer(state, "cancelled", _CANCEL)
        self.env.cr.execute(
            """UPDATE mail_relay_batch_entry SET state = 'cancelled'
                WHERE batch_id = ANY(%s) AND state = 'waiting'""",
            (self.ids,),
        )
        people = self.env["mail.relay.recipient"]
        self.env.cr.postcommit.add(lambda: people._wake(always=True))
        self.env.invalidate_all()

    def _steer(self, before, after, statement):
        """Bring batches and their mails from one state to another."""
        self.check_access("write")
        self._lock()
        for batch in self.filtered(lambda batch: batch.state == before):
            self.env.cr.execute(statement, (batch.id,))
            batch.sudo().state = after
        self.env.flush_all()
        self.env.invalidate_all()

    def action_view_mails(self):
        """Open the mails of the batch."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mail_relay.mail_relay_message_action"
        )
        return action | {"domain": [("batch_id", "in", self.ids)], "context": {}}

    def action_view_figures(self):
        """Open the figures of the batch."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mail_relay.mail_relay_analysis_action"
        )
        return action | {"domain": [("batch_id", "in", self.ids)], "context": {}}


class MailRelayBatchEntry(models.Model):
    """One recipient of a batch, and what became of the wish to write to him."""

    _name = "mail.relay.batch.entry"
    _description = "Mail Relay Batch Recipient"
    _order = "id"
    _rec_name = "address"
    _log_access = False

    batch_id = fields.Many2one(
        "mail.relay.batch", required=True, readonly=True, ondelete="cascade"
    )
    address = fields.Char(readonly=True)
    email_normalized = fields.Char(readonly=True, required=True)
    variables = fields.Text(readonly=True)
    variant = fields.Char(readonly=True)
    state = fields.Selection(
        [
            ("queued", "Handed Over"),
            ("waiting", "Waiting for the Winner"),
            ("refused", "Refused"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        readonly=True,
    )
    reason = fields.Char(readonly=True)
    relay_message_id = fields.Many2one(
        "mail.relay.message",
        string="Mail",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_batch_entry_uniq
                   ON mail_relay_batch_entry (batch_id, email_normalized);
               CREATE INDEX IF NOT EXISTS mail_relay_batch_entry_waiting_idx
                   ON mail_relay_batch_entry (batch_id, id) WHERE state = 'waiting'"""
        )


def _normalized(item):
    address = str(item.get("address") or "").strip()
    return email_normalize(address) or address.lower()


def _refused(reason):
    return {"state": "refused", "reason": reason}


def _columns(entry):
    names = ("address", "email_normalized", "variables", "variant", "state", "reason")
    return {name: entry.get(name) for name in names}
