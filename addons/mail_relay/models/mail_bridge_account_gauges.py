# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

#: Attempts that are looked at for the rate; more than any account sends in a minute.
RECENT_ATTEMPTS = 20_000
RATE_SECONDS = 60
_COUNTS = ("queued", "due", "sending", "in_doubt", "held", "dead")
#: By partial indexes each; what is done is never counted.
_QUEUES = """
    SELECT account_id, count(*) AS queued,
           count(*) FILTER (WHERE next_attempt <= (now() AT TIME ZONE 'UTC')) AS due,
           coalesce(max(extract(epoch FROM (now() AT TIME ZONE 'UTC') - next_attempt)),
                    0)::float8 AS lag
      FROM mail_relay_message
     WHERE state = 'queued' AND account_id = ANY(%s) GROUP BY account_id"""
_OPEN = """
    SELECT account_id, state, count(*) FROM mail_relay_message
     WHERE state IN ('sending', 'in_doubt') AND account_id = ANY(%(ids)s)
  GROUP BY account_id, state
     UNION ALL
    SELECT account_id, state, count(*) FROM mail_relay_message
     WHERE state IN ('held', 'dead') AND account_id = ANY(%(ids)s)
  GROUP BY account_id, state"""
_RATES = """
    SELECT account_id, count(*) FROM (
           SELECT account_id, ended_at, outcome FROM mail_relay_attempt
         ORDER BY id DESC LIMIT %s) recent
     WHERE outcome IN ('accepted', 'partial') AND account_id = ANY(%s)
       AND ended_at > (now() AT TIME ZONE 'UTC') - %s * interval '1 second'
  GROUP BY account_id"""
_DOORS = """
    SELECT account_id, domain, coalesce(reason, ''), failures,
           greatest(0, extract(epoch FROM
               opens_at - (now() AT TIME ZONE 'UTC')))::float8
      FROM mail_relay_gate
     WHERE account_id = ANY(%s)
       AND (opens_at > (now() AT TIME ZONE 'UTC') OR failures > 0)
  ORDER BY account_id, domain LIMIT 200"""


class MailBridgeAccount(models.Model):
    """What the accounts are doing just now, for a page that asks every few seconds."""

    _inherit = "mail.bridge.account"

    @api.model
    def relay_gauges(self):
        """Return the gauges of the accounts that send and that this user may see.

        :return: a dict for each: ``id``, ``name``, ``state``, the counts of mails by
            state (``queued``, of these ``due``, ``sending``, ``in_doubt``, ``held``,
            ``dead``), ``lag`` (seconds that the oldest due mail waits), ``rate`` (mails
            in the last minute, ``False``: nobody writes them down) and ``doors``
            (dicts of ``domain``, ``reason``, ``failures``, ``seconds``).
        """
        accounts = self.search([("code", "in", self._sending_codes())])
        accounts = accounts.filtered(lambda item: item.state != "disabled") | (
            accounts._with_mails()
        )
        gauges = {account.id: account._idle_gauge() for account in accounts}
        accounts._read_queues(gauges)
        accounts._read_rates(gauges)
        accounts._read_doors(gauges)
        return list(gauges.values())

    def _with_mails(self):
        """Return those that mails wait for, whatever their state."""
        self.env.cr.execute(
            """SELECT DISTINCT account_id FROM mail_relay_message
                WHERE state = 'queued' AND account_id = ANY(%s)""",
            (self.ids,),
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _idle_gauge(self):
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "lag": 0.0,
            "rate": 0 if self.relay_log_attempts else False,
            "doors": [],
            **dict.fromkeys(_COUNTS, 0),
        }

    def _read_queues(self, gauges):
        cr = self.env.cr
        cr.execute(_QUEUES, (self.ids,))
        for account_id, queued, due, lag in cr.fetchall():
            values = {"queued": queued, "due": due, "lag": max(lag, 0.0)}
            gauges[account_id] |= values
        cr.execute(_OPEN, {"ids": self.ids})
        for account_id, state, count in cr.fetchall():
            gauges[account_id][state] = count

    def _read_rates(self, gauges):
        self.env.cr.execute(_RATES, (RECENT_ATTEMPTS, self.ids, RATE_SECONDS))
        for account_id, count in self.env.cr.fetchall():
            if gauges[account_id]["rate"] is not False:
                gauges[account_id]["rate"] = count

    def _read_doors(self, gauges):
        self.env.cr.execute(_DOORS, (self.ids,))
        names = ("domain", "reason", "failures", "seconds")
        for account_id, *door in self.env.cr.fetchall():
            gauges[account_id]["doors"].append(dict(zip(names, door, strict=True)))


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    def init(self):
        # what waits for a person is counted every few seconds, and is little
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_relay_message_undecided_idx
                   ON mail_relay_message (account_id, state)
                WHERE state IN ('held', 'dead')"""
        )
        return super().init()
