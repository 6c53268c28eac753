# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Faults made from outside the product: locks held and triggers created by a test."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.support.bridge import Bridge, wait_for

# Two drains meet in a row of Odoo's own (an alias' status, say); one tries again.
MET = r"odoo\.sql_db: bad query.*(could not serialize|duplicate key)"
# What the trigger of `raising_trigger` leaves.
REFUSED = r"odoo\.sql_db: bad query.*refused by the test"
# What a crash of PostgreSQL leaves in the log of whoever was talking to it.
AWAY = (
    r"psycopg2\.(OperationalError|InterfaceError): ",
    r"(odoo\.sql_db|base\.models\.ir_cron): bad query.*"
    r"(server closed the connection|cursor already closed)",
    r"odoo\.service\.server: (connection to server at|Gevent Parent changed)",
)


@contextmanager
def held_table(bridge: Bridge, table: str, mode: str = "EXCLUSIVE") -> Iterator[Any]:
    """Hold a lock on a table that every writer has to wait for; yields its cursor."""
    link = psycopg2.connect(bridge.connection.dsn(bridge.database))
    try:
        with link.cursor() as cr:
            lock = sql.SQL("LOCK TABLE {} IN {} MODE")
            cr.execute(lock.format(sql.Identifier(table), sql.SQL(mode)))
            yield cr
    finally:
        link.close()


def blocked(holder: Any, workers: list[int]) -> list[int]:
    """Those of `workers` (process ids) that wait for `holder`."""
    holder.execute(
        """SELECT client_port FROM pg_stat_activity
            WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"""
    )
    ports = {row[0] for row in holder.fetchall()}
    sockets = _sockets_on(ports) if ports else set()
    return [pid for pid in workers if sockets & _sockets_of(pid)]


def _sockets_on(ports: set[int]) -> set[str]:
    """The sockets (as links in /proc/<pid>/fd) with one of these ports on our side."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) in ports:
            found.add(f"socket:[{fields[9]}]")
    return found


def _sockets_of(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(link))
    return found


def wait_blocked(
    holder: Any, workers: Callable[[], list[int]], seconds: float = 20
) -> list[int]:
    """Wait until some of `workers()` wait for `holder`; their process ids."""
    return wait_for(lambda: blocked(holder, workers()), seconds)


@contextmanager
def raising_trigger(bridge: Bridge, table: str, name: str) -> Iterator[None]:
    """Make PostgreSQL refuse rows of `table` that are called `name`."""
    label = "test_refuses_" + re.sub(r"\W+", "_", name.lower())
    bridge.sql(
        f"""CREATE FUNCTION {label}() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$"""
    )
    statement = (
        f"CREATE TRIGGER {label} BEFORE INSERT ON {table} FOR EACH ROW"
        f" WHEN (NEW.name = '{name}') EXECUTE FUNCTION {label}()"
    )
    bridge.sql(statement)
    try:
        yield
    finally:
        bridge.sql(f"DROP FUNCTION {label}() CASCADE")
