# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The two machines of the relay as data: the work on a mail, the truth of a recipient.

Work may go back: a mail in doubt is queued again. Truth goes only forward, by rank, so
whatever order the events of a recipient come in, early, late and twice, they end in
the same state. Reviewed on 2026-11-21 against issue 3 §A and facts/relay.md §3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    EventType,
    Outcome,
)

from .classify import Verdict

WorkState = Literal[
    "queued", "sending", "in_doubt", "held", "done", "dead", "cancelled"
]
TruthState = Literal[
    "pending",
    "deferred",
    "cancelled",
    "sent",
    "failed",
    "rejected",
    "bounced",
    "delivered",
    "opened",
    "clicked",
    "unsubscribed",
    "complained",
]

#: Where a mail may go from where it is.
WORK_MOVES: Mapping[WorkState, frozenset[WorkState]] = {
    # done, dead: what was left was suppressed, or became too old.
    "queued": frozenset(("sending", "held", "done", "dead", "cancelled")),
    # queued: refused for now, or nothing was on the wire yet. held: a mail that took
    # its worker down, again and again.
    "sending": frozenset(("queued", "in_doubt", "held", "done", "dead")),
    # Not cancelled: the mail may be on its way, and nobody could take it back.
    "in_doubt": frozenset(("queued", "held", "done")),
    # done: the news came after all. queued: somebody takes the risk of a second copy.
    "held": frozenset(("queued", "done", "dead", "cancelled")),
    "done": frozenset(),
    "dead": frozenset(("queued", "done", "cancelled")),
    "cancelled": frozenset(),
}


def may_move(before: WorkState, after: WorkState) -> bool:
    """Whether a mail may go from one state to another; staying is no move."""
    return after in WORK_MOVES[before]


class Truth(NamedTuple):
    """What is known of a recipient: the state and, for a bounce, its class."""

    state: TruthState
    bounce_class: BounceClass = ""


#: From the weakest to the strongest word on a recipient; one may follow all before it.
ORDER: tuple[Truth, ...] = (
    Truth("pending"),
    Truth("deferred"),
    # Taken back before anybody had it: who says that he has it knows better.
    Truth("cancelled"),
    Truth("sent"),
    # We, or the provider after it took the mail, gave up.
    Truth("failed"),
    Truth("rejected"),
    # "For now": a server that tried once more may still deliver.
    Truth("bounced", "soft"),
    Truth("delivered"),
    Truth("opened"),
    Truth("clicked"),
    Truth("unsubscribed"),
    # Behind all that looks like a reader: gateways take a mail, fetch its pictures and
    # links, and send it back.
    Truth("bounced", "block"),
    Truth("bounced", "hard"),
    # Somebody has read it, and wants no more.
    Truth("complained"),
)
RANKS: Mapping[Truth, int] = {truth: rank for rank, truth in enumerate(ORDER)}
#: Which truth may follow which.
MAY_FOLLOW: Mapping[Truth, frozenset[Truth]] = {
    truth: frozenset(ORDER[rank + 1 :]) for truth, rank in RANKS.items()
}
START = ORDER[0]
#: Only these are sent to when a mail is tried again.
OPEN: frozenset[TruthState] = frozenset(("pending", "deferred"))

#: What else is true of a recipient in a state, for icons and for counting.
IMPLIES: Mapping[TruthState, frozenset[TruthState]] = {
    "pending": frozenset(),
    "deferred": frozenset(),
    "cancelled": frozenset(),
    "sent": frozenset(),
    "failed": frozenset(),
    "rejected": frozenset(),
    "bounced": frozenset(("sent",)),
    "delivered": frozenset(("sent",)),
    "opened": frozenset(("sent", "delivered")),
    "clicked": frozenset(("sent", "delivered", "opened")),
    "unsubscribed": frozenset(("sent", "delivered")),
    "complained": frozenset(("sent", "delivered")),
}

#: What an event says about its recipient; ``None``: nothing. A provider that defers
#: has the mail and goes on trying: were it "deferred" here, we would send it again.
EVENT_TRUTHS: Mapping[EventType, Truth | None] = {
    "queued": Truth("sent"),
    "sent": Truth("sent"),
    "deferred": Truth("sent"),
    "delivered": Truth("delivered"),
    "opened": Truth("opened"),
    "clicked": Truth("clicked"),
    "bounced": Truth("bounced", "soft"),
    "rejected": Truth("rejected"),
    "failed": Truth("failed"),
    "complained": Truth("complained"),
    "unsubscribed": Truth("unsubscribed"),
    "subscribed": None,
    "autoresponded": None,
    "unknown": None,
}
#: What ends the doubt about a mail: somebody at the other end knows it.
ENDS_DOUBT: frozenset[EventType] = frozenset(
    name for name, truth in EVENT_TRUTHS.items() if truth is not None
)


def truth_of_event(kind: EventType, bounce_class: BounceClass = "") -> Truth | None:
    """Return what an event says about its recipient, ``None``: nothing.

    A bounce without a class is a soft one: the weaker claim.
    """
    if kind == "bounced" and bounce_class:
        return Truth("bounced", bounce_class)
    return EVENT_TRUTHS[kind]


def truth_of_attempt(verdict: Verdict) -> Truth | None:
    """Return what an attempt of our own says, ``None``: nothing (in doubt)."""
    if verdict.outcome is Outcome.REJECTED:
        if verdict.bounce_class:
            return Truth("bounced", verdict.bounce_class)
        return Truth("rejected" if verdict.reason == "suppressed" else "failed")
    return {
        Outcome.ACCEPTED: Truth("sent"),
        Outcome.DEFERRED: Truth("deferred"),
    }.get(verdict.outcome)


def advance(before: Truth, news: Truth | None) -> Truth:
    """Return what is known after some news: the stronger of the two.

    Commutative, associative and idempotent: order and repetition change nothing.
    """
    if news is None or RANKS[news] <= RANKS[before]:
        return before
    return news


def advance_all(before: Truth, news: Iterable[Truth | None]) -> Truth:
    """Return what is known after all of some news, in whatever order."""
    for item in news:
        before = advance(before, item)
    return before


def is_open(state: TruthState) -> bool:
    """Whether a retry goes to a recipient in this state."""
    return state in OPEN
