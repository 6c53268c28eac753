# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class MailRelayAttempt(models.Model):
    """One try at a mail: with which account, and what the server said."""

    _name = "mail.relay.attempt"
    _description = "Mail Relay Attempt"
    _order = "id desc"
    _log_access = False
    _rec_name = "text"

    relay_message_id = fields.Many2one(
        "mail.relay.message",
        string="Mail",
        readonly=True,
        required=True,
        ondelete="cascade",
        index=True,
    )
    account_id = fields.Many2one(
        "mail.bridge.account", readonly=True, ondelete="set null"
    )
    number = fields.Integer(readonly=True)
    started_at = fields.Datetime(readonly=True)
    ended_at = fields.Datetime(readonly=True)
    outcome = fields.Selection(
        [
            ("accepted", "Accepted"),
            ("partial", "Accepted for Some"),
            ("deferred", "Deferred"),
            ("rejected", "Rejected"),
            ("in_doubt", "In Doubt"),
            ("not_sent", "Not Sent"),
        ],
        readonly=True,
    )
    recipient_count = fields.Integer(readonly=True)
    stage = fields.Char(readonly=True)
    smtp_code = fields.Integer(string="Code", readonly=True)
    enhanced_code = fields.Char(readonly=True)
    text = fields.Text(readonly=True)
    reason = fields.Char(readonly=True)
    worker = fields.Char(readonly=True)
    next_attempt = fields.Datetime(readonly=True)
    provider_reference = fields.Char(readonly=True)
