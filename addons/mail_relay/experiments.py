# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A/B tests as pure functions: who gets which variant, and how sure the result is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import erfc, sqrt
from typing import NamedTuple

#: 95 %, two-sided.
Z95 = 1.959963984540054
_SCALE = 2**64


class Rate(NamedTuple):
    """So many successes of so many."""

    wins: int
    total: int

    @property
    def share(self) -> float:
        """Return the rate, 0 where there was nothing."""
        return self.wins / self.total if self.total else 0.0


def place(seed: str, address: str) -> float:
    """Return where an address stands from 0 to 1, always the same for a seed."""
    digest = hashlib.sha256(f"{seed}\0{address}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _SCALE


def variant_of(seed: str, address: str, sample: float, count: int) -> int | None:
    """Return which of ``count`` variants an address gets, ``None``: it waits.

    :param sample: the share of all that the variants are tried on, 0 to 1.
    """
    where = place(seed, address)
    return int(where / sample * count) if where < sample else None


def wilson(rate: Rate, z: float = Z95) -> tuple[float, float]:
    """Return between what a rate lies (Wilson 1927): honest for few and for none."""
    wins, total = rate
    if not total:
        return 0.0, 1.0
    share, square = wins / total, z * z
    middle = share + square / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + square / (4 * total * total))
    scale = 1 + square / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def p_value(one: Rate, other: Rate) -> float:
    """Return how likely two rates differ so much by chance (two-proportion z test)."""
    if not one.total or not other.total:
        return 1.0
    pooled = (one.wins + other.wins) / (one.total + other.total)
    variance = pooled * (1 - pooled) * (1 / one.total + 1 / other.total)
    if not variance:
        return 1.0
    return erfc(abs(one.share - other.share) / sqrt(variance) / sqrt(2))


def best(rates: Sequence[Rate]) -> tuple[int, float]:
    """Return which rate is the best, and the chance that it only seems better than
    the second; of equal ones the first.

    With more than two variants the chance is multiplied by the number of comparisons
    with the best (Bonferroni).
    """
    order = sorted(range(len(rates)), key=lambda i: (-rates[i].share, i))
    chance = p_value(rates[order[0]], rates[order[1]])
    return order[0], min(1.0, chance * (len(rates) - 1))
