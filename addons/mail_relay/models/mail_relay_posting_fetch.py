# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import logging
import re
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import datetime, timedelta, timezone
from pathlib import Path

from odoo import api, fields, models

from odoo.addons.mail_bridge.const import DRAIN_SECONDS
from odoo.addons.mail_bridge.keyring import KeyRingError

from ..const import MAX_MIME_BYTES
from ..rest.attachments import FetchFailed, read_attachment
from ..rest.batch import INVALID
from ..rest.compose import compose
from ..rest.const import FETCH_LEASE_SECONDS, FETCH_THREADS, FETCH_TRIES
from ..rest.errand import Errand
from ..rest.payloads import MESSAGE
from .mail_relay_api_messages import Wanted, submission_of, without_contents

_logger = logging.getLogger(__name__)

CLAIM = """
    UPDATE mail_relay_posting
       SET attempts = coalesce(attempts, 0) + 1,
           next_attempt = now() AT TIME ZONE 'UTC' + %s * interval '1 second'
     WHERE id IN (SELECT id FROM mail_relay_posting
                   WHERE state = 'waiting'
                     AND next_attempt <= now() AT TIME ZONE 'UTC'
                ORDER BY level, next_attempt, id LIMIT %s FOR UPDATE SKIP LOCKED)
 RETURNING id, next_attempt"""


class MailRelayPosting(models.Model):
    """Messages whose attachments are somewhere else: fetched apart from any request.

    No transaction is open while anybody waits for an application.
    """

    _inherit = "mail.relay.posting"

    # --- Secrets ---

    @api.model
    def _sealed(self, item):
        """Return a message with the credentials of its attachments encrypted."""
        ring = None
        files = []
        for one in item["attachments"]:
            if one.get("auth"):
                ring = ring or self.env["mail.bridge.secret"]._ring(for_new_value=True)
                sealed = ring.encrypt(json.dumps(one["auth"]), self._seal_place())
                one = one | {"auth": sealed}
            files.append(one)
        return {**item, "attachments": files}

    @api.model
    def _unsealed(self, one):
        """Return an attachment with its credentials as they were given."""
        if not one.get("auth"):
            return one
        ring = self.env["mail.bridge.secret"]._ring()
        text = ring.decrypt(one["auth"], self._seal_place())
        return one | {"auth": json.loads(text)}

    @api.model
    def _seal_place(self):
        return self.env["mail.bridge.secret"]._binding(self._name, 0, "auth")

    # --- Fetching ---

    @api.model
    def _cron_fetch(self):
        """Fetch attachments of the messages that are due, some at once."""
        self._note_wake()
        end = time.monotonic() + DRAIN_SECONDS
        away = {}
        with ThreadPoolExecutor(FETCH_THREADS) as pool:
            while True:
                if time.monotonic() < end and len(away) < FETCH_THREADS:
                    self._send_out(pool, away)
                if not away:
                    break
                done, _others = wait(away, 0.2, FIRST_COMPLETED)
                for future in done:
                    self._bring_back(away.pop(future), future)
        if time.monotonic() >= end:
            self._wake(always=True)

    @api.model
    def _send_out(self, pool, away):
        """Start on messages that are due, as many as there are hands."""
        self.env.cr.rollback()
        self.env.invalidate_all()
        free = FETCH_THREADS - len(away)
        self.env.cr.execute(CLAIM, (FETCH_LEASE_SECONDS, free))
        claims = self.env.cr.fetchall()
        self.env.cr.commit()
        for posting_id, until in claims:
            posting = self.browse(posting_id)
            if posting.attempts > FETCH_TRIES:
                posting._give_up("Attachment fetch failed: gave up")
                continue
            try:
                errand = posting._errand(until)
            except KeyRingError:  # another host may: the try does not count
                again = fields.Datetime.now() + timedelta(minutes=1)
                posting.write({"attempts": posting.attempts - 1, "next_attempt": again})
                continue
            away[pool.submit(errand.run)] = errand
        self.env.cr.commit()

    def _errand(self, claimed_until):
        self.ensure_one()
        settings = self.env["mail.relay.api"]
        client = self.client_id
        given = json.loads(self.payload)["attachments"]
        folders = re.split(r"[\s,;]+", settings._setting("attachment_folders"))
        return Errand(
            posting_id=self.id,
            claimed_until=claimed_until,
            owner=client.id,
            attachments=tuple(read_attachment(self._unsealed(one)) for one in given),
            url=client._attachment_url(),
            auth=client._auth(),
            is_trusted=client.is_trusted,
            networks=settings._setting("private_networks"),
            folders=tuple(Path(folder) for folder in folders if folder),
            most=min(settings._number("attachment_bytes"), client._file_bytes()),
        )

    @api.model
    def _bring_back(self, errand, future):
        """Hand a message to the relay that lacks nothing any more, or end it."""
        self.env.cr.rollback()
        self.env.invalidate_all()
        self.env.cr.execute(
            """SELECT id FROM mail_relay_posting
                WHERE id = %s AND next_attempt = %s AND state = 'waiting'
                  FOR UPDATE""",
            (errand.posting_id, errand.claimed_until),
        )
        if posting := self.browse([row[0] for row in self.env.cr.fetchall()]):
            try:
                posting._complete(future.result())
            except FetchFailed as error:
                posting._give_up(str(error))
            except Exception:
                _logger.exception("message %s cannot be made", posting.id)
                self.env.cr.rollback()
                self.env.invalidate_all()
                posting._give_up(INVALID)
        self.env.cr.commit()

    def _complete(self, files):
        """Make the mail, and hand it over."""
        item = MESSAGE.complete(json.loads(self.payload))
        composed = compose(item, datetime.now(timezone.utc), files)
        if len(composed.mime) > MAX_MIME_BYTES:
            return self._give_up(f"the mail has more than {MAX_MIME_BYTES} bytes")
        client = self.client_id
        waits = client._is_suspended(self.batch_code)
        wanted = Wanted(item, self.account_id.id, waits)
        submission = submission_of(client.id, client.company_id.id, wanted, composed)
        mail = self.env["mail.relay.message"]._enqueue([submission])
        kept = {k: v for k, v in without_contents(item).items() if v is not None}
        return self.write(
            {
                "state": "queued",
                "relay_message_id": mail.id,
                "payload": json.dumps(kept),
                "next_attempt": False,
            }
        )

    def _give_up(self, text):
        """End a message that cannot be made; its application may post it again."""
        self._report([(self, "error", fields.Datetime.now(), (text,))])


class MailRelayClient(models.Model):
    _inherit = "mail.relay.client"

    def _file_bytes(self):
        """Return the largest attachment that the application itself allows."""
        config = json.loads(self.large_file_config or "{}")
        if config.get("enabled") and config.get("action") == "reject":
            return (config.get("max_size_mb") or 10) * 1024 * 1024
        return 2**62
