# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import random
import time

from odoo import api, models

from ..const import (
    BACKOFF_MINUTES,
    CONFLICT_TRIES,
    EVENT_BATCH,
    MAX_TRIES,
    UNMATCHED_DAYS,
)
from ..exceptions import PermanentError
from ..providers.headers import storable
from .mail_bridge_queue import CONFLICTS

_logger = logging.getLogger(__name__)

#: As in ``mail_bridge_queue``: a claim may be lost when PostgreSQL crashes.
CLAIM_EVENTS = """
    SET LOCAL synchronous_commit TO OFF;
    WITH due AS MATERIALIZED (
        SELECT id FROM mail_bridge_event
         WHERE next_attempt <= (now() AT TIME ZONE 'UTC')
      ORDER BY next_attempt, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    UPDATE mail_bridge_event e
       SET attempts = e.attempts + 1,
           next_attempt = (now() AT TIME ZONE 'UTC')
               + (%(backoff)s)[least(e.attempts + 1, %(steps)s)]
               * %(jitter)s * interval '1 minute'
      FROM due WHERE e.id = due.id
 RETURNING e.id, e.attempts"""


class MailBridgeEvent(models.Model):
    """Events on their way to the recipients they are about.

    They are claimed in batches: a claim counts the try and sets the time of the next
    one before the work starts, so that a killed worker's batch comes back.
    """

    _inherit = "mail.bridge.event"

    @api.model
    def _cron_apply(self):
        """Entry point of the drain."""
        self._drain()

    @api.model
    def _claim(self, lane="main"):
        """Take what is due: ``({id: number of this try},)`` or ``None``."""
        cr = self.env.cr
        cr.rollback()  # a fresh snapshot
        while True:
            try:
                cr.execute(CLAIM_EVENTS, self._claim_values(), log_exceptions=False)
                claimed = dict(cr.fetchall())
                cr.commit()
            except CONFLICTS:
                cr.rollback()
                continue
            self.env.invalidate_all()
            return (claimed,) if claimed else None

    def _claim_values(self):
        return {
            "limit": EVENT_BATCH,
            "backoff": list(BACKOFF_MINUTES),
            "steps": len(BACKOFF_MINUTES),
            "jitter": random.uniform(1.0, 1.2),  # noqa: S311 spreads load
        }

    @api.model
    def _try(self, claimed):
        """Apply a claimed batch; where that fails, its halves, so that one event that
        cannot be applied holds up no other.
        """
        try:
            return self._try_batch(claimed)
        except Exception as error:
            trouble = error
        self._forget()
        if len(claimed) == 1:
            return self._fail(claimed, trouble)
        items = list(claimed.items())
        middle = len(items) // 2
        self._try(dict(items[:middle]))
        return self._try(dict(items[middle:]))

    @api.model
    def _try_batch(self, claimed):
        for conflicts_left in reversed(range(CONFLICT_TRIES)):
            try:
                events = self._hold(claimed)
                lost = events.filtered(lambda event: event._has_given_up())
                lost._write_failure(PermanentError("gave up"))
                (events - lost)._apply_batch()
                self.env.flush_all()
                return self.env.cr.commit()
            except CONFLICTS:
                self._forget()
                if not conflicts_left:
                    raise
                time.sleep(random.uniform(0, 0.05))  # noqa: S311
        return None

    @api.model
    def _hold(self, claimed):
        """Lock what is still claimed for the rest of the transaction, and return it.

        Another drain may have claimed it since, or applied it.
        """
        self.env.cr.execute(
            """SELECT id FROM mail_bridge_event e
                 JOIN unnest(%s, %s) AS claimed (id, attempts) USING (id, attempts)
                WHERE e.state IN ('pending', 'unmatched')
             ORDER BY id FOR UPDATE OF e SKIP LOCKED""",
            (list(claimed), list(claimed.values())),
            log_exceptions=False,
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def _has_given_up(self):
        """Tell whether the tries of an event took their worker with them."""
        return self.state == "pending" and self.attempts > MAX_TRIES

    def _apply_batch(self):
        """For events to change something, an addon must override this method.

        It must apply those that it can match, mark them by ``_set_applied``, and hand
        the others to ``super``. They are locked; it neither commits nor catches what
        makes a batch fail.
        """
        self._set_unmatched()

    def _set_applied(self):
        """Mark as known to their recipients."""
        self._mark(
            "applied", "next_attempt = NULL, applied_at = now() AT TIME ZONE 'UTC'"
        )

    def _set_unmatched(self):
        """Leave them for later: for some days the mail may become known."""
        self._mark(
            "unmatched",
            f"""next_attempt = CASE
                    WHEN next_attempt < received_at + interval '{UNMATCHED_DAYS} days'
                    THEN next_attempt END""",
        )

    def _mark(self, state, change):
        self.env.cr.execute(
            f"""UPDATE mail_bridge_event SET state = %s, error = NULL, {change}
                 WHERE id = ANY(%s)""",
            (state, self.ids),
        )
        self.invalidate_recordset()

    @api.model
    def _fail(self, claimed, trouble):
        """Write a failed try down and end it.

        Where not even that succeeds they come again by the time that the claim set.
        """
        try:
            self._hold(claimed)._write_failure(trouble)
            self.env.cr.commit()
        except Exception as error:
            self._forget()
            _logger.info("%s %s: %s", self._name, list(claimed), error)

    def _write_failure(self, trouble):
        """Keep what went wrong; an event that is known to nobody just waits on."""
        if not self:
            return
        text = storable(f"{type(trouble).__name__}: {trouble}")[:2000]
        _logger.info("%s of %s events: %s", len(self), self._name, text)
        self.env.cr.execute(
            """UPDATE mail_bridge_event
                  SET error = %(text)s,
                      next_attempt = CASE WHEN state = 'unmatched' OR attempts < %(max)s
                                          THEN next_attempt END,
                      state = CASE WHEN state = 'unmatched' OR attempts < %(max)s
                                   THEN state ELSE 'dead' END
                WHERE id = ANY(%(ids)s)""",
            {"text": text, "max": MAX_TRIES, "ids": self.ids},
        )
        self.invalidate_recordset()

    @api.model
    def _retry_unmatched(self, references=(), provider_references=(), message_ids=()):
        """Try those again at once that tell of mails which are known by now.

        After the commit of the caller, which made them known, and apart from it: who
        has sent a mail must not fail for the sake of an event about it.
        """
        named = {
            "reference": sorted(filter(None, references)),
            "provider_reference": sorted(filter(None, provider_references)),
            "message_id": sorted(filter(None, message_ids)),
        }
        self.env.cr.postcommit.add(lambda: self._retry_named(named))

    @api.model
    def _retry_named(self, named):
        """Make unmatched events due by the names of their mails, and commit."""
        try:
            found = sum(self._make_due(*item) for item in named.items() if item[1])
            self.env.cr.commit()
        except CONFLICTS:  # a drain has some of them; they come again by themselves
            return self.env.cr.rollback()
        return self._wake(always=True) if found else None

    @api.model
    def _make_due(self, column, values):
        self.env.cr.execute(
            f"""UPDATE mail_bridge_event SET next_attempt = now() AT TIME ZONE 'UTC'
                 WHERE state = 'unmatched' AND {column} = ANY(%s)""",
            (values,),
            log_exceptions=False,
        )
        return self.env.cr.rowcount

    def action_retry(self):
        """Try again, with all tries."""
        self.check_access("write")
        waiting = self.filtered(lambda event: event.state != "applied")
        self.env.cr.execute(
            """UPDATE mail_bridge_event
                  SET state = 'pending', attempts = 0, error = NULL,
                      next_attempt = now() AT TIME ZONE 'UTC'
                WHERE id = ANY(%s)""",
            (waiting.ids,),
        )
        waiting.invalidate_recordset()
        for cron in self._drains():
            cron._trigger()
