# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import ormcache

from ..routing import RouteFacts, domains_in


class MailRelayRoute(models.Model):
    """Which accounts send which mail, in their order; the first that matches counts."""

    _name = "mail.relay.route"
    _description = "Mail Relay Route"
    _inherit = "mail.bridge.cached"
    _order = "sequence, id"
    _check_company_auto = True

    name = fields.Char(required=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    from_domain = fields.Char(
        string="From Domains",
        help="Domains of the From address, separated by commas. Empty: all.",
    )
    recipient_domain = fields.Char(
        string="Recipient Domains",
        help="All recipients are in one of these domains. Empty: all.",
    )
    model_ids = fields.Many2many(
        "ir.model", string="Documents", help="Mails of these documents. Empty: all."
    )
    kind = fields.Selection(
        [
            ("any", "All mail"),
            ("transactional", "All but mass mailing"),
            ("marketing", "Mass mailing"),
        ],
        required=True,
        default="any",
    )
    level = fields.Selection(
        [("0", "Immediate"), ("1", "High or above"), ("2", "Medium or above")],
        string="Priority",
        help="Only mails at least as urgent. Empty: all.",
    )
    line_ids = fields.One2many("mail.relay.route.line", "route_id", copy=True)
    account_ids = fields.Many2many(
        "mail.bridge.account", compute="_compute_account_ids", string="Accounts"
    )

    @api.depends("line_ids.account_id", "line_ids.sequence")
    def _compute_account_ids(self):
        for route in self:
            route.account_ids = route.line_ids.account_id

    @api.constrains("line_ids", "active")
    def _check_lines(self):
        if any(route.active and not route.line_ids for route in self):
            raise ValidationError(self.env._("A route needs an account."))

    @api.constrains("from_domain", "company_id")
    def _check_from_domain(self):
        """Where mail from unverified domains does not leave, no route is for it."""
        for route in self.sudo():
            if route.company_id.mail_relay_from_policy in ("refuse", "rewrite"):
                known = self.env["mail.relay.sending.domain"]._facts(
                    route.company_id.id
                )
                verified = {name for name, one in known.items() if one.is_verified}
                if unknown := domains_in(route.from_domain) - verified:
                    raise ValidationError(
                        self.env._(
                            "These are no verified sending domains: %s",
                            ", ".join(sorted(unknown)),
                        )
                    )

    def init(self):
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_relay_route_company_idx
                   ON mail_relay_route (company_id, sequence) WHERE active"""
        )

    @api.model
    @ormcache("company_id")
    def _facts(self, company_id):
        """Return the routes of a company in their order, as plain values."""
        routes = self.sudo().search([("company_id", "=", company_id)])
        return tuple(
            RouteFacts.of(
                id=route.id,
                name=route.name,
                from_domains=route.from_domain,
                recipient_domains=route.recipient_domain,
                models=route.model_ids.mapped("model"),
                kind=route.kind,
                level=int(route.level) if route.level else 3,
                account_ids=route.line_ids.account_id.ids,
            )
            for route in routes
        )


class MailRelayRouteLine(models.Model):
    """One account of a route."""

    _name = "mail.relay.route.line"
    _description = "Mail Relay Route Account"
    _inherit = "mail.bridge.cached"
    _order = "sequence, id"

    route_id = fields.Many2one(
        "mail.relay.route", required=True, ondelete="cascade", index=True
    )
    sequence = fields.Integer(default=10)
    account_id = fields.Many2one(
        "mail.bridge.account",
        required=True,
        ondelete="cascade",
        index=True,
        domain="[('can_send', '=', True)]",
    )

    @api.constrains("account_id", "route_id")
    def _check_company(self, fnames=None):
        for line in self:
            if line.account_id.company_id != line.route_id.company_id:
                raise ValidationError(
                    self.env._("A route uses the accounts of its own company.")
                )
