"""Goals against figures: rows, a table for people, docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """One promise: `met` is None where the figure is only for information.

    `cause` says what limits the figure; it is shown where the goal is missed.
    """

    what: str
    wanted: str
    figure: str
    met: bool | None = None
    cause: str = ""


@dataclass
class Section:
    """What one part of the benchmark found."""

    number: int
    title: str
    method: str
    columns: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def require(
        self, what: str, figure: float, least: float, unit: str = "x", cause: str = ""
    ) -> None:
        """A goal that `figure` is `least` or more."""
        texts = (f">= {least:g} {unit}", f"{figure:.2f} {unit}")
        self.goals.append(Goal(what, *texts, figure >= least, cause))

    def allow(
        self, what: str, figure: float, most: float, unit: str, cause: str = ""
    ) -> None:
        """A goal that `figure` is `most` or less."""
        texts = (f"<= {most:g} {unit}", f"{figure:.2f} {unit}")
        self.goals.append(Goal(what, *texts, figure <= most, cause))


VERDICT = {True: "met", False: "MISSED", None: ""}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned."""
    lines = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )  # fmt: skip


def section_text(section: Section) -> str:
    """One part: how it was measured, the figures, the goals."""
    parts = [f"## {section.number}. {section.title}", section.method]
    if section.rows:
        parts.append(table(section.columns, section.rows))
    goals = [
        (goal.what, goal.wanted, goal.figure, VERDICT[goal.met])
        for goal in section.goals
    ]
    if goals:
        parts.append(table(("goal", "wanted", "measured", ""), goals))
    parts += [
        f"Missed: {goal.what}. {goal.cause}"
        for goal in section.goals
        if goal.met is False and goal.cause
    ]
    return "\n\n".join(parts)


def milliseconds(seconds: float) -> str:
    """A time in ms with three significant digits at most."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
