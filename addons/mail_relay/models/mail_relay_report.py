# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import logging
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from odoo import api, fields, models

from odoo.addons.mail_bridge.const import (
    CONFLICT_TRIES,
    DRAIN_SECONDS,
    LINGER_SECONDS,
)
from odoo.addons.mail_bridge.exceptions import MailBridgeError
from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.models.mail_bridge_queue import CONFLICTS

from ..rest import reports
from ..rest.attachments import authorization
from ..rest.const import REPORT_LEASE_SECONDS, REPORT_THREADS
from ..rest.outgoing import post_json
from .mail_relay_posting import epoch

_logger = logging.getLogger(__name__)

#: Takes over the applications that are due: those with news, and those not asked for a
#: while whether they have mail for us. A report is made apart from any transaction: an
#: application may well submit mail before it answers (facts/relay.md §1.13, trap 1).
CLAIM = """
    UPDATE mail_relay_client AS client
       SET sync_claimed_until = now() AT TIME ZONE 'UTC' + %(lease)s * interval '1 s'
     WHERE id IN (
           SELECT id FROM mail_relay_client c
            WHERE active AND next_sync_at <= now() AT TIME ZONE 'UTC'
              AND (sync_claimed_until IS NULL
                   OR sync_claimed_until < now() AT TIME ZONE 'UTC')
              AND (coalesce(base_url, '') <> '' OR %(has_global_url)s)
              AND (EXISTS (SELECT 1 FROM mail_relay_report r
                            WHERE r.client_id = c.id AND r.reported_at IS NULL)
                   OR ((next_sync_after IS NULL
                        OR next_sync_after <= now() AT TIME ZONE 'UTC')
                       AND (last_sync_at IS NULL OR last_sync_at
                            <= now() AT TIME ZONE 'UTC' - %(poll)s * interval '1 s')))
         ORDER BY next_sync_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
 RETURNING id"""


#: Takes: when, and which reports. Their messages are locked in the order of ids.
TOLD = """
    WITH told AS (
         UPDATE mail_relay_report SET reported_at = %s
          WHERE id = ANY(%s) AND reported_at IS NULL
      RETURNING posting_id, reported_at),
    held AS (
         SELECT id FROM mail_relay_posting
          WHERE id IN (SELECT posting_id FROM told) ORDER BY id FOR UPDATE)
    UPDATE mail_relay_posting posting SET reported_at = told.reported_at
      FROM told JOIN held ON held.id = told.posting_id
     WHERE posting.id = told.posting_id"""


@dataclass(frozen=True)
class Errand:
    """One report on its way: all that a thread needs, and nothing of the ORM."""

    client_id: int
    report_ids: tuple[int, ...]
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: dict = field(repr=False)
    is_trusted: bool
    networks: str

    def run(self) -> reports.Heard:
        """Post the report, and return what the application said."""
        try:
            answer = post_json(
                self.url, self.body, self.headers, self.is_trusted, self.networks
            )
        except MailBridgeError as error:
            return reports.Heard(False, problem=str(error))
        return reports.read_answer(answer.status, answer.body)


class MailRelayReport(models.Model):
    """What an application is to be told; kept until it says that it has it."""

    _name = "mail.relay.report"
    _description = "Report to an Application"
    _inherit = ["mail.bridge.wake"]
    _order = "id desc"
    _rec_name = "kind"
    _log_access = False
    _drain_code = {"main": "model._cron_report()"}

    client_id = fields.Many2one(
        "mail.relay.client", required=True, readonly=True, ondelete="cascade"
    )
    posting_id = fields.Many2one(
        "mail.relay.posting",
        string="Message",
        readonly=True,
        ondelete="cascade",
        index=True,
    )
    kind = fields.Char(required=True, readonly=True)
    occurred_at = fields.Datetime(required=True, readonly=True)
    entry = fields.Text(required=True, readonly=True, help="JSON, as it is told.")
    reported_at = fields.Datetime(readonly=True, help="Empty: not yet.")

    def init(self):
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_relay_report_due_idx
                   ON mail_relay_report (client_id, occurred_at, id)
                WHERE reported_at IS NULL"""
        )

    @api.model_create_multi
    def create(self, vals_list):
        self.env.cr.postcommit.add(self._wake_reporter)
        return super().create(vals_list)

    def _wake_reporter(self):
        self.env["mail.relay.report"]._wake()

    def _event(self):
        """Return one line of a message's history."""
        self.ensure_one()
        return {
            "event_id": self.id,
            "event_type": self.kind,
            "event_ts": epoch(self.occurred_at),
            "metadata": json.loads(self.entry),
            "reported_ts": epoch(self.reported_at),
        }

    # --- The reporter ---

    @api.model
    def _cron_report(self):
        """Report to all applications that are due, several at once."""
        self._note_wake()
        self.env["mail.relay.message"]._hold_suspended()
        end = time.monotonic() + DRAIN_SECONDS
        away, looked_again = {}, 0
        with ThreadPoolExecutor(REPORT_THREADS) as pool:
            while away or time.monotonic() < end:
                found = time.monotonic() < end and self._send_out(pool, away)
                if away:
                    looked_again = 0
                    self._bring_back(away)
                elif looked_again > 1:
                    return
                elif not found:
                    looked_again += 1
                    time.sleep(LINGER_SECONDS)
        self._wake(always=True)

    @api.model
    def _send_out(self, pool, away):
        """Start reports as far as there are hands; tell whether any was due."""
        free = REPORT_THREADS - len(away)
        clients = self._claim_clients(free) if free else ()
        errands = []
        for client in clients:
            try:
                errands.append(client._errand())
            except KeyRingError as error:  # another host may
                client._heard(reports.Heard(False, problem=str(error)), ())
        self.env.cr.commit()
        for errand in errands:
            away[pool.submit(errand.run)] = errand
        return bool(errands)

    @api.model
    def _claim_clients(self, most):
        api_model = self.env["mail.relay.api"]
        self.env.cr.rollback()
        self.env.invalidate_all()
        values = {
            "lease": REPORT_LEASE_SECONDS,
            "has_global_url": bool(api_model._setting("sync_url")),
            "poll": api_model._number("sync_interval"),
            "most": most,
        }
        self.env.cr.execute(CLAIM, values)
        ids = [row[0] for row in self.env.cr.fetchall()]
        self.env.cr.commit()
        return self.env["mail.relay.client"].browse(ids)

    @api.model
    def _bring_back(self, away):
        """Write down what applications answered."""
        done, _others = wait(away, 0.2, FIRST_COMPLETED)
        for future in done:
            self._note_answer(away.pop(future), future.result())

    @api.model
    def _note_answer(self, errand, heard):
        """Write down an answer; where others always write there, it is asked again."""
        for _ in range(CONFLICT_TRIES):
            self.env.cr.rollback()
            self.env.invalidate_all()
            try:
                client = self.env["mail.relay.client"].browse(errand.client_id)
                if client._lock():
                    client._heard(heard, errand.report_ids)
                return self.env.cr.commit()
            except CONFLICTS:
                self._forget()
        return _logger.info("what client %s said is not noted", errand.client_id)


class MailRelayClient(models.Model):
    _inherit = "mail.relay.client"

    def _errand(self):
        """Return the next report to this application, empty where all is told."""
        self.ensure_one()
        due = self.env["mail.relay.report"].search(
            [("client_id", "=", self.id), ("reported_at", "=", False)],
            order="occurred_at, id",
            limit=reports.MAX_ENTRIES,
        )
        headers = authorization(self._auth()) | {"Content-Type": "application/json"}
        return Errand(
            self.id,
            tuple(due.ids),
            self._sync_url(),
            reports.report(json.loads(report.entry) for report in due),
            headers,
            self.is_trusted or not self.base_url,
            self.env["mail.relay.api"]._setting("private_networks"),
        )

    def _heard(self, heard, report_ids):
        """Take what the application answered to a report."""
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        if not heard.taken:
            self.write(
                {
                    "sync_failures": self.sync_failures + 1,
                    "sync_error": heard.problem[:500],
                    "sync_claimed_until": False,
                    "next_sync_at": now
                    + timedelta(seconds=reports.backoff(self.sync_failures + 1)),
                }
            )
            return
        self.env.cr.execute(TOLD, (now, list(report_ids)), log_exceptions=False)
        self.env.invalidate_all()
        silent_until = _moment(heard.next_sync)
        is_silent = bool(silent_until and silent_until > now)
        asks = heard.has_more and not is_silent
        self.write(
            {
                "sync_failures": 0,
                "sync_error": False,
                "sync_claimed_until": False,
                "last_sync_at": False if asks else now,
                "next_sync_after": silent_until if is_silent else False,
                "next_sync_at": now
                + timedelta(seconds=reports.CHAIN_SECONDS if asks else 0),
            }
        )


def _moment(seconds):
    """Return seconds since 1970 as a naive UTC time, ``False`` for 0 or nonsense."""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return False
    return moment.replace(tzinfo=None, microsecond=0) if seconds else False
