# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's events: what each of them means (facts/providers.md §1.1).

Reviewed 2026-11-21 against
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types and
https://documentation.mailgun.com/docs/mailgun/user-manual/tracking-messages/tracking-failures
"""

from odoo.addons.mail_bridge.providers.delivery import BounceClass, EventType

#: The name of our reference among the variables of a mail (``v:…``), which each event
#: repeats in ``user-variables``.
REFERENCE = "mail_bridge_reference"
REFERENCE_FORM = r"[A-Za-z0-9_-]{1,64}"

#: (event, severity) → what it means; anything else is ``unknown``. Mailgun calls it
#: accepted when it takes a mail from us, and failed for now when it will try again.
TYPES: dict[tuple[str, str], EventType] = {
    ("accepted", ""): "queued",
    ("delivered", ""): "delivered",
    ("failed", "temporary"): "deferred",
    ("failed", "permanent"): "bounced",
    ("failed", ""): "failed",
    ("rejected", ""): "rejected",
    ("opened", ""): "opened",
    ("clicked", ""): "clicked",
    ("unsubscribed", ""): "unsubscribed",
    ("complained", ""): "complained",
}
#: The permanent failures of mail that Mailgun never tried to deliver, because the
#: address is on one of its lists; either may be missing. 605: it bounced before,
#: 606: unsubscribed, 607: complained, 625: on a list of the account.
NEVER_TRIED_REASONS = frozenset(
    ("suppress-bounce", "suppress-unsubscribe", "suppress-complaint")
)
NEVER_TRIED_CODES = frozenset((605, 606, 607, 625))

#: A part of the enhanced code (RFC 3463) says most about a failure (facts/relay.md
#: §4.2), then Mailgun's own word. ``old``: given up after hours of trying. What is in
#: none of the tables is for the relay's rules to judge.
ENHANCED_CLASSES: tuple[tuple[str, BounceClass], ...] = (
    (r"[45]\.7\.\d+", "block"),
    (r"5\.1\.([0-3]|6|10)|5\.2\.1|5\.4\.4", "hard"),
    (r"[45]\.2\.2|4\.\d+\.\d+", "soft"),
)
TEXT_CLASSES: tuple[tuple[str, BounceClass], ...] = ((r"No MX for ", "hard"),)
REASON_CLASSES: dict[str, BounceClass] = {
    "bounce": "hard",
    "espblock": "block",
    "old": "soft",
}
#: ``delivery-status.bounce-type``.
TYPE_CLASSES: dict[str, BounceClass] = {"hard": "hard", "soft": "soft"}

#: What is kept of an event beside the fields of a ``DeliveryEvent``: its name there,
#: and the way to it.
METADATA: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reason", ("reason",)),
    ("domain", ("domain", "name")),
    ("provider", ("recipient-provider",)),
    ("mx", ("delivery-status", "mx-host")),
    ("attempt", ("delivery-status", "attempt-no")),
    ("retry_seconds", ("delivery-status", "retry-seconds")),
    ("sending_ip", ("envelope", "sending-ip")),
    ("country", ("geolocation", "country")),
    ("city", ("geolocation", "city")),
    ("client", ("client-info", "client-name")),
    ("client_type", ("client-info", "client-type")),
    ("client_os", ("client-info", "client-os")),
    ("device", ("client-info", "device-type")),
    # Who opens in place of a person: "apple", "gmail" or "generic".
    ("bot", ("client-info", "bot")),
    ("delayed", ("flags", "is-delayed-bounce")),
    ("test_mode", ("flags", "is-test-mode")),
)
#: The most recipients of one event, tags and variables of a mail, characters of each.
MAX_RECIPIENTS = 1000
MAX_TAGS = 10
MAX_VARIABLES = 20
MAX_VALUE = 200
MAX_URL = 4000
#: ``Reply.text``.
MAX_TEXT = 1000
