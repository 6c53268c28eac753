# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the door must know of an account, without the ORM and without a query."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from .providers.base import AccountFacts

#: How long decrypted credentials serve the door, seconds.
FACTS_SECONDS = 10.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str | None) -> tuple[Network, ...]:
    """Return the networks of a text field (separated by space, comma or line).

    :raises ValueError: one of them is no network.
    """
    return tuple(
        ipaddress.ip_network(item, strict=False)
        for item in re.split(r"[\s,;]+", text or "")
        if item
    )


def is_allowed(networks: tuple[Network, ...], remote_addr: str) -> bool:
    """Tell whether a post may come from an address; no networks: from everywhere."""
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(remote_addr)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


@dataclass(frozen=True)
class StoredSecret:
    """A secret as the database has it: encrypted, with the one it replaced."""

    ciphertext: str
    previous: str | None
    previous_until: datetime | None

    def live(self, now: datetime) -> list[str]:
        """Return the ciphertexts that count now (naive UTC), the current one first."""
        if self.previous and self.previous_until and self.previous_until > now:
            return [self.ciphertext, self.previous]
        return [self.ciphertext]


@dataclass(frozen=True)
class DoorAccount:
    """An account as the door sees it; cached until an account or secret changes.

    ``state`` is ``disabled`` for an archived account too.
    ``addresses`` maps the SHA-256 of each URL token to the time (naive UTC) until
    which it is valid, ``None`` for the current one.
    """

    id: int
    company_id: int
    code: str
    reference: str
    state: str
    require_token: bool
    networks: tuple[Network, ...]
    body_limit: int
    secrets: dict[str, StoredSecret] = field(repr=False)
    addresses: dict[str, datetime | None] = field(repr=False)
    _facts: dict[str, tuple[float, AccountFacts]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def facts(self, decrypt: Callable[[], AccountFacts]) -> AccountFacts:
        """Return what the adapter may know, decrypted at most every few seconds."""
        now = time.monotonic()
        known = self._facts.get("known")
        if known is None or known[0] < now:
            known = self._facts["known"] = (now + FACTS_SECONDS, decrypt())
        return known[1]


def provider_facts(
    code: str,
    secrets: dict[str, list[str]],
    options: dict[str, object] | None = None,
) -> AccountFacts:
    """Return what an adapter may know; credentials lose their ``<code>_`` prefix.

    At the door only the credentials are given, no options.
    """
    prefix = f"{code}_"
    named = {name.removeprefix(prefix): live for name, live in secrets.items()}
    return AccountFacts(secrets=named, options=options or {})
