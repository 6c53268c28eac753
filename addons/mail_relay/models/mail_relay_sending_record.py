# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..providers import domaincheck

_WANTED = {"domain_id", "purpose", "type", "host", "value"}


class MailRelaySendingRecord(models.Model):
    """One DNS record that a sending domain publishes, and what DNS shows of it."""

    _name = "mail.relay.sending.record"
    _description = "Mail Relay DNS Record"
    _order = "domain_id, purpose, id"

    domain_id = fields.Many2one(
        "mail.relay.sending.domain", required=True, ondelete="cascade", index=True
    )
    origin = fields.Selection(
        [("own", "The domain"), ("provider", "Provider"), ("manual", "By hand")],
        string="Asked for by",
        default="manual",
        required=True,
        readonly=True,
    )
    purpose = fields.Selection(
        [
            ("spf", "SPF"),
            ("dkim", "DKIM"),
            ("dmarc", "DMARC"),
            ("return_path", "Return path"),
            ("mx", "Bounces (MX)"),
            ("other", "Other"),
        ],
        required=True,
        default="other",
    )
    type = fields.Selection(
        [("TXT", "TXT"), ("CNAME", "CNAME"), ("MX", "MX")],
        required=True,
        default="TXT",
    )
    host = fields.Char(required=True, help="The full name of the record.")
    value = fields.Char(
        string="Wanted", help="The host or text; for SPF the term that permits."
    )
    to_publish = fields.Char(
        string="Value",
        compute="_compute_to_publish",
        help="What to enter at whoever hosts the domain's DNS.",
    )
    published = fields.Text(string="Published Now", readonly=True, copy=False)
    state = fields.Selection(
        [
            ("new", "Not Checked"),
            ("ok", "OK"),
            ("missing", "Missing"),
            ("wrong", "Wrong"),
        ],
        default="new",
        required=True,
        readonly=True,
        copy=False,
    )
    problem = fields.Selection(
        [
            ("several", "There are several: only one may stand there"),
            ("lacks", "The wanted permission is not in it"),
            ("differs", "It is another value"),
            ("inherited", "It is that of the organization's domain"),
            ("malformed", "It has no policy (p=)"),
        ],
        string="Finding",
        readonly=True,
        copy=False,
    )

    @api.depends("purpose", "value", "published")
    def _compute_to_publish(self):
        for record in self:
            value = record.value or ""
            if record.purpose == "spf":
                published = record.published or ""
                value = domaincheck.spf_to_publish(published, value)
            record.to_publish = value

    def write(self, vals):
        if vals.keys() & _WANTED:
            vals = {"state": "new", "published": False, "problem": False} | vals
        if "state" in vals and set(self.mapped("state")) != {vals["state"]}:
            self.env.registry.clear_cache()  # the domain may sign, or no more
        return super().write(vals)

    def unlink(self):
        self.env.registry.clear_cache()
        return super().unlink()

    def _wanted(self):
        self.ensure_one()
        return domaincheck.Wanted(self.purpose, self.type, self.host, self.value or "")

    def _is_own_key(self):
        return self.origin == "own" and self.purpose == "dkim"

    def _note(self, found):
        """Keep what DNS showed; where it could not be asked, the last verdict stays."""
        if found.state != "unknown":
            self.sudo().write(
                {
                    "state": found.state,
                    "published": found.published or False,
                    "problem": found.problem or False,
                }
            )
