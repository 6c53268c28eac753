# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import random
import time
from email.message import EmailMessage

import psycopg2
from markupsafe import escape

from odoo import api, models

from odoo.addons.mail_bridge.const import CONFLICT_TRIES
from odoo.addons.mail_bridge.models.mail_bridge_queue import CONFLICTS

from ..const import TELL_BATCH
from ..engine import truths
from ..providers.rules import REASONS
from ..providers.states import RANKS

_logger = logging.getLogger(__name__)

SENT, DELIVERED, FAILED = ("pending", None), ("sent", None), ("exception", "unknown")
#: Status and failure type of core's notification, by the state of the recipient
#: (issue 3 §B). To core *pending* is "Sent" and *sent* is "Delivered".
NOTIFICATIONS = {
    "pending": ("process", None),
    "deferred": ("process", None),
    "cancelled": ("canceled", None),
    "sent": SENT,
    "failed": FAILED,
    "rejected": FAILED,
    "bounced": ("exception", "mail_bounce"),
    "delivered": DELIVERED,
    "opened": DELIVERED,
    "clicked": DELIVERED,
    "unsubscribed": DELIVERED,
    "complained": DELIVERED,
}
HARD_BOUNCE = ("bounce", "mail_bounce")
#: A reason that core has a word for.
FAILURE_TYPES = {"malformed": "mail_email_invalid"}
#: The newest delivery of a message to a person counts: it may have been sent once
#: more. Takes arrays of messages and of persons, who are known by ``{who}``.
NEWEST = """
    SELECT DISTINCT ON (mail.mail_message_id, person.{who}) person.id
      FROM mail_relay_message mail
      JOIN mail_relay_recipient person ON person.relay_message_id = mail.id
     WHERE mail.mail_message_id = ANY(%s) AND person.{who} = ANY(%s)
  ORDER BY mail.mail_message_id, person.{who}, mail.id DESC, person.rank DESC"""
#: Takes arrays: recipients, statuses, failure types, failure reasons.
NOTIFY = """
    UPDATE mail_notification note
       SET notification_status = v.status, failure_type = v.kind,
           failure_reason = v.why
      FROM unnest(%s, %s::varchar[], %s::varchar[], %s::text[])
           AS v(id, status, kind, why)
      JOIN mail_relay_recipient person ON person.id = v.id
      JOIN mail_relay_message mail ON mail.id = person.relay_message_id
     WHERE note.mail_message_id = mail.mail_message_id
       AND note.notification_type = 'email' AND {same}
       AND (note.notification_status, note.failure_type, note.failure_reason)
           IS DISTINCT FROM (v.status, v.kind, v.why)
 RETURNING note.mail_message_id"""


class MailRelayRecipient(models.Model):
    """How truth comes forward, and how others get to know of it.

    Whoever learns something, an attempt or an event, only raises the rank. What
    follows for notifications, partners and suppressions is done apart from that, once
    for each step and for all recipients alike: ``_after_truth``.
    """

    _inherit = "mail.relay.recipient"

    @api.model
    def _advance(self, news):
        """Bring recipients forward by what is told of them; the caller commits.

        :param news: ``engine.truths.Told`` values, of any recipients in any order.
        """
        news = list(news)
        self.env.flush_all()
        truths.write(self.env.cr, news)
        self.browse({item.recipient_id for item in news}).invalidate_recordset()
        self.env.cr.postcommit.add(self._wake)

    # --- Tell ---

    @api.model
    def _cron_tell(self):
        """Entry point of the drain; one is enough, a second would only wait."""
        self._drain()

    @api.model
    def _claim(self, lane="main"):
        """Return recipients whose news nobody knows yet: ``(ids,)`` or ``None``."""
        self.env.cr.rollback()  # a fresh snapshot
        self.env.cr.execute(
            """SELECT id FROM mail_relay_recipient WHERE rank > told_rank
             ORDER BY id LIMIT %s""",
            (TELL_BATCH,),
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        self.env.cr.rollback()
        self.env.invalidate_all()
        return (ids,) if ids else None

    @api.model
    def _try(self, ids):
        """Tell of some recipients; where that fails, of each half.

        Who cannot be told of is left out for good, or nobody after him would be.
        """
        try:
            return self._tell(ids)
        except psycopg2.OperationalError:  # conflicts among them: the next round may
            self._forget()
            return time.sleep(random.uniform(0.05, 0.1))  # noqa: S311
        except Exception:
            self._forget()
            if len(ids) == 1:
                _logger.exception("what became of recipient %s is not told", ids)
                self._set_told(ids)
                return self.env.cr.commit()
        middle = len(ids) // 2
        self._try(ids[:middle])
        return self._try(ids[middle:])

    @api.model
    def _tell(self, ids):
        """Tell of some recipients, in one transaction."""
        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                changed = self._hold_untold(ids)
                changed._after_truth()
                self._set_told(changed.ids)
                return self.env.cr.commit()
            except CONFLICTS:
                self._forget()
                if not tries_left:
                    raise
        return None

    @api.model
    def _hold_untold(self, ids):
        """Lock those of some recipients that have news, and return them."""
        self.env.cr.execute(
            """SELECT id FROM mail_relay_recipient
                WHERE id = ANY(%s) AND rank > told_rank ORDER BY id FOR UPDATE""",
            (ids,),
            log_exceptions=False,
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    @api.model
    def _set_told(self, ids):
        """Note that all there is to know was told."""
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE mail_relay_recipient SET told_rank = rank WHERE id = ANY(%s)",
            (ids,),
        )
        self.browse(ids).invalidate_recordset()

    def _after_truth(self):
        """Let others know what recipients have come to.

        For something to follow from news of recipients, an addon must override this
        method. ``told_rank`` is the rank that was told before, so that each step
        counts once. It runs as superuser, in the transaction that notes it as told.
        """
        self._retry_early_events()
        self.env["mail.relay.suppression"]._note_bounces(self)
        messages = self._update_notifications()
        self._tell_bounces()
        self._update_screens(messages)

    @api.model
    def _update_screens(self, messages):
        """Show the news to who has a message open; who has not sees them anyway."""
        try:
            with self.env.cr.savepoint():
                messages._notify_message_notification_update()
        except CONFLICTS:
            raise
        except Exception:  # no reason to forget what became of the mails
            _logger.warning("the screens do not show the news", exc_info=True)

    def _retry_early_events(self):
        """Events may have come before we knew how the provider calls the mail."""
        sent = self.filtered(lambda item: item.told_rank < RANKS[truths.SENT])
        mails = sent.relay_message_id
        self.env["mail.bridge.event"]._retry_unmatched(
            references=mails.mapped("reference"),
            provider_references={
                *mails.mapped("provider_reference"),
                *sent.mapped("provider_reference"),
            },
            message_ids={
                *mails.mapped("message_id"),
                *mails.mapped("provider_message_id"),
            },
        )

    # --- Notifications ---

    def _update_notifications(self):
        """Show at core's notifications what became of mails; return the messages."""
        self.env.flush_all()
        known = self.filtered("partner_id")
        people = known.partner_id.ids
        found = known._notify("partner_id", people, "res_partner_id")
        if "mail_email_address" in self.env["mail.notification"]._fields:  # 19.0
            others = self - known
            people = others.mapped("email_normalized")
            found |= others._notify("email_normalized", people, "mail_email_address")
        self.env["mail.notification"].invalidate_model()
        return self.env["mail.message"].sudo().browse(sorted(found)).exists()

    def _notify(self, who, people, note):
        """Update core's notifications of some people; return the ids of the messages.

        :param who: the column that names a person here, ``note`` the one there.
        """
        messages = self.relay_message_id.mail_message_id.ids
        self.env.cr.execute(NEWEST.format(who=who), (messages, people))
        newest = self.browse(row[0] for row in self.env.cr.fetchall())
        if not newest:
            return set()
        columns = zip(*(item._as_notification() for item in newest), strict=True)
        statement = NOTIFY.format(same=f"note.{note} = person.{who}")
        values = (newest.ids, *map(list, columns))
        self.env.cr.execute(statement, values, log_exceptions=False)
        return {row[0] for row in self.env.cr.fetchall()}

    def _as_notification(self):
        """Return status, failure type and failure reason of core's notification."""
        status, kind = NOTIFICATIONS[self.state]
        if self.bounce_class == "hard" and self.state == "bounced":
            status, kind = HARD_BOUNCE
        if not kind:
            return status, None, None
        return status, FAILURE_TYPES.get(self.reason, kind), self._failure_reason()

    def _failure_reason(self):
        """Return the reason of a failure for people: what it means, what was said."""
        meaning = REASONS.get(self.reason or "", "")
        said = self.failure_text or ""
        return " ".join(filter(None, (meaning, said))) or None

    # --- Bounces ---

    def _tell_bounces(self):
        """Let core count hard bounces at partners and other records."""
        hard = RANKS[truths.HARD]
        for item in self:
            if item.rank == hard and item.told_rank < hard:
                item._tell_bounce()

    def _tell_bounce(self):
        mail = self.relay_message_id
        self.env["mail.thread"].sudo()._routing_handle_bounce(
            EmailMessage(),
            {
                "bounced_email": self.email_normalized,
                "bounced_partner": self.partner_id,
                "bounced_msg_ids": [mail.message_id],
                "bounced_message": mail.mail_message_id,
                "email_from": self.address,
                "to": mail.envelope_sender or "",
                "message_id": mail.message_id,
                "body": escape(self._failure_reason() or ""),
            },
        )
