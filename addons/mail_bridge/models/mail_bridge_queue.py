# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import os
import random
import socket
import time
from datetime import timedelta

import psycopg2
from psycopg2 import errors

from odoo import api, fields, models

from ..const import (
    BACKOFF_MINUTES,
    CONFLICT_TRIES,
    MAX_TRIES,
    NOT_HERE_SECONDS,
)
from ..exceptions import NotHereError, PayloadError, PermanentError, TemporaryError

_logger = logging.getLogger(__name__)

#: Two transactions met; the same work may succeed at once.
CONFLICTS = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    psycopg2.IntegrityError,
)
#: A claim may be lost when PostgreSQL crashes (the row is then due at once), so it need
#: not wait for the disk.
CLAIM = """
    SET LOCAL synchronous_commit TO OFF;
    UPDATE {table} AS q
       SET attempts = q.attempts + 1, claimed_by = %(worker)s,
           next_attempt = (now() AT TIME ZONE 'UTC')
               + (%(backoff)s)[least(q.attempts + 1, %(steps)s)]
               * %(jitter)s * interval '1 minute'
     WHERE q.id = (SELECT id FROM {table}
                    WHERE state IN ('pending', 'failed') AND lane = %(lane)s
                      AND next_attempt <= (now() AT TIME ZONE 'UTC')
                      AND account_id <> ALL (%(not_here)s::integer[])
                 ORDER BY priority, next_attempt, id
                    LIMIT 1 FOR UPDATE SKIP LOCKED)
 RETURNING q.id, q.attempts"""
#: Accounts whose rows this host cannot work on, by database, and until when.
_not_here: dict[tuple[str, int], float] = {}


class Overtaken(Exception):
    """A row belongs to somebody else by now."""


class MailBridgeQueue(models.AbstractModel):
    """Rows that wait for work, shared by any number of drains on any number of hosts.

    A claim is a short transaction of its own. It counts the try and sets the time of
    the next one *before* the work starts, so a killed worker counts too and its row
    comes back by itself; no lease has to expire. Work happens in one transaction that
    holds the row, and the number of the try fences out a drain that was overtaken.

    A row waits in one lane. Each lane has drains of its own, so that rows of one never
    hold up those of another.

    What a host cannot work on (it lacks a key, or an addon) it leaves to the others.

    A model that inherits must have an ``account_id``, override ``_work``, set
    ``_drain_code`` and call ``_init_queue_index`` in its ``init``.
    """

    _name = "mail.bridge.queue"
    _description = "Mail Bridge Queue"
    _inherit = "mail.bridge.wake"

    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("done", "Done"),
            ("failed", "Failed"),
            ("dead", "Dead"),
        ],
        required=True,
        default="pending",
        readonly=True,
        index=False,
    )
    lane = fields.Selection(
        [("main", "Processing")], required=True, default="main", readonly=True
    )
    priority = fields.Integer(default=5, required=True, help="0 is most urgent.")
    attempts = fields.Integer(readonly=True, default=0, required=True)
    next_attempt = fields.Datetime(readonly=True, default=fields.Datetime.now)
    claimed_by = fields.Char(readonly=True, help="Host and process of the last try.")
    error = fields.Text(readonly=True)
    done_at = fields.Datetime(readonly=True)

    def _init_queue_index(self):
        self.env.cr.execute(
            f"""CREATE INDEX IF NOT EXISTS {self._table}_lane_idx
                ON {self._table} (lane, priority, next_attempt, id)
                WHERE state IN ('pending', 'failed')"""
        )

    # --- Drain ---

    @api.model
    def _claim(self, lane="main"):
        """Take the most urgent due row: ``(id, number of this try)`` or ``None``."""
        cr = self.env.cr
        cr.rollback()  # a fresh snapshot: rows changed after ours cannot be locked
        while True:
            try:
                claim = CLAIM.format(table=self._table)
                cr.execute(claim, self._claim_values(lane), log_exceptions=False)
                row = cr.fetchone()
                cr.commit()
            except CONFLICTS:
                cr.rollback()
                continue
            self.env.invalidate_all()
            return row

    def _claim_values(self, lane):
        return {
            "lane": lane,
            "not_here": self._accounts_not_here(),
            "worker": f"{socket.gethostname()}:{os.getpid()}"[:60],
            "backoff": list(BACKOFF_MINUTES),
            "steps": len(BACKOFF_MINUTES),
            "jitter": random.uniform(1.0, 1.2),  # noqa: S311 spreads load
        }

    @api.model
    def _try(self, row_id, attempt):
        """Work on one claimed row; every outcome ends in a committed state."""
        cr = self.env.cr
        if self._has_given_up(row_id, attempt):
            return None
        for conflicts_left in reversed(range(CONFLICT_TRIES)):
            try:
                self._work(row_id, attempt)
                self.env.flush_all()
                cr.commit()
                return None
            except Overtaken:
                return self._forget()
            except CONFLICTS as error:
                self._forget()
                if not conflicts_left:
                    return self._fail(row_id, attempt, error)
                time.sleep(random.uniform(0, 0.05))  # noqa: S311
            except Exception as error:
                self._forget()
                return self._fail(row_id, attempt, error)
        return None

    @api.model
    def _has_given_up(self, row_id, attempt):
        """End a row whose tries took their worker with them; tell if it was one."""
        if attempt <= MAX_TRIES:
            return False
        self._fail(row_id, attempt, PermanentError("gave up"), keep=True)
        return True

    @api.model
    def _work(self, row_id, attempt):
        """For a queue to do its work, it must override this method.

        It must begin with ``_hold`` and leave the row in its new state. It neither
        commits nor catches what makes the try fail.
        """
        raise NotImplementedError

    @api.model
    def _hold(self, row_id, attempt):
        """Lock a claimed row for the rest of the transaction and return it.

        :raises Overtaken: it is done, or another drain has claimed it since.
        """
        self.env.cr.execute(
            f"""SELECT id FROM {self._table}
                 WHERE id = %s AND attempts = %s AND state IN ('pending', 'failed')
                   FOR UPDATE SKIP LOCKED""",
            (row_id, attempt),
        )
        if not self.env.cr.fetchone():
            raise Overtaken(row_id)
        return self.browse(row_id)

    def _move(self, lane, attempt):
        """Hand a row that is held to another lane; this try of it does not count."""
        self.write(
            {
                "lane": lane,
                "attempts": attempt - 1,
                "next_attempt": self._now(),
            }
        )
        self.env.cr.postcommit.add(lambda: self._wake(lane, always=True))

    def _set_done(self):
        self.write({"state": "done", "error": False, "done_at": fields.Datetime.now()})

    @api.model
    def _fail(self, row_id, attempt, error, keep=False):
        """Write down a failed try and end it.

        A row that is dead without anybody being told is still better than one that is
        tried for ever because the telling fails.

        :param keep: keep the error of the try before.
        """
        for tell in (True, True, False):
            try:
                row = self._hold(row_id, attempt)
                self._write_failure(row, attempt, error, keep, tell)
                self.env.flush_all()
                return self.env.cr.commit()
            except Overtaken:
                return self._forget()
            except Exception as trouble:
                self._forget()
                if not tell:
                    raise
                _logger.info("%s %s: nobody told: %s", self._name, row_id, trouble)
        return None

    @api.model
    def _write_failure(self, row, attempt, error, keep=False, tell=True):
        """Decide between retry and dead letter."""
        text = f"{type(error).__name__}: {error}".replace("\0", "")[:2000]
        _logger.info("%s %s: try %s failed: %s", self._name, row.id, attempt, text)
        final = isinstance(error, PayloadError | PermanentError)
        counts = not isinstance(error, NotHereError)
        dead = final or (counts and attempt >= MAX_TRIES)
        values = {"state": "dead" if dead else "failed"}
        if not counts:
            values |= {"attempts": attempt - 1, "next_attempt": self._now()}
            self._leave_to_others(row)
        if not (keep and row.error):
            values["error"] = text
        if isinstance(error, TemporaryError) and error.retry_after:
            wait = timedelta(seconds=error.retry_after)
            values["next_attempt"] = max(row.next_attempt, self._now() + wait)
        row.write(values)
        if tell and dead:
            row._on_dead()
        elif tell and not counts:
            row._on_not_here(text)

    def _on_dead(self):
        """For a queue to tell somebody of a dead letter, it must override this."""

    def _on_not_here(self, error):
        """For a queue to tell what a host lacks, it must override this."""

    @api.model
    def _leave_to_others(self, row):
        """Claim no row of this account for a while, and call the other hosts."""
        place = self.env.cr.dbname, row.account_id.id
        _not_here[place] = time.monotonic() + NOT_HERE_SECONDS
        lane = row.lane
        self.env.cr.postcommit.add(lambda: self._wake(lane, always=True))

    @api.model
    def _accounts_not_here(self):
        now = time.monotonic()
        return [
            account
            for (dbname, account), until in _not_here.items()
            if dbname == self.env.cr.dbname and until > now
        ]

    def action_retry(self):
        """Put rows back into the queue, with all their tries."""
        self.check_access("write")
        waiting = self.filtered(lambda row: row.state != "done")
        waiting.sudo().write(
            {
                "state": "pending",
                "lane": "main",
                "attempts": 0,
                "next_attempt": self._now(),
            }
        )
        for cron in self._drains():
            cron._trigger()
