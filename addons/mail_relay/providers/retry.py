# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a recipient is tried again, and when no more: profiles as data, one function.

Reviewed on 2026-11-21 against RFC 5321 §4.5.4.1 and facts/relay.md §1.9, §3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from odoo.addons.mail_bridge.providers.delivery import Outcome

from .classify import Verdict

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0

#: A wait that no attempt is charged for grows with the age of the mail, so that four
#: days of greylisting are some hundred tries and not a thousand.
_AGE_SHARE = 0.25
_MAX_UNCHARGED_WAIT = HOUR

#: Seconds that a reason asks for, also where a rule of one's own forgot them. Servers
#: that greylist take five minutes as too early rather than too late (RFC 6647 §4.1).
MINIMUM_WAITS: Mapping[str, float] = {"greylist": 5 * MINUTE}


@dataclass(frozen=True)
class Profile:
    """How long to wait, in seconds, after the first, second, … charged attempt.

    ``repeats``: the last wait is used over and over until ``max_age``, seconds after
    the first attempt; else the attempt after the last wait was the last. ``jitter`` is
    the part of a wait that chance may add or take away.

    :raises ValueError: a profile that could never try, or try without end.
    """

    code: str
    label: str
    source: str
    delays: tuple[float, ...]
    max_age: float
    repeats: bool = False
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what would spin or never end."""
        if not self.delays or min(self.delays) < 1 or self.max_age <= 0:
            raise ValueError("a retry profile needs waits of a second or more")
        if not 0 <= self.jitter <= 0.5:
            raise ValueError("jitter is a part between 0 and 0.5")


PROFILES: Mapping[str, Profile] = {
    profile.code: profile
    for profile in (
        Profile(
            "genro",
            "1, 5, 15, 60, 120 minutes",
            "facts/relay.md §1.9",
            delays=(MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR),
            max_age=4 * DAY,
        ),
        # Never less than 30 minutes apart, jitter included; twice in the first hour.
        Profile(
            "rfc5321",
            "30 minutes to 3 hours, for 4 days",
            "https://www.rfc-editor.org/rfc/rfc5321#section-4.5.4.1",
            delays=(30 * MINUTE / 0.9, 30 * MINUTE / 0.9, 2 * HOUR, 3 * HOUR),
            max_age=4 * DAY,
            repeats=True,
        ),
    )
}


def next_try(
    profile: Profile,
    attempts: int,
    first_attempt: datetime | None,
    now: datetime,
    verdict: Verdict,
    random: float,
) -> datetime | None:
    """Return when a recipient is tried again, ``None``: never.

    Not before the server's own word, and not at all after a refusal for good, after
    the last wait of the profile or beyond its age.

    :param attempts: attempts charged so far, this one included if it is charged.
    :param first_attempt: when it was tried for the first time; ``None``: this was it.
    :param random: a number in [0, 1), drawn by the caller.
    """
    if verdict.outcome is not Outcome.DEFERRED:
        return None
    age = max(0.0, (now - (first_attempt or now)).total_seconds())
    wait = _wait(profile, attempts, age, verdict)
    if wait is None:
        return None
    floor = max(verdict.retry_after or 0.0, MINIMUM_WAITS.get(verdict.reason, 0.0))
    # Many were told the same moment: they come behind it, and not all at once.
    floor *= 1 + profile.jitter * random
    wait = max(wait * (1 + profile.jitter * (2 * random - 1)), floor)
    if age + wait > profile.max_age:
        return None
    return now + timedelta(seconds=wait)


def _wait(
    profile: Profile, attempts: int, age: float, verdict: Verdict
) -> float | None:
    """Return the profile's wait after this many attempts, ``None`` after the last."""
    step, last = max(0, attempts - 1), len(profile.delays) - 1
    if not verdict.charges_attempt:
        aged = min(age * _AGE_SHARE, _MAX_UNCHARGED_WAIT)
        return max(profile.delays[min(step, last)], aged)
    if step > last and not profile.repeats:
        return None
    return profile.delays[min(step, last)]
