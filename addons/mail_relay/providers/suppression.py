# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which addresses get no more mail, of which kind, and for how long: rules as data.

Issue 3 §B: a dead address gets nothing at all for 30 days, each new proof renews them;
who complains or unsubscribes gets no marketing any more, and still the invoice, unless
the account says otherwise. Reviewed on 2026-11-21 against facts/relay.md §4.2, §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

#: ``list``: the mails of one mailing list.
Scope = Literal["all", "marketing", "list"]

_MONTH = timedelta(days=30)


@dataclass(frozen=True)
class SuppressionRule:
    """What one reason leads to.

    ``scope`` of the entry; ``lasts`` from the last proof on, ``None``: until somebody
    takes it back. ``proofs`` times within ``within`` are needed, the first and the
    last at least ``apart``.
    """

    scope: Scope
    source: str
    lasts: timedelta | None = _MONTH
    proofs: int = 1
    within: timedelta = timedelta(days=7)
    apart: timedelta = timedelta(0)


#: By the reason of a verdict, or the type of an event that is a wish of the recipient.
SUPPRESSION_RULES: Mapping[str, SuppressionRule] = {
    "invalid": SuppressionRule("all", "facts/relay.md §4.2"),
    "bad_domain": SuppressionRule("all", "facts/relay.md §4.2"),
    "inactive": SuppressionRule("all", "facts/relay.md §4.2"),
    # Full for two weeks is abandoned, full over a weekend is a holiday.
    "quota": SuppressionRule(
        "all",
        "facts/relay.md §4.2",
        proofs=3,
        within=timedelta(days=60),
        apart=timedelta(days=14),
    ),
    "unknown": SuppressionRule("all", "facts/relay.md §4.2", proofs=2),
    "complained": SuppressionRule("marketing", "issue 3 §B", lasts=None),
    "unsubscribed": SuppressionRule("marketing", "issue 3 §B", lasts=None),
    # From a link that names one list only.
    "list": SuppressionRule("list", "issue 3 §B", lasts=None),
}


@dataclass(frozen=True)
class Suppression:
    """An entry to be made or renewed; ``until`` is ``None`` where it has no end."""

    scope: Scope
    since: datetime
    until: datetime | None


def wanted(
    reason: str,
    proofs: Iterable[datetime],
    rules: Mapping[str, SuppressionRule] = SUPPRESSION_RULES,
) -> Suppression | None:
    """Return the entry that some proofs for one address call for, ``None``: none.

    :param proofs: when it was proved, for this reason, each message once; any order.
    """
    rule = rules.get(reason)
    moments = sorted(proofs)
    if rule is None or not moments:
        return None
    recent = [moment for moment in moments if moments[-1] - moment <= rule.within]
    if len(recent) < rule.proofs or recent[-1] - recent[0] < rule.apart:
        return None
    until = recent[-1] + rule.lasts if rule.lasts is not None else None
    return Suppression(rule.scope, recent[-1], until)


def holds_back(
    scope: Scope,
    *,
    marketing: bool,
    same_list: bool = False,
    strict: bool = False,
    until: datetime | None = None,
    now: datetime | None = None,
) -> bool:
    """Whether an entry keeps a mail from its recipient.

    :param marketing: the mail is marketing, not a notification or an invoice.
    :param same_list: it goes to the list that the entry is about.
    :param strict: the account sends nothing at all to who complained or unsubscribed.
    :param until: the end of the entry, with ``now``.
    """
    if until is not None and now is not None and until <= now:
        return False
    if scope == "all":
        return True
    if scope == "list":
        return same_list
    return marketing or strict
