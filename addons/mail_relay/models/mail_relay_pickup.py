# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time

import psycopg2

from odoo import api, fields, models

from odoo.addons.mail_bridge.const import WAKE_SECONDS

from ..outgoing import take_ref

_logger = logging.getLogger(__name__)

#: Mails that are rendered and queued in one transaction.
BATCH = 40
#: Tries of a claim that came across another one's.
CLAIM_TRIES = 5
#: How one transaction remembers when it calls, and by which trigger row.
CALL_KEY = "mail_relay.pickup"
#: When the cron workers of a database were last called by this process.
_called: dict[str, float] = {}

#: What decides through which server core sends a mail; one mail for each kind.
KINDS = """
    SELECT min(mail.id), coalesce(text.mail_server_id, 0),
           coalesce(text.record_alias_domain_id, 0), coalesce(text.email_from, ''),
           coalesce(text.create_uid, 0)
      FROM mail_mail mail JOIN mail_message text ON text.id = mail.mail_message_id
     WHERE mail.state = 'outgoing'
       AND (mail.scheduled_date IS NULL
            OR mail.scheduled_date <= (now() AT TIME ZONE 'UTC'))
  GROUP BY 2, 3, 4, 5"""
#: Takes arrays: the columns of the kinds.
CLAIM = """
    SELECT mail.id
      FROM mail_mail mail
      JOIN mail_message text ON text.id = mail.mail_message_id
      JOIN unnest(%s::int[], %s::int[], %s::text[], %s::int[])
           AS kind(server_id, domain_id, sender, author_id)
        ON kind.server_id = coalesce(text.mail_server_id, 0)
       AND kind.domain_id = coalesce(text.record_alias_domain_id, 0)
       AND kind.sender = coalesce(text.email_from, '')
       AND kind.author_id = coalesce(text.create_uid, 0)
     WHERE mail.state = 'outgoing'
       AND (mail.scheduled_date IS NULL
            OR mail.scheduled_date <= (now() AT TIME ZONE 'UTC'))
  ORDER BY mail.id {direction} LIMIT %s
       FOR UPDATE OF mail SKIP LOCKED"""


class _Round:
    """What one call of the cron knows: which kinds of mail are relayed, whose turn."""

    def __init__(self):
        self.kinds = None
        self.newest_first = False
        self.has_called = False


class MailRelayPickup(models.AbstractModel):
    """Takes Odoo's outgoing mails over into the queue of the relay.

    The rows of ``mail.mail`` are the outbox: written in the business transaction, which
    calls this cron by a trigger row of its own. One mail is rendered by core's own
    pipeline, with a session that queues it (``RelaySession``); its row is locked
    meanwhile, so whoever else sends it finds it taken.
    """

    _name = "mail.relay.pickup"
    _description = "Mail Relay Pick-up"
    _inherit = "mail.bridge.wake"
    _drain_code = {"main": "model._cron_pick_up()"}

    # --- The call ---

    @api.model
    def _call_for(self, mails):
        """Call the pick-up in this transaction where one of these mails may be for it.

        One trigger row for any number of mails; a crash after the commit leaves it.
        """
        relayed = self.env["ir.mail_server"]._relayed_ids()
        if not relayed:
            return
        now = fields.Datetime.now()
        moments = [
            max(mail.scheduled_date or now, now)
            for mail in mails.sudo()
            if mail.state == "outgoing"
            and (not mail.mail_server_id or mail.mail_server_id.id in relayed)
        ]
        if moments:
            self._call(min(moments))

    @api.model
    def _call(self, moment):
        """Call the pick-up at a moment; the earliest of a transaction counts."""
        data = self.env.cr.precommit.data
        if CALL_KEY in data:
            data[CALL_KEY] = min(data[CALL_KEY], moment)
            return
        data[CALL_KEY] = moment
        self.env.cr.precommit.add(self._write_call)

    @api.model
    def _write_call(self):
        """Write the trigger row of this transaction, or move it to an earlier moment.

        Core flushes at each savepoint, so this may run several times; the row may be
        gone with a savepoint.
        """
        moment = self.env.cr.precommit.data.pop(CALL_KEY)
        data = self.env.cr.postcommit.data
        self.env.cr.execute(
            """UPDATE ir_cron_trigger SET call_at = least(call_at, %s)
                WHERE id = %s""",
            (moment, data.get(CALL_KEY, 0)),
        )
        if self.env.cr.rowcount:
            return
        self.env.cr.execute(
            """INSERT INTO ir_cron_trigger
                      (cron_id, call_at, create_uid, write_uid, create_date, write_date)
               SELECT id, %s, 1, 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
                 FROM ir_cron WHERE id = ANY(%s) AND active ORDER BY id LIMIT 1
            RETURNING id""",
            (moment, self._drain_crons()),
        )
        if row := self.env.cr.fetchone():
            [data[CALL_KEY]] = row
            if moment <= fields.Datetime.now():
                self.env.cr.postcommit.add(self._notify)

    @api.model
    def _notify(self):
        """Wake the cron workers, unless this process did so a moment ago.

        A pick-up that was called then looks once more after a longer pause.
        """
        now = time.monotonic()
        if now - _called.get(self.env.cr.dbname, -WAKE_SECONDS) >= WAKE_SECONDS:
            _called[self.env.cr.dbname] = now
            self.env["ir.cron"]._notifydb()

    # --- The cron ---

    @api.model
    def _cron_pick_up(self):
        """Entry point: take over what is due, for some seconds."""
        if not self.env["ir.mail_server"]._relayed_ids():
            return
        self.with_context(mail_relay_round=_Round())._drain()
        self._call_for_scheduled()

    @api.model
    def _call_for_scheduled(self):
        """Make sure that somebody comes for the next mail that is scheduled."""
        self.env.cr.execute(
            """SELECT min(scheduled_date) FROM mail_mail
                WHERE state = 'outgoing'
                  AND scheduled_date > (now() AT TIME ZONE 'UTC')"""
        )
        (moment,) = self.env.cr.fetchone()
        self.env.cr.execute(
            """SELECT 1 FROM ir_cron_trigger
                WHERE cron_id = ANY(%s) AND call_at > (now() AT TIME ZONE 'UTC')
                  AND call_at <= %s LIMIT 1""",
            (self._drain_crons(), moment),
        )
        if moment and not self.env.cr.fetchone():
            self._call(moment)
        self.env.cr.commit()

    @api.model
    def _claim(self, lane="main"):
        """Lock mails that are due and relayed; they stay locked until they are queued.

        No network follows, so the lock is the claim: who dies gives them back at once.
        """
        round_ = self.env.context["mail_relay_round"]
        is_fresh = round_.kinds is None
        ids = self._lock_due(round_)
        if not ids and not is_fresh:
            round_.kinds = None  # meanwhile mails of another kind may wait
            ids = self._lock_due(round_)
        if not ids:
            self.env.cr.commit()
            round_.kinds = None
            return None
        round_.newest_first = not round_.newest_first
        return (ids, round_)

    @api.model
    def _lock_due(self, round_):
        """Return the ids of some mails that are due, locked.

        In turns the oldest and the newest, so that one mail need not wait for all of a
        mass mailing before it.
        """
        direction = "DESC" if round_.newest_first else "ASC"
        for _try in range(CLAIM_TRIES):
            self.env.cr.commit()  # what others have sent meanwhile is seen
            if round_.kinds is None:
                round_.kinds = self._relayed_kinds()
            if not round_.kinds:
                return []
            columns = [list(column) for column in zip(*round_.kinds, strict=True)]
            try:
                self.env.cr.execute(
                    CLAIM.format(direction=direction),
                    (*columns, BATCH),
                    log_exceptions=False,
                )
            except psycopg2.OperationalError:
                self._forget()
            else:
                return sorted(row[0] for row in self.env.cr.fetchall())
        return []

    @api.model
    def _relayed_kinds(self):
        """Return which kinds of waiting mail core would give to a relayed server."""
        self.env.cr.execute(KINDS)
        kinds = {row[0]: row[1:] for row in self.env.cr.fetchall()}
        mails = self.env["mail.mail"].sudo().browse(kinds)
        relayed = self.env["ir.mail_server"]._relayed_ids()
        return [
            kinds[mail_id]
            for server_id, _domain, _sender, ids in mails._split_by_mail_configuration()
            if server_id in relayed
            for mail_id in ids
        ]

    @api.model
    def _try(self, ids, round_):
        """Queue mails together, else one by one, so that none stops the others."""
        if len(ids) == BATCH and not round_.has_called:
            round_.has_called = True
            self.env.cr.postcommit.add(lambda: self._wake(always=True))
        try:
            self._pick_up(ids)
            self.env.cr.commit()
        except Exception as error:
            self._forget()
            _logger.info("Pick-up of %s mails: %s", len(ids), type(error).__name__)
            for mail_id in ids:
                self._try_one(mail_id)

    @api.model
    def _pick_up(self, ids):
        """Let core send these mails; its sessions queue them."""
        self.env["mail.mail"].sudo().browse(ids).send()

    @api.model
    def _try_one(self, mail_id):
        """Queue one mail, or say at it why that failed; always ends committed."""
        try:
            self._pick_up([mail_id])
            self.env.cr.commit()
        except psycopg2.OperationalError as error:
            self._forget()  # somebody else has it, or the database is away
            _logger.info("Pick-up of mail %s: %s", mail_id, type(error).__name__)
        except Exception as error:
            self._forget()
            _logger.warning("Pick-up of mail %s", mail_id, exc_info=True)
            mail = self.env["mail.mail"].sudo().browse(mail_id).exists()
            mail.filtered(lambda item: item.state == "outgoing")._mark_broken(error)
            self.env.cr.commit()

    # --- One mail ---

    @api.model
    def _submission(self, session, message, smtp_from, smtp_to_list):
        """Return what is queued for a mail that core hands to a session."""
        ref = take_ref(message)
        mails = self.env["mail.mail"].sudo()
        if ref.mail_id in session.mail_ids:
            mails = mails.browse(ref.mail_id)
        return mails._relay_submission(
            session, message, smtp_from, smtp_to_list, ref.partner_id if mails else 0
        )
