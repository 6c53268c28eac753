"""What commands and tests share: the PostgreSQL to use."""

import os

from tools.paths import RUN
from tools.postgres import Connection, EmbeddedPostgres, given_connection


def cluster(name: str = "") -> EmbeddedPostgres:
    """The embedded server; CLUSTER= (or `name`) gives one apart from the others."""
    chosen = os.environ.get("CLUSTER") or name
    return EmbeddedPostgres(RUN / (f"postgres-{chosen}" if chosen else "postgres"))


def connection(name: str = "") -> Connection:
    """The server PG* variables name, else the embedded one, started if need be."""
    return given_connection() or cluster(name).start()
