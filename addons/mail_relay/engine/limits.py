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
#: From its place to the wire a mail takes at most this part of the limit's seconds, and
#: so many seconds: who cannot begin it in half of that gives it up. Windows are longer
#: by that much, so that they hold at the server, too.
_SLACK_PART, _MAX_SLACK = 0.2, 2.0
#: Parts of a window that are counted apart; the part that is half over counts whole.
_BUCKETS = 60
#: What may go at once of a limit's count: of short windows one mail.
_BURSTS: Mapping[int, float] = {3600: 0.1, 86400: 0.1}
#: A bucket further ahead is left from a clock that was wrong, and counts no more.
_MAX_AHEAD = 3600.0


@dataclass(frozen=True)
class Limit:
    """At most ``count`` mails in ``seconds``: to one domain, each (``*``), or all."""

    id: int
    seconds: int
    count: int
    domain: str = ""

    @property
    def slack(self) -> float:
        """Seconds from a mail's place to its arrival that change nothing."""
        return min(self.seconds * _SLACK_PART, _MAX_SLACK)

    @property
    def window(self) -> float:
        """Seconds over which it counts."""
        return self.seconds + self.slack

    @property
    def pause(self) -> float:
        """Seconds from one mail to the next: the part of the window that counts whole
        never makes one of them wait.
        """
        return self.window * (1 + 1 / _BUCKETS) / self.count

    @property
    def burst(self) -> int:
        """How many may go at once."""
        return max(1, int(self.count * _BURSTS.get(self.seconds, 0)))


@dataclass(frozen=True)
class Usage:
    """What a limit gave: ``buckets`` by their end in milliseconds, so that they count
    rightly after the limit got another period; ``next_at`` as GCRA has it.
    """

    next_at: float = 0.0
    buckets: Mapping[int, int] | None = None


def available(limit: Limit, usage: Usage, now: float, evenly: bool = True) -> int:
    """Return how many mails may go now.

    :param evenly: spread what is given; else all that is left of the count.
    """
    left = limit.count - sum(_counting(limit, usage, now).values())
    if not evenly:
        return max(0, left)
    ahead = max(0.0, _next_at(limit, usage, now) - now)
    paced = limit.burst - math.ceil(round(ahead / limit.pause, 9))
    return max(0, min(left, paced))


def take(limit: Limit, usage: Usage, now: float, mails: int) -> Usage:
    """Return the usage after some mails were given their place."""
    kept = _counting(limit, usage, now)
    if mails:
        at = _bucket(limit, now)
        kept[at] = kept.get(at, 0) + mails
    next_at = max(now, _next_at(limit, usage, now))
    return Usage(next_at + mails * limit.pause, kept)


def give_back(limit: Limit, usage: Usage, taken_at: float, mails: int) -> Usage:
    """Return the usage after some mails did not get as far as the server."""
    kept = dict(usage.buckets or {})
    at = _bucket(limit, taken_at)
    back = min(mails, kept.get(at, 0))
    if back:
        kept[at] -= back
    return Usage(usage.next_at - back * limit.pause, kept)


def next_slot(limit: Limit, usage: Usage, now: float, evenly: bool = True) -> float:
    """Return when the next mail may go, at the latest."""
    moments = [now]
    if evenly:
        next_at = _next_at(limit, usage, now)
        moments.append(next_at - (limit.burst - 1) * limit.pause)
    counting = _counting(limit, usage, now)
    over = sum(counting.values()) - limit.count + 1
    for at, mails in sorted(counting.items()):
        if over <= 0:
            break
        over -= mails
        moments.append((at + 1) / 1000 + limit.window)
    return max(moments)


def _bucket(limit: Limit, moment: float) -> int:
    """Return the end of the bucket that a moment is in, milliseconds."""
    width = limit.window / _BUCKETS
    return math.ceil((math.floor(moment / width) + 1) * width * 1000)


def _counting(limit: Limit, usage: Usage, now: float) -> dict[int, int]:
    """Return the buckets that may lie in the window behind now."""
    first, last = (now - limit.window) * 1000, (now + _MAX_AHEAD) * 1000
    return {at: n for at, n in (usage.buckets or {}).items() if first <= at <= last}


def _next_at(limit: Limit, usage: Usage, now: float) -> float:
    """Return ``next_at``; what is too far ahead is of another clock or period."""
    most = limit.count * limit.pause
    return usage.next_at if usage.next_at <= now + most + 1e-6 else 0.0
