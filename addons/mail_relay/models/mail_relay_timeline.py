# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Everything that happened to a mail, on one line of time."""

from odoo import fields, models

#: Entries of one mail that are shown; a mail to ten thousand has more.
MOST_ENTRIES = 200
#: Recipients whose events are looked for by their link; others by our reference.
MOST_LINKED = 1000
#: What happened → the tone of its entry.
_TONES = {
    "accepted": "info",
    "partial": "warning",
    "deferred": "warning",
    "in_doubt": "warning",
    "not_sent": "muted",
    "rejected": "danger",
    "queued": "muted",
    "sent": "info",
    "delivered": "success",
    "opened": "success",
    "clicked": "success",
    "bounced": "danger",
    "failed": "danger",
    "complained": "danger",
    "unsubscribed": "warning",
}
_ICONS = {
    "attempt": "fa-paper-plane-o",
    "delivered": "fa-check",
    "opened": "fa-envelope-open-o",
    "clicked": "fa-mouse-pointer",
    "bounced": "fa-reply",
    "rejected": "fa-ban",
    "failed": "fa-times",
    "complained": "fa-thumbs-down",
    "unsubscribed": "fa-bell-slash-o",
    "deferred": "fa-clock-o",
    "queued": "fa-inbox",
}


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    def read_timeline(self):
        """Return what happened to a mail, the latest first.

        :return: ``{"entries": […], "more": bool}``; an entry has ``at`` (naive UTC, as
            the ORM writes it), ``icon``, ``tone``, ``title``, ``who`` and ``details``
            (texts).
        """
        self.ensure_one()
        self.check_access("read")
        mail = self.sudo()
        entries = [
            *mail._timeline_events(),
            *mail._timeline_attempts(),
            *mail._timeline_refusals(),
            mail._entry(mail.created_at, "queued", self.env._("Queued")),
        ]
        entries.sort(key=lambda entry: entry["at"], reverse=True)
        return {
            "entries": entries[:MOST_ENTRIES],
            "more": len(entries) > MOST_ENTRIES,
        }

    def _entry(self, at, kind, title, who="", details=(), icon=""):
        return {
            "at": fields.Datetime.to_string(at),
            "icon": _ICONS.get(icon or kind, "fa-circle-o"),
            "tone": _TONES.get(kind, "muted"),
            "title": title,
            "who": who,
            "details": [text for text in details if text],
        }

    def _timeline_attempts(self):
        """Return an entry for each try of ours."""
        attempts = self.env["mail.relay.attempt"].search(
            [("relay_message_id", "=", self.id)], limit=MOST_ENTRIES
        )
        names = dict(attempts._fields["outcome"]._description_selection(self.env))
        return [
            self._entry(
                item.ended_at or item.started_at,
                item.outcome,
                self.env._(
                    "Attempt %(number)s: %(outcome)s",
                    number=item.number,
                    outcome=names.get(item.outcome, ""),
                ),
                item.account_id.name or "",
                (item._words(), item._next_words()),
                icon="attempt",
            )
            for item in attempts
        ]

    def _timeline_events(self):
        """Return an entry for each thing that was told of a recipient."""
        events = self.env["mail.bridge.event"].search(
            self._event_domain(), limit=MOST_ENTRIES, order="occurred_at desc"
        )
        names = dict(events._fields["type"]._description_selection(self.env))
        return [
            self._entry(
                item.occurred_at,
                item.type,
                names[item.type],
                item.recipient or "",
                (
                    _reply(item.smtp_code, item.enhanced_code, item.diagnostic),
                    item.url,
                    item.user_agent,
                ),
            )
            for item in events
        ]

    def _event_domain(self):
        """Return the domain of the events about this mail, also of those just told."""
        known = self.recipient_ids.ids[:MOST_LINKED]
        return [
            "|",
            ("reference", "=", self.reference),
            ("relay_recipient_id", "in", known),
        ]

    def _timeline_refusals(self):
        """Return an entry for each recipient that nothing was sent to."""
        refused = self.recipient_ids.filtered(
            lambda item: item.state == "rejected"
            and item.reason in ("suppressed", "malformed")
        )
        return [
            self._entry(
                item.last_event_at or self.created_at,
                "rejected",
                self.env._("Not sent"),
                item.address,
                (item.failure_text,),
            )
            for item in refused[:MOST_ENTRIES]
        ]


class MailRelayAttempt(models.Model):
    _inherit = "mail.relay.attempt"

    def _words(self):
        """Return what the server said in this attempt."""
        return _reply(self.smtp_code, self.enhanced_code, self.text)

    def _next_words(self):
        """Return when the mail is tried again, if it is."""
        if not self.next_attempt or not self.ended_at:
            return ""
        seconds = (self.next_attempt - self.ended_at).total_seconds()
        wait = duration(self.env, seconds)
        return self.env._("Tried again after %(wait)s", wait=wait)


def _reply(code, enhanced, text):
    """Return a server's reply as it is written in a log."""
    words = (text or "").strip()
    known = [str(item) for item in (code, enhanced) if item]
    return " ".join([*(item for item in known if not words.startswith(item)), words])


def duration(env, seconds):
    """Return a length of time as people say it."""
    for length, name in (
        (86400, env._("%s d")),
        (3600, env._("%s h")),
        (60, env._("%s min")),
    ):
        if seconds >= length:
            return name % f"{seconds / length:.3g}"
    return env._("%s s", max(round(seconds), 0))
