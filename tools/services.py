"""What commands and tests share: the PostgreSQL to use."""

from tools.paths import RUN
from tools.postgres import Connection, EmbeddedPostgres, given_connection


def connection() -> Connection:
    """The server PG* variables name, else the embedded one, started if need be."""
    return given_connection() or EmbeddedPostgres(RUN / "postgres").start()
