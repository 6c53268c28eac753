# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Faults made from outside the product: locks held and triggers created by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.support.bridge import Bridge, wait_for


@contextmanager
def held_table(bridge: Bridge, table: str) -> Iterator[Any]:
    """Hold a lock on a table that every writer has to wait for; yields its cursor."""
    link = psycopg2.connect(bridge.connection.dsn(bridge.database))
    try:
        with link.cursor() as cr:
            lock = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE")
            cr.execute(lock.format(sql.Identifier(table)))
            yield cr
    finally:
        link.close()


def blocked(holder: Any) -> list[int]:
    """The operating system's process ids of those who wait for `holder`.

    Odoo names its connections after its processes.
    """
    holder.execute(
        """SELECT application_name FROM pg_stat_activity
            WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"""
    )
    names = [row[0] for row in holder.fetchall()]
    return [int(found[0]) for name in names if (found := re.search(r"\d+$", name))]


def wait_blocked(holder: Any, count: int, seconds: float = 20) -> list[int]:
    """Wait until `count` processes wait for `holder`; their process ids."""
    return wait_for(
        lambda: found if len(found := blocked(holder)) >= count else None, seconds
    )


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
