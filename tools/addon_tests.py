"""The addon tests, run by Odoo's own runner on one database."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import browser, database, odoo_log
from tools.console import note, say
from tools.odoo_source import Odoo, find_odoo
from tools.paths import RUN, suite_addons
from tools.ports import free_port
from tools.postgres import Connection
from tools.server import write_config
from tools.services import connection as postgres_connection


@dataclass(frozen=True)
class Outcome:
    """What a stage of the tests came to."""

    passed: int
    failed: int
    problems: tuple[str, ...] = ()


def run(
    odoo: Odoo,
    connection: Connection,
    name: str,
    modules: list[str],
    tags: str,
    reuse: bool = False,
) -> Outcome:
    """Install our `modules` in `name` (with `reuse`, update) and run `tags`."""
    if not reuse:
        database.drop(connection, name)
    if not database.exists(connection, name):
        # Odoo's own modules come without tests: 19.0 would import all of theirs, and
        # those need libraries of their own.
        # crm: what aliases lead to; mail_group: what takes mail and is no document
        others = ["crm", "mail_group", "mass_mailing"]
        database.clone(odoo, connection, name, others)
    there = database.installed_modules(connection, name)
    log = RUN / "log" / f"test-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    command = odoo.command(
        "-c", str(write_config(RUN / "conf" / f"{name}.conf", odoo, connection)),
        "-d", name, "--stop-after-init", "--test-tags", tags,
        "--http-port", str(free_port()), "--gevent-port", str(free_port()),
        "--max-cron-threads=0", "--logfile", str(log),
        *_module_options(modules, there), *odoo.demo_option(False),
    )  # fmt: skip
    say(f"Odoo {odoo.version}, database {name}, tests {tags}")
    result = subprocess.run(
        command,
        env=odoo.environment(**_test_environment()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return _outcome(odoo, log, result)


def _module_options(modules: list[str], there: set[str]) -> list[str]:
    missing = [module for module in modules if module not in there]
    present = [module for module in modules if module in there]
    options = ["-i", ",".join(missing)] if missing else []
    return [*options, "-u", ",".join(present)] if present else options


def _test_environment() -> dict[str, str]:
    folder = browser.on_path()
    return {"PATH": f"{folder}:{os.environ['PATH']}"} if folder else {}


def _outcome(odoo: Odoo, log: Path, result: subprocess.CompletedProcess) -> Outcome:
    text = log.read_text(errors="replace") if log.exists() else ""
    passed, failed = odoo_log.test_counts(text)
    problems = odoo_log.unexpected(text, odoo.version)
    if result.returncode and not problems:
        problems = [f"odoo ended with {result.returncode}: {result.stderr[-2000:]}"]
    if result.returncode and not failed:
        failed = 1
    return Outcome(passed, failed, tuple(problems))


def main(_arguments: list[str]) -> None:
    """Developers' way in: one module on a kept database."""
    modules = (os.environ.get("MODULE") or ",".join(suite_addons())).split(",")
    tags = os.environ.get("TAGS") or ",".join(f"/{module}" for module in modules)
    odoo = find_odoo(os.environ.get("ODOO", ""))
    name = os.environ.get("DB") or f"dev_{odoo.version.replace('.', '')}"
    connection = postgres_connection()
    outcome = run(odoo, connection, name, modules, tags, reuse=True)
    for problem in outcome.problems:
        note(problem)
    say(f"log: .run/log/test-{name}.log")
    note(f"{outcome.passed} passed, {outcome.failed} failed")
    if outcome.failed or outcome.problems or not outcome.passed:
        raise SystemExit(1)
