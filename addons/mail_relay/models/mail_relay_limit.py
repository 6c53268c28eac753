# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..engine.limits import EACH_DOMAIN, PERIODS, Limit
from ..providers.smtp_address import ascii_domain


class MailRelayLimit(models.Model):
    """How many mails an account may send in a time, in all or to one domain.

    What was used stands in a table that is no model, so that no form ever waits for a
    dispatcher.
    """

    _name = "mail.relay.limit"
    _description = "Mail Relay Limit"
    _order = "account_id, domain, seconds"

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, ondelete="cascade", index=True
    )
    domain = fields.Char(
        string="To Domain",
        help="Empty: all mail of the account. *: each recipient domain by itself.",
    )
    period = fields.Selection(
        [("second", "Second"), ("minute", "Minute"), ("hour", "Hour"), ("day", "Day")],
        required=True,
        default="minute",
    )
    seconds = fields.Integer(compute="_compute_seconds", store=True)
    count = fields.Integer(string="Mails", required=True)

    def init(self):
        self.env.cr.execute(
            """CREATE TABLE IF NOT EXISTS mail_relay_usage (
                   limit_id integer NOT NULL
                       REFERENCES mail_relay_limit ON DELETE CASCADE,
                   domain varchar NOT NULL DEFAULT '',
                   next_at double precision NOT NULL DEFAULT 0,
                   buckets jsonb NOT NULL DEFAULT '{}',
                   PRIMARY KEY (limit_id, domain));
               CREATE TABLE IF NOT EXISTS mail_relay_gate (
                   account_id integer NOT NULL
                       REFERENCES mail_bridge_account ON DELETE CASCADE,
                   domain varchar NOT NULL DEFAULT '',
                   opens_at timestamp,
                   failures integer NOT NULL DEFAULT 0,
                   reason varchar,
                   text varchar,
                   since timestamp,
                   PRIMARY KEY (account_id, domain));
               CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_limit_uniq
                   ON mail_relay_limit (account_id, coalesce(domain, ''), period)"""
        )

    @api.depends("period")
    def _compute_seconds(self):
        for limit in self:
            limit.seconds = PERIODS[limit.period]

    @api.constrains("count")
    def _check_count(self):
        if any(limit.count < 1 for limit in self):
            raise ValidationError(self.env._("A limit is at least one mail."))

    @api.model
    def _clean(self, vals):
        """Write a domain as recipients' domains are compared."""
        if "domain" not in vals:
            return vals
        domain = ascii_domain((vals["domain"] or "").strip().lower().lstrip("@"))
        return vals | {"domain": domain or False}

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._clean(vals) for vals in vals_list])

    def write(self, vals):
        return super().write(self._clean(vals))

    def _values(self):
        """Return the limits as the engine wants them."""
        return tuple(
            Limit(limit.id, limit.seconds, limit.count, limit.domain or "")
            for limit in self
        )

    @api.depends("domain", "count", "period")
    def _compute_display_name(self):
        names = dict(self._fields["period"]._description_selection(self.env))
        for limit in self:
            rate = self.env._(
                "%(count)s a %(period)s", count=limit.count, period=names[limit.period]
            )
            whom = (
                self.env._("each domain")
                if limit.domain == EACH_DOMAIN
                else limit.domain
            )
            limit.display_name = f"{rate}, {whom}" if whom else rate
