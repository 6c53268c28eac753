"""`python3 -m tools bench [--quick] [--only N] [--write]`."""

import argparse
import os
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from tools.bench import chatter, doors, latency, memory, queue, relay
from tools.bench.report import VERDICT, Section, section_text, table
from tools.bench.stage import DURABLE, Stage, load_average
from tools.console import Failure, note, say
from tools.odoo_source import find_odoo
from tools.paths import ROOT

PARTS: dict[int, Callable[[Stage, bool], Section]] = {
    1: doors.run,
    2: chatter.run,
    3: latency.run,
    4: memory.run,
    5: queue.run,
    6: relay.run,
}
PAGE = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = """\
# Benchmarks

Written by `make bench WRITE=1`. The peers are measured in the same run, in turns with
the product, on the same machine, database and server; load generator, Odoo and
PostgreSQL share the machine's cores. Ratios travel between machines, absolute figures
do not."""


def main(arguments: list[str]) -> None:
    """Run the parts asked for and print what they found."""
    options = _options(arguments)
    stage = Stage(find_odoo(os.environ.get("ODOO", "")))
    _refuse_unsafe(stage)
    say(f"building {stage.database}")
    stage.build()
    sections = []
    try:
        for number in options.only or sorted(PARTS):
            say(f"goal {number} (load average {load_average():.1f})")
            sections.append(PARTS[number](stage, options.quick))
            note("\n" + section_text(sections[-1]) + "\n")
        text = page(stage, sections, options)
    finally:
        stage.close()
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)
        say(f"written: {PAGE.relative_to(ROOT)}")


def _options(arguments: list[str]) -> argparse.Namespace:
    """Options, or the variables of `make bench ONLY=1,2 QUICK=1 WRITE=1`."""
    parser = argparse.ArgumentParser(prog="python3 -m tools bench")
    parser.add_argument("--quick", action="store_true", help="at most three minutes")
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), help="1,2")
    parser.add_argument("--write", action="store_true", help="docs/benchmarks.md too")
    options = parser.parse_args(arguments)
    options.quick = options.quick or bool(os.environ.get("QUICK"))
    options.write = options.write or bool(os.environ.get("WRITE"))
    options.only = [int(part) for part in options.only.split(",") if part]
    if unknown := set(options.only) - set(PARTS):
        raise Failure(f"no goal {sorted(unknown)}; there are {sorted(PARTS)}")
    return options


def _refuse_unsafe(stage: Stage) -> None:
    weak = [name for name in DURABLE if stage.postgres_settings[name] != "on"]
    if weak:
        raise Failure(f"PostgreSQL would win by cheating: {', '.join(weak)} not on")


def page(stage: Stage, sections: list[Section], options: argparse.Namespace) -> str:
    """docs/benchmarks.md: the run, all goals in one table, then part by part."""
    rows = [
        (str(section.number), goal.what, goal.wanted, goal.figure, VERDICT[goal.met])
        for section in sections
        for goal in section.goals
        if goal.met is not None
    ]
    met = sum(row[-1] == VERDICT[True] for row in rows)
    parts = [
        INTRODUCTION,
        table(("", ""), _circumstances(stage, options)),
        "## All goals",
        f"{met} of {len(rows)} goals met in this run.",
        table(("part", "goal", "wanted", "measured", ""), rows),
        *map(section_text, sections),
    ]
    return "\n\n".join(parts) + "\n"


def _circumstances(stage: Stage, options: argparse.Namespace) -> list[tuple[str, str]]:
    moment = datetime.now(timezone.utc)
    settings = dict(stage.postgres_settings)
    version = settings.pop("server_version")
    rest = ", ".join(f"{name} {value}" for name, value in settings.items())
    return [
        ("date", f"{moment:%Y-%m-%d %H:%M} UTC"),
        ("command", "make bench" + (" QUICK=1" if options.quick else "")),
        ("machine", f"{os.cpu_count()} cores ({_processor()}), {_gigabytes()} GB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("Odoo", f"{stage.odoo.version}, 4 workers, 4 cron workers, `db_name` alone"),
        ("with `dbfilter`", "every way, the peers too, costs one connection more"),
        ("PostgreSQL", f"{version}, {rest}"),
        ("load average before", f"{stage.load_before:.1f}"),
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def _gigabytes() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return round(pages / 1024**3)
