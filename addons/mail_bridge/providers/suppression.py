# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a provider sends nothing to any more, in one vocabulary for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

#: Why: the words of the events that led to it; ``manual``: somebody entered it.
SuppressionReason = Literal["bounced", "complained", "unsubscribed", "manual"]


@dataclass(frozen=True)
class Suppression:
    """One address on one list of a provider.

    ``since`` is an aware UTC time, ``None`` where the provider does not say.
    ``evidence`` is what it keeps with it, one line. ``tags`` are the kinds of mail it
    is for, as the provider names them; empty: all mail.
    """

    address: str
    reason: SuppressionReason
    since: datetime | None = None
    evidence: str = ""
    tags: tuple[str, ...] = ()
