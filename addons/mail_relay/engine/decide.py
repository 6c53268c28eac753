# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What follows from an attempt: one pure function, from a receipt to a decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    RecipientResult,
    Reply,
    SendReceipt,
)

from ..providers.classify import Verdict, classify
from ..providers.retry import next_try
from ..providers.smtp_address import ascii_domain
from ..providers.states import Truth, WorkState, is_open, truth_of_attempt
from .values import Claimed, SendAccount

#: Who a refusal may blame so that another account is worth a try.
_ELSEWHERE = frozenset(("account", "sender"))
#: Seconds of peace for a server that asks for it without saying how long.
THROTTLE_SECONDS = 60.0
_FAILED = Truth("failed")
#: Stages of a conversation in which no mail was spoken of.
_BEFORE_MAIL = frozenset(("connect", "tls", "auth"))


@dataclass(frozen=True)
class News:
    """What an attempt says of one recipient."""

    recipient_id: int
    truth: Truth
    reason: str
    reply: Reply


@dataclass(frozen=True)
class Gate:
    """A closed door: an account's (``domain`` empty) or its way to a domain."""

    domain: str
    seconds: float
    reason: str
    text: str


@dataclass(frozen=True)
class Decision:
    """What becomes of a mail after an attempt.

    ``outcome`` as in ``mail.relay.attempt``. ``next_account_id`` is 0 where the account
    stays. ``account_failed``: the attempt counts towards the account's break;
    ``account_works``: it ends it.
    """

    state: WorkState
    outcome: str
    reply: Reply
    reason: str
    news: tuple[News, ...] = ()
    charged: bool = False
    next_attempt: datetime | None = None
    next_account_id: int = 0
    account_chain: str = ""
    gates: tuple[Gate, ...] = ()
    account_failed: bool = False
    account_works: bool = False
    receipt: SendReceipt = field(default_factory=lambda: SendReceipt(()))

    @property
    def arrived(self) -> bool:
        """Whether the server heard of the mail, or may have: it was sent somehow."""
        return any(
            item.outcome in (Outcome.ACCEPTED, Outcome.IN_DOUBT)
            or item.reply.stage not in _BEFORE_MAIL
            for item in self.receipt.results
        )

    @property
    def narrows(self) -> bool:
        """Whether the next attempt has fewer recipients: it is another sending."""
        return any(not is_open(item.truth.state) for item in self.news)


def decide(
    account: SendAccount,
    mail: Claimed,
    receipt: SendReceipt,
    now: datetime,
    random: float,
) -> Decision:
    """Return what follows from an attempt.

    :param now: aware UTC.
    :param random: a number in [0, 1), drawn by the caller.
    """
    judged = [(item, _verdict(item, now)) for item in receipt.results]
    gates = _gates(account, mail, judged, receipt)
    if elsewhere := _elsewhere(mail, judged, receipt, now, gates):
        return elsewhere
    charged = any(verdict.charges_attempt for _item, verdict in judged)
    attempts = mail.attempts + charged
    news, moments = [], []
    for item, verdict in judged:
        again = _again(account, mail, verdict, attempts, now, random)
        if again:
            moments.append(again)
        if found := _news(mail, item, verdict, again, attempts):
            news.append(found)
    return Decision(
        state=_state(judged, news, moments),
        outcome=_outcome(judged),
        reply=_telling(judged)[0],
        reason=_telling(judged)[1].reason,
        news=tuple(news),
        charged=charged,
        next_attempt=min(moments, default=None),
        gates=gates,
        account_failed=_is_accounts_fault(judged),
        account_works=_works(judged),
        receipt=receipt,
    )


def _verdict(result: RecipientResult, now: datetime) -> Verdict:
    return classify(result.reply, told=result.outcome, now=now)


Judged = list[tuple[RecipientResult, Verdict]]


def _elsewhere(
    mail: Claimed,
    judged: Judged,
    receipt: SendReceipt,
    now: datetime,
    gates: tuple[Gate, ...],
) -> Decision | None:
    """Return the decision to try the next account, where this one is the trouble.

    Never after an ambiguous result, and not where any recipient got the mail.
    """
    chain = json.loads(mail.account_chain)
    if not chain or any(
        verdict.outcome in (Outcome.ACCEPTED, Outcome.IN_DOUBT)
        or verdict.blame not in _ELSEWHERE
        or verdict.reason == "throttle"
        for _item, verdict in judged
    ):
        return None
    reply, verdict = _telling(judged)
    return Decision(
        state="queued",
        outcome="not_sent",
        reply=reply,
        reason=verdict.reason,
        next_attempt=now,
        next_account_id=chain[0],
        account_chain=json.dumps(chain[1:]),
        gates=gates,
        account_failed=_is_accounts_fault(judged),
        receipt=receipt,
    )


def _again(
    account: SendAccount,
    mail: Claimed,
    verdict: Verdict,
    attempts: int,
    now: datetime,
    random: float,
) -> datetime | None:
    first = mail.first_attempt_at
    first = first and first.replace(tzinfo=timezone.utc)
    return next_try(account.profile, attempts, first, now, verdict, random)


def _news(
    mail: Claimed,
    item: RecipientResult,
    verdict: Verdict,
    again: datetime | None,
    attempts: int,
) -> News | None:
    """Return what is known of a recipient now, ``None``: nothing (in doubt)."""
    truth = truth_of_attempt(verdict)
    if truth is None or item.address not in mail.recipients:
        return None
    reply = item.reply
    if verdict.outcome is Outcome.DEFERRED and again is None:
        truth = _FAILED
        text = f"Max retries ({max(attempts - 1, 0)}) exceeded: {reply.text}"
        reply = Reply(reply.stage, reply.code, reply.enhanced, text)
    return News(mail.recipients[item.address], truth, verdict.reason, reply)


def _state(judged: Judged, news: list[News], moments: list[datetime]) -> WorkState:
    if any(verdict.outcome is Outcome.IN_DOUBT for _item, verdict in judged):
        return "in_doubt"
    if moments:
        return "queued"
    if any(item.truth == _FAILED for item in news):
        return "dead"
    return "done"


def _outcome(judged: Judged) -> str:
    """Return the word for the attempt as a whole."""
    kinds = {verdict.outcome for _item, verdict in judged}
    if Outcome.IN_DOUBT in kinds:
        return "in_doubt"
    if kinds == {Outcome.ACCEPTED}:
        return "accepted"
    if Outcome.ACCEPTED in kinds:
        return "partial"
    return "rejected" if kinds == {Outcome.REJECTED} else "deferred"


def _telling(judged: Judged) -> tuple[Reply, Verdict]:
    """Return the reply that says most about the attempt: a refusal, if there is one."""
    order: Mapping[Outcome, int] = {
        Outcome.IN_DOUBT: 0,
        Outcome.REJECTED: 1,
        Outcome.DEFERRED: 2,
        Outcome.ACCEPTED: 3,
    }
    item, verdict = min(judged, key=lambda pair: order[pair[1].outcome])
    return item.reply, verdict


def _gates(
    account: SendAccount, mail: Claimed, judged: Judged, receipt: SendReceipt
) -> tuple[Gate, ...]:
    """Return who asks for peace: the account's server, or some destinations."""
    found: dict[str, Gate] = {}
    if receipt.retry_after:
        reply, verdict = _telling(judged)
        found[""] = Gate("", receipt.retry_after, verdict.reason, reply.text)
    for item, verdict in judged:
        if verdict.reason != "throttle" or verdict.outcome is not Outcome.DEFERRED:
            continue
        is_own = verdict.blame == "account" or _is_of_the_server(item.reply)
        domain = "" if is_own else _domain(mail, item.address)
        wait = verdict.retry_after or THROTTLE_SECONDS
        if domain not in found or found[domain].seconds < wait:
            found[domain] = Gate(domain, wait, verdict.reason, item.reply.text)
    return tuple(found.values())


def _is_of_the_server(reply: Reply) -> bool:
    """Whether a reply is about the server and not about one of its destinations.

    421 is, wherever it comes (RFC 5321 §3.8), and what is said before a recipient.
    """
    return reply.code == 421 or reply.stage in (*_BEFORE_MAIL, "mail")


def _domain(mail: Claimed, address: str) -> str:
    """Return which of the mail's domains an address is in."""
    domain = ascii_domain(address.rpartition("@")[2].lower())
    return (
        domain if domain in mail.domains or len(mail.domains) != 1 else mail.domains[0]
    )


def _is_accounts_fault(judged: Judged) -> bool:
    return all(
        verdict.blame == "account"
        and verdict.outcome not in (Outcome.ACCEPTED, Outcome.IN_DOUBT)
        and verdict.reason != "throttle"
        for _item, verdict in judged
    )


def _works(judged: Judged) -> bool:
    """Whether the account's server talked to us about mail."""
    return any(
        verdict.outcome is Outcome.ACCEPTED
        or item.reply.stage in ("mail", "rcpt", "data")
        for item, verdict in judged
    )
