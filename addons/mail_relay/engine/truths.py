# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is told of recipients after their mail was sent: judged, gathered, written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    EventType,
    Outcome,
    Reply,
)

from ..providers.classify import classify
from ..providers.states import IMPLIES, RANKS, START, Truth, advance, truth_of_event

HARD = Truth("bounced", "hard")
SENT = Truth("sent")
#: Columns with the moment when a state was first reached, by state.
MOMENTS: Mapping[str, str] = {
    name: f"{name}_at"
    for name in (
        "sent",
        "delivered",
        "opened",
        "clicked",
        "bounced",
        "complained",
        "unsubscribed",
    )
}
#: Why an address is dead; other reasons do not explain a hard bounce.
_DEAD = frozenset(("invalid", "bad_domain", "inactive", "quota"))
_TROUBLE = frozenset(("bounced", "rejected", "failed"))
_SAID = ("bounce_class", "reason", "failure_text", "stage", "enhanced_code")

#: Takes JSON. Truth goes forward by rank; the moments are the earliest that are known.
ADVANCE = f"""
    UPDATE mail_relay_recipient AS person
       SET rank = greatest(person.rank, v.rank),
           state = CASE WHEN v.rank > person.rank THEN v.state ELSE person.state END,
           smtp_code = CASE WHEN v.rank > person.rank THEN v.smtp_code
                            ELSE person.smtp_code END,
           {
    ", ".join(
        f"{name} = CASE WHEN v.rank > person.rank THEN v.{name} ELSE person.{name} END"
        for name in _SAID
    )
},
           {
    ", ".join(f"{name} = least(person.{name}, v.{name})" for name in MOMENTS.values())
},
           provider_reference = coalesce(person.provider_reference,
                                         v.provider_reference),
           last_event_at = greatest(person.last_event_at, v.last_event_at)
      FROM json_to_recordset(%s) AS v(
           id integer, rank integer, state varchar, smtp_code integer,
           {", ".join(f"{name} varchar" for name in _SAID)},
           {", ".join(f"{name} timestamp" for name in MOMENTS.values())},
           provider_reference varchar, last_event_at timestamp)
     WHERE person.id = v.id"""


class Told(NamedTuple):
    """One piece of news of a recipient.

    ``truth`` is ``None`` where it says nothing of his mail; ``at`` is naive UTC. What
    the server said stands in ``reply``, what it means in ``reason`` (``REASONS``).
    """

    recipient_id: int
    truth: Truth | None
    at: datetime
    reason: str = ""
    reply: Reply | None = None
    provider_reference: str = ""


def judge(
    kind: EventType, bounce_class: BounceClass, reply: Reply | None
) -> tuple[Truth | None, str]:
    """Return what an event says of its recipient, and the reason of the trouble.

    A provider that says whose fault a bounce is is believed; else our rules decide.
    """
    truth = truth_of_event(kind, bounce_class)
    if truth is None or truth.state not in _TROUBLE:
        return truth, ""
    verdict = classify(reply or Reply("remote"), told=Outcome.REJECTED)
    if bounce_class == "hard" and verdict.reason not in _DEAD:
        return truth, "invalid"
    if kind == "bounced" and not bounce_class and reply and verdict.bounce_class:
        truth = Truth("bounced", verdict.bounce_class)
    return truth, verdict.reason


def gather(news: Iterable[Told]) -> list[dict[str, Any]]:
    """Return one row for each recipient, in the order of ids: the strongest truth, and
    the first moment of each state that it or the others imply.
    """
    rows: dict[int, dict[str, Any]] = {}
    known: dict[int, Truth] = {}
    for item in sorted(news, key=_order):
        row = rows.setdefault(item.recipient_id, _start(item.recipient_id))
        before = known.get(item.recipient_id, START)
        after = advance(before, item.truth)
        if after != before:
            known[item.recipient_id] = after
            row |= _said(item, after)
        _note_moments(row, item)
    return list(rows.values())


def write(cr, news: Iterable[Told]) -> None:
    """Bring recipients forward, in one statement; the caller commits.

    They are locked in the order of their ids, as by whoever writes results.
    """
    rows = gather(news)
    cr.execute(
        "SELECT id FROM mail_relay_recipient WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        ([row["id"] for row in rows],),
        log_exceptions=False,
    )
    cr.execute(ADVANCE, (json.dumps(rows, default=str),), log_exceptions=False)


def _order(item: Told) -> tuple:
    """Return a key that lets news in any order come in the same."""
    words = item.reason, repr(item.reply), item.provider_reference
    return item.recipient_id, item.at, *words


def _start(recipient_id: int) -> dict[str, Any]:
    return {"id": recipient_id, "rank": RANKS[START], "state": START.state}


def _said(item: Told, truth: Truth) -> dict[str, Any]:
    """Return the columns of a truth and of what was said with it."""
    reply = item.reply if truth.state in _TROUBLE else None
    return {
        "rank": RANKS[truth],
        "state": truth.state,
        "bounce_class": truth.bounce_class or None,
        "reason": item.reason or None,
        "failure_text": (reply and reply.text) or None,
        "stage": (reply and reply.stage) or None,
        "smtp_code": (reply and reply.code) or None,
        "enhanced_code": (reply and reply.enhanced) or None,
    }


def _note_moments(row: dict[str, Any], item: Told) -> None:
    if item.truth:
        for state in (item.truth.state, *IMPLIES[item.truth.state]):
            if column := MOMENTS.get(state):
                row.setdefault(column, item.at)
    if item.provider_reference:
        row.setdefault("provider_reference", item.provider_reference)
    row["last_event_at"] = item.at
