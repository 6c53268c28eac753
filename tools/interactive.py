"""Developers' commands beside the suite: a server, a shell, a bare interpreter."""

import os

from tools import database, environment
from tools.console import note, say
from tools.odoo_source import find_odoo
from tools.paths import RUN, suite_addons, venv_python
from tools.server import OdooServer, write_config
from tools.services import connection


def _names() -> tuple:
    odoo = find_odoo(os.environ.get("ODOO", ""))
    name = os.environ.get("DB") or f"dev_{odoo.version.replace('.', '')}"
    return odoo, name


def venv(_arguments: list[str]) -> None:
    """Bring the virtual environment up to date, test tools included."""
    environment.ensure(environment.DEVELOPMENT)


def python(arguments: list[str]) -> None:
    """An interpreter in which Odoo and the suite can be imported."""
    odoo = find_odoo(os.environ.get("ODOO", ""))
    command = [str(venv_python()), *arguments]
    os.execve(command[0], command, odoo.environment(**connection().environment()))


def shell(arguments: list[str]) -> None:
    """`odoo-bin shell` on DB=; a script may come on standard input."""
    odoo, name = _names()
    link = connection()
    config = write_config(RUN / "conf" / f"{name}.conf", odoo, link)
    command = odoo.command("shell", "-c", str(config), "-d", name, "--no-http")
    os.execve(command[0], [*command, *arguments], odoo.environment())


def serve(_arguments: list[str]) -> None:
    """A prefork server on DB= (made with the suite where it is missing)."""
    odoo, name = _names()
    link = connection()
    if not database.exists(link, name):
        say(f"installing crm and the suite into {name}")
        database.create(link, name)
        database.install(odoo, link, name, ["crm", *suite_addons()])
    server = OdooServer(
        odoo,
        link,
        RUN / "serve" / name,
        port=int(os.environ.get("PORT") or 0),
        db_name=name,
        dbfilter=f"^{name}$",
    )
    server.start()
    note(f"{server.base_url}  (pid {server.pid()}, log {server.log})")


def stop(_arguments: list[str]) -> None:
    """Stop the server `serve` started on DB=."""
    odoo, name = _names()
    OdooServer(odoo, connection(), RUN / "serve" / name, port=1).stop()


def clone(arguments: list[str]) -> None:
    """Copy database <source> to <target>, replacing the target."""
    source, target = arguments
    database.drop(connection(), target)
    database.create(connection(), target, source)


def update(arguments: list[str]) -> None:
    """Install or update the given modules (all of ours by default) in DB=."""
    odoo, name = _names()
    link = connection()
    modules = arguments[0].split(",") if arguments else suite_addons()
    there = database.installed_modules(link, name)
    for known, option in ((False, False), (True, True)):
        chosen = [module for module in modules if (module in there) == known]
        if chosen:
            database.install(odoo, link, name, chosen, update=option)


def pgenv(_arguments: list[str]) -> None:
    """Shell lines that point psql and friends at the PostgreSQL in use."""
    for key, value in connection().environment().items():
        note(f"export {key}={value}")
