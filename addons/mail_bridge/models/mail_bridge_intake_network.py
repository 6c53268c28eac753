# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from odoo import api, fields, models
from odoo.tools import config

from ..const import DRAIN_SECONDS
from ..providers.dkim import DNS_TIMEOUT
from ..providers.errand import PATIENCE, Errand
from .mail_bridge_queue import Overtaken

#: Posts that wait for a peer at the same time, and the bytes of mail they may hold.
ERRANDS = 8
ERRAND_BYTES = 64 * 1024 * 1024
#: What a call leaves of the time that Odoo gives a scheduled action, and what is taken
#: for that where it gives no limit.
SPARE_SECONDS = 10.0
LIMIT_SECONDS = 120.0
#: With less time than this a peer that is a little slow would be given up.
LEAST_SECONDS = PATIENCE + DNS_TIMEOUT
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
                left = _call_seconds() - spent
                if left > LEAST_SECONDS and (away or spent < DRAIN_SECONDS):
                    self._send_out(pool, away, left)
                if not away:
                    break
                done, _still = wait(away, LOOK_SECONDS, FIRST_COMPLETED)
                for future in done:
                    claim, _size = away.pop(future)
                    self._bring_back(*claim, future)
        if spent >= DRAIN_SECONDS:
            self._wake("network", always=True)

    @api.model
    def _send_out(self, pool, away, seconds):
        """Start errands as long as hands are free and posts are due."""
        while len(away) < ERRANDS and sum(s for _, s in away.values()) < ERRAND_BYTES:
            claim = self._claim("network")
            if not claim:
                return
            if self._has_given_up(*claim):
                continue
            try:
                errand, size = self._errand(*claim, seconds)
            except Overtaken:
                self._forget()
            except Exception as error:
                self._forget()
                self._fail(*claim, error)
            else:
                self.env.cr.rollback()
                away[pool.submit(errand.run)] = claim, size

    @api.model
    def _errand(self, row_id, attempt, seconds):
        """Return what to get for a claimed post, and the bytes it holds meanwhile."""
        intake = self._hold(row_id, attempt)
        request, facts = intake._request(), intake._account_facts()
        lacking, _mails, _events = intake._read_content(request, facts)
        size = sum(map(len, lacking.get("mails", ())))
        return Errand(attempt, **lacking, seconds=seconds), size

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


def _call_seconds():
    """Return how long a call may last, within what Odoo gives a scheduled action."""
    limit = config["limit_time_real_cron"]
    if limit < 0:  # as for requests
        limit = config["limit_time_real"]
    return (limit or LIMIT_SECONDS) - SPARE_SECONDS
