# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Statements that a dispatcher runs for each few mails: planned once, sent together.

A statement takes its rows as one array for each column. To plan it costs more than to
run it, and a way to the server and back as much as that, so they are prepared for the
connection and wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Statement(NamedTuple):
    """Some SQL over ``$1``, ``$2``, …: arrays of these types, one for each column."""

    name: str
    types: tuple[str, ...]
    sql: str

    @property
    def rows(self) -> str:
        """The arrays as a table, to be named with its columns."""
        places = ", ".join(f"${number + 1}" for number in range(len(self.types)))
        return f"unnest({places})"

    @property
    def definition(self) -> str:
        """The statement that prepares it."""
        types = ", ".join(f"{name}[]" for name in self.types)
        text = self.sql.format(rows=self.rows)
        return f"PREPARE {self.name} ({types}) AS {text}"


class Session:
    """The statements of one connection. :meth:`close` before somebody else gets it."""

    def __init__(self, cr) -> None:
        self._cursor = cr
        self._prepared: set[str] = set()
        self._waiting: list[bytes] = []

    def add(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        """Let a statement wait for :meth:`run`."""
        if not rows:
            return
        if statement.name not in self._prepared:
            self._waiting.append(statement.definition.encode())
            self._prepared.add(statement.name)
        columns = list(map(list, zip(*rows, strict=True)))
        places = ", ".join(f"%s::{name}[]" for name in statement.types)
        call = f"EXECUTE {statement.name} ({places})"
        self._waiting.append(self._cursor.mogrify(call, columns))

    def run(self) -> list[tuple]:
        """Run what waits in its order; return what the last one returns, if it does."""
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, []
        self._cursor.execute(b"; ".join(waiting).decode())
        return self._cursor.fetchall() if self._cursor.description else []

    def forget(self) -> None:
        """Start anew after a rollback: what was prepared in it is gone or not."""
        self._waiting = []
        self._prepared = set()
        self._cursor.execute("DEALLOCATE ALL")

    def close(self) -> None:
        """Leave nothing behind."""
        self.forget()
