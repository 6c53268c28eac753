# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the dispatcher works with: plain values, made by the models that know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from odoo.addons.mail_bridge.providers.base import AccountFacts, ProviderAdapter

from ..providers.retry import Profile
from .limits import Limit


@dataclass(frozen=True)
class SendAccount:
    """An account that sends, as the dispatcher needs it.

    ``threads`` at once by all dispatchers together, ``batch`` mails taken over at a
    time. ``rejects``: mails beyond a limit are refused and do not wait.
    """

    id: int
    name: str
    company_id: int
    adapter: ProviderAdapter
    facts: AccountFacts = field(repr=False)
    threads: int
    batch: int
    profile: Profile
    limits: tuple[Limit, ...] = ()
    rejects: bool = False
    strict: bool = False
    logs: bool = True
    breaker_failures: int = 5
    breaker_seconds: float = 60.0


@dataclass
class Claimed:
    """A mail that belongs to this dispatcher until its lease is over.

    ``recipients`` are the open ones by address (in the order of their ids).
    ``claimed_at`` is the database's epoch time, ``due_at`` when it was due.
    ``mime`` is ``None`` where it is still to be read.
    """

    id: int
    reference: str
    envelope_sender: str
    message_id: str
    level: int
    attempts: int
    tries: int
    generation: int
    first_attempt_at: datetime | None
    due_at: datetime
    account_chain: str
    track_opens: bool
    track_clicks: bool
    is_marketing: bool
    list_reference: str
    size: int
    domains: list[str]
    claimed_at: float = 0.0
    recipients: dict[str, int] = field(default_factory=dict)
    mime: bytes | None = field(default=None, repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at these recipients."""
        return f"{self.reference}-{self.generation}"
