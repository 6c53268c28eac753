# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a dispatcher remembers of an account while it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from ..const import MAX_THREADS
from . import gates
from .results import Done
from .values import Claimed, SendAccount

#: One 32-bit half of the advisory locks that count an account's connections.
LOCK_SPACE = 0x6D72656C


class Lane:
    """One account: the connections this dispatcher may use, and the mails for it."""

    def __init__(self, account: SendAccount) -> None:
        self.account = account
        self.permits: list[int] = []
        self.ready: deque[Claimed] = deque()
        self.busy = 0
        self.claimed_at = 0.0
        #: When it is worth to look for mail again.
        self.look_at = 0.0
        #: Its door may be closed by what is not written yet.
        self.is_stopped = False
        self.has_failed = False

    @property
    def idle(self) -> int:
        """How many connections have nothing to do."""
        return len(self.permits) - self.busy

    def get_permits(self, cr, wanted: int) -> None:
        """Take free connections of the account, as far as others left some.

        They are session locks: PostgreSQL gives them back where we die.
        """
        for number in range(min(wanted, self.account.threads)):
            if len(self.permits) >= wanted:
                return
            if number in self.permits:
                continue
            if try_lock(cr, self.account.id * MAX_THREADS + number):
                self.permits.append(number)

    def wants(self, now: float) -> bool:
        """Whether mails should be claimed for it."""
        is_hungry = len(self.ready) < max(1, self.idle)
        return is_hungry and not self.is_stopped and now >= self.look_at

    def must_wait(self, now: float) -> bool:
        """Whether its mails must go back: its door may be closed now, or their
        places within the limits are too old for the wire.
        """
        slack = min((limit.slack for limit in self.account.limits), default=None)
        is_late = slack is not None and now - self.claimed_at > slack / 2
        return bool(self.ready) and (self.is_stopped or is_late)


class Flight(NamedTuple):
    """A mail on the wire; ``since`` by the monotonic clock."""

    lane: Lane
    mail: Claimed
    started_at: datetime
    since: float


#: Mails that begin or go back, each with its lane.
Mails = Sequence[tuple[Lane, Claimed]]


def try_lock(cr, key: int) -> bool:
    """Take a lock for as long as the connection lives, if nobody has it."""
    cr.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_SPACE, key))
    return cr.fetchone()[0]


def note_gates(cr, ended: Iterable[Done], lanes: Iterable[Lane]) -> None:
    """Close doors that servers asked for, count failures, forget them again."""
    by_account = {lane.account.id: lane for lane in lanes}
    for item in ended:
        decision, lane = item.decision, by_account[item.account.id]
        for gate in decision.gates:
            gates.close(cr, item.account.id, gate)
        if decision.account_failed:
            text = decision.reply.text
            gates.note_failure(cr, item.account, decision.reason, text)
            lane.has_failed = True
        elif decision.account_works and not decision.gates and lane.has_failed:
            gates.note_success(cr, item.account.id)
            lane.has_failed = False
