# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How many mails may go now: limits that hold over any rolling window.

Each limit remembers what it gave in small buckets of time, and gives no more than is
left of its count over the window behind now. Beside that it spreads what it gives: one
after the other with the same pause for limits by second and minute; for longer ones
part of the count may go at once, or a day's limit would make the second mail of the
morning wait. Times are seconds since the epoch by the database's clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

PERIODS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
#: In ``Limit.domain``: each recipient domain by itself.
EACH_DOMAIN = "*"
#: A mail is on the wire at most this long after it was given its place, as a part of
#: the window and in seconds: its dispatcher gives it up otherwise. Windows are longer
#: by that much, so that they hold on the wire, too.
_SLACK_PART, _MAX_SLACK = 0.2, 2.0
#: Parts of a window that are counted apart; the part that is half over counts whole.
_BUCKETS = 60
#: What may go at once of a limit's count: of short windows one mail.
_BURSTS: Mapping[int, float] = {3600: 0.1, 86400: 0.1}


@dataclass(frozen=True)
class Limit:
    """At most ``count`` mails in ``seconds``: to one domain, each (``*``), or all."""

    id: int
    seconds: int
    count: int
    domain: str = ""

    @property
    def slack(self) -> float:
        """Seconds from a mail's place to the wire, at most."""
        return min(self.seconds * _SLACK_PART, _MAX_SLACK)

    @property
    def window(self) -> float:
        """Seconds over which it counts."""
        return self.seconds + self.slack

    @property
    def pause(self) -> float:
        """Seconds from one mail to the next."""
        return self.window / self.count

    @property
    def burst(self) -> int:
        """How many may go at once."""
        return max(1, int(self.count * _BURSTS.get(self.seconds, 0)))


@dataclass(frozen=True)
class Usage:
    """What a limit gave: ``buckets`` by their number, ``next_at`` as GCRA has it."""

    next_at: float = 0.0
    buckets: Mapping[int, int] | None = None


def available(limit: Limit, usage: Usage, now: float, evenly: bool = True) -> int:
    """Return how many mails may go now.

    :param evenly: spread what is given; else all that is left of the count.
    """
    left = limit.count - _given(limit, usage, now)
    if not evenly:
        return max(0, left)
    ahead = max(0.0, usage.next_at - now)
    paced = limit.burst - math.ceil(round(ahead / limit.pause, 9))
    return max(0, min(left, paced))


def take(limit: Limit, usage: Usage, now: float, mails: int) -> Usage:
    """Return the usage after some mails were given their place."""
    first = _number(limit, now - limit.window)
    kept = {at: n for at, n in (usage.buckets or {}).items() if at >= first}
    if mails:
        at = _number(limit, now)
        kept[at] = kept.get(at, 0) + mails
    return Usage(max(now, usage.next_at) + mails * limit.pause, kept)


def give_back(limit: Limit, usage: Usage, taken_at: float, mails: int) -> Usage:
    """Return the usage after some mails did not go after all."""
    kept = dict(usage.buckets or {})
    at = _number(limit, taken_at)
    kept[at] = max(0, kept.get(at, 0) - mails)
    return Usage(usage.next_at, kept)


def next_slot(limit: Limit, usage: Usage, now: float, evenly: bool = True) -> float:
    """Return when the next mail may go, at the latest."""
    moments = [now]
    if evenly:
        moments.append(usage.next_at - (limit.burst - 1) * limit.pause)
    left = limit.count - _given(limit, usage, now)
    if left <= 0:
        moments.append(_when_free(limit, usage, now))
    return max(moments)


def _number(limit: Limit, moment: float) -> int:
    """Return the bucket that a moment is in."""
    return math.floor(moment * _BUCKETS / limit.window)


def _given(limit: Limit, usage: Usage, now: float) -> int:
    """Return how many were given in the window behind now, rather too many."""
    first = _number(limit, now - limit.window)
    return sum(n for at, n in (usage.buckets or {}).items() if at >= first)


def _when_free(limit: Limit, usage: Usage, now: float) -> float:
    """Return when enough of the window's buckets are behind it for one mail."""
    over = _given(limit, usage, now) - limit.count + 1
    for at, mails in sorted((usage.buckets or {}).items()):
        if at < _number(limit, now - limit.window):
            continue
        over -= mails
        if over <= 0:
            return (at + 1) * limit.window / _BUCKETS + limit.window
    return now
