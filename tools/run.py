"""`make run`: a working Odoo with the suite, and three mails in its chatter."""

import os
import subprocess
import sys
import time

from tools import database, first_mails, processes
from tools.client import OdooClient
from tools.console import Failure, note, say
from tools.odoo_source import Odoo, find_odoo
from tools.paths import ROOT, RUN, contained_environment, suite_addons
from tools.ports import kept_port
from tools.postgres import Connection, given_connection
from tools.server import OdooServer, answers
from tools.services import cluster

CLUSTER = "run"
FOLDER = RUN / "run"
FRONT_PID = FOLDER / "front.pid"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 asked for by BIND=


def main(_arguments: list[str]) -> None:
    """From wherever the project stands to a working Odoo."""
    name = os.environ.get("DB") or "mail_bridge"
    port = int(os.environ.get("PORT") or 8069)
    bind = os.environ.get("BIND") or "127.0.0.1"
    odoo = find_odoo(os.environ.get("ODOO", ""))
    connection = _postgres()
    changed = _prepare_database(odoo, connection, name)
    _start_server(odoo, connection, name, bind, port, changed)
    host = "localhost" if bind in ("127.0.0.1", *WILDCARDS) else _in_url(bind)
    client = OdooClient(_local_url(bind, port), name)
    records = first_mails.present(client) or first_mails.deliver(client)
    _print_links(client, f"http://{host}:{port}", records)
    if bind not in ("127.0.0.1", "localhost"):
        note(f"warning: admin/admin is reachable through {bind}")


def _postgres() -> Connection:
    """The server that PG* variables name, else one of our own; says which."""
    given = given_connection()
    if given:
        say(f"using the PostgreSQL at {given.host}:{given.port}, as PGHOST says")
        return given
    say("starting PostgreSQL")
    return cluster(CLUSTER).start()


def _local_url(bind: str, port: int) -> str:
    """Where this machine reaches what listens at `bind`."""
    return f"http://{_in_url(WILDCARDS.get(bind, bind))}:{port}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# -- database ---------------------------------------------------------------


def _prepare_database(odoo: Odoo, connection: Connection, name: str) -> bool:
    """Make or update the database; whether anything had to be done."""
    modules = ["crm", *suite_addons()]
    mark = FOLDER / f"{name}.{odoo.version}"
    state = database.fingerprint(odoo, modules)
    there = database.exists(connection, name)
    if there:
        _refuse_other_series(odoo, connection, name)
        if mark.exists() and mark.read_text() == state:
            return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    half_made = not there or (FOLDER / f"{name}.making").exists()
    if half_made:
        _install(odoo, connection, name, modules)
    else:
        _update(odoo, connection, name, modules)
    mark.write_text(state)
    return True


def _install(odoo: Odoo, connection: Connection, name: str, modules: list[str]) -> None:
    making = FOLDER / f"{name}.making"
    making.touch()
    database.drop(connection, name)
    database.create(connection, name)
    say(f"installing crm, the suite and demo data into {name} (one to three minutes)")
    # crm first: what the suite's demo data makes shall be leads
    for step in (modules[:1], modules[1:]):
        database.install(odoo, connection, name, step, demo=True)
    making.unlink()


def _update(odoo: Odoo, connection: Connection, name: str, modules: list[str]) -> None:
    say("the code has changed: updating the database")
    there = database.installed_modules(connection, name)
    new = [module for module in modules if module not in there]
    if new:
        database.install(odoo, connection, name, new, demo=True)
    ours = [module for module in suite_addons() if module in there]
    if ours:
        database.install(odoo, connection, name, ours, update=True)


def _refuse_other_series(odoo: Odoo, connection: Connection, name: str) -> None:
    with database.cursor(connection, name) as cr:
        cr.execute("SELECT to_regclass('ir_module_module')")
        if cr.fetchone()[0] is None:
            return
        cr.execute("SELECT latest_version FROM ir_module_module WHERE name = 'base'")
        row = cr.fetchone()
    made_by = ".".join(((row and row[0]) or "").split(".")[:2])
    if made_by and made_by != odoo.version:
        raise Failure(
            f"database {name} was made by Odoo {made_by}, this is {odoo.version}:"
            " set DB= to another name"
        )


# -- server -----------------------------------------------------------------


def _start_server(
    odoo: Odoo,
    connection: Connection,
    name: str,
    bind: str,
    port: int,
    changed: bool,
) -> None:
    # scheduled actions do not ask dbfilter: on somebody's own PostgreSQL they would run
    # in every database of that user
    alone = {"db_name": name} if given_connection() else {}
    server = OdooServer(
        odoo,
        connection,
        FOLDER,
        dbfilter=f"^{name}$",
        proxy_mode=True,
        workers=2,
        **alone,
    )
    wanted = f"{odoo.version} {name} {bind} {port}"
    running = FOLDER / "running"
    same = running.exists() and running.read_text() == wanted
    if changed or not same or not server.pid():
        _stop_front()
        server.stop()
        server.port = kept_port(FOLDER / "http.port")
        server.options["gevent_port"] = kept_port(FOLDER / "gevent.port")
        say("starting Odoo with workers")
        server.start()
        running.write_text(wanted)
    if not processes.recorded(FRONT_PID):
        _start_front(bind, port)
    if not answers(f"{_local_url(bind, port)}/web/health"):
        raise Failure(f"nothing answers at port {port}, see {FOLDER / 'front.out'}")


def _start_front(bind: str, port: int) -> None:
    command = [
        sys.executable, "-m", "tools.front", "--host", bind, "--port", str(port),
        "--http-port", (FOLDER / "http.port").read_text(),
        "--gevent-port", (FOLDER / "gevent.port").read_text(),
    ]  # fmt: skip
    with (FOLDER / "front.out").open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=contained_environment(PYTHONPATH=str(ROOT)),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    processes.record(FRONT_PID, process.pid)
    _wait_listening(f"{_local_url(bind, port)}/web/health")


def _wait_listening(url: str) -> None:
    for _attempt in range(50):
        if answers(url):
            return
        time.sleep(0.1)


def _stop_front() -> None:
    if pid := processes.recorded(FRONT_PID):
        processes.stop_family(pid)


# -- result -----------------------------------------------------------------


def _print_links(client: OdooClient, base: str, records: dict[str, int]) -> None:
    actions = client.search_read(
        "ir.model.data",
        [("module", "=", "mail_bridge"), ("name", "=", "mail_bridge_message_action")],
        ["res_id"],
    )
    note("")
    note(f"Odoo             {base}  (admin / admin)")
    note(f"The lead         {base}/odoo/crm.lead/{records['lead']}")
    if actions:
        note(f"Mail Bridge      {base}/odoo/action-{actions[0]['res_id']}  (Inbox)")
    note(f"Deliveries       {base}/odoo/mail-relay-deliveries")
    note(f"Log              {(FOLDER / 'odoo.log').relative_to(ROOT)}")
    note("Stop it with `make stop`.")
