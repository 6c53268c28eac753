# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta, timezone
from itertools import islice

from odoo import api, fields, models

#: A recipient of whom nothing was heard for longer is past asking for.
SILENCE = timedelta(days=5)
#: How long before it was sent a mail may have been queued, at the most; what was
#: scheduled further ahead is not asked for.
QUEUED = timedelta(days=10)
#: How much of its log a provider is asked for at once.
SPAN = timedelta(hours=24)
#: Logs are written late: Mailgun's documentation speaks of half an hour.
OVERLAP = timedelta(hours=1)
#: Entries of a provider's list that are kept at once.
BATCH = 500
#: What is ours among references, Message-IDs and the provider's own names of mails.
KNOWN = """
    SELECT reference FROM mail_relay_message WHERE reference = ANY(%(names)s)
     UNION SELECT message_id FROM mail_relay_message WHERE message_id = ANY(%(names)s)
     UNION SELECT provider_reference FROM mail_relay_message
            WHERE provider_reference = ANY(%(names)s)
     UNION SELECT provider_message_id FROM mail_relay_message
            WHERE provider_message_id = ANY(%(names)s)"""


class MailBridgeAccount(models.Model):
    """What the relay asks providers for by itself: news, and whom they hold back."""

    _inherit = "mail.bridge.account"

    has_history = fields.Boolean(compute="_compute_upkeep")
    has_suppressions = fields.Boolean(compute="_compute_upkeep")
    relay_silence_hours = fields.Integer(
        string="Ask after Silence of",
        default=6,
        required=True,
        help="So many hours after a mail was sent, and nothing was heard of it, the "
        "provider is asked what became of it. 0: never.",
    )
    relay_reconciled_until = fields.Datetime(
        string="Asked up to",
        readonly=True,
        copy=False,
        help="The provider was asked for everything that happened until then.",
    )

    relay_suppressions_date = fields.Datetime(
        string="Suppressions Read",
        readonly=True,
        copy=False,
        help="When the provider's suppression lists were last read to their end.",
    )

    @api.depends("code")
    def _compute_upkeep(self):
        for account in self:
            account.has_history = account._offers("history")
            account.has_suppressions = account._offers("suppressions")

    @api.constrains("relay_silence_hours")
    def _check_silence_hours(self):
        most = SILENCE // timedelta(hours=1)
        self._check_bounds({"relay_silence_hours": (0, most - 1)})

    # --- Actions ---

    def action_reconcile(self):
        """Ask the provider what became of mails that nothing was heard of."""
        self._check_offers("history")
        count, failure = self._attempt(self._reconcile, self)
        return self._tell(self.env._("Events that were new: %s", count), failure)

    def action_import_suppressions(self):
        """Read the provider's suppression lists."""
        self._check_offers("suppressions")
        count, failure = self._attempt(self._import_suppressions, self)
        return self._tell(self.env._("Entries that were read: %s", count), failure)

    # --- Suppressions ---

    @api.model
    def _cron_import_suppressions(self):
        """Read the suppression lists of all providers, the oldest reading first."""
        accounts = self._offering("suppressions")
        never = fields.Datetime.to_datetime("2000-01-01")
        self._ask_in_turn(
            accounts.sorted(lambda item: item.relay_suppressions_date or never),
            self._import_suppressions,
        )

    @api.model
    def _import_suppressions(self, account):
        """Read one account's lists, a batch at a time; return how many entries."""
        seen_at, count = fields.Datetime.now(), 0
        Entry = self.env["mail.relay.suppression"]
        listed = account._ask("suppressions")
        # what is to come is only asked for while no transaction is open
        while batch := list(islice(listed, BATCH)):
            Entry._import_listed(account, batch, seen_at)
            count += len(batch)
            self._end_transaction()
        Entry._lift_unlisted(account, seen_at)
        account.relay_suppressions_date = seen_at
        return count

    # --- Reconcile ---

    @api.model
    def _cron_reconcile(self):
        """Ask providers what became of mails that nothing was heard of."""
        accounts = self._offering("history").filtered("relay_silence_hours")
        self._ask_in_turn(accounts, self._reconcile)

    @api.model
    def _reconcile(self, account):
        """Read the provider's log from the oldest silence on; return what was new.

        One span at a time, each kept before the next is asked for.
        """
        begin, now = account._silent_since(), fields.Datetime.now()
        count = 0
        while begin and begin < now:
            span = (_aware(begin), _aware(min(begin + SPAN, now)))
            told, until = account._ask("history", *span)
            count += account._keep_news(told)
            end = max(_naive(until), begin + timedelta(seconds=1))
            account.relay_reconciled_until = begin = end
            self._end_transaction()
        return count

    def _silent_since(self):
        """Return the moment from which on the log is of interest, ``None``: none.

        That is when the first mail was sent of which nothing is known, or what of the
        log was not read yet.
        """
        now = fields.Datetime.now()
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT min(person.sent_at) FROM mail_relay_recipient person
                 JOIN mail_relay_message mail ON mail.id = person.relay_message_id
                WHERE person.state = 'sent' AND mail.account_id = %s
                  AND person.created_at > %s AND person.sent_at > %s
                  AND person.last_event_at < %s""",
            (
                self.id,
                now - QUEUED - SILENCE,
                now - SILENCE,
                now - timedelta(hours=self.relay_silence_hours),
            ),
        )
        [oldest] = self.env.cr.fetchone()
        if not oldest:
            return None
        known = self.relay_reconciled_until
        begin = max(oldest, known - OVERLAP) if known else oldest
        return begin.replace(microsecond=0)

    def _keep_news(self, events):
        """Store the events that are about mails of ours; return how many were new.

        Others may send through the same account at the provider.
        """
        names = {name for event in events for name in _names(event)}
        self.env.cr.execute(KNOWN, {"names": list(names)})
        known = {row[0] for row in self.env.cr.fetchall()}
        ours = [event for event in events if known.intersection(_names(event))]
        return self.env["mail.bridge.event"]._store(self, ours, "reconcile")


def _names(event):
    """Return what an event calls its mail."""
    told = (event.reference, event.message_id, event.provider_reference)
    return [name for name in told if name]


def _aware(moment):
    return moment.replace(tzinfo=timezone.utc)


def _naive(moment):
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
