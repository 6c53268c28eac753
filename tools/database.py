"""Databases: made from `template0`, filled by Odoo, cloned from a template."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tools import odoo_log
from tools.console import Failure, say
from tools.locks import locked
from tools.odoo_source import Odoo
from tools.paths import ADDONS, RUN, suite_addons
from tools.ports import free_port
from tools.postgres import Connection, given_connection
from tools.server import write_config

# Odoo takes its long installation lock on this many seconds at most.
INSTALL_SECONDS = 1800
# The comment on each database we make.
OURS = "made by the commands of Mail Bridge, which may drop it"
# Folders of an addon that leave no trace in a database.
UNINSTALLED = ("tests", "tests_plain", "i18n", "static")
CALLS_HOME = (
    ("mail", "ir_cron_module_update_notification"),
    ("crm_iap_enrich", "ir_cron_lead_enrichment"),
)


@contextmanager
def cursor(connection: Connection, database: str = "postgres") -> Iterator:
    """A cursor in autocommit mode."""
    link = psycopg2.connect(connection.dsn(database))
    link.autocommit = True
    try:
        with link.cursor() as opened:
            yield opened
    finally:
        link.close()


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a database called `name`."""
    with cursor(connection) as cr:
        cr.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        return bool(cr.fetchone())


def create(connection: Connection, name: str, template: str = "template0") -> None:
    """Create a database; Odoo's own way would ask for contrib extensions."""
    statement = "CREATE DATABASE {} TEMPLATE {} ENCODING 'unicode'"
    if template == "template0":
        statement += " LC_COLLATE 'C'"
    with cursor(connection) as cr:
        if cr.connection.server_version >= 150000:
            # The other strategy copies sequences as if their next values were in
            # the WAL already: after a crash they hand out the same values again.
            statement += " STRATEGY file_copy"
        names = sql.Identifier(name), sql.Identifier(template)
        cr.execute(sql.SQL(statement).format(*names))
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
        cr.execute(comment.format(names[0], sql.Literal(OURS)))
    if _filestore(template).exists():
        # Odoo never writes into a stored file, so a link serves as a copy.
        shutil.copytree(_filestore(template), _filestore(name), copy_function=os.link)


def drop(connection: Connection, name: str) -> None:
    """Drop a database together with the connections to it and its files.

    On a server that is not ours only what was made by these commands.
    """
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    with cursor(connection) as cr:
        if given_connection() and _made_by(cr, name) not in (None, OURS):
            raise Failure(f"database {name} is not of our making: set DB= to another")
        cr.execute(statement.format(sql.Identifier(name)))
    shutil.rmtree(_filestore(name), ignore_errors=True)


def _made_by(cr: Any, name: str) -> str | None:
    """The comment on a database, '' where there is none; None without a database."""
    cr.execute(
        """SELECT coalesce(shobj_description(oid, 'pg_database'), '')
             FROM pg_database WHERE datname = %s""",
        [name],
    )
    row = cr.fetchone()
    return row[0] if row else None


def _filestore(name: str) -> Path:
    return RUN / "data" / "filestore" / name


def installed_modules(connection: Connection, name: str) -> set[str]:
    """The modules installed in a database; empty for one without Odoo."""
    with cursor(connection, name) as cr:
        cr.execute("SELECT to_regclass('ir_module_module')")
        if cr.fetchone()[0] is None:
            return set()
        cr.execute("SELECT name FROM ir_module_module WHERE state = 'installed'")
        return {row[0] for row in cr.fetchall()}


def install(
    odoo: Odoo,
    connection: Connection,
    name: str,
    modules: list[str],
    demo: bool = False,
    log: Path | None = None,
    update: bool = False,
) -> Path:
    """Install (or update) `modules` in the existing database `name`."""
    log = log or RUN / "log" / f"install-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    config = write_config(RUN / "conf" / f"{name}.conf", odoo, connection)
    command = odoo.command(
        "-c", str(config), "-d", name, "-u" if update else "-i", ",".join(modules),
        "--stop-after-init", "--http-port", str(free_port()), "--no-http",
        "--max-cron-threads=0", *odoo.demo_option(demo), "--logfile", str(log),
    )  # fmt: skip
    result = subprocess.run(
        command,
        env=odoo.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    missing = set(modules) - installed_modules(connection, name)
    if result.returncode or missing:
        raise Failure(f"{name} not installed ({sorted(missing)}): {_reason(log)}")
    _keep_to_itself(connection, name)
    return log


def _keep_to_itself(connection: Connection, name: str) -> None:
    """Switch off Odoo's calls to its vendor: nothing leaves the machine."""
    with cursor(connection, name) as cr:
        cr.execute(
            """UPDATE ir_cron SET active = false FROM ir_model_data AS known
               WHERE known.model = 'ir.cron' AND known.res_id = ir_cron.id
                 AND (known.module, known.name) IN %s""",
            [CALLS_HOME],
        )
        cr.execute(
            """INSERT INTO ir_config_parameter (key, value)
               VALUES ('crm.iap.lead.enrich.setup', 'manual')
               ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
        )


def _reason(log: Path) -> str:
    """The last line of the first traceback, else the first ERROR, and the log."""
    records = odoo_log.records(log.read_text(errors="replace")) if log.exists() else []
    bad = [record for record in records if record.level in ("ERROR", "CRITICAL")]
    traces = [record for record in bad if "Traceback" in record.message] or bad
    lines = traces[0].message.strip().splitlines()[-3:] if traces else []
    return f"{' '.join(lines)} (log: {log})"


def fingerprint(odoo: Odoo, modules: list[str]) -> str:
    """Changes whenever the code that fills a database with `modules` changes."""
    digest = hashlib.sha256(f"{odoo.version} {odoo.root} {modules}".encode())
    for path in sorted(ADDONS.rglob("*")):
        addon, *inner = path.relative_to(ADDONS).parts
        if addon not in modules or not inner or inner[0] in UNINSTALLED:
            continue
        if path.suffix in (".py", ".xml", ".csv", ".sql") and path.is_file():
            digest.update(str(path.relative_to(ADDONS)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def template(odoo: Odoo, connection: Connection, modules: list[str]) -> str:
    """A database with `modules` installed, made once for each state of the code.

    Odoo's own modules are a template apart: installing them takes most of the time,
    and our code changes more often than theirs.
    """
    ours = [module for module in modules if (ADDONS / module).exists()]
    base = "template0"
    if ours:
        base = template(
            odoo, connection, [name for name in modules if name not in ours]
        )
    prefix = f"template_{odoo.version.replace('.', '')}_{'suite' if ours else 'odoo'}_"
    name = prefix + fingerprint(odoo, modules)
    if exists(connection, name):
        return name
    _drop_stale(connection, prefix)
    say(f"installing {', '.join(ours or modules)} once into {name}")
    building = f"building_{name}"
    drop(connection, building)
    create(connection, building, base)
    install(odoo, connection, building, ours or modules)
    _close(connection, building, name)
    return name


def _close(connection: Connection, building: str, name: str) -> None:
    """Give a finished template its name, and let nobody in any more."""
    names = sql.Identifier(building), sql.Identifier(name)
    with cursor(connection) as cr:
        cr.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
        shutil.rmtree(_filestore(name), ignore_errors=True)
        if _filestore(building).exists():
            _filestore(building).rename(_filestore(name))
        # Odoo without `-d` runs the crons of every database it may enter.
        closed = "ALTER DATABASE {} ALLOW_CONNECTIONS false"
        cr.execute(sql.SQL(closed).format(names[1]))


def _drop_stale(connection: Connection, prefix: str) -> None:
    with cursor(connection) as cr:
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        cr.execute(query, [prefix])
        stale = [row[0] for row in cr.fetchall()]
    for name in stale:
        drop(connection, name)


def clone(
    odoo: Odoo, connection: Connection, name: str, modules: list[str] | None = None
) -> str:
    """A fresh database `name` with crm and the suite in it (or MODULE=, `modules`)."""
    named = [module for module in os.environ.get("MODULE", "").split(",") if module]
    wanted = modules or named or ["crm", *suite_addons()]
    with locked(f"template-{connection.port}"):
        source = template(odoo, connection, wanted)
        drop(connection, name)
        create(connection, name, source)
    return name
