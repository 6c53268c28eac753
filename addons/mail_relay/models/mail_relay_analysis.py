# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..providers.states import IMPLIES
from .mail_relay_recipient import TRUTH_STATES

#: Column → the state that it counts, and the time that proves it whatever the state.
_COUNTED = {
    "sent": ("sent", "sent_at"),
    "delivered": ("delivered", "delivered_at"),
    "opened": ("opened", "opened_at"),
    "clicked": ("clicked", "clicked_at"),
    "bounced": ("bounced", "bounced_at"),
    "complained": ("complained", "complained_at"),
    "unsubscribed": ("unsubscribed", "unsubscribed_at"),
    "failed": ("failed", None),
    "rejected": ("rejected", None),
    "waiting": ("deferred", None),
}
#: Rate → of what; a rate is the mean over those that it can be true of, so that every
#: total of a pivot is right, too.
_RATES = {
    "delivered": "sent",
    "bounced": "sent",
    "opened": "delivered",
    "clicked": "delivered",
    "complained": "delivered",
    "unsubscribed": "delivered",
}
_ALSO = {"waiting": ("pending",)}


def _states_of(state):
    """Return the states in which a state has been reached."""
    return [state, *(name for name, implied in IMPLIES.items() if state in implied)]


def _count_sql(name):
    """Return the SQL that tells whether a column counts a recipient."""
    state, moment = _COUNTED[name]
    states = [*_states_of(state), *_ALSO.get(name, ())]
    listed = ", ".join(f"'{item}'" for item in states)
    proven = f" OR person.{moment} IS NOT NULL" if moment else ""
    return f"(person.state IN ({listed}){proven})"


def _share(name):
    return fields.Float(
        string=f"{name.capitalize()} %",
        readonly=True,
        aggregator="avg",
        help=f"Of those {_RATES[name]}.",
    )


def _count(label):
    return fields.Integer(string=label, readonly=True, aggregator="sum")


class MailRelayAnalysis(models.Model):
    """Recipients as figures: a row each, so that every figure opens its recipients."""

    _name = "mail.relay.analysis"
    _description = "Mail Relay Analysis"
    _auto = False
    _order = "created_at desc, id desc"
    _rec_name = "address"

    relay_message_id = fields.Many2one("mail.relay.message", "Mail", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    account_id = fields.Many2one("mail.bridge.account", readonly=True)
    route_id = fields.Many2one("mail.relay.route", readonly=True)
    created_at = fields.Datetime("Queued at", readonly=True)
    address = fields.Char("Recipient", readonly=True)
    domain = fields.Char("Recipient Domain", readonly=True)
    from_domain = fields.Char(readonly=True)
    model = fields.Char("Document Model", readonly=True)
    is_marketing = fields.Boolean("Marketing", readonly=True)
    variant = fields.Char(readonly=True)
    state = fields.Selection(TRUTH_STATES, readonly=True)
    bounce_class = fields.Selection(
        [("hard", "Hard"), ("soft", "Soft"), ("block", "Block")], readonly=True
    )
    reason = fields.Char(readonly=True)
    seconds_to_delivery = fields.Float(
        "Seconds to Delivery", readonly=True, aggregator="avg"
    )
    recipients = _count("Recipients")
    sent = _count("Sent")
    delivered = _count("Delivered")
    opened = _count("Opened")
    clicked = _count("Clicked")
    bounced = _count("Bounced")
    complained = _count("Complained")
    unsubscribed = _count("Unsubscribed")
    failed = _count("Failed")
    rejected = _count("Rejected")
    waiting = _count("Waiting")
    delivered_rate = _share("delivered")
    bounced_rate = _share("bounced")
    opened_rate = _share("opened")
    clicked_rate = _share("clicked")
    complained_rate = _share("complained")
    unsubscribed_rate = _share("unsubscribed")

    def init(self):
        self.env.cr.execute(f"DROP VIEW IF EXISTS {self._table}")
        self.env.cr.execute(f"CREATE VIEW {self._table} AS ({self._query()})")

    def _query(self):
        """Return the query of the view."""
        columns = ", ".join(f"{sql} AS {name}" for name, sql in self._columns().items())
        return f"""SELECT {columns}
                     FROM mail_relay_recipient person
                     JOIN mail_relay_message mail
                       ON mail.id = person.relay_message_id"""

    def _columns(self):
        """Return the columns of the view and their SQL.

        For a model to be a dimension of the figures, it must override this method and
        add its column; ``mail`` is the mail's row, ``person`` the recipient's.
        """
        plain = {
            name: f"mail.{name}"
            for name in (
                "company_id",
                "account_id",
                "route_id",
                "created_at",
                "from_domain",
                "model",
                "is_marketing",
                "variant",
            )
        } | {
            name: f"person.{name}"
            for name in (
                "id",
                "relay_message_id",
                "address",
                "domain",
                "state",
                "bounce_class",
                "reason",
            )
        }
        counts = {name: f"{_count_sql(name)}::integer" for name in _COUNTED}
        rates = {
            f"{name}_rate": f"CASE WHEN {_count_sql(base)} "
            f"THEN {_count_sql(name)}::integer END::float8"
            for name, base in _RATES.items()
        }
        waited = "extract(epoch FROM person.delivered_at - person.created_at)::float8"
        own = {"recipients": "1", "seconds_to_delivery": waited}
        return plain | counts | rates | own

    def action_open_mail(self):
        """Open the mail that a recipient got."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "mail.relay.message",
            "res_id": self.relay_message_id.id,
            "views": [(False, "form")],
        }
