# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import logging
import uuid
from datetime import timezone

from odoo import api, fields, models

from ..const import (
    BODY_DAYS,
    CHUNK_BYTES,
    LEAST_DAYS,
    MAX_TRIES,
    MESSAGE_DAYS,
    SECRET_HEADERS,
    UNDECIDED,
)
from ..exceptions import NotHereError
from ..keyring import KeyRingError
from ..providers.base import WebhookRequest
from ..providers.delivery import DeliveryEvent
from ..providers.errand import VERDICTS, read_verdicts
from ..providers.evidence import unjudged, with_dkim_verdicts, with_server_results
from .mail_bridge_queue import CONFLICTS

_logger = logging.getLogger(__name__)

#: What the scheduled actions of a lane call; an administrator may copy one.
LANE_CODE = {"main": "model._cron_process()", "network": "model._cron_fetch()"}
INSERT_INTAKE = """
    WITH intake AS (
        INSERT INTO mail_bridge_intake
               (account_id, company_id, reference, dedupe_key, content_hash, state,
                lane, priority, attempts, next_attempt, received_at, method, path,
                headers, content_type, remote_addr, size, truncated)
        VALUES (%(account_id)s, %(company_id)s, %(reference)s, %(dedupe_key)s,
                %(content_hash)s, 'pending', 'main', 5, 0, now() AT TIME ZONE 'UTC',
                %(received_at)s, %(method)s, %(path)s, %(headers)s,
                %(content_type)s, %(remote_addr)s, %(size)s, %(truncated)s)
        ON CONFLICT (account_id, dedupe_key) DO NOTHING
        RETURNING id),
    body AS (
        INSERT INTO mail_bridge_intake_body (intake_id, part, name, seq, data)
        SELECT id, 0, '', 0, %(data)s FROM intake)
    SELECT id FROM intake"""


class MailBridgeIntake(models.Model):
    """One authenticated post of a provider, verbatim.

    The body stands beside it (``mail.bridge.body``), as part 0; what was fetched for it
    counts from 1.
    """

    _name = "mail.bridge.intake"
    _description = "Mail Bridge Intake"
    _inherit = ["mail.bridge.queue", "mail.bridge.body"]
    _order = "id desc"
    _rec_name = "reference"
    _log_access = False
    _body_owner = "intake_id"
    _drain_code = LANE_CODE

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", readonly=True, index=True)
    reference = fields.Char(readonly=True, required=True, help="Our own reference.")
    dedupe_key = fields.Char(readonly=True, required=True)
    content_hash = fields.Char(readonly=True, required=True)
    received_at = fields.Datetime(readonly=True, required=True)
    method = fields.Char(readonly=True)
    path = fields.Char(readonly=True)
    headers = fields.Text(readonly=True, help="JSON list of pairs, without secrets.")
    content_type = fields.Char(readonly=True)
    remote_addr = fields.Char(string="Source Address", readonly=True)
    size = fields.Integer(string="Size (bytes)", readonly=True)
    truncated = fields.Boolean(
        readonly=True, help="The body was too large: only its envelope was kept."
    )
    body_deleted = fields.Boolean(readonly=True, help="The retention time is over.")
    message_ids = fields.One2many("mail.bridge.message", "intake_id", readonly=True)
    message_count = fields.Integer(compute="_compute_message_count")

    def init(self):
        self._init_queue_index()
        self._init_body_table()
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_intake_dedupe_uniq
                   ON mail_bridge_intake (account_id, dedupe_key);
               CREATE INDEX IF NOT EXISTS mail_bridge_intake_account_date_idx
                   ON mail_bridge_intake (account_id, received_at);
               CREATE INDEX IF NOT EXISTS mail_bridge_intake_retention_idx
                   ON mail_bridge_intake (done_at)
                WHERE state = 'done' AND body_deleted IS NOT TRUE;
               CREATE TABLE IF NOT EXISTS mail_bridge_wake (
                   cron_id integer PRIMARY KEY REFERENCES ir_cron ON DELETE CASCADE,
                   consumed integer NOT NULL)"""
        )

    def _compute_message_count(self):
        groups = self.env["mail.bridge.message"]._read_group(
            [("intake_id", "in", self.ids)], ["intake_id"], ["__count"]
        )
        counts = {intake.id: count for intake, count in groups}
        for intake in self:
            intake.message_count = counts.get(intake.id, 0)

    # --- Storing ---

    @api.model
    def _store_request(
        self, account_id, company_id, request, dedupe_key, content_hash, secrets
    ):
        """Insert a verified request, unless it stands already; the caller commits.

        Row and first chunk go in one statement: this is the hot path.

        :param secrets: values that must not be stored; a header with one is dropped.
        :return: ``(reference, outcome)``, outcome is ``new``, ``repeated`` or
            ``altered`` (same key, other content).
        :raises psycopg2.errors.SerializationFailure: the same post was stored at the
            same instant; roll back and call again.
        """
        body = memoryview(request.body)
        values = {
            "account_id": account_id,
            "company_id": company_id,
            "reference": uuid.uuid4().hex,
            "dedupe_key": dedupe_key,
            "content_hash": content_hash,
            "received_at": request.received_at.astimezone(timezone.utc).replace(
                tzinfo=None
            ),
            "method": request.method,
            "path": request.path,
            "headers": self._storable_headers(request.headers, secrets),
            "content_type": request.content_type.replace("\0", "")[:200],
            "remote_addr": request.remote_addr,
            "size": request.size,
            "truncated": request.truncated,
            "data": body[:CHUNK_BYTES],
        }
        self.env.cr.execute(INSERT_INTAKE, values, log_exceptions=False)
        if row := self.env.cr.fetchone():
            self._write_chunks(row[0], 0, "", body, start=1)
            return values["reference"], "new"
        self.env.cr.execute(
            """SELECT reference, content_hash FROM mail_bridge_intake
                WHERE account_id = %s AND dedupe_key = %s""",
            (account_id, dedupe_key),
        )
        reference, stored_hash = self.env.cr.fetchone()
        return reference, "repeated" if stored_hash == content_hash else "altered"

    @api.model
    def _storable_headers(self, headers, secrets):
        """Return headers as JSON, without any that carries a credential."""
        kept = [
            [name, value.replace("\0", "")]
            for name, value in headers
            if name.lower() not in SECRET_HEADERS
            and not any(secret in value for secret in secrets)
        ]
        return json.dumps(kept)

    def _request(self):
        """Return the post as the adapter saw it."""
        self.ensure_one()
        return WebhookRequest(
            method=self.method,
            path=self.path or "",
            headers=tuple(tuple(pair) for pair in json.loads(self.headers or "[]")),
            body=self._read_part(),
            remote_addr=self.remote_addr or "",
            received_at=self.received_at.replace(tzinfo=timezone.utc),
            truncated=self.truncated,
            size=self.size,
        )

    # --- Processing ---

    @api.model
    def _cron_process(self):
        """Entry point of the drains."""
        self._drain()

    @api.model
    def _work(self, row_id, attempt):
        intake = self._hold(row_id, attempt)
        request, facts = intake._request(), intake._account_facts()
        lacking, mails, events = intake._read_content(request, facts)
        del request  # a large mail is in memory often enough without it
        if lacking:
            intake._move("network", attempt)
        else:
            intake._deliver(mails, events)

    def _account_facts(self):
        """Return what the adapter may know of the account.

        :raises NotHereError: this host lacks the key ring, or the provider's addon.
        """
        account = self.account_id.sudo()
        if not account._adapter():
            raise NotHereError(f"the addon of provider {account.code} is not installed")
        try:
            return account._facts()
        except KeyRingError as error:
            raise NotHereError(str(error)) from error

    def _read_content(self, request, facts):
        """Read a post as far as it can be read.

        :return: ``(errand, mails, events)``: what has to be got first (arguments of
            ``providers.errand.Errand``) and nothing else, or no errand and the mails,
            judged, and the delivery events.
        """
        account = self.account_id
        asked = account._adapter().missing(request, facts)
        got = self._fetched() if asked else {}
        if wanted := [item for item in asked if item.name not in got]:
            return {"requests": wanted}, [], []
        mails, events = self._parsed(request, facts, got)
        if account.check_dkim and (signed := unjudged(mails)):
            verdicts = self._stored_verdicts(got or self._fetched())
            if len(verdicts) != len(signed):
                return {"mails": [mail.mime for mail in signed]}, [], []
            mails = with_dkim_verdicts(mails, verdicts)
        return {}, mails, events

    def _parsed(self, request, facts, got):
        """Return what a post holds: its mails, with what mail servers wrote about
        them, and its delivery events.
        """
        fetched = {name: content for name, content in got.items() if content}
        trusted = self.account_id.trusted_authserv_id or ""
        mails, events = [], []
        for item in self.account_id._adapter().parse(request, fetched, facts):
            if isinstance(item, DeliveryEvent):
                events.append(item)
            else:
                mails.append(with_server_results(item, trusted))
        return mails, events

    def _fetched(self):
        """Return what was got for this post by name; no bytes: could not be had."""
        self.env.cr.execute(
            """SELECT name, part FROM mail_bridge_intake_body
                WHERE intake_id = %s AND part > 0 AND seq = 0 ORDER BY part""",
            (self.id,),
        )
        return {name: self._read_part(part) for name, part in self.env.cr.fetchall()}

    @api.model
    def _stored_verdicts(self, got):
        return read_verdicts(got[VERDICTS]) if VERDICTS in got else []

    def _deliver(self, mails, events=()):
        """Turn mails into messages and keep events, in this transaction."""
        self.ensure_one()
        Message = self.env["mail.bridge.message"]
        for number, mail in enumerate(mails):
            Message._receive(self, number, mail)
        self.env["mail.bridge.event"]._store(self.account_id, events, "webhook", self)
        self._set_done()
        account, moment = self.account_id, self.received_at
        if not account.first_post_date:
            self.env.cr.postcommit.add(lambda: account._note_first_post(moment))

    def _on_dead(self):
        if self.attempts <= MAX_TRIES:  # else reading it has killed a worker before
            self._keep_dead()
        self.account_id._warn(
            self.env._("A post could not be processed"),
            self.env._(
                "%(reference)s: %(error)s", reference=self.reference, error=self.error
            ),
        )

    def _on_not_here(self, error):
        self.env["mail.bridge.notice"]._record(self.account_id.id, "not_here", error)

    def _keep_dead(self):
        """Show the mails of a dead post in the Inbox, as far as they can be read."""
        try:
            with self.env.cr.savepoint():
                for number, mail in enumerate(self._mails()):
                    self.env["mail.bridge.message"]._receive_dead(self, number, mail)
        except CONFLICTS:
            raise
        except Exception as trouble:  # whatever made it dead may be in the way again
            _logger.info("%s is not in the Inbox: %s", self.reference, trouble)

    def _mails(self):
        """Return the mails of a stored post once more, from what was got for it.

        :raises MailBridgeError: the retention time is over, or this host cannot read
            the post.
        """
        self.ensure_one()
        got = self._fetched()
        mails, _events = self._parsed(self._request(), self._account_facts(), got)
        verdicts = self._stored_verdicts(got)
        if verdicts and len(verdicts) == len(unjudged(mails)):
            mails = with_dkim_verdicts(mails, verdicts)
        return mails

    def action_view_messages(self):
        """Open what became of the post."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mail_bridge.mail_bridge_message_action"
        )
        action["domain"] = [("intake_id", "in", self.ids)]
        return action

    # --- Retention ---

    @api.model
    def _cron_retention(self, batch=1000):
        """Delete bodies, then rows, whose retention time is over, in batches."""
        horizon = self._horizon("mail_bridge.body_days", BODY_DAYS, LEAST_DAYS)
        bodies = self._delete_bodies(horizon, batch)
        horizon = self._horizon("mail_bridge.message_days", MESSAGE_DAYS, LEAST_DAYS)
        old = self._over_since(horizon, batch)
        forgotten = self.env["mail.bridge.served"]._forget_before(horizon, batch)
        events = self.env["mail.bridge.event"]._forget_before(horizon, batch)
        full = batch in (bodies, len(old), forgotten, events)
        old.message_ids.unlink()
        old.unlink()
        if full:
            self.env.ref("mail_bridge.ir_cron_retention")._trigger()

    @api.model
    def _over_since(self, horizon, batch):
        """Return processed posts from before a moment, at most so many.

        A mail in the Inbox may be a conversation by now: it goes when nothing has been
        added to it since, and no later mail is meant for it.
        """
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT i.id FROM mail_bridge_intake i
                WHERE i.state = 'done' AND i.received_at < %(horizon)s
                  AND NOT EXISTS (
                      SELECT 1 FROM mail_bridge_message m
                       WHERE m.intake_id = i.id
                         AND (m.id = ANY(ARRAY(
                                  SELECT res_id FROM mail_bridge_message
                                   WHERE res_model = 'mail.bridge.message'
                                     AND received_at >= %(horizon)s))
                              OR EXISTS (
                                  SELECT 1 FROM mail_message added
                                   WHERE added.model = 'mail.bridge.message'
                                     AND added.res_id = m.id
                                     AND added.create_date >= %(horizon)s)))
                LIMIT %(batch)s""",
            {"horizon": horizon, "batch": batch},
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    @api.model
    def _delete_bodies(self, horizon, batch):
        """Delete the bodies of processed posts, and return of how many.

        The body of a mail that waits for a person is often all there is of it.
        """
        self.env.cr.execute(
            """UPDATE mail_bridge_intake SET body_deleted = true
                WHERE id IN (SELECT i.id FROM mail_bridge_intake i
                              WHERE i.state = 'done' AND i.body_deleted IS NOT TRUE
                                AND i.done_at < %s
                                AND NOT EXISTS (
                                    SELECT 1 FROM mail_bridge_message m
                                     WHERE m.intake_id = i.id AND m.state = ANY(%s))
                              LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id""",
            (horizon, list(UNDECIDED), batch),
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        self.env.cr.execute(
            "DELETE FROM mail_bridge_intake_body WHERE intake_id = ANY(%s)", (ids,)
        )
        self.env.invalidate_all()
        return len(ids)
