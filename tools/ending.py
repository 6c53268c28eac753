"""`make stop` and `make clean`; they need neither the venv nor PostgreSQL's tools."""

import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from tools import processes
from tools.console import say
from tools.paths import CACHE, ODOO_HOME, ROOT, RUN, VENV

FRONT = "run/front.pid"
ODOO = "run/odoo.pid"
POSTGRES = "postgres-run/data"
CACHES = (".pytest_cache", ".ruff_cache", ".hypothesis")


def stop(_arguments: list[str]) -> None:
    """End what `make run` started; the database stays."""
    _end_servers([RUN / FRONT, RUN / ODOO])
    _end_postgres([RUN / POSTGRES])
    say("stopped")


def clean(_arguments: list[str]) -> None:
    """End every process of the project and delete what the commands made."""
    stop([])
    _end_servers([*RUN.glob("serve/*/odoo.pid"), *RUN.glob("tests/*/odoo.pid")])
    _end_postgres(RUN.glob("postgres*/data"))
    for folder in (VENV, RUN, ODOO_HOME, CACHE, *(ROOT / name for name in CACHES)):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in list(ROOT.rglob("__pycache__")):
        shutil.rmtree(folder, ignore_errors=True)
    say("clean")


def _end_servers(pidfiles: Iterable[Path]) -> None:
    for pidfile in pidfiles:
        if pid := processes.recorded(pidfile):
            processes.stop_family(pid)


def _end_postgres(folders: Iterable[Path]) -> None:
    for folder in folders:
        if pid := processes.postmaster(folder):
            # PostgreSQL's fast shutdown: it does not wait for clients to leave.
            processes.kill(pid, signal.SIGINT)
            processes.wait_gone([pid], 60)
