# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What clients are told of their messages, and what they say to it.

The key sets are exact: clients' tests compare them (facts/relay.md §1.10). Reviewed on
2026-11-21.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["sent", "error", "deferred", "bounce"]
#: What only a client with the extended profile is told.
EXTENDED = (
    "delivered",
    "opened",
    "clicked",
    "complained",
    "unsubscribed",
)
#: Keys of each kind of entry beside ``id``: its moment, then its facts.
KEYS: Mapping[str, tuple[str, ...]] = {
    "sent": ("sent_ts",),
    "error": ("error_ts", "error"),
    "deferred": ("deferred_ts", "deferred_reason"),
    "bounce": ("bounce_ts", "bounce_type", "bounce_code", "bounce_reason"),
    **dict.fromkeys(EXTENDED, ("event_ts", "event", "recipient")),
}
#: After these a message is not tried any more.
FINAL = ("sent", "error")
#: Seconds between two calls of one client while it has more for us.
CHAIN_SECONDS = 0.5
#: Waits after a report that was not taken, seconds.
BACKOFF = (5, 15, 30, 60, 120, 300)
#: Entries of one report.
MAX_ENTRIES = 1000


def entry(kind: str, client_id: str, moment: int, *facts: Any) -> dict[str, Any]:
    """Return what a client is told of one event.

    :param moment: seconds since 1970; of ``deferred``, of the next attempt.
    """
    names = KEYS[kind]
    return {"id": client_id, **dict(zip(names, (moment, *facts), strict=True))}


def report(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the body of a report."""
    body = {"delivery_report": list(entries)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Heard:
    """What a client answered to a report.

    ``taken``: all of it, whatever stands in the answer. ``has_more``: it has messages
    for us. ``next_sync``: it wants no empty report before (0: it did not say).
    """

    taken: bool
    has_more: bool = False
    next_sync: int = 0
    problem: str = ""


def read_answer(status: int, body: bytes) -> Heard:
    """Return what an answer means: any 2xx takes everything, JSON or not."""
    if not 200 <= status < 300:
        return Heard(False, problem=f"the application answered {status}")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return Heard(True)
    queued = _number(data.get("queued"))
    return Heard(True, queued > 0, _number(data.get("next_sync_after")))


def _number(value: Any) -> int:
    """Return a plain number of a client, 0 for anything else."""
    if isinstance(value, int | float) and 0 <= value < 2**40:
        return int(value)
    return 0


def backoff(failures: int) -> int:
    """Return the seconds until a report is tried again."""
    return BACKOFF[min(max(failures, 1), len(BACKOFF)) - 1]
