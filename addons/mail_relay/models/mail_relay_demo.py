# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The demo data: two weeks of deliveries, with every state that a mail can have."""

import random
import uuid
from datetime import timedelta, timezone
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import NamedTuple

from odoo import api, fields, models

from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, Reply

from ..providers.states import RANKS, Truth
from ..submission import LOW, MEDIUM, Rcpt, Submission

DOMAIN = "mail.example.com"
#: RFC 2606: mail to them can reach nobody.
PEOPLE = (
    ("Ines Marchetti", "ines@bellini.example"),
    ("Sindre Aune", "sindre@nordvik.example"),
    ("Grace Okafor", "grace@harbour.example"),
    ("Tomás Rey", "tomas@lumen.example"),
    ("Mei Tanaka", "mei@kawa.example"),
    ("Paul Keller", "paul.keller@webmail.example"),
    ("Ana Sousa", "ana.sousa@webmail.example"),
    ("Jonas Lind", "jonas@nordvik.example"),
)
LETTERS = (
    ("Your quotation S00{n:03}", "the quotation you asked for is attached."),
    ("Order confirmation SO{n:04}", "thank you, we have your order."),
    ("Invoice INV/2026/{n:04}", "please find your invoice attached."),
    ("Your parcel is on its way ({n:03})", "it arrives within two days."),
)
NEWSLETTER = ("Winter lamps, and a workshop in December", "new lamps, and a workshop.")
#: What became of ordinary mails, as often as it does.
USUAL = ("delivered",) * 6 + ("opened",) * 5 + ("clicked",) * 2 + ("sent", "soft")
USUAL_NEWS = ("delivered",) * 5 + ("opened",) * 3 + ("clicked", "hard", "unsubscribed")
#: Fate → the events behind it: type, minutes after the mail, class, reply.
OPENED = (("delivered", 0.1, "", None), ("opened", 47, "", None))
STORIES = {
    "sent": (),
    "delivered": OPENED[:1],
    "opened": OPENED,
    "clicked": (*OPENED, ("clicked", 49, "", None)),
    "hard": (
        ("bounced", 0.4, "hard", Reply("remote", 550, "5.1.1", "No such user here")),
    ),
    "soft": (
        ("bounced", 190, "soft", Reply("remote", 452, "4.2.2", "Mailbox is full")),
    ),
    "block": (
        ("bounced", 0.3, "block", Reply("remote", 554, "5.7.1", "Blocked by policy")),
    ),
    "unsubscribed": (*OPENED, ("unsubscribed", 50, "", None)),
    "complained": (*OPENED[:1], ("complained", 240, "", None)),
}
#: A day of the far future: no dispatcher ever takes these rows.
FAR_DAYS = 3650


class Rare(NamedTuple):
    """A mail that did not simply leave."""

    state: str
    columns: dict
    recipient: str = ""
    outcome: str = ""
    reply: Reply = Reply("connect")


REFUSED = Reply("rcpt", 550, "5.7.1", "We do not accept mail from this network")
BUSY = Reply("rcpt", 451, "4.7.1", "Greylisted, try again in five minutes")
BROKEN = Reply("data", 0, "", "the connection broke after the mail was handed over")
RARE = (
    Rare("queued", {"error": None}),
    Rare("queued", {"attempts": 2, "tries": 2}, "deferred", "deferred", BUSY),
    Rare("sending", {"claimed_by": "demo", "tries": 1}),
    Rare("in_doubt", {"tries": 1, "error": BROKEN.text}, "", "in_doubt", BROKEN),
    Rare("held", {"hold_reason": "doubt", "tries": 1}, "", "in_doubt", BROKEN),
    Rare("held", {"hold_reason": "suspended"}),
    Rare("dead", {"tries": 1, "error": REFUSED.text}, "failed", "rejected", REFUSED),
    Rare("cancelled", {}, "cancelled"),
)


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    @api.model
    def _demo_deliveries(self):
        """Fill Deliveries with two weeks of mail.

        Called by the demo data, in its transaction. Nothing is sent: the accounts are
        off, and what waits does so for years.
        """
        if self.search_count([], limit=1):
            return
        shop, news = (self._demo_account(name) for name in ("shop", "newsletter"))
        dice = random.Random(11)  # noqa: S311 the same history for everybody
        now = fields.Datetime.now().replace(microsecond=0)
        scenes = [*self._demo_days(shop, news, now, dice)]
        for number, rare in enumerate(RARE):
            at = now - timedelta(minutes=11 * number + 4)
            scenes.append((at, self._demo_rare, (shop, at, dice, rare)))
        for _at, scene, values in sorted(scenes, key=lambda item: item[0]):
            scene(*values)

    def _demo_days(self, shop, news, now, dice):
        """Yield when, what and with which values for each mail of two weeks."""
        for ago in range(13, -1, -1):
            day = now - timedelta(days=ago, hours=1)
            fates = [dice.choice(USUAL) for _mail in range(dice.randint(3, 6))]
            if ago == 3:
                fates += ["block", "complained", "hard"]
            for number, fate in enumerate(fates):
                at = day - timedelta(minutes=97 * number)
                yield at, self._demo_letter, (shop, at, dice, fate)
            if ago in (2, 9):
                at = day - timedelta(minutes=40)
                yield at, self._demo_newsletter, (news, at, dice)

    @api.model
    def _demo_account(self, kind):
        names = {
            "shop": self.env._("Demo: shop's mail server"),
            "newsletter": self.env._("Demo: newsletters"),
        }
        return self.env["mail.bridge.account"].create(
            {"name": names[kind], "code": "smtp", "smtp_host": f"{kind}.{DOMAIN}"}
        )

    def _demo_letter(self, account, at, dice, fate):
        subject, text = dice.choice(LETTERS)
        subject = subject.format(n=dice.randint(100, 999))
        mail = self._demo_mail(account, at, dice.choice(PEOPLE), subject, text)
        mail._demo_sent(account, at, fate)

    def _demo_newsletter(self, account, at, dice):
        for person in PEOPLE:
            mail = self._demo_mail(account, at, person, *NEWSLETTER, marketing=True)
            mail._demo_sent(account, at, dice.choice(USUAL_NEWS))

    def _demo_rare(self, account, at, dice, rare):
        subject, text = LETTERS[0]
        subject = subject.format(n=dice.randint(100, 999))
        mail = self._demo_mail(account, at, dice.choice(PEOPLE), subject, text)
        far = at + timedelta(days=FAR_DAYS)
        over = at if rare.state in ("dead", "cancelled") else None
        lease = far if rare.state in ("sending", "in_doubt") else None
        columns = {"next_attempt": far, "claimed_until": lease, "done_at": over}
        mail._demo_put(mail, state=rare.state, **columns, **rare.columns)
        if rare.recipient:
            people = mail.recipient_ids
            rank = RANKS[Truth(rare.recipient)]
            words = {"failure_text": rare.reply.text or None, "told_rank": rank}
            mail._demo_put(people, state=rare.recipient, rank=rank, **words)
        if rare.outcome:
            mail._demo_attempt(account, at, rare.outcome, rare.reply)

    @api.model
    def _demo_mail(self, account, at, person, subject, text, marketing=False):
        """Queue a mail as of a moment of the past, for nobody to send."""
        name, address = person
        message_id = f"<{uuid.uuid4().hex}@{DOMAIN}>"
        sender = "news" if marketing else "shop"
        letter = EmailMessage(policy=SMTP)
        letter["From"] = f"Desk Lamps <{sender}@{DOMAIN}>"
        letter["To"] = f"{name} <{address}>"
        letter["Subject"] = subject
        letter["Message-ID"] = message_id
        letter["Date"] = format_datetime(at.replace(tzinfo=timezone.utc))
        letter.set_content(f"Hello {name},\n\n{text}\n\nKind regards\nDesk Lamps\n")
        [mail] = self._enqueue(
            [
                Submission(
                    mime=letter.as_bytes(),
                    envelope_sender=f"bounce@{DOMAIN}",
                    email_from=letter["From"],
                    recipients=(Rcpt(address),),
                    message_id=message_id,
                    subject=subject,
                    account_id=account.id,
                    priority=LOW if marketing else MEDIUM,
                    is_marketing=marketing,
                )
            ]
        )
        self._demo_put(mail, created_at=at, account_id=account.id, route_trace="[]")
        self._demo_put(mail.recipient_ids, created_at=at)
        return mail

    def _demo_sent(self, account, at, fate):
        """Let a mail have been sent, and tell what became of it."""
        self._demo_put(self, state="done", sent_at=at, done_at=at, tries=1)
        person, rank = self.recipient_ids, RANKS[Truth("sent")]
        if person.state == "rejected":  # an earlier mail came back from there
            return
        columns = {"rank": rank, "told_rank": rank, "sent_at": at}
        self._demo_put(person, state="sent", **columns)
        self._demo_attempt(account, at, "accepted", Reply("data", 250, "", "2.0.0 OK"))
        events = [
            DeliveryEvent(
                type=kind,
                recipient=person.address,
                occurred_at=(at + timedelta(minutes=minutes)).replace(
                    tzinfo=timezone.utc
                ),
                reference=self.reference,
                bounce_class=bounce_class,
                reply=reply,
            )
            for kind, minutes, bounce_class, reply in STORIES[fate]
        ]
        Event = self.env["mail.bridge.event"]
        Event._store(account, events, "webhook")
        told = Event.search([("reference", "=", self.reference)])
        told._apply_batch()

    def _demo_attempt(self, account, at, outcome, reply):
        self.env["mail.relay.attempt"].create(
            {
                "relay_message_id": self.id,
                "account_id": account.id,
                "number": 1,
                "started_at": at,
                "ended_at": at + timedelta(seconds=1),
                "outcome": outcome,
                "recipient_count": 1,
                "stage": reply.stage,
                "smtp_code": reply.code,
                "enhanced_code": reply.enhanced,
                "text": reply.text,
                "worker": "demo",
            }
        )

    @api.model
    def _demo_put(self, records, **values):
        """Write columns as the engine does."""
        self.env.flush_all()
        names = ", ".join(f"{name} = %s" for name in values)
        self.env.cr.execute(
            f"UPDATE {records._table} SET {names} WHERE id = ANY(%s)",
            (*values.values(), records.ids),
        )
        records.invalidate_recordset()
