# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..providers.states import RANKS, Truth

TRUTH_STATES = [
    ("pending", "Pending"),
    ("deferred", "Deferred"),
    ("cancelled", "Cancelled"),
    ("sent", "Sent"),
    ("failed", "Failed"),
    ("rejected", "Rejected"),
    ("bounced", "Bounced"),
    ("delivered", "Delivered"),
    ("opened", "Opened"),
    ("clicked", "Clicked"),
    ("unsubscribed", "Unsubscribed"),
    ("complained", "Complained"),
]
#: What a person can try again: we gave up, the address is not known to be dead.
_REOPENED = ("failed", "cancelled", "rejected")


class MailRelayRecipient(models.Model):
    """One recipient of one mail: the truth, which only goes forward by rank.

    ``told_rank`` is what notifications, partners and reports know of it; ``_cron_tell``
    brings them up to ``rank``.
    """

    _name = "mail.relay.recipient"
    _description = "Mail Relay Recipient"
    _inherit = ["mail.bridge.wake"]
    _order = "id desc"
    _rec_name = "address"
    _log_access = False
    _drain_code = {"main": "model._cron_tell()"}

    relay_message_id = fields.Many2one(
        "mail.relay.message",
        string="Mail",
        readonly=True,
        required=True,
        ondelete="cascade",
    )
    company_id = fields.Many2one("res.company", readonly=True, required=True)
    address = fields.Char(readonly=True, required=True)
    email_normalized = fields.Char(readonly=True)
    domain = fields.Char(readonly=True)
    partner_id = fields.Many2one(
        "res.partner", readonly=True, ondelete="set null", index="btree_not_null"
    )
    trace_id = fields.Integer(string="Mailing Trace", readonly=True)
    variables = fields.Text(readonly=True, help="JSON: his own values in a bulk mail.")
    state = fields.Selection(TRUTH_STATES, readonly=True, required=True)
    bounce_class = fields.Selection(
        [("hard", "Hard"), ("soft", "Soft"), ("block", "Block")], readonly=True
    )
    rank = fields.Integer(readonly=True)
    told_rank = fields.Integer(readonly=True)
    reason = fields.Char(readonly=True, help="What kind of trouble it is.")
    failure_text = fields.Text(string="Server's Words", readonly=True)
    stage = fields.Char(readonly=True, help="Where the conversation stood.")
    smtp_code = fields.Integer(string="Code", readonly=True)
    enhanced_code = fields.Char(readonly=True)
    provider_reference = fields.Char(readonly=True)
    suppression_id = fields.Many2one(
        "mail.relay.suppression",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )
    created_at = fields.Datetime(string="Queued at", readonly=True)
    sent_at = fields.Datetime(readonly=True)
    delivered_at = fields.Datetime(readonly=True)
    opened_at = fields.Datetime(readonly=True)
    clicked_at = fields.Datetime(readonly=True)
    bounced_at = fields.Datetime(readonly=True)
    complained_at = fields.Datetime(readonly=True)
    unsubscribed_at = fields.Datetime(readonly=True)
    last_event_at = fields.Datetime(readonly=True)

    account_id = fields.Many2one(related="relay_message_id.account_id")
    message_id = fields.Char(related="relay_message_id.message_id", string="Message-ID")

    def init(self):
        self.env.cr.execute(
            """ALTER TABLE mail_relay_recipient SET (fillfactor = 80,
                   autovacuum_vacuum_scale_factor = 0.02);
               CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_recipient_address_uniq
                   ON mail_relay_recipient (relay_message_id, address);
               CREATE INDEX IF NOT EXISTS mail_relay_recipient_email_idx
                   ON mail_relay_recipient (email_normalized);
               CREATE INDEX IF NOT EXISTS mail_relay_recipient_untold_idx
                   ON mail_relay_recipient (id) WHERE rank > told_rank;
               CREATE INDEX IF NOT EXISTS mail_relay_recipient_provider_idx
                   ON mail_relay_recipient (provider_reference)
                WHERE provider_reference IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_relay_recipient_trace_idx
                   ON mail_relay_recipient (trace_id) WHERE trace_id > 0;
               CREATE INDEX IF NOT EXISTS mail_relay_recipient_created_idx
                   ON mail_relay_recipient USING brin (created_at)"""
        )

    def _take_back(self):
        """The mail was cancelled: those still open will get none."""
        self._set_truth(Truth("cancelled"), ("pending", "deferred"))

    def _reopen(self):
        """A person tries again: what we gave up is open; what arrived stays."""
        self._set_truth(Truth("pending"), _REOPENED)

    def _set_truth(self, truth, states):
        """Set what a person decided, forward or back; it is told anew."""
        concerned = self.filtered(lambda item: item.state in states)
        concerned.write(
            {
                "state": truth.state,
                "bounce_class": truth.bounce_class or False,
                "rank": RANKS[truth],
                "told_rank": -1,
                "reason": False,
                "failure_text": False,
            }
        )
