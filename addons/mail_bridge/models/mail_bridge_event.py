# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from datetime import timezone

from odoo import api, fields, models
from odoo.tools import email_normalize

from ..const import EVENT_BATCH
from ..providers.eventkey import event_key
from ..providers.headers import storable

#: What a provider may have us keep of one word, characters.
MAX_WORD = 998
MAX_TEXT = 4000
MOMENT = "%Y-%m-%d %H:%M:%S.%f"
INSERT_EVENTS = """
    INSERT INTO mail_bridge_event
           (account_id, company_id, intake_id, source, state, attempts, next_attempt,
            received_at, event_key, type, recipient, email_normalized, occurred_at,
            reference, provider_reference, event_reference, message_id, bounce_class,
            stage, smtp_code, enhanced_code, diagnostic, url, user_agent, ip, metadata)
    SELECT %(account_id)s, %(company_id)s, %(intake_id)s, %(source)s, 'pending', 0,
           now() AT TIME ZONE 'UTC', %(received_at)s, e.*
      FROM json_to_recordset(%(events)s) AS e (
           event_key varchar, type varchar, recipient varchar,
           email_normalized varchar, occurred_at timestamp, reference varchar,
           provider_reference varchar, event_reference varchar, message_id varchar,
           bounce_class varchar, stage varchar, smtp_code integer,
           enhanced_code varchar, diagnostic text, url text, user_agent varchar,
           ip varchar, metadata text)
  ORDER BY event_key
        ON CONFLICT (account_id, event_key) DO NOTHING"""


class MailBridgeEvent(models.Model):
    """Something that a provider, or a report by mail, tells about one recipient.

    It is kept as it was told, once, also when it comes early, late, or about a mail
    that nobody here knows (yet). What it changes is decided apart from that, by the
    addon that sends; until one does, an event is *unmatched*.
    """

    _name = "mail.bridge.event"
    _description = "Mail Bridge Delivery Event"
    _inherit = "mail.bridge.wake"
    _order = "id desc"
    _rec_name = "recipient"
    _log_access = False
    _drain_code = {"main": "model._cron_apply()"}

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", readonly=True, index=True)
    intake_id = fields.Many2one(
        "mail.bridge.intake",
        string="Request",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )
    event_key = fields.Char(
        readonly=True, required=True, help="The same for each telling of this event."
    )
    source = fields.Selection(
        [
            ("webhook", "Webhook"),
            ("report", "Report by Mail"),
            ("reconcile", "Asked For"),
        ],
        required=True,
        readonly=True,
    )
    state = fields.Selection(
        [
            ("pending", "Pending"),
            ("applied", "Applied"),
            ("unmatched", "Unmatched"),
            ("dead", "Dead"),
        ],
        required=True,
        readonly=True,
        default="pending",
        help="Applied: its recipient knows. Unmatched: nobody here knows the mail.",
    )
    attempts = fields.Integer(readonly=True, required=True, default=0)
    next_attempt = fields.Datetime(readonly=True, default=fields.Datetime.now)
    applied_at = fields.Datetime(readonly=True)
    error = fields.Text(readonly=True)

    # What was told
    type = fields.Selection(
        [
            ("queued", "Queued"),
            ("sent", "Sent"),
            ("deferred", "Deferred"),
            ("delivered", "Delivered"),
            ("opened", "Opened"),
            ("clicked", "Clicked"),
            ("bounced", "Bounced"),
            ("rejected", "Rejected"),
            ("failed", "Failed"),
            ("complained", "Complained"),
            ("unsubscribed", "Unsubscribed"),
            ("subscribed", "Subscribed"),
            ("autoresponded", "Autoresponded"),
            ("unknown", "Unknown"),
        ],
        required=True,
        readonly=True,
    )
    recipient = fields.Char(readonly=True)
    email_normalized = fields.Char(string="Normalized Recipient", readonly=True)
    occurred_at = fields.Datetime(readonly=True, required=True)
    received_at = fields.Datetime(readonly=True, required=True)
    reference = fields.Char(readonly=True, help="Ours, as the mail carried it.")
    provider_reference = fields.Char(
        readonly=True, help="The provider's name of the mail."
    )
    event_reference = fields.Char(
        readonly=True, help="The provider's name of the event."
    )
    message_id = fields.Char(string="Message-ID", readonly=True)
    bounce_class = fields.Selection(
        [("hard", "Hard"), ("soft", "Soft"), ("block", "Block")],
        readonly=True,
        help="Hard: the address is wrong. Soft: for now. Block: the sender is why.",
    )
    stage = fields.Char(readonly=True, help="Where the conversation stood.")
    smtp_code = fields.Integer(string="SMTP Code", readonly=True)
    enhanced_code = fields.Char(readonly=True, help="RFC 3463.")
    diagnostic = fields.Text(readonly=True, help="What the server said.")
    url = fields.Text(string="Link", readonly=True)
    user_agent = fields.Char(readonly=True)
    ip = fields.Char(string="IP Address", readonly=True)
    metadata = fields.Text(readonly=True, help="What else was told, as JSON.")

    def init(self):
        # hash: an identifier may be longer than what a tree can index
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_event_key_uniq
                   ON mail_bridge_event (account_id, event_key);
               CREATE INDEX IF NOT EXISTS mail_bridge_event_due_idx
                   ON mail_bridge_event (next_attempt, id)
                WHERE next_attempt IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_bridge_event_received_idx
                   ON mail_bridge_event (received_at);
               CREATE INDEX IF NOT EXISTS mail_bridge_event_recipient_idx
                   ON mail_bridge_event USING hash (email_normalized);
               CREATE INDEX IF NOT EXISTS mail_bridge_event_reference_idx
                   ON mail_bridge_event USING hash (reference)
                WHERE reference IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_bridge_event_unmatched_provider_idx
                   ON mail_bridge_event USING hash (provider_reference)
                WHERE state = 'unmatched' AND provider_reference IS NOT NULL;
               CREATE INDEX IF NOT EXISTS mail_bridge_event_unmatched_message_idx
                   ON mail_bridge_event USING hash (message_id)
                WHERE state = 'unmatched' AND message_id IS NOT NULL"""
        )

    # --- Storing ---

    @api.model
    def _store(self, account, events, source, intake=None):
        """Keep the events that are new, in the caller's transaction.

        :param account: whose provider tells them.
        :param events: ``providers.delivery.DeliveryEvent`` values.
        :param source: ``webhook``, ``report`` or ``reconcile``.
        :param intake: the post that they came with.
        :return: how many were new; the drain is called after the commit.
        :raises psycopg2.errors.SerializationFailure: another transaction stored one of
            them at the same instant; roll back and call again.
        """
        moment = intake.received_at if intake else self.env.cr.now()
        received_at = moment.replace(tzinfo=timezone.utc)
        rows = {}
        for event in events:
            key = event_key(event, received_at)
            rows.setdefault(key, {"event_key": key} | _row(event))
        count = 0
        wanted = list(rows.values())
        for start in range(0, len(wanted), EVENT_BATCH):
            values = {
                "account_id": account.id,
                "company_id": account.company_id.id,
                "intake_id": intake.id if intake else None,
                "source": source,
                "received_at": moment,
                "events": json.dumps(wanted[start : start + EVENT_BATCH]),
            }
            self.env.cr.execute(INSERT_EVENTS, values, log_exceptions=False)
            count += self.env.cr.rowcount
        if count:
            self.env.cr.postcommit.add(self._wake)
        return count

    # --- Retention ---

    @api.model
    def _forget_before(self, horizon, batch):
        """Delete what was received before a moment, and return how many these were.

        What is not applied yet, and still may be, stays.
        """
        self.env.cr.execute(
            """DELETE FROM mail_bridge_event
                WHERE id IN (SELECT id FROM mail_bridge_event
                              WHERE received_at < %s AND state <> 'pending'
                              LIMIT %s FOR UPDATE SKIP LOCKED)""",
            (horizon, batch),
        )
        self.env.invalidate_all()
        return self.env.cr.rowcount


def _row(event):
    """Return the columns of an event, as a database can keep them."""
    reply = event.reply
    words = {
        "recipient": event.recipient.strip(),
        "email_normalized": normalized(event.recipient),
        "reference": event.reference,
        "provider_reference": event.provider_reference,
        "event_reference": event.event_reference,
        "message_id": event.message_id,
        "bounce_class": event.bounce_class,
        "stage": reply.stage if reply else "",
        "enhanced_code": reply.enhanced if reply else "",
        "user_agent": event.user_agent,
        "ip": event.ip,
    }
    texts = {"diagnostic": reply.text if reply else "", "url": event.url}
    metadata = {
        storable(name)[:MAX_WORD]: storable(value)[:MAX_TEXT]
        for name, value in event.metadata.items()
    }
    return {
        "type": event.type,
        "occurred_at": f"{event.occurred_at.astimezone(timezone.utc):{MOMENT}}",
        "smtp_code": reply.code if reply else None,
        "metadata": json.dumps(metadata) if metadata else None,
        **{name: storable(word)[:MAX_WORD] or None for name, word in words.items()},
        **{name: storable(text)[:MAX_TEXT] or None for name, text in texts.items()},
    }


def normalized(address):
    """Return an address as it is compared."""
    return email_normalize(address) or address.strip().lower()
