# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import logging
import os
import socket
import uuid
from contextlib import contextmanager
from datetime import timedelta

from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED

from odoo import api, fields, models

from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.models.mail_bridge_queue import CONFLICTS

from ..const import WAIT_SECONDS
from ..engine import results
from ..engine.dispatcher import Dispatcher

_logger = logging.getLogger(__name__)


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    @api.model
    def _cron_dispatch(self):
        """Entry point of the dispatchers: send what is due, for some seconds."""
        self._note_wake()
        self._route_stranded()
        accounts = self._send_accounts()
        self.env.cr.commit()  # no transaction of the ORM stays open meanwhile
        with self._engine_cursor() as cr:
            has_doubt = bool(results.find_abandoned(cr))
            cr.commit()
            known = self._known_wake(cr)
            dispatcher = Dispatcher(cr, accounts, self._worker_name(), known)
            try:
                dispatcher.run()
            finally:
                self.env.invalidate_all()
        if has_doubt or dispatcher.has_doubt:
            self._wake("doubt", always=True)
        self.env["mail.relay.recipient"]._wake()
        self._wake_in(dispatcher.wake_in, dispatcher.has_waited)
        self.env.cr.commit()

    @api.model
    @contextmanager
    def _engine_cursor(self):
        """Give a cursor whose transactions are short and see what others committed."""
        with self.env.registry.cursor() as cr:
            cr.connection.set_isolation_level(ISOLATION_LEVEL_READ_COMMITTED)
            yield cr

    @api.model
    def _worker_name(self):
        return f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    @api.model
    def _known_wake(self, cr):
        """Return in how many seconds a dispatcher is called, ``None``: not soon."""
        cr.execute(
            """SELECT extract(epoch FROM
                          min(call_at) - (now() AT TIME ZONE 'UTC'))::float8
                 FROM ir_cron_trigger
                WHERE cron_id = ANY(%s) AND call_at > (now() AT TIME ZONE 'UTC')
                  AND call_at < (now() AT TIME ZONE 'UTC')
                      + %s * interval '1 second'""",
            (self._drain_crons(), WAIT_SECONDS),
        )
        (seconds,) = cr.fetchone()
        cr.commit()
        return seconds

    @api.model
    def _wake_in(self, seconds, waits):
        """Call a dispatcher again when there will be work.

        :param waits: this one stays for what is due within a minute.
        """
        if seconds is None:
            return
        if seconds < 0.001 or (waits and seconds < WAIT_SECONDS):
            self._wake(always=True)
            return
        at = fields.Datetime.now() + timedelta(seconds=min(seconds, 86400) + 1)
        for cron in self._drains()[:1]:
            cron._trigger(at)

    @api.model
    def _send_accounts(self):
        """Return the accounts that send now, as plain values."""
        accounts = self.env["mail.bridge.account"].sudo()
        values = []
        for account in accounts.search(accounts._sending_domain()):
            try:
                values.append(account._send_account())
            except KeyRingError as error:
                self.env["mail.bridge.notice"]._record(
                    account.id, "not_here", str(error)
                )
        return values

    @api.model
    def _route_stranded(self, batch=200):
        """Find a way for mails that no account could send, or whose account is off.

        They wait; what a person switched off is not sent by something else unless the
        route says so.
        """
        accounts = self.env["mail.bridge.account"].sudo()
        sending = accounts.search(accounts._sending_domain())
        others = accounts.with_context(active_test=False).search(
            [("id", "not in", sending.ids)]
        )
        try:
            self.env.cr.execute(
                """SELECT id FROM mail_relay_message
                    WHERE state = 'queued'
                      AND (account_id IS NULL OR account_id = ANY(%s))
                      AND next_attempt <= (now() AT TIME ZONE 'UTC')
                 ORDER BY next_attempt LIMIT %s FOR UPDATE SKIP LOCKED""",
                (others.ids, batch),
                log_exceptions=False,
            )
        except CONFLICTS:
            self.env.cr.rollback()  # another dispatcher is at it
            return
        for mail in self.browse([row[0] for row in self.env.cr.fetchall()]):
            mail._route_anew()

    def _route_anew(self):
        """Choose an account once more, for a mail that has none that sends."""
        self.ensure_one()
        later = fields.Datetime.now() + timedelta(minutes=1)
        if self.is_pinned and self.account_id:
            obstacle = self.account_id.sudo()._sending_obstacle()
            self.write({"next_attempt": later, "error": obstacle})
            return
        choice = self._choice_of_row()
        trace = json.loads(self.route_trace or "[]")
        if not choice.account_ids:
            # Asked again every minute, so what it says is kept once.
            text = "; ".join(why for _account, why in choice.trace)
            self.write({"next_attempt": later, "error": text})
            return
        self.write(
            {
                "account_id": choice.account_ids[0],
                "account_chain": json.dumps(choice.account_ids[1:]),
                "route_id": choice.route_id or False,
                "route_trace": json.dumps([*trace, *choice.trace]),
                "next_attempt": fields.Datetime.now(),
                "error": False,
            }
        )
