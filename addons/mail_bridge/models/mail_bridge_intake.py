# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import uuid
from datetime import timedelta, timezone

from odoo import api, fields, models
from odoo.tools import ormcache

from ..const import BODY_DAYS, CHUNK_BYTES, MESSAGE_DAYS, SECRET_HEADERS
from ..exceptions import PermanentError, TemporaryError
from ..providers import registry
from ..providers.base import WebhookRequest
from ..providers.evidence import (
    needs_dkim_check,
    with_dkim_verdict,
    with_server_results,
)
from ..providers.http import fetch

#: Part number of the request body; fetched content counts from 1.
BODY_PART = 0
DRAIN_CRON = "mail_bridge.ir_cron_process_intake"
INSERT_INTAKE = """
    WITH intake AS (
        INSERT INTO mail_bridge_intake
               (account_id, company_id, reference, dedupe_key, content_hash, state,
                priority, attempts, next_attempt, received_at, method, path, headers,
                content_type, remote_addr, size, truncated)
        VALUES (%(account_id)s, %(company_id)s, %(reference)s, %(dedupe_key)s,
                %(content_hash)s, 'pending', 5, 0, now() AT TIME ZONE 'UTC',
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

    The body is no field: it stands in chunks in ``mail_bridge_intake_body`` and only
    ``_write_chunks`` and ``_read_part`` touch it, so that no view, export or cache ever
    carries a mail.
    """

    _name = "mail.bridge.intake"
    _description = "Mail Bridge Intake"
    _inherit = ["mail.bridge.queue"]
    _order = "id desc"
    _rec_name = "reference"
    _log_access = False

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
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_intake_dedupe_uniq
                   ON mail_bridge_intake (account_id, dedupe_key);
               CREATE INDEX IF NOT EXISTS mail_bridge_intake_account_date_idx
                   ON mail_bridge_intake (account_id, received_at);
               CREATE INDEX IF NOT EXISTS mail_bridge_intake_retention_idx
                   ON mail_bridge_intake (done_at)
                WHERE state = 'done' AND body_deleted IS NOT TRUE;
               CREATE TABLE IF NOT EXISTS mail_bridge_intake_body (
                   intake_id integer NOT NULL
                       REFERENCES mail_bridge_intake ON DELETE CASCADE,
                   part smallint NOT NULL,
                   name varchar,
                   seq integer NOT NULL,
                   data bytea NOT NULL,
                   PRIMARY KEY (intake_id, part, seq));
               ALTER TABLE mail_bridge_intake_body
                   ALTER COLUMN data SET STORAGE EXTERNAL;
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
            self._write_chunks(row[0], BODY_PART, "", body, start=1)
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

    @api.model
    def _write_chunks(self, intake_id, part, name, data, start=0):
        """Write bytes in chunks, the first at least; from chunk ``start`` on.

        One of the two functions that touch the body table, beside the statement that
        stores a post with its first chunk.
        """
        view = memoryview(data)
        count = max(1, -(-len(view) // CHUNK_BYTES))
        for seq in range(start, count):
            chunk = view[seq * CHUNK_BYTES : (seq + 1) * CHUNK_BYTES]
            self.env.cr.execute(
                """INSERT INTO mail_bridge_intake_body
                          (intake_id, part, name, seq, data)
                   VALUES (%s, %s, %s, %s, %s)""",
                (intake_id, part, name, seq, chunk),
            )

    def _read_part(self, part=BODY_PART):
        """Return the bytes of one part; the other function of the body table.

        :raises PermanentError: the retention time is over.
        """
        self.ensure_one()
        chunks = []
        while not chunks or len(chunks[-1]) == CHUNK_BYTES:
            self.env.cr.execute(
                """SELECT data FROM mail_bridge_intake_body
                    WHERE intake_id = %s AND part = %s AND seq = %s""",
                (self.id, part, len(chunks)),
            )
            row = self.env.cr.fetchone()
            if not row:
                break
            chunks.append(bytes(row[0]))
        if not chunks:
            raise PermanentError("the body was deleted after its retention time")
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]

    def _fetched_parts(self):
        """Return ``{name: part number}`` of what was fetched for this intake."""
        self.env.cr.execute(
            """SELECT name, part FROM mail_bridge_intake_body
                WHERE intake_id = %s AND part > 0 AND seq = 0""",
            (self.id,),
        )
        return dict(self.env.cr.fetchall())

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
    @ormcache()
    def _drain_cron_ids(self):
        main = self.env.ref(DRAIN_CRON).sudo()
        copies = (
            self.env["ir.cron"]
            .sudo()
            .with_context(active_test=False)
            .search([("ir_actions_server_id.code", "=", main.code)])
        )
        return (main | copies).ids

    @api.model
    def _drain_crons(self):
        return self._drain_cron_ids()

    @api.model
    def _work(self, row_id, attempt):
        intake = self._hold(row_id, attempt)
        account = intake.account_id
        adapter = registry.get(account.code)
        if not adapter:
            raise TemporaryError(f"the addon of provider {account.code} is not loaded")
        request, facts = intake._request(), account._facts()
        fetched = {}
        if asked := adapter.missing(request, facts):
            fetched = intake._fetch(asked, attempt)
        mails = intake._with_server_results(adapter.parse(request, fetched, facts))
        del request, fetched  # a large mail is in memory often enough without them
        if account.check_dkim and any(map(needs_dkim_check, mails)):
            # DNS may take seconds: never inside the transaction
            self.env.cr.rollback()
            mails = [with_dkim_verdict(mail) for mail in mails]
            self._hold(row_id, attempt)
        intake._deliver(mails)

    def _fetch(self, asked, attempt):
        """Return what a post only points to, by name; fetch what is not here yet.

        Fetching happens between two transactions, and its result is stored for every
        later try. What is not required and cannot be had is stored empty, so that
        nobody asks again and the adapter goes on without it.
        """
        stored = self._fetched_parts()
        if wanted := [request for request in asked if request.name not in stored]:
            self.env.cr.rollback()
            contents = [self._fetch_one(request) for request in wanted]
            self._hold(self.id, attempt)
            first = 1 + max(stored.values(), default=BODY_PART)
            for part, request in enumerate(wanted, start=first):
                content = contents[part - first]
                self._write_chunks(self.id, part, request.name, content)
            self.env.cr.commit()
            self._hold(self.id, attempt)
        return self._fetched()

    @api.model
    def _fetch_one(self, request):
        try:
            return fetch(request)
        except (TemporaryError, PermanentError):
            if request.required:
                raise
            return b""

    def _fetched(self):
        """Return the fetched content by name, without what could not be had."""
        contents = {
            name: self._read_part(part) for name, part in self._fetched_parts().items()
        }
        return {name: content for name, content in contents.items() if content}

    def _with_server_results(self, mails):
        trusted = self.account_id.trusted_authserv_id or ""
        return [with_server_results(mail, trusted) for mail in mails]

    def _deliver(self, mails):
        """Turn mails into messages, in this transaction."""
        self.ensure_one()
        Message = self.env["mail.bridge.message"]
        for number, mail in enumerate(mails):
            Message._receive(self, number, mail)
        self._set_done()
        account, moment = self.account_id, self.received_at
        if not account.first_post_date:
            self.env.cr.postcommit.add(lambda: account._note_first_post(moment))

    def _on_dead(self):
        self.account_id._warn(
            self.env._("A post could not be processed"),
            self.env._(
                "%(reference)s: %(error)s", reference=self.reference, error=self.error
            ),
        )

    def _mails(self):
        """Return the mails of a stored post once more, after its processing.

        :raises PermanentError: the retention time is over, or the addon is gone.
        """
        self.ensure_one()
        adapter = registry.get(self.account_id.code)
        if not adapter:
            raise PermanentError("the provider's addon is not installed")
        facts = self.account_id.sudo()._facts()
        mails = adapter.parse(self._request(), self._fetched(), facts)
        return self._with_server_results(mails)

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
        parameter = self.env["ir.config_parameter"].sudo().get_param
        days = int(parameter("mail_bridge.body_days", BODY_DAYS))
        self.env.cr.execute(
            """UPDATE mail_bridge_intake SET body_deleted = true
                WHERE id IN (SELECT id FROM mail_bridge_intake
                              WHERE state = 'done' AND body_deleted IS NOT TRUE
                                AND done_at < %s
                              LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id""",
            (fields.Datetime.now() - timedelta(days=days), batch),
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        self.env.cr.execute(
            "DELETE FROM mail_bridge_intake_body WHERE intake_id = ANY(%s)", (ids,)
        )
        self.env.invalidate_all()
        days = int(parameter("mail_bridge.message_days", MESSAGE_DAYS))
        horizon = fields.Datetime.now() - timedelta(days=days)
        old = self.search(
            [("state", "=", "done"), ("received_at", "<", horizon)], limit=batch
        )
        self.env["mail.bridge.served"]._forget_before(horizon, batch)
        full = len(ids) == batch or len(old) == batch
        old.message_ids.unlink()
        old.unlink()
        if full:
            self.env.ref("mail_bridge.ir_cron_retention")._trigger()
