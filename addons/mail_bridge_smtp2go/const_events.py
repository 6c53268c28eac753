# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO's events: what each of them means (facts/providers.md §1.3).

Reviewed 2026-11-21 against
https://developers.smtp2go.com/docs/webhooks-overview and
https://developers.smtp2go.com/reference/search-activity
"""

from odoo.addons.mail_bridge.providers.delivery import BounceClass, EventType

#: What a webhook subscribes to. Names that SMTP2GO does not know it ignores, so the
#: one that its reference leaves out does no harm.
SUBSCRIBED = (
    "processed",
    "delivered",
    "open",
    "click",
    "bounce",
    "spam",
    "unsubscribe",
    "resubscribe",
    "reject",
)

#: Event → what it means; anything else is ``unknown``. The documented words, those
#: seen in posts, and those of the activity search. SMTP2GO keeps trying while a mail
#: is processed, so a soft bounce is the end of its tries.
TYPES: dict[str, EventType] = {
    "processed": "queued",
    "delivered": "delivered",
    "bounce": "bounced",
    "bounced": "bounced",
    "hard-bounced": "bounced",
    "soft-bounced": "bounced",
    "reject": "rejected",
    "rejected": "rejected",
    "open": "opened",
    "opened": "opened",
    "click": "clicked",
    "clicked": "clicked",
    "spam": "complained",
    "spam_complaint": "complained",
    "unsubscribe": "unsubscribed",
    "unsubscribed": "unsubscribed",
    "resubscribe": "subscribed",
    "resubscribed": "subscribed",
}
#: What the field ``bounce``, or the event itself, says of a bounce. ``rejected`` by
#: SMTP2GO is no bounce.
BOUNCES: dict[str, BounceClass] = {
    "hard": "hard",
    "soft": "soft",
    "hard-bounced": "hard",
    "soft-bounced": "soft",
}
#: Events of text messages, which a webhook may have been given too.
SMS = r"sms[_-].*|opt[_-]out"
#: Only these come once for all recipients (``recipients`` without ``rcpt``).
FANNED_OUT = frozenset(("queued",))
#: In these, ``srchost`` is the reader; in others it is whoever handed the mail in.
BY_READERS = frozenset(("opened", "clicked", "unsubscribed", "subscribed"))

#: The same fields in the activity search → their names in a post.
ACTIVITY_NAMES = {
    "date": "time",
    "recipient": "rcpt",
    "smtp_response": "message",
    "reason": "context",
}

#: What stands in ``context`` where there is none.
NO_CONTEXT = "unavailable"

#: What is kept of an event beside the fields of a ``DeliveryEvent``: its name there,
#: and its names in a post. Never ``auth``: it is the beginning of an API key.
METADATA: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("event", ("event",)),
    ("mx", ("host",)),
    ("context", ("context",)),
    ("error", ("error",)),
    ("subject", ("subject",)),
    ("client", ("client",)),
    ("client_os", ("client-os",)),
    ("device", ("client-device",)),
    ("country", ("geoip-country",)),
    ("city", ("geoip-city",)),
    ("read_seconds", ("read-secs",)),
    ("notification", ("id",)),
)
#: The most events of one post (each recipient is one), characters of one value.
MAX_EVENTS = 10_000
MAX_VALUE = 200
MAX_URL = 2000
MAX_RECIPIENT_LIST = 100_000
