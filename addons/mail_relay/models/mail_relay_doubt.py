# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time
from datetime import timedelta

from odoo import api, fields, models

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.models.mail_bridge_queue import CONFLICTS
from odoo.addons.mail_bridge.providers.delivery import OutgoingMail

from ..const import DISPATCH_SECONDS, DOUBT_ASK_SECONDS, DOUBT_SECONDS
from ..providers.retry import PROFILES
from ..providers.states import is_open

_logger = logging.getLogger(__name__)


class MailRelayMessage(models.Model):
    """Mails that may have been sent, and nobody knows.

    The provider is asked for a quarter of an hour. Who still knows nothing then has to
    choose between maybe twice and maybe never; unless the account says otherwise, a
    person does.
    """

    _inherit = "mail.relay.message"

    @api.model
    def _cron_resolve_doubt(self):
        """Entry point: ask about mails in doubt, decide about those nobody knows."""
        self._note_wake()
        end = time.monotonic() + DISPATCH_SECONDS
        while time.monotonic() < end:
            mail = self._claim_doubtful()
            if not mail:
                return
            try:
                mail._resolve_doubt()
                self.env.flush_all()
                self.env.cr.commit()
            except CONFLICTS:  # somebody else decided about it at the same moment
                self.env.cr.rollback()
                self.env.transaction.reset()
            except Exception:
                # Its turn comes again; nobody else has to wait for that.
                _logger.exception("mail in doubt %s", mail.id)
                self.env.cr.rollback()
                self.env.transaction.reset()
        self._wake("doubt", always=True)

    @api.model
    def _claim_doubtful(self):
        """Take one mail whose turn it is to be asked about, in a commit of its own."""
        self.env.cr.rollback()
        self.env.cr.execute(
            """UPDATE mail_relay_message SET claimed_until =
                      (now() AT TIME ZONE 'UTC') + %s * interval '1 second'
                WHERE id = (SELECT id FROM mail_relay_message
                             WHERE state = 'in_doubt'
                               AND claimed_until <= (now() AT TIME ZONE 'UTC')
                          ORDER BY claimed_until LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id""",
            (DOUBT_ASK_SECONDS,),
        )
        row = self.env.cr.fetchone()
        self.env.cr.commit()
        self.env.invalidate_all()
        return self.browse(row[0] if row else [])

    def _resolve_doubt(self):
        """Ask the provider, and decide where it cannot say, or said nothing in time."""
        self.ensure_one()
        if not self._open_recipients():  # their events came while it was on the wire
            self._move(
                "done", done_at=fields.Datetime.now(), claimed_until=False, error=False
            )
            return
        account = self.account_id.sudo()
        adapter = account._adapter()
        if adapter and adapter.is_idempotent:
            self._ask_again(fields.Datetime.now())
            return
        try:
            events = self._asked(account, adapter) if adapter else None
        except (TemporaryError, KeyRingError) as error:
            _logger.info("mail %s: not asked now: %s", self.reference, error)
            events = []
        self._hear(account, events)

    def _hear(self, account, events):
        """Keep what the provider told, and end the doubt where that was no news.

        It may know of some recipients and not of others, each time anew.

        :param events: ``None``: it cannot be asked at all.
        """
        Event = self.env["mail.bridge.event"]
        news = bool(events) and Event._store(account, events, source="reconcile")
        if events is None or (not news and self._doubt_is_old()):
            self._end_doubt(account)

    def _open_recipients(self):
        return self.recipient_ids.filtered(lambda item: is_open(item.state))

    def _ask_again(self, moment, **values):
        """Send the same once more through the same account, and no other."""
        self._move(
            "queued",
            next_attempt=moment,
            claimed_until=False,
            account_chain="[]",
            is_pinned=True,
            **values,
        )
        self.env.cr.postcommit.add(lambda: self._wake(always=True))

    def _asked(self, account, adapter):
        """Return what the provider knows of the mail, ``None``: it cannot be asked.

        No transaction is open meanwhile.
        """
        mail = OutgoingMail(
            mime=b"",
            envelope_sender=self.envelope_sender or "",
            recipients=tuple(self._open_recipients().mapped("address")),
            reference=self.reference,
            message_id=self.message_id,
            idempotency_key=self.idempotency_key or "",
        )
        facts = account._facts()
        self.env.cr.commit()
        try:
            return adapter.find(mail, facts)
        except (NotImplementedError, PermanentError):
            return None

    def _doubt_is_old(self):
        """Tell whether the provider had its time to say something."""
        since = self.sending_since or self.first_attempt_at
        return not since or self._now() - since > timedelta(seconds=DOUBT_SECONDS)

    def _end_doubt(self, account):
        """Do what the account wants where nobody knows.

        A server that takes each copy and says nothing would get one after the other:
        there are as many as waits in the account's profile, with these waits.
        """
        copies = self.possible_duplicates
        delays = PROFILES[account.relay_retry_profile].delays
        if account.relay_doubt_policy == "resend" and copies < len(delays):
            self._ask_again(
                fields.Datetime.now() + timedelta(seconds=delays[copies]),
                possible_duplicates=copies + 1,
                generation=self.generation + 1,
            )
            return
        self._move("held", hold_reason="doubt", claimed_until=False)
        account._warn(
            self.env._("A mail may have been sent, and nobody knows"),
            self.env._(
                "%(subject)s (%(reference)s) is held. Under Deliveries, send it "
                "again, which may make it arrive twice, or cancel it.",
                subject=self.subject or "",
                reference=self.reference,
            ),
        )
