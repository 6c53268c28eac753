# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time
from datetime import timedelta

import requests

from odoo import api, fields, models

from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent

from .. import sending

_logger = logging.getLogger(__name__)

#: The simulator forgets a mail after this many minutes, and tells so many at once.
MEMORY_MINUTES = 60
MOST_AT_ONCE = 200
#: The longest wait within one call, seconds.
PATIENCE = 5.0
LINK = "https://shop.example/lamps"
READER = "Mozilla/5.0 (X11; Linux x86_64) Simulator/1.0"
READER_IP = "192.0.2.44"
#: What a provider only sees where it may.
_TRACKED = {"opened": "track_opens", "clicked": "track_clicks"}


class MailRelayRecipient(models.Model):
    """What the simulator tells of the recipients of mails that it took."""

    _inherit = "mail.relay.recipient"

    def _after_truth(self):
        result = super()._after_truth()
        if any(item.account_id.code == "demo" for item in self):
            self.env.ref("mail_bridge_demo.ir_cron_play")._trigger()
        return result

    @api.model
    def _cron_play(self):
        """Entry point: post what is due to be told, now and after a short wait.

        Cron workers look for what is due later once a minute only; readers are faster.
        """
        told, wait = self._demo_round(self.browse())
        if wait is not None and wait <= PATIENCE:
            self.env["mail.bridge.account"]._end_transaction()
            time.sleep(wait)
            self.env.invalidate_all()
            self._demo_round(told)

    @api.model
    def _demo_round(self, told):
        """Post what is due; return the recipients, and the seconds until the next.

        :param told: recipients whose news is on its way already.
        """
        due, wait = self._demo_due()
        for account in due.account_id:
            (due - told).filtered(
                lambda item, account=account: item.account_id == account
            )._demo_play(account)
        return due, wait

    def _demo_play(self, account):
        """Post the next event of each recipient; nobody answers: the next call does."""
        told = [item._demo_event(item._demo_next()[0]) for item in self]
        if not told:
            return
        try:
            account._demo_tell(told)
        except (requests.RequestException, KeyRingError) as error:
            _logger.info("the simulator could not tell: %s", error)

    @api.model
    def _demo_due(self):
        """Return who has an event that is due, and the seconds until the next one."""
        since = fields.Datetime.now() - timedelta(minutes=MEMORY_MINUTES)
        waiting = self.search(
            [
                ("relay_message_id.account_id.code", "=", "demo"),
                ("relay_message_id.account_id.state", "!=", "disabled"),
                ("sent_at", ">", since),
                ("state", "in", ("sent", "delivered", "opened")),
            ],
            order="id",
            limit=MOST_AT_ONCE,
        )
        steps = {item: item._demo_next() for item in waiting}
        waits = {item: step[1] for item, step in steps.items() if step}
        due = self.browse([item.id for item, wait in waits.items() if wait <= 0])
        return due, min((wait for wait in waits.values() if wait > 0), default=None)

    def _demo_next(self):
        """Return the next event and the seconds until it is due; nothing: ``None``."""
        self.ensure_one()
        last = self.sent_at
        for kind in sending.story(self.address):
            if kind in _TRACKED and not self.relay_message_id[_TRACKED[kind]]:
                continue
            happened = self[f"{kind}_at"]
            if not happened:
                wait = sending.WAITS.get(kind, sending.USUAL_WAIT)
                now = utcnow().replace(tzinfo=None)  # to the microsecond
                passed = (now - last).total_seconds()
                return kind, wait - passed
            last = max(last, happened)
        return None

    def _demo_event(self, kind, moment=None):
        """Return an event about a recipient, as a provider tells it."""
        self.ensure_one()
        mail = self.relay_message_id
        bounce_class = ""
        if kind == "bounced":
            bounce_class = sending.BOUNCES.get(sending.first_word(self.address), "hard")
        seen = kind in ("opened", "clicked")
        return DeliveryEvent(
            type=kind,
            recipient=self.address,
            occurred_at=moment or utcnow(),
            reference=mail.reference,
            provider_reference=mail.provider_reference or f"sim-{mail.reference}",
            event_reference=f"{mail.reference}-{kind}",
            message_id=mail.message_id,
            bounce_class=bounce_class,
            reply=sending.REPLIES.get(bounce_class),
            url=LINK if kind == "clicked" else "",
            user_agent=READER if seen else "",
            ip=READER_IP if seen else "",
        )


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    is_simulated = fields.Boolean(compute="_compute_is_simulated")

    @api.depends("account_id")
    def _compute_is_simulated(self):
        for mail in self:
            mail.is_simulated = mail.account_id.code == "demo"

    def action_simulate_event(self):
        """Open the wizard that tells something of a mail."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Simulate an Event"),
            "res_model": "mail.bridge.simulate.event.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_relay_message_id": self.id},
        }


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    def _demo_tell(self, told):
        """Post events to the account's own address; no transaction is open meanwhile.

        :param told: ``DeliveryEvent`` values.
        :return: the status that the address answered.
        :raises requests.RequestException: nobody answers there.
        """
        self.ensure_one()
        sample = self._adapter().compose_events(told, self.sudo()._facts())
        self._end_transaction()
        return self._post_sample(sample)[0]
