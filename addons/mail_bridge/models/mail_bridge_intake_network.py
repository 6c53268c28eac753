# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from odoo import api, fields, models

from ..const import DRAIN_SECONDS
from ..providers.errand import Errand
from .mail_bridge_queue import Overtaken

#: Posts that wait for a peer at the same time, and the bytes of mail they may hold.
ERRANDS = 8
ERRAND_BYTES = 64 * 1024 * 1024
#: A call takes up posts for this long where some peer is slow. The slowest may then
#: still take its time (``http.TOTAL_TIMEOUT``), all within Odoo's ``limit_time_real``.
SLOW_SECONDS = 30.0
#: How often free hands look for more posts, seconds.
LOOK_SECONDS = 0.2


class MailBridgeIntake(models.Model):
    """Posts that lack something from the network: it is got apart from the drains.

    A peer that says nothing for half a minute, or a name server that an attacker
    chose, holds up nobody but the mail it belongs to. No transaction is open while
    anybody waits, and what was got is stored with the post, for every later try.
    """

    _inherit = "mail.bridge.intake"

    lane = fields.Selection(
        selection_add=[("network", "Fetching")], ondelete={"network": "set default"}
    )

    @api.model
    def _cron_fetch(self):
        """Entry point of the scheduled action."""
        self._note_wake()
        start = time.monotonic()
        away = {}
        with ThreadPoolExecutor(ERRANDS) as pool:
            while True:
                spent = time.monotonic() - start
                if spent < (SLOW_SECONDS if away else DRAIN_SECONDS):
                    self._send_out(pool, away)
                if not away:
                    break
                done, _still = wait(away, LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    claim, _size = away.pop(future)
                    self._bring_back(*claim, future)
        if spent >= DRAIN_SECONDS:
            self._wake("network", always=True)

    @api.model
    def _send_out(self, pool, away):
        """Start errands as long as hands are free and posts are due."""
        while len(away) < ERRANDS and sum(s for _, s in away.values()) < ERRAND_BYTES:
            claim = self._claim("network")
            if not claim:
                return
            try:
                errand, size = self._errand(*claim)
            except Overtaken:
                self._forget()
            except Exception as error:
                self._forget()
                self._fail(*claim, error)
            else:
                self.env.cr.rollback()
                away[pool.submit(errand.run)] = claim, size

    @api.model
    def _errand(self, row_id, attempt):
        """Return what to get for a claimed post, and the bytes it holds meanwhile."""
        intake = self._hold(row_id, attempt)
        lacking, _mails = intake._read_mails(intake._request(), intake._account_facts())
        return Errand(attempt, **lacking), sum(map(len, lacking.get("mails", ())))

    @api.model
    def _bring_back(self, row_id, attempt, future):
        """Store what an errand got and hand the post on, or end this try of it."""
        try:
            got, trouble = future.result()
            intake = self._hold(row_id, attempt)
            intake._keep(got)
            if not trouble:
                intake._move("main", attempt)
            self.env.flush_all()
            self.env.cr.commit()
        except Overtaken:
            return self._forget()
        except Exception as error:
            self._forget()
            trouble = error
        return self._fail(row_id, attempt, trouble) if trouble else None

    def _keep(self, got):
        """Store contents by name beside the body."""
        self.env.cr.execute(
            "SELECT max(part) FROM mail_bridge_intake_body WHERE intake_id = %s",
            (self.id,),
        )
        first = 1 + self.env.cr.fetchone()[0]
        for part, (name, content) in enumerate(got.items(), start=first):
            self._write_chunks(self.id, part, name, content)
