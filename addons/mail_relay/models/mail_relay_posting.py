# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import secrets
from datetime import timezone

from psycopg2.extras import execute_values

from odoo import api, fields, models

from ..rest import reports
from ..rest.payloads import DEFAULT_PRIORITY

#: Bytes of a name that an application cannot guess: 22 characters.
PK_BYTES = 16
OPEN = ("waiting", "queued")
COLUMNS = (
    "client_id",
    "client_reference",
    "pk",
    "state",
    "account_id",
    "level",
    "batch_code",
    "deferred_ts",
    "payload",
    "error",
    "created_at",
    "updated_at",
    "next_attempt",
    "relay_message_id",
)
_REPLACED = [name for name in COLUMNS[3:] if name != "created_at"]
#: A message that is not finished yet is what was posted last; one that was refused
#: before takes the place of none but such a one.
UPSERT = f"""
    INSERT INTO mail_relay_posting AS old ({", ".join(COLUMNS)}) VALUES %s
        ON CONFLICT (client_id, client_reference) DO UPDATE SET
           {", ".join(f"{name} = excluded.{name}" for name in _REPLACED)},
           error_at = NULL, sent_at = NULL, attempts = 0
     WHERE old.state = 'refused'
        OR excluded.state <> 'refused' AND old.state IN ('waiting', 'queued')
 RETURNING id"""


class MailRelayPosting(models.Model):
    """One message as an application submitted it, and what it was told of it.

    The mail itself is a ``mail.relay.message``, as soon as its attachments are there.
    """

    _name = "mail.relay.posting"
    _description = "Message of an Application"
    _inherit = ["mail.bridge.wake"]
    _order = "id desc"
    _rec_name = "client_reference"
    _log_access = False
    _drain_code = {"main": "model._cron_fetch()"}

    client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        required=True,
        readonly=True,
        ondelete="cascade",
    )
    company_id = fields.Many2one(related="client_id.company_id", store=False)
    client_reference = fields.Char(string="Its ID", required=True, readonly=True)
    pk = fields.Char(string="Own ID", required=True, readonly=True)
    state = fields.Selection(
        [
            ("waiting", "Waiting for Attachments"),
            ("queued", "Queued"),
            ("sent", "Sent"),
            ("error", "Failed"),
            ("refused", "Refused"),
        ],
        required=True,
        readonly=True,
    )
    account_id = fields.Many2one(
        "mail.bridge.account", readonly=True, ondelete="cascade", index=True
    )
    relay_message_id = fields.Many2one(
        "mail.relay.message", string="Mail", readonly=True, ondelete="set null"
    )
    level = fields.Integer(string="Priority", readonly=True)
    batch_code = fields.Char(string="Batch", readonly=True)
    deferred_ts = fields.Float(readonly=True, digits=(16, 0))
    payload = fields.Text(readonly=True, help="JSON, without contents once queued.")
    error = fields.Text(readonly=True)
    attempts = fields.Integer(readonly=True, default=0)
    next_attempt = fields.Datetime(readonly=True)
    created_at = fields.Datetime(readonly=True)
    updated_at = fields.Datetime(readonly=True)
    sent_at = fields.Datetime(readonly=True)
    error_at = fields.Datetime(readonly=True)
    bounce_at = fields.Datetime(readonly=True)
    bounce_type = fields.Char(readonly=True)
    bounce_code = fields.Char(readonly=True)
    bounce_reason = fields.Text(readonly=True)
    reported_at = fields.Datetime(readonly=True)
    report_ids = fields.One2many("mail.relay.report", "posting_id", readonly=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_posting_reference_uniq
                   ON mail_relay_posting (client_id, client_reference);
               CREATE INDEX IF NOT EXISTS mail_relay_posting_mail_idx
                   ON mail_relay_posting (relay_message_id)
                WHERE relay_message_id IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_relay_posting_open_idx
                   ON mail_relay_posting (client_id, state)
                WHERE state IN ('waiting', 'queued');
               CREATE INDEX IF NOT EXISTS mail_relay_posting_waiting_idx
                   ON mail_relay_posting (level, next_attempt, id)
                WHERE state = 'waiting';
               CREATE INDEX IF NOT EXISTS mail_relay_posting_reported_idx
                   ON mail_relay_posting (reported_at)
                WHERE state NOT IN ('waiting', 'queued')"""
        )

    # --- Storing ---

    @api.model
    def _store(self, rows):
        """Insert or replace messages; those that are finished stay as they are.

        The mail of a replaced one must be gone already.

        :param rows: dicts with some of ``COLUMNS``, each message once.
        :return: the messages that were stored.
        """
        now = fields.Datetime.now()
        common = dict.fromkeys(COLUMNS) | {"created_at": now, "updated_at": now}
        values = []
        for row in rows:
            row = common | {"pk": secrets.token_urlsafe(PK_BYTES)} | row
            values.append([row[name] for name in COLUMNS])
        if not values:
            return self.browse()
        found = execute_values(
            self.env.cr._obj, UPSERT, values, page_size=len(values), fetch=True
        )
        if any(row.get("state") == "waiting" for row in rows):
            self.env.cr.postcommit.add(self._wake_fetcher)
        self.invalidate_model()
        return self.browse(row[0] for row in found)

    def _wake_fetcher(self):
        self.env["mail.relay.posting"]._wake(always=True)

    @api.model
    def _store_refused(self, refused):
        """Keep messages that were refused, and tell their applications by report.

        :param refused: (application, message's id, reason).
        """
        rows = [
            {
                "client_id": client.id,
                "client_reference": reference,
                "state": "refused",
                "level": DEFAULT_PRIORITY,
                "error": reason,
            }
            for client, reference, reason in refused
        ]
        now = fields.Datetime.now()
        stored = self._store(rows)
        self._report([(one, "error", now, (one.error,)) for one in stored])

    # --- What the application is told ---

    def _record(self):
        """Return one message as ``GET /messages`` shows it."""
        self.ensure_one()
        error_at = epoch(self.error_at)
        return {
            "pk": self.pk,
            "id": self.client_reference,
            "tenant_id": self.client_id.identifier,
            "tenant_name": self.client_id.name,
            "account_id": self.account_id.relay_client_reference or None,
            "priority": self.level,
            "batch_code": self.batch_code or None,
            "deferred_ts": int(self.deferred_ts) or None,
            # an attempt has ended, one way or the other
            "sent_ts": epoch(self.sent_at) or error_at,
            "error_ts": error_at,
            "error": self.error or None,
            "reported_ts": epoch(self.reported_at),
            "bounce_type": self.bounce_type or None,
            "bounce_code": self.bounce_code or None,
            "bounce_reason": self.bounce_reason or None,
            "bounce_ts": epoch(self.bounce_at),
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
            "message": self._shown_payload() | self._tries(),
        }

    def _shown_payload(self):
        """Return what was posted, without contents and credentials."""
        given = json.loads(self.payload or "{}")
        given.pop("body", None)
        for one in given.get("attachments") or ():
            one.pop("storage_path", None)
            one.pop("auth", None)
        return given

    def _tries(self):
        """Return how often it was tried again, if it was."""
        tries = self.relay_message_id.attempts
        return {"retry_count": tries} if tries else {}

    def _history(self):
        """Return what happened, in the order in which it did."""
        return [report._event() for report in self.report_ids.sorted("id")]

    @api.model
    def _report(self, news):
        """Tell applications of messages, and note it at the messages.

        :param news: (message, kind, moment, facts): see ``rest.reports.KEYS``; moments
            are naive UTC.
        """
        now = fields.Datetime.now()
        self.env["mail.relay.report"].create(
            [
                {
                    "client_id": posting.client_id.id,
                    "posting_id": posting.id,
                    "kind": kind,
                    "occurred_at": now,
                    "entry": json.dumps(
                        reports.entry(
                            kind, posting.client_reference, epoch(moment), *facts
                        )
                    ),
                }
                for posting, kind, moment, facts in news
            ]
        )
        for posting, kind, moment, facts in news:
            values = posting._after(kind, moment, facts)
            posting.write(values | {"updated_at": now})

    def _after(self, kind, moment, facts):
        """Return what a message knows after it was told of."""
        if kind == "sent":
            return {"state": "sent", "sent_at": moment, "error": False}
        if kind == "error":
            begun = self.relay_message_id
            state = "error" if begun else "refused"
            return {"state": state, "error_at": moment, "error": facts[0]}
        if kind == "deferred":
            return {"deferred_ts": epoch(moment)}
        if kind == "bounce":
            names = ("bounce_type", "bounce_code", "bounce_reason")
            return dict(zip(names, facts, strict=True)) | {"bounce_at": moment}
        return {}

    def _tell_again(self):
        """Repeat the last word on finished messages: their application missed it."""
        for posting in self:
            last = posting.report_ids.filtered(
                lambda report: report.kind in reports.FINAL
            ).sorted("id")[-1:]
            if last:
                last.copy({"reported_at": False, "occurred_at": fields.Datetime.now()})


def epoch(moment):
    """Return a naive UTC time as seconds since 1970, ``None`` for none."""
    return int(moment.replace(tzinfo=timezone.utc).timestamp()) if moment else None


def iso(moment):
    """Return a naive UTC time as ISO text, ``None`` for none."""
    return f"{moment.isoformat(timespec='seconds')}Z" if moment else None
