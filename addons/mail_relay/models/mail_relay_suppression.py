# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models


class MailRelaySuppression(models.Model):
    """An address that gets no more mail: of which kind, why, since when, until when."""

    _name = "mail.relay.suppression"
    _description = "Mail Relay Suppression"
    _order = "since desc, id desc"
    _rec_name = "email_normalized"

    email_normalized = fields.Char(string="Address", required=True)
    scope = fields.Selection(
        [("all", "All mail"), ("marketing", "Marketing"), ("list", "One list")],
        required=True,
        default="all",
    )
    list_reference = fields.Char(string="List")
    reason = fields.Char(required=True)
    source = fields.Selection(
        [
            ("event", "Delivery event"),
            ("report", "Report by mail"),
            ("attempt", "Server's reply"),
            ("provider", "Provider's list"),
            ("manual", "By hand"),
        ],
        required=True,
        default="manual",
    )
    since = fields.Datetime(required=True, default=fields.Datetime.now)
    until = fields.Datetime(help="Empty: until somebody takes it back.")
    evidence = fields.Text()
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    account_id = fields.Many2one(
        "mail.bridge.account", ondelete="set null", index="btree_not_null"
    )
    active = fields.Boolean(default=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_suppression_uniq
                   ON mail_relay_suppression
                      (company_id, email_normalized, scope,
                       coalesce(list_reference, ''))
                WHERE active"""
        )
