"""Fixtures of the real-server tests: PostgreSQL, databases, prefork servers."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.bridge import Bridge
from tests.support.chromium import chromium, sign_in
from tests.support.logs import ServerLog
from tools import database as databases
from tools.client import OdooClient
from tools.odoo_source import Odoo, find_odoo
from tools.paths import RUN
from tools.postgres import Connection, EmbeddedPostgres, given_connection
from tools.server import OdooServer
from tools.services import cluster
from tools.shell import run_in_odoo


def pytest_configure() -> None:
    """A run that is told to end takes its servers down first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def odoo() -> Odoo:
    """The Odoo under test; ODOO= and ODOO_SOURCE= choose it."""
    return find_odoo(os.environ.get("ODOO", ""))


@pytest.fixture(scope="module")
def connection(request: pytest.FixtureRequest) -> Connection:
    """PostgreSQL with fsync on: PG* variables, else an embedded one for the tests.

    A module marked `own_postgres` stops it, so it never gets one that is not ours.
    """
    is_own = request.node.get_closest_marker("own_postgres")
    return (not is_own and given_connection()) or cluster("tests").start()


@pytest.fixture
def postgres(connection: Connection) -> Iterator[EmbeddedPostgres]:
    """The embedded server itself, to be stopped, crashed and started by a test."""
    server = cluster("tests")
    yield server
    server.start()


@pytest.fixture(scope="module")
def database(
    odoo: Odoo, connection: Connection, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A fresh database with crm and the suite, for one test module."""
    series = odoo.version.replace(".", "")
    stem = request.module.__name__.rpartition(".")[2]
    name = databases.clone(odoo, connection, f"{stem}_{series}_{os.getpid()}")
    yield name
    databases.drop(connection, name)


@pytest.fixture(scope="module")
def make_server(
    odoo: Odoo, connection: Connection, database: str
) -> Iterator[Callable[..., OdooServer]]:
    """Start servers on the module's database; options are odoo.conf settings."""
    servers: list[OdooServer] = []

    def make(start: bool = True, **options: object) -> OdooServer:
        chosen = {"workers": 4, "db_name": database, "dbfilter": f"^{database}$"}
        folder = RUN / "tests" / f"{database}-{len(servers)}"
        values = {**chosen, **options}
        kept = {key: value for key, value in values.items() if value is not None}
        server = OdooServer(odoo, connection, folder, **kept)
        servers.append(server)
        return server.start() if start else server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def module_server(make_server: Callable[..., OdooServer]) -> OdooServer:
    """The one server most tests of a module share."""
    return make_server()


@pytest.fixture
def server(module_server: OdooServer, server_log: ServerLog) -> OdooServer:
    """Four workers on the module's database, its log watched."""
    module_server.start()
    server_log.watch(module_server)
    return module_server


@pytest.fixture
def server_log() -> Iterator[ServerLog]:
    """What the servers may log; anything worse than INFO beyond that fails."""
    log = ServerLog()
    yield log
    problems = log.problems()
    assert not problems, "unexpected in the server's log:\n" + "\n".join(problems)


@pytest.fixture
def client(server: OdooServer, database: str) -> OdooClient:
    """The administrator, signed in."""
    return OdooClient(server.base_url, database)


@pytest.fixture
def bridge(
    server: OdooServer, database: str, connection: Connection
) -> Iterator[Bridge]:
    """The suite in the module's database: accounts, aliases, what became of mails."""
    made = Bridge(server, database, connection).prepare()
    yield made
    made.close()


@pytest.fixture
def shell(odoo: Odoo, server: OdooServer, database: str) -> Callable[[str], object]:
    """`shell(code)`: run Python with `env` in a process of its own, then commit."""
    config = server.folder / "odoo.conf"
    return lambda code: run_in_odoo(odoo, config, database, code)


@pytest.fixture(scope="session")
def session_browser() -> Iterator[Browser]:
    """One headless Chromium for the session."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(session_browser: Browser, server: OdooServer) -> Iterator[Page]:
    """A page signed in as the administrator; `server.base_url` is its base."""
    context = session_browser.new_context(
        base_url=server.base_url, viewport={"width": 1440, "height": 900}
    )
    opened = context.new_page()
    sign_in(opened, server.base_url)
    yield opened
    context.close()
