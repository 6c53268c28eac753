# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time

from odoo import api, models
from odoo.tools import ormcache

from odoo.addons.mail_bridge_guard.memory import (
    LARGE_BYTES,
    give_back,
    resident_bytes,
)

from ..const import DRAIN_SECONDS, LINGER_SECONDS, WAKE_SECONDS

_woken: dict[tuple[str, ...], float] = {}


class MailBridgeWake(models.AbstractModel):
    """Calls the cron records that drain the rows of a model, and never too often.

    A model that inherits must set ``_drain_code`` (the code of its cron records by
    lane; an administrator may copy one), and either implement ``_claim`` and ``_try``
    for ``_drain``, or call ``_note_wake`` before it looks for work.
    """

    _name = "mail.bridge.wake"
    _description = "Mail Bridge Drains"
    _drain_code = {}

    @api.model
    @ormcache("self._name", "lane")
    def _drain_crons(self, lane="main"):
        """Return the ids of the cron records that drain a lane of this model."""
        domain = [
            ("model_id.model", "=", self._name),
            ("ir_actions_server_id.code", "=", self._drain_code[lane]),
        ]
        crons = self.env["ir.cron"].sudo().with_context(active_test=False)
        return crons.search(domain).ids

    @api.model
    def _drains(self, lane="main"):
        """Return the cron records that drain a lane, active or not, as superuser."""
        crons = self.env["ir.cron"].sudo().with_context(active_test=False)
        return crons.browse(self._drain_crons(lane)).exists()

    @api.model
    def _has_drain(self, lane):
        """Tell whether anybody works on a lane."""
        return any(self._drains(lane).mapped("active"))

    @api.model
    def _has_all_drains(self):
        """Tell whether somebody works on each lane."""
        return all(map(self._has_drain, self._drain_code))

    @api.model
    def _drain(self, seconds=DRAIN_SECONDS, linger=LINGER_SECONDS):
        """Work on due rows until none is left or the time is over.

        Ends by looking once more after a pause, because a post that finds a trigger
        row already there does not add one.
        """
        self._note_wake()
        end = time.monotonic() + seconds
        looked_again = False
        memory = resident_bytes()
        while time.monotonic() < end:
            claim = self._claim()
            if claim:
                looked_again = False
                self._try(*claim)
                if resident_bytes() > memory + LARGE_BYTES:
                    self.env.invalidate_all()
                    give_back()
                    memory = resident_bytes()
            elif looked_again:
                return
            else:
                looked_again = True
                time.sleep(linger)
        self._wake(always=True)

    @api.model
    def _claim(self, lane="main"):
        """For its rows to be drained, a model must override this method and return what
        ``_try`` takes, committed, or ``None`` where nothing is due.
        """
        raise NotImplementedError

    @api.model
    def _try(self, *claim):
        """For its rows to be drained, a model must override this method; every outcome
        must end in a committed state.
        """
        raise NotImplementedError

    @api.model
    def _now(self):
        """Return PostgreSQL's time (naive UTC), by which rows are claimed."""
        return self.env.cr.now().replace(microsecond=0)

    def _forget(self):
        """Undo the transaction and what the ORM remembers of it."""
        self.env.cr.rollback()
        self.env.transaction.reset()
        self.env.registry.reset_changes()

    @api.model
    def _note_wake(self):
        """Remember which trigger rows this call answers, before it looks."""
        if cron_id := self.env.context.get("cron_id"):
            self._consume_triggers(cron_id)
            self.env.cr.commit()

    @api.model
    def _consume_triggers(self, cron_id):
        """Mark the trigger rows of a drain as answered.

        A later post finds them used and adds its own; see ``_wake``.
        """
        self.env.cr.execute(
            """INSERT INTO mail_bridge_wake (cron_id, consumed)
               SELECT %(cron)s, coalesce(max(id), 0) FROM ir_cron_trigger
                WHERE cron_id = %(cron)s
               ON CONFLICT (cron_id) DO UPDATE SET consumed = excluded.consumed""",
            {"cron": cron_id},
        )

    @api.model
    def _wake(self, lane="main", always=False):
        """Ask for the drains to run, once for any number of posts.

        Call it after the commit of what they shall find: a trigger row is added only
        where each existing one was already answered by a drain, so the drain that
        answers ours looks after that commit. A process that made sure of that less
        than 200 ms ago need not ask again: that drain looks once more after a longer
        pause.
        """
        key = (self.env.cr.dbname, self._name, lane)
        now = time.monotonic()
        if not always and now - _woken.get(key, -WAKE_SECONDS) < WAKE_SECONDS:
            return
        call = self._add_triggers(lane) or self._has_stale_trigger(lane)
        self.env.cr.commit()
        _woken[key] = now
        if call:
            self.env["ir.cron"]._notifydb()

    @api.model
    def _has_stale_trigger(self, lane="main"):
        """Tell whether a drain that was called never came, or was killed.

        Its trigger row still stands, so no post adds another; but the cron workers
        would look at it only with their next poll, a minute later.
        """
        self.env.cr.execute(
            """SELECT 1 FROM ir_cron_trigger t
                 JOIN ir_cron c ON c.id = t.cron_id AND c.active
            LEFT JOIN mail_bridge_wake w ON w.cron_id = t.cron_id
                WHERE t.cron_id = ANY(%s) AND t.id > coalesce(w.consumed, 0)
                  AND t.call_at < (now() AT TIME ZONE 'UTC') - %s * interval '1 second'
                LIMIT 1""",
            (self._drain_crons(lane), DRAIN_SECONDS + 1),
        )
        return bool(self.env.cr.fetchone())

    @api.model
    def _add_triggers(self, lane="main"):
        """Add the trigger rows that are missing; return how many."""
        self.env.cr.execute(
            """INSERT INTO ir_cron_trigger
                      (cron_id, call_at, create_uid, write_uid, create_date, write_date)
               SELECT c.id, date_trunc('second', now() AT TIME ZONE 'UTC'), 1, 1,
                      now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
                 FROM ir_cron c LEFT JOIN mail_bridge_wake w ON w.cron_id = c.id
                WHERE c.id = ANY(%s) AND c.active
                  AND NOT EXISTS (SELECT 1 FROM ir_cron_trigger t
                                   WHERE t.cron_id = c.id
                                     AND t.id > coalesce(w.consumed, 0)
                                     AND t.call_at <= now() AT TIME ZONE 'UTC')""",
            (self._drain_crons(lane),),
        )
        return self.env.cr.rowcount
