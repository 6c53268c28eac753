# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..providers.states import may_move

_logger = logging.getLogger(__name__)

WORK_STATES = [
    ("queued", "Queued"),
    ("sending", "Sending"),
    ("in_doubt", "In Doubt"),
    ("held", "Held"),
    ("done", "Done"),
    ("dead", "Dead"),
    ("cancelled", "Cancelled"),
]
HOLD_REASONS = [
    ("suspended", "Suspended"),
    ("doubt", "It may have been sent"),
    ("content", "Waiting for its attachments"),
]


class MailRelayMessage(models.Model):
    """One outgoing mail: the work on it. What became of it stands at its recipients.

    Rows are inserted and moved by SQL (``_enqueue``, ``engine``): a mail costs a row
    for each recipient and none of the ORM. The MIME stands beside it
    (``mail.bridge.body``), as part 0, and every attempt sends the same.
    """

    _name = "mail.relay.message"
    _description = "Mail Relay Message"
    _inherit = ["mail.bridge.body", "mail.bridge.wake"]
    _order = "id desc"
    _rec_name = "subject"
    _log_access = False
    _body_owner = "message_id"
    _drain_code = {
        "main": "model._cron_dispatch()",
        "doubt": "model._cron_resolve_doubt()",
    }

    reference = fields.Char(readonly=True, required=True, help="Our own reference.")
    state = fields.Selection(WORK_STATES, readonly=True, required=True)
    company_id = fields.Many2one("res.company", readonly=True, required=True)
    account_id = fields.Many2one(
        "mail.bridge.account",
        readonly=True,
        ondelete="restrict",
        help="The account that sends it, as it stands.",
    )
    account_chain = fields.Char(
        readonly=True, help="Ids of the accounts to try after this one."
    )
    is_pinned = fields.Boolean(
        string="Only This Account",
        readonly=True,
        help="No other account may send it: its author chose this one, or this one may "
        "have sent it already.",
    )
    route_id = fields.Many2one(
        "mail.relay.route", readonly=True, ondelete="set null", index="btree_not_null"
    )
    route_trace = fields.Text(
        string="Why This Account",
        readonly=True,
        help="Why this account sends it and others were passed over.",
    )
    client_reference = fields.Char(
        readonly=True, help="The name that the submitting application gave it."
    )
    owner_key = fields.Integer(
        readonly=True, help="Whose turn it is: the application, else the company."
    )

    # When
    priority = fields.Selection(
        [("0", "Immediate"), ("1", "High"), ("2", "Medium"), ("3", "Low")],
        compute="_compute_priority",
    )
    level = fields.Integer(string="Priority Level", readonly=True)
    created_at = fields.Datetime(string="Queued at", readonly=True)
    not_before = fields.Datetime(readonly=True)
    next_attempt = fields.Datetime(readonly=True)
    first_attempt_at = fields.Datetime(readonly=True)
    sending_since = fields.Datetime(readonly=True)
    sent_at = fields.Datetime(readonly=True)
    done_at = fields.Datetime(readonly=True)
    attempts = fields.Integer(readonly=True, help="Tries that count.")
    tries = fields.Integer(readonly=True, help="All tries.")
    claimed_by = fields.Char(readonly=True)
    claimed_until = fields.Datetime(readonly=True)

    # What
    message_id = fields.Char(string="Message-ID", readonly=True, required=True)
    subject = fields.Char(readonly=True)
    email_from = fields.Char(string="From", readonly=True)
    from_domain = fields.Char(readonly=True)
    envelope_sender = fields.Char(readonly=True)
    size = fields.Integer(string="Size (bytes)", readonly=True)
    body_deleted = fields.Boolean(readonly=True, help="The retention time is over.")
    is_marketing = fields.Boolean(string="Marketing", readonly=True)
    list_reference = fields.Char(string="List", readonly=True)
    track_opens = fields.Boolean(readonly=True)
    track_clicks = fields.Boolean(readonly=True)
    idempotency_key = fields.Char(readonly=True)
    generation = fields.Integer(
        readonly=True,
        help="Grows when another set of recipients is tried, or a risk is taken.",
    )

    # Where it comes from
    mail_mail_id = fields.Integer(string="Outgoing Mail", readonly=True)
    mail_message_id = fields.Many2one(
        "mail.message", readonly=True, ondelete="set null", index="btree_not_null"
    )
    model = fields.Char(string="Document Model", readonly=True)
    res_id = fields.Many2oneReference(
        string="Document ID", model_field="model", readonly=True
    )
    variant = fields.Char(readonly=True)

    # What happened
    error = fields.Text(readonly=True)
    hold_reason = fields.Selection(HOLD_REASONS, readonly=True)
    possible_duplicates = fields.Integer(
        readonly=True, help="Times it was sent again though it may have arrived."
    )
    provider_reference = fields.Char(readonly=True)
    provider_message_id = fields.Char(
        readonly=True, help="The Message-ID that the provider gave it in place of ours."
    )
    recipient_ids = fields.One2many(
        "mail.relay.recipient", "relay_message_id", readonly=True
    )
    attempt_ids = fields.One2many(
        "mail.relay.attempt", "relay_message_id", readonly=True
    )

    def init(self):
        # A mail is updated three times on its way, and each time every index has to be
        # written: there is none that only a list would use.
        self._init_body_table()
        self.env.cr.execute(
            """ALTER TABLE mail_relay_message ADD COLUMN IF NOT EXISTS domains text[];
               ALTER TABLE mail_relay_message SET (fillfactor = 80,
                   autovacuum_vacuum_scale_factor = 0.02);
               CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_message_reference_uniq
                   ON mail_relay_message (reference);
               CREATE INDEX IF NOT EXISTS mail_relay_message_due_idx
                   ON mail_relay_message
                      (account_id, owner_key, level, next_attempt, id)
                WHERE state = 'queued';
               CREATE INDEX IF NOT EXISTS mail_relay_message_open_idx
                   ON mail_relay_message (claimed_until)
                WHERE state IN ('sending', 'in_doubt');
               CREATE INDEX IF NOT EXISTS mail_relay_message_message_id_idx
                   ON mail_relay_message (message_id);
               CREATE INDEX IF NOT EXISTS mail_relay_message_provider_idx
                   ON mail_relay_message (provider_reference)
                WHERE provider_reference IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_relay_message_provider_mid_idx
                   ON mail_relay_message (provider_message_id)
                WHERE provider_message_id IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_relay_message_document_idx
                   ON mail_relay_message (model, res_id) WHERE res_id IS NOT NULL"""
        )

    @api.depends("level")
    def _compute_priority(self):
        for message in self:
            message.priority = str(min(max(message.level, 0), 3))

    def write(self, vals):
        # The right to write is the right to the actions: they know what may be done.
        if not self.env.su:
            raise AccessError(self.env._("A mail is changed by its buttons only."))
        return super().write(vals)

    # --- The funnel ---

    def _move(self, state, **values):
        """Move mails to another state of work; those that may not stay, and are told.

        Locks the rows, so that a dispatcher and a person never move one at once.

        :return: the mails that moved.
        """
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id, state FROM mail_relay_message WHERE id = ANY(%s) FOR UPDATE",
            (self.ids,),
        )
        allowed = [row[0] for row in self.env.cr.fetchall() if may_move(row[1], state)]
        moved = self.browse(allowed)
        if refused := self - moved:
            _logger.info("mails %s may not become %s", refused.ids, state)
        self.invalidate_recordset()
        moved.write({"state": state} | values)
        return moved

    # --- Actions ---

    def action_retry(self):
        """Queue mails again: dead ones anew, those in doubt at one's own risk."""
        self.check_access("write")
        waiting = self.sudo().filtered(lambda mail: mail.state in ("queued", "dead"))
        self._requeue(waiting.filtered(lambda mail: mail.state == "dead"))
        waiting.filtered(lambda mail: mail.state == "queued").write(
            {"next_attempt": fields.Datetime.now()}
        )
        self.env.cr.postcommit.add(lambda: self._wake(always=True))

    def action_resend(self):
        """Send mails again that are held in doubt: each may arrive twice."""
        self.check_access("write")
        held = self.sudo().filtered(
            lambda mail: mail.state == "held" and mail.hold_reason == "doubt"
        )
        if not held:
            raise UserError(self.env._("None of these mails is held in doubt."))
        for mail in held:
            mail._requeue(mail, possible_duplicates=mail.possible_duplicates + 1)
        self.env.cr.postcommit.add(lambda: self._wake(always=True))

    def action_cancel(self):
        """Take mails back that nobody can have got yet."""
        self.check_access("write")
        taken = self.sudo()._move(
            "cancelled", done_at=fields.Datetime.now(), hold_reason=False
        )
        taken.recipient_ids._take_back()
        if len(self) == 1 and not taken:
            raise UserError(
                self.env._("The mail is on its way, or has arrived already.")
            )

    def _requeue(self, mails, **values):
        """Queue mails again, with all their tries."""
        moved = mails._move(
            "queued",
            next_attempt=fields.Datetime.now(),
            attempts=0,
            first_attempt_at=False,
            hold_reason=False,
            done_at=False,
            **values,
        )
        for mail in moved:
            mail.generation += 1
        moved.recipient_ids._reopen()
        return moved

    def action_view_document(self):
        """Open the record that the mail is about."""
        self.ensure_one()
        if not self.model or self.model not in self.env:
            raise UserError(self.env._("The mail belongs to no record."))
        return {
            "type": "ir.actions.act_window",
            "res_model": self.model,
            "res_id": self.res_id,
            "views": [(False, "form")],
        }
