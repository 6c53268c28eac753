# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the simulator does with a mail that it is to send: it says so, and no more.

The part before the ``@`` chooses what becomes of it; see ``STORIES``.
"""

from __future__ import annotations

import zlib

from odoo.addons.mail_bridge.providers.delivery import (
    EventType,
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
)

TAKEN = Reply("api", 250, "2.0.0", "taken by the simulator, which sends nothing")
#: First word of the address → what is said at once.
AT_ONCE = {
    "defer": (Outcome.DEFERRED, Reply("api", 451, "4.7.1", "try again in a minute")),
    "refuse": (Outcome.REJECTED, Reply("api", 550, "5.7.1", "not to this address")),
    "doubt": (Outcome.IN_DOUBT, Reply("api", 0, "", "no answer came")),
}
#: First word of the address → what is told later, in this order.
STORIES: dict[str, tuple[EventType, ...]] = {
    "bounce": ("bounced",),
    "soft": ("bounced",),
    "block": ("bounced",),
    "complain": ("delivered", "opened", "complained"),
    "unsubscribe": ("delivered", "opened", "unsubscribed"),
    "unread": ("delivered",),
}
USUAL: tuple[EventType, ...] = ("delivered", "opened", "clicked")
#: First word of the address → class of its bounce.
BOUNCES = {"bounce": "hard", "soft": "soft", "block": "block"}
REPLIES = {
    "hard": Reply("remote", 550, "5.1.1", "No such user here"),
    "soft": Reply("remote", 452, "4.2.2", "The mailbox is full"),
    "block": Reply("remote", 554, "5.7.1", "Blocked by our policy"),
}
#: Seconds after the step before.
WAITS: dict[EventType, float] = {"delivered": 0.5, "opened": 3.0, "clicked": 4.0}
USUAL_WAIT = 2.0


def first_word(address: str) -> str:
    """Return what chooses the fate of an address (``bounce+7@…`` → ``bounce``)."""
    return address.partition("@")[0].partition("+")[0].lower()


def story(address: str) -> tuple[EventType, ...]:
    """Return what is told of a recipient, always the same for an address."""
    named = STORIES.get(first_word(address))
    if named:
        return named
    steps = 2 + (zlib.crc32(address.lower().encode()) % 3 == 0)
    return USUAL[:steps]


def receipt(mail: OutgoingMail) -> SendReceipt:
    """Return what the simulator says of a mail."""
    results = []
    for address in mail.recipients:
        said = AT_ONCE.get(first_word(address), (Outcome.ACCEPTED, TAKEN))
        results.append(RecipientResult(address, *said))
    return SendReceipt(tuple(results), provider_reference=f"sim-{mail.reference}")
