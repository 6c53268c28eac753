# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random
from dataclasses import replace
from datetime import timedelta, timezone

from odoo import api, fields, models

from odoo.addons.mail_bridge.providers.authentication import (
    add_reply_token,
    make_reply_token,
)
from odoo.addons.mail_bridge.providers.base import utcnow

from ..mails import FAIL, KINDS

#: The demo data's mails, a line a day, today's last.
TWO_WEEKS = (
    "unrouted plain",
    "plain plain rich",
    "reply newsletter",
    "plain attachment forged",
    "spam",
    "plain",
    "plain reply non_ascii unrouted",
    "plain plain spam",
    "plain bounce reply forged",
    "attachment plain plain newsletter",
    "rich reply plain",
    "spam",
    "plain non_ascii unrouted plain",
    "plain rich forged reply",
)
#: As many days ago the rare cases happened.
RARE_DAY = 2
TOO_LARGE_BYTES = 63 * 1024 * 1024
LOOP_PARAMETER = "mail.gateway.loop.threshold"


class MailBridgeAccount(models.Model):
    """The demo data: two weeks of mail, with every state that a mail can have."""

    _inherit = "mail.bridge.account"

    @api.model
    def _demo_history(self):
        """Fill the Inbox with two weeks of mail, through the door's own code.

        Called by the demo data, in its transaction: nothing is posted over HTTP and
        nothing is committed.
        """
        account = self._set_up_simulator()
        if not account or account.intake_count:
            return
        account.write(
            {
                "state": "enabled",
                "name": self.env._("Simulator: sales"),
                "user_id": self.env.ref("base.user_admin").id,
            }
        )
        account._demo_mail_server()
        shop, old = account.copy(), account.copy()
        shop.write({"name": self.env._("Simulator: support"), "state": "test"})
        old.name = self.env._("Simulator: old shop")
        dice = random.Random(7)  # noqa: S311 the same history for everybody
        now = utcnow().replace(microsecond=0)
        for ago, kinds in reversed([*enumerate(reversed(TWO_WEEKS))]):
            account._demo_day(now - timedelta(days=ago), kinds, dice)
            if ago == RARE_DAY:
                account._demo_rare_cases(now - timedelta(days=ago), dice)
                shop._demo_not_ours(now - timedelta(days=ago, hours=1), dice)
        for days in (6, 4, 1):
            shop._demo_receive("plain", now - timedelta(days=days, hours=2), dice)
        account._demo_dead_letter(now - timedelta(days=3))
        account._demo_notice("signature", "", 4)
        old._demo_notice("disabled", "", 17)

    def _demo_mail_server(self):
        """Let this database send through the simulator: nobody real gets a mail."""
        self.write({"relay_track_opens": True, "relay_track_clicks": True})
        self.env["ir.mail_server"].create(
            {
                "name": self.env._("Simulator (sends nothing)"),
                "smtp_host": "simulator.invalid",
                "sequence": 1,
                "relay_account_id": self.id,
            }
        )

    def _demo_day(self, day, kinds, dice):
        kinds = kinds.split()
        for number, kind in enumerate(kinds):
            moment = day - timedelta(minutes=35 + 131 * (len(kinds) - number - 1))
            self._demo_receive(kind, moment, dice)

    def _demo_receive(self, kind, moment, dice, size=0, **changes):
        """Let a mail come in; return its entry in the Inbox.

        :param changes: values of ``SimulatedMail`` that differ from the kind's own.
        """
        mail = replace(KINDS[kind](self._demo_scene(moment, dice)), **changes)
        return self._demo_arrive(mail, moment, size)

    def _demo_arrive(self, mail, moment, size=0):
        intake = self._demo_store(self._demo_post(mail, moment), moment, size)
        intake._deliver(intake._mails())
        intake.write({"done_at": _naive(moment), "attempts": 1})
        return intake.message_ids

    def _demo_rare_cases(self, day, dice):
        """Let come in what seldom happens, and decide about some of it."""

        def at(minutes):
            return day + timedelta(minutes=minutes)

        twice = KINDS["plain"](self._demo_scene(at(1), dice))
        self._demo_arrive(twice, at(1))
        self._demo_arrive(twice, at(2))
        self._demo_receive("attachment", at(3), dice, size=TOO_LARGE_BYTES)
        self._demo_receive("reply", at(4), dice, verdicts=FAIL).action_release()
        self._demo_token_reply(at(5), dice)
        self._demo_receive("spam", at(6), dice).action_reject()
        self._demo_loop(at(7), dice)
        self._demo_receive("unrouted", at(8), dice).activity_schedule(
            "mail.mail_activity_data_todo",
            summary=self.env._("Ask who answers spare part questions"),
            user_id=self.user_id.id,
            date_deadline=fields.Date.today() + timedelta(days=1),
        )

    def _demo_token_reply(self, moment, dice):
        """Let an answer come in that only our address of the thread vouches for."""
        record = self._demo_first()._record()
        token = make_reply_token(self._reply_token_key(), record._name, record.id)
        address = add_reply_token(self._demo_alias().alias_full_name, token)
        self._demo_receive("reply", moment, dice, recipient=address, verdicts=FAIL)

    def _demo_loop(self, moment, dice):
        """Let a machine write once more than Odoo's loop protection takes."""
        parameters = self.env["ir.config_parameter"].sudo()
        usual = parameters.get_param(LOOP_PARAMETER)
        parameters.set_param(LOOP_PARAMETER, "1")
        self._demo_receive("newsletter", moment, dice)
        parameters.set_param(LOOP_PARAMETER, usual)

    def _demo_not_ours(self, moment, dice):
        """Let a mail come in for a domain that the account does not take."""
        self.accepted_domains = self._demo_alias().alias_domain_id.name
        self._demo_receive("plain", moment, dice, recipient="info@old-shop.example")

    def _demo_dead_letter(self, moment):
        """Keep a genuine post that nobody understands."""
        adapter = self._adapter()
        sample = adapter.sign(
            b'{"sender": "a@b.example"}', self.sudo()._facts(), moment
        )
        intake = self._demo_store(sample, moment)
        intake.write(
            {
                "state": "dead",
                "attempts": 1,
                "error": "PayloadError: the post holds no mail",
            }
        )

    def _demo_notice(self, kind, detail, count):
        now = fields.Datetime.now()
        self.env["mail.bridge.notice"].sudo().create(
            {
                "account_id": self.id,
                "kind": kind,
                "detail": detail,
                "count": count,
                "first_seen": now - timedelta(days=2),
                "last_seen": now - timedelta(hours=3),
                "told": True,
            }
        )


def _naive(moment):
    """Return an aware time as the ORM writes it."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
