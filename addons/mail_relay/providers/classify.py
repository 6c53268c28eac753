# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a reply means for a recipient, a mail, an account: one verdict.

Facts/relay.md §4.2. The enhanced code counts before the basic one, the stage of the
conversation says whose fault it is where nothing more exact does, and a connection
that failed is never a bounce. Reviewed on 2026-11-21 against RFC 5321 and RFC 3463.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    Outcome,
    Reply,
    Stage,
)

from .hints import retry_hint
from .rules import RULES, Blame, Rule, Severity, words_of

#: Who is at fault when only the stage is known (facts/relay.md §4.2, last line).
BLAME_BY_STAGE: Mapping[Stage, Blame] = {
    "connect": "account",
    "tls": "account",
    "auth": "account",
    "mail": "sender",
    "rcpt": "recipient",
    "data": "message",
    "api": "message",
    "remote": "recipient",
}
#: ``Reply.text`` has at most 1 000 characters.
_MAX_TEXT = 1000

#: Subjects are 0 to 7 (RFC 3463 §3), which tells a code from most version numbers and
#: addresses of networks.
_ENHANCED = re.compile(r"(?<![\d.])([245])\.([0-7])\.(\d{1,3})(?!\.?\d)", re.ASCII)
_CODE = re.compile(r"\s{0,10}([2-5]\d\d)(?![\d.])", re.ASCII)


@dataclass(frozen=True)
class Verdict:
    """What follows from a reply.

    ``reason`` is one of ``rules.REASONS``, ``rule`` the name of the row that said so.
    ``suppress``: the address is dead, nothing is sent to it any more.
    ``charges_attempt``: the try counts towards the end of the retries.
    ``retry_after``: seconds to wait at least, by the rule or by the server's own word.
    """

    outcome: Outcome
    bounce_class: BounceClass = ""
    reason: str = ""
    blame: Blame = ""
    suppress: bool = False
    charges_attempt: bool = True
    retry_after: float | None = None
    rule: str = ""


@dataclass(frozen=True)
class _Evidence:
    """A reply as the rules look at it."""

    stage: Stage
    code: int
    enhanced: str
    severity: Severity
    words: str


def classify(
    reply: Reply,
    rules: Iterable[Rule] = RULES,
    told: Outcome | None = None,
    now: datetime | None = None,
) -> Verdict:
    """Return what a reply means; the first rule that fits decides.

    :param rules: one's own before ``RULES``.
    :param told: what the adapter made of the attempt. ``ACCEPTED`` and ``IN_DOUBT``
        stand, whatever the reply says; of the others it decides where the reply
        holds no code that says "later" or "never".
    :param now: an aware time, for hints that name a date.
    """
    if told in (Outcome.ACCEPTED, Outcome.IN_DOUBT):
        return Verdict(told)
    evidence = _evidence(reply, told)
    if not evidence.severity:
        return Verdict(Outcome.ACCEPTED)
    for rule in rules:
        if _fits(rule, evidence):
            return _verdict(rule, evidence, retry_hint(reply.text, now))
    return _verdict(RULES[-1], evidence, retry_hint(reply.text, now))


def parse_reply(stage: Stage, text: str) -> Reply:
    """Return a reply read from its text, as in ``"550 5.1.1 No such user"``."""
    line = " ".join(text[: 4 * _MAX_TEXT].replace("\0", "").split())[:_MAX_TEXT]
    found = _CODE.match(line)
    code = int(found[1]) if found else 0
    return Reply(stage, code, enhanced_in(line, code), line)


def enhanced_in(text: str, code: int = 0) -> str:
    """Return the first RFC 3463 code in a text that does not contradict ``code``."""
    for found in _ENHANCED.finditer(text[:_MAX_TEXT]):
        if not code or found[1] == str(code)[0]:
            return _plain(found)
    return ""


def _plain(found: re.Match[str]) -> str:
    return ".".join(str(int(part)) for part in found.groups())


def _evidence(reply: Reply, told: Outcome | None) -> _Evidence:
    given = _ENHANCED.fullmatch(reply.enhanced.strip())
    enhanced = _plain(given) if given else enhanced_in(reply.text, reply.code)
    # Addresses are made of words, too: postmaster+spam@, no-such-user@.
    words = [word for word in reply.text[:_MAX_TEXT].split() if "@" not in word]
    severity = _severity(reply.stage, reply.code, enhanced, told)
    return _Evidence(
        reply.stage, reply.code, enhanced, severity, words_of(" ".join(words))
    )


def _severity(stage: Stage, code: int, enhanced: str, told: Outcome | None) -> Severity:
    """Return whether a refusal is for now or for good, ``""`` where it is none."""
    if enhanced[:1] in ("4", "5"):
        return "permanent" if enhanced[0] == "5" else "temporary"
    if 400 <= code < 500:
        return "temporary"
    if code >= 500 and code != 503:
        return "permanent"
    if told is not None:
        return "permanent" if told is Outcome.REJECTED else "temporary"
    is_yes = 200 <= code < 400 or (enhanced[:1] == "2" and not code)
    return "" if is_yes else "temporary"


def _fits(rule: Rule, evidence: _Evidence) -> bool:
    return (
        (not rule.severity or rule.severity == evidence.severity)
        and (not rule.stages or evidence.stage in rule.stages)
        and (not rule.codes or evidence.code in rule.codes)
        and (not rule.enhanced or rule.covers(evidence.enhanced))
        and (not rule.phrases or rule.is_said_in(evidence.words))
    )


def _verdict(rule: Rule, evidence: _Evidence, hint: float | None) -> Verdict:
    permanent = evidence.severity == "permanent"
    outcome = Outcome.REJECTED if permanent else Outcome.DEFERRED
    # Of what a later server reports, nothing can be tried again here.
    if rule.outcome is not None and evidence.stage != "remote":
        outcome = rule.outcome
    rejected = outcome is Outcome.REJECTED
    wait = None if rejected else max(rule.retry_after, hint or 0.0) or None
    return Verdict(
        outcome,
        bounce_class=rule.bounce_class,
        reason=rule.reason,
        blame=rule.blame or BLAME_BY_STAGE[evidence.stage],
        suppress=rule.suppress and rejected,
        charges_attempt=rule.charges_attempt or rejected,
        retry_after=wait,
        rule=rule.name,
    )
