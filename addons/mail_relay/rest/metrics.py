# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Prometheus' text format, version 0.0.4, with the names that dashboards know.

Names and labels: facts/relay.md §1.12. Reviewed on 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LABELS = ("tenant_id", "tenant_name", "account_id", "account_name")
#: Name → what it says, for counters with the labels above.
COUNTERS: Mapping[str, str] = {
    "gmp_sent_total": "Total sent emails",
    "gmp_errors_total": "Total send errors",
    "gmp_deferred_total": "Total deferred emails",
    "gmp_rate_limited_total": "Total rate limited emails",
}
PENDING = ("gmp_pending_messages", "Current pending messages")
#: The series that is there before any account is.
DEFAULT = ("default",) * len(LABELS)


@dataclass(frozen=True)
class Family:
    """All series of one metric: label values → value."""

    name: str
    kind: str
    about: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]

    def lines(self) -> Iterable[str]:
        """Return the lines of this metric."""
        yield f"# HELP {self.name} {self.about}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values.items():
            pairs = zip(self.labels, labels, strict=True)
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in pairs)
            yield (
                f"{self.name}{{{shown}}} {float(value)}"
                if shown
                else (f"{self.name} {float(value)}")
            )


def render(families: Iterable[Family]) -> bytes:
    """Return the page."""
    lines = [line for family in families for line in family.lines()]
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
