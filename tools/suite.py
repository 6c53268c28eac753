"""`make test`: the stages, their times, and the one closing line."""

import glob
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from tools import addon_tests, browser
from tools.addon_tests import Outcome
from tools.console import Failure, note, say
from tools.odoo_source import Odoo, find_odoo, installed
from tools.paths import (
    ROOT,
    RUN,
    contained_environment,
    suite_addons,
    venv_python,
)
from tools.services import connection, in_use

SERIES = ("18.0", "19.0")
PLAIN = ["addons/*/tests_plain", "tests/tools"]
SERVER = ["tests", "--ignore=tests/tools"]
NO_TESTS_COLLECTED = 5

Stage = tuple[str, Callable[[], Outcome]]


def main(_arguments: list[str]) -> None:
    """`make test`, the whole or the part ONLY= names."""
    odoo = find_odoo(os.environ.get("ODOO", ""))
    _finish(_run(_stages(odoo, os.environ.get("ONLY", ""))))


def matrix(_arguments: list[str]) -> None:
    """`make matrix`: the suite on every supported series that is on this machine."""
    found = [odoo for series in SERIES if (odoo := installed(series))]
    if not found:
        raise Failure("no Odoo on this machine yet: `make test` fetches one")
    stages = [("adapters", _adapters)]
    for odoo in found:
        say(f"Odoo {odoo.version}: {odoo.label}")
        stages += _stages(odoo, "addons") + _stages(odoo, "server")
    _finish(_run(stages))


def soak(_arguments: list[str]) -> None:
    """`make soak`: what takes minutes, and many more examples for each property."""
    odoo = find_odoo(os.environ.get("ODOO", ""))
    properties = [*_plain(), "-m", "hypothesis", "--hypothesis-profile=soak"]
    _finish(
        _run(
            [
                ("properties", lambda: _pytest(None, properties)),
                ("server", lambda: _server(odoo, ["-m", "soak"])),
            ]
        )
    )


def _stages(odoo: Odoo, only: str) -> list[Stage]:
    """What `only` asks for; all three stages for ''."""
    every: list[Stage] = [
        ("adapters", _adapters),
        (f"addons on {odoo.version}", lambda: _addons(odoo, "")),
        (f"server on {odoo.version}", lambda: _server(odoo, ["-m", "not soak"])),
    ]
    named = [stage for stage in every if stage[0].split()[0] == only]
    if not only or named:
        return named or every
    if re.match(r"-?/\w", only):
        return [(f"addons {only}", lambda: _addons(odoo, only))]
    if (ROOT / only.partition("::")[0]).exists():
        return [(only, lambda: _pytest(odoo, [only]))]
    return [(f"-k {only}", lambda: _pytest(odoo, [*_plain(), *SERVER, "-k", only]))]


def _adapters() -> Outcome:
    return _pytest(None, _plain())


def _plain() -> list[str]:
    paths = (Path(path) for spec in PLAIN for path in glob.glob(str(ROOT / spec)))
    return [str(path.relative_to(ROOT)) for path in sorted(paths)]


def _addons(odoo: Odoo, tags: str) -> Outcome:
    modules = suite_addons()
    tags = tags or ",".join(f"/{module}" for module in modules)
    name = os.environ.get("DB") or f"test_{odoo.version.replace('.', '')}"
    return addon_tests.run(odoo, connection("tests"), name, modules, tags)


def _server(odoo: Odoo, arguments: list[str]) -> Outcome:
    browser.find()
    return _pytest(odoo, [*SERVER, *arguments])


def _pytest(odoo: Odoo | None, arguments: list[str]) -> Outcome:
    report = RUN / "log" / f"pytest-{os.getpid()}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    environment = contained_environment(PYTHONPATH=str(ROOT))
    if odoo:
        environment["ODOO"] = odoo.version
    command = [str(venv_python()), "-m", "pytest", "-q", f"--junitxml={report}"]
    command += ["--durations=10", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment)
    passed, failed, skipped = _read_report(report)
    if skipped:
        note(f"{skipped} skipped")
    broken = result.returncode not in (0, 1, NO_TESTS_COLLECTED)
    problems = (f"pytest ended with {result.returncode}",) if broken else ()
    return Outcome(passed, failed, problems)


def _read_report(report: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped); a failure in the teardown fails its test."""
    if not report.exists():
        return 0, 0, 0
    verdicts: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        tags = {child.tag for child in case}
        verdict = "passed"
        if tags & {"failure", "error"}:
            verdict = "failed"
        elif "skipped" in tags:
            verdict = "skipped"
        if verdicts.get(name) != "failed":
            verdicts[name] = verdict
    counts = list(verdicts.values())
    return counts.count("passed"), counts.count("failed"), counts.count("skipped")


def _run(stages: list[Stage]) -> list[tuple[str, float, Outcome]]:
    with in_use("tests"):
        return [_timed(name, stage) for name, stage in stages]


def _timed(name: str, stage: Callable[[], Outcome]) -> tuple[str, float, Outcome]:
    say(f"stage: {name}")
    started = time.monotonic()
    try:
        outcome = stage()
    except Failure as error:
        outcome = Outcome(0, 1, (str(error),))
    if not outcome.passed and not outcome.failed and not outcome.problems:
        outcome = Outcome(0, 1, ("no test was found",))
    return name, time.monotonic() - started, outcome


def _finish(results: list[tuple[str, float, Outcome]]) -> None:
    """Print problems, times and, last, the one line scripts look for."""
    for name, _seconds, outcome in results:
        for problem in outcome.problems:
            note(f"{name}: {problem}")
    for name, seconds, outcome in results:
        counts = f"{outcome.passed} passed, {_failed(outcome)} failed"
        note(f"{name}: {counts} in {seconds:.0f} s")
    passed = sum(outcome.passed for _, _, outcome in results)
    failed = sum(_failed(outcome) for _, _, outcome in results)
    note(f"{passed} passed, {failed} failed")
    if failed:
        raise SystemExit(1)


def _failed(outcome: Outcome) -> int:
    """A stage with an unexpected log line has failed, whatever its tests say."""
    return max(outcome.failed, 1 if outcome.problems else 0)
