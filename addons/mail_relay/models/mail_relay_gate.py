# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class MailRelayGate(models.Model):
    """A door that is closed: of an account, or of its way to a domain.

    The dispatchers write the table; this is a view on it, for people.
    """

    _name = "mail.relay.gate"
    _description = "Mail Relay Closed Door"
    _auto = False
    _table = "mail_relay_gate_shown"
    _order = "opens_at desc"
    _rec_name = "reason"

    account_id = fields.Many2one("mail.bridge.account", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    domain = fields.Char(
        "To Domain", readonly=True, help="Empty: all mail of the account."
    )
    opens_at = fields.Datetime(readonly=True)
    since = fields.Datetime(readonly=True)
    failures = fields.Integer("Failures in a Row", readonly=True)
    reason = fields.Char(readonly=True)
    text = fields.Char("Server's Words", readonly=True)

    def init(self):
        self.env.cr.execute(f"DROP VIEW IF EXISTS {self._table}")
        # A door has no number; this one is the same as long as the door is there.
        self.env.cr.execute(
            f"""CREATE VIEW {self._table} AS
                SELECT hashtext(gate.account_id || ' ' || gate.domain) & 2147483647
                           AS id,
                       gate.account_id, account.company_id, gate.domain,
                       gate.opens_at, gate.since, gate.failures, gate.reason, gate.text
                  FROM mail_relay_gate gate
                  JOIN mail_bridge_account account ON account.id = gate.account_id
                 WHERE gate.opens_at > now() AT TIME ZONE 'UTC' OR gate.failures > 0"""
        )
