# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which accounts may send a mail, in which order, and why: one pure function."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .providers.smtp_address import ascii_domain

#: One line of the explanation that a mail keeps: account id (0: none), and why.
Reason = tuple[int, str]


@dataclass(frozen=True)
class RouteFacts:
    """A route as plain values; empty collections match everything."""

    id: int
    name: str
    from_domains: frozenset[str]
    recipient_domains: frozenset[str]
    models: frozenset[str]
    kind: str
    level: int
    account_ids: tuple[int, ...]

    @classmethod
    def of(
        cls,
        *,
        from_domains: str | None,
        recipient_domains: str | None,
        models: Iterable[str],
        account_ids: Sequence[int],
        **rest: object,
    ) -> RouteFacts:
        """Return the facts of a route from the words of its form."""
        return cls(
            from_domains=domains_in(from_domains),
            recipient_domains=domains_in(recipient_domains),
            models=frozenset(models),
            account_ids=tuple(account_ids),
            **rest,  # type: ignore[arg-type]
        )

    def matches(
        self,
        from_domain: str,
        recipient_domains: Collection[str],
        model: str,
        is_marketing: bool,
        level: int,
    ) -> bool:
        """Whether this route is for a mail."""
        kinds = ("any", "marketing" if is_marketing else "transactional")
        return (
            self.kind in kinds
            and level <= self.level
            and (not self.from_domains or from_domain in self.from_domains)
            and (not self.models or model in self.models)
            and (
                not self.recipient_domains
                or self.recipient_domains.issuperset(recipient_domains)
            )
        )


@dataclass(frozen=True)
class Choice:
    """The accounts to try in their order, by which route (0: none), and why."""

    account_ids: tuple[int, ...]
    route_id: int = 0
    trace: tuple[Reason, ...] = ()


def domains_in(text: str | None) -> frozenset[str]:
    """Return the domains of a text field (separated by comma, space or line)."""
    words = re.split(r"[\s,;]+", (text or "").lower())
    return frozenset(filter(None, (ascii_domain(word.lstrip("@")) for word in words)))


def choose(
    wanted: Sequence[int],
    why: str,
    obstacles: Mapping[int, str],
    route_id: int = 0,
) -> Choice:
    """Return the accounts that can send now, each other one with its obstacle.

    :param wanted: account ids in their order.
    :param obstacles: why an account cannot send this mail.
    """
    usable = tuple(item for item in dict.fromkeys(wanted) if item not in obstacles)
    passed = [(item, obstacles[item]) for item in wanted if item in obstacles]
    chosen = [(usable[0], why)] if usable else [(0, "no account can send it")]
    return Choice(usable, route_id, (*passed, *chosen))
