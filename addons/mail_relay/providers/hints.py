# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a server wants to hear from us again, read from what it said.

"Try again in 5 minutes", "greylisted for 300 seconds", "come back in 00:05:00",
``Retry-After: 120`` and the date form of the same (RFC 9110 §10.2.3).
Reviewed on 2026-11-21.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

#: A server that asks for more than this is asked again after this long.
MAX_HINT = 24 * 3600.0
#: No reply says more in so many characters.
_MAX_TEXT = 2000

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {
    **{"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5},
    **{"ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60},
    **{"few": 5, "couple": 2, "some": 5, "several": 5},
}
_UNIT = r"(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|hr|h|days?|d)\b"
_AMOUNT = (
    rf"(?:\d{{1,7}} ?(?:-|to|or) ?)?(\d{{1,7}}|{'|'.join(_WORDS)})(?: of)? ?{_UNIT}"
)
#: What stands before a time that is meant for us. Each repetition is bounded, so that
#: a text costs its length, whatever it says.
_TRIGGER = re.compile(
    r"\b(?:try(?:ing)?|retry|retries|again|come back|back|wait|resend|resubmit"
    r"|gr[ea]y-?list(?:ed|ing)|deferred|throttled|delayed|blocked)\b"
)
_FILLER = re.compile(
    r"(?:[ ,:;=]|\b(?:again|later|back|at least|about|approximately|please|in|after"
    r"|for|within|another|the|next|retry|try|wait|a(?= (?:few|couple)))\b){0,20}"
)
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)\b", re.ASCII)
_SECONDS = re.compile(
    rf"(\d{{1,9}}(?:\.\d{{1,6}})?)(?: ?{_UNIT}|(?![\w-]|\.\d))", re.ASCII
)
_DURATION = re.compile(rf"{_AMOUNT}(?:(?: and|,)? ?{_AMOUNT})?", re.ASCII)
_HEADER = re.compile(
    r"\bretry[-_ ]?after\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\"';\n]{1,40})"
)


def retry_hint(text: str, now: datetime | None = None) -> float | None:
    """Return the seconds that a reply asks to wait, ``None`` where it does not.

    At most ``MAX_HINT``. Where a span is given, its end counts.

    :param now: an aware time, for a ``Retry-After`` with a date.
    """
    plain = " ".join(text[:_MAX_TEXT].lower().split())
    header = _HEADER.search(plain)
    wait = retry_after(header[1], now) if header else None
    if wait is not None:
        return wait
    for trigger in _TRIGGER.finditer(plain):
        wait = _time_at(plain, trigger.end())
        if wait is not None:
            return wait
    return None


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """Return the seconds in the value of a ``Retry-After``, ``None`` without sense.

    :param now: an aware time, the present without one.
    """
    value = value[:60].strip()
    found = _SECONDS.match(value.lower())
    if found:
        return _bounded(float(found[1]) * _UNITS[(found[2] or "s")[0]])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return _bounded((moment - (now or datetime.now(timezone.utc))).total_seconds())


def _time_at(text: str, position: int) -> float | None:
    """Return the seconds of a time that begins near a position of a text."""
    filler = _FILLER.match(text, position)
    start = filler.end() if filler else position
    clock = _CLOCK.match(text, start)
    if clock:
        hours, minutes, seconds = (int(part) for part in clock.groups())
        return _bounded(hours * 3600.0 + minutes * 60.0 + seconds)
    found = _DURATION.match(text, start)
    if not found:
        return None
    wait = _seconds(found[1], found[2])
    if found[3]:
        wait += _seconds(found[3], found[4])
    return _bounded(wait)


def _seconds(amount: str, unit: str) -> float:
    number = _WORDS.get(amount)
    return float(amount if number is None else number) * _UNITS[unit[0]]


def _bounded(wait: float) -> float:
    return min(max(0.0, wait), MAX_HINT)
