# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a provider can be asked for, beside taking mail: each a service of its own.

Every method waits for the network: it is called while no transaction is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from .delivery import DeliveryEvent
from .suppression import Suppression, SuppressionReason

if TYPE_CHECKING:
    from .base import AccountFacts

#: What is posted to us: what became of mail, or mail itself.
Purpose = Literal["events", "inbound"]
#: A service that an adapter offers: the name of its method, with its purpose.
Service = Literal[
    "register_events",
    "register_inbound",
    "networks",
    "suppressions",
    "suppress",
    "history",
    "statistics",
    "domain_records",
]
#: Figures of an account, one vocabulary; a provider tells those that it knows.
Figure = Literal[
    "cycle_start",
    "cycle_end",
    "quota",
    "quota_used",
    "quota_left",
    "sent",
    "rejected",
    "bounced_hard",
    "bounced_soft",
    "bounce_percent",
    "complained",
    "complaint_percent",
    "unsubscribed",
    "opened",
    "clicked",
]


@dataclass(frozen=True)
class OwnAddresses:
    """Where an account takes posts: ``url`` now, at ``retired`` before.

    ``reference`` names the account among those of all databases: letters, digits,
    ``-`` and ``_``, at most 64.
    """

    url: str = field(repr=False)
    reference: str
    retired: tuple[str, ...] = field(default=(), repr=False)


class ProviderServices:
    """The services of an adapter. Whoever implements one names it in ``offers``.

    All raise ``TemporaryError`` where the provider cannot be asked now, and
    ``PermanentError`` where it refuses, or the account lacks what is needed.
    """

    offers: ClassVar[frozenset[Service]] = frozenset()
    #: Names of the credentials without which no service can be asked for.
    services_need: ClassVar[tuple[str, ...]] = ()

    def register(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> None:
        """For a provider with webhooks or routes, it must let them post to us.

        May be repeated. What is not ours is never changed; what is ours and retired
        is removed.
        """
        raise NotImplementedError

    def unregister(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> int:
        """For a provider that registers, it must remove ours; return how many."""
        raise NotImplementedError

    def networks(self, account: AccountFacts) -> list[str]:
        """For a provider that publishes them, return where it posts from, as of now."""
        raise NotImplementedError

    def suppressions(self, account: AccountFacts) -> Iterator[Suppression]:
        """For a provider that suppresses addresses, it must yield all of them."""
        raise NotImplementedError

    def suppress(self, account: AccountFacts, items: Iterable[Suppression]) -> None:
        """For a provider that can be told, it must enter addresses; may be repeated."""
        raise NotImplementedError

    def unsuppress(
        self, account: AccountFacts, address: str, reason: SuppressionReason
    ) -> bool:
        """For a provider that can be told, it must lift one; whether there was one."""
        raise NotImplementedError

    def history(
        self, account: AccountFacts, begin: datetime, end: datetime
    ) -> tuple[list[DeliveryEvent], datetime]:
        """For a provider with a log, return what it tells of a span of time.

        Each event as its webhook tells it, so that it is known again.

        :param begin: aware times, as ``end``.
        :return: the events, and the moment up to which the log was read.
        """
        raise NotImplementedError

    def statistics(self, account: AccountFacts) -> Mapping[Figure, str]:
        """For a provider that counts, return its figures, as people read them."""
        raise NotImplementedError

    def domain_records(
        self, account: AccountFacts, domain: str
    ) -> Iterable[tuple[str, str, str, str]]:
        """For a provider that knows them, it must return the records a domain needs.

        :return: purpose (``spf``, ``dkim``, ``return_path``, ``mx``, ``other``), type,
            full name and value; for SPF the term that permits its servers.
        """
        raise NotImplementedError
