"""What commands and tests share: the PostgreSQL to use, and until when it runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tools import database
from tools.paths import RUN
from tools.postgres import Connection, EmbeddedPostgres, given_connection


def cluster(name: str = "") -> EmbeddedPostgres:
    """The embedded server; CLUSTER= (or `name`) gives one apart from the others."""
    chosen = os.environ.get("CLUSTER") or name
    return EmbeddedPostgres(RUN / (f"postgres-{chosen}" if chosen else "postgres"))


def connection(name: str = "") -> Connection:
    """The server PG* variables name, else the embedded one, started if need be."""
    return given_connection() or cluster(name).start()


@contextmanager
def in_use(name: str) -> Iterator[None]:
    """Stop the embedded server afterwards, unless another command still uses it."""
    folder = RUN / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    server = cluster(name)
    with (folder / f"use-{server.folder.name}").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if _is_last(handle) and not _has_clients(server):
                server.stop()


def _is_last(handle: IO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_clients(server: EmbeddedPostgres) -> bool:
    """Whether anybody is connected: a server started by hand keeps its database."""
    if not server.pid():
        return False
    with database.cursor(server.connection()) as cr:
        cr.execute(
            """SELECT count(*) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
        )
        return cr.fetchone()[0] > 0
