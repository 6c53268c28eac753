"""Where everything is measured: a PostgreSQL, a database and a server of our own."""

import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psycopg2

from tools import database
from tools.bench.mails import DOMAIN, Mail, Peer, mailgun_post
from tools.bench.measure import cpu_seconds, family, percentile
from tools.console import Failure
from tools.odoo_source import Odoo
from tools.paths import ROOT, RUN, contained_environment
from tools.postgres import EmbeddedPostgres
from tools.server import OdooServer
from tools.services import cluster

PEER_ADDONS = Path(__file__).parent / "addons"
MODULES = [
    "crm",
    "mail_bridge_guard",
    "mail_bridge",
    "mail_bridge_mailgun",
    "mail_relay",
    "bench_peer",
]
# What has to be "on", not only not "off": `local` would not wait for the disk.
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
DRAINS = "SELECT id FROM ir_cron WHERE cron_name LIKE 'Mail Bridge: process intake%'"

INSIDE = """\
import json
from tools.bench.inside import {module}
answer = {module}.main(env, json.loads({job!r}))
with open({path!r}, "w") as file:
    json.dump(answer, file)
"""


class BenchOdoo(Odoo):
    """The Odoo in use, with the peer's addon on its path."""

    def addons_path(self) -> list[Path]:
        """Odoo's folders, the peer's, ours."""
        *rest, ours = super().addons_path()
        return [*rest, PEER_ADDONS, ours]


@dataclass(frozen=True)
class Load:
    """What a run of the load generator gave; latencies in seconds, CPU in seconds."""

    seconds: float
    latencies: list[float]
    bad: dict[str, int]
    cpu: float
    generator_cpu: float

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_each(self) -> float:
        """CPU of workers and PostgreSQL per good answer, seconds."""
        return self.cpu / max(1, len(self.latencies))

    @property
    def generator_cpu_each(self) -> float:
        """CPU of the load generator per good answer, seconds."""
        return self.generator_cpu / max(1, len(self.latencies))

    def at(self, share: float) -> float:
        """A percentile of the latencies, seconds."""
        return percentile(self.latencies, share)


class Stage:
    """The one database and server of a run. Drains are paused unless told otherwise."""

    def __init__(self, odoo: Odoo, folder: Path = RUN / "bench") -> None:
        self.odoo = BenchOdoo(odoo.version, odoo.root, odoo.label)
        self.folder = folder
        self.load_before = load_average()
        self.postgres: EmbeddedPostgres = cluster("bench")
        self.connection = self.postgres.start()
        self.database = f"bench_{odoo.version.replace('.', '')}"
        self.server = self._server("main", workers=4)
        self._links: dict[str, psycopg2.extensions.connection] = {}
        self.peer: Peer

    def _server(self, name: str, **options: object) -> OdooServer:
        # No dbfilter: with one, Odoo opens a connection to `postgres` at each request
        # to list the databases, whatever the door.
        return OdooServer(
            self.odoo,
            self.connection,
            self.folder / f"{self.database}-{name}",
            db_name=self.database,
            **options,
        )

    # -- life ---------------------------------------------------------------

    def build(self) -> None:
        """A fresh database with the alias, the account and the API key."""
        self.server.stop()
        database.clone(self.odoo, self.connection, self.database, MODULES)
        self.server.write_config()
        answer = self.inside("setup", domain=DOMAIN)
        host = f"127.0.0.1:{self.server.port}"
        self.peer = Peer(host=host, database=self.database, **answer)
        self.sql("VACUUM ANALYZE")

    def up(self) -> None:
        """Start the server and warm every worker up."""
        if not self.server.pid():
            self.server.start()

    def close(self) -> None:
        """End the server; PostgreSQL goes on for the next run."""
        self.server.stop()
        for link in self._links.values():
            link.close()
        self.postgres.stop()

    @contextmanager
    def small_server(self) -> Iterator[OdooServer]:
        """Instead of the main server: one HTTP worker and one cron worker."""
        self.server.stop()
        port = self.server.port
        server = self._server("small", workers=1, max_cron_threads=1, port=port)
        try:
            yield server.start()
        finally:
            server.stop()
            self.server.start()

    # -- database -----------------------------------------------------------

    def sql(self, statement: str, *values: object, name: str = "") -> list[tuple]:
        """Run one statement in autocommit mode."""
        name = name or self.database
        if name not in self._links:
            self._links[name] = psycopg2.connect(self.connection.dsn(name))
            self._links[name].autocommit = True
        with self._links[name].cursor() as cr:
            cr.execute(statement, values or None)
            return cr.fetchall() if cr.description else []

    def pause_drains(self) -> None:
        """No drain starts any more, and those at work have ended.

        A cron at work holds its row, so the update of the row waits for its end.
        """
        for (cron_id,) in self.sql(DRAINS):
            self.sql("UPDATE ir_cron SET active = false WHERE id = %s", cron_id)

    def resume_drains(self) -> None:
        """Let both drains run at once."""
        self.sql(
            f"""UPDATE ir_cron SET active = true, nextcall = now() AT TIME ZONE 'UTC'
                 WHERE id IN ({DRAINS})"""
        )
        self.notify()

    def notify(self) -> None:
        """Wake the cron workers."""
        self.sql("SELECT pg_notify('cron_trigger', %s)", self.database, name="postgres")

    def empty_queue(self) -> None:
        """Forget every post and what became of it."""
        self.sql("TRUNCATE mail_bridge_intake CASCADE")
        self.sql("VACUUM ANALYZE mail_bridge_intake")

    def waiting(self) -> int:
        """How many posts are not done."""
        statement = "SELECT count(*) FROM mail_bridge_intake WHERE state <> 'done'"
        return self.sql(statement)[0][0]

    # -- processes ----------------------------------------------------------

    def inside(self, module: str, nice: int = 0, **job: object) -> dict:
        """Run `tools.bench.inside.<module>.main(env, job)` in an Odoo process."""
        answer = self.folder / f"{module}.answer"
        answer.unlink(missing_ok=True)
        config = self.server.folder / "odoo.conf"
        name = job.pop("database", self.database)
        script = INSIDE.format(module=module, job=json.dumps(job), path=str(answer))
        command = self.odoo.command(
            "shell", "-c", str(config), "-d", name, "--no-http",
            "--logfile", str(self.folder / f"{module}.log"),
        )  # fmt: skip
        process = subprocess.run(
            [*(["nice", "-n", str(nice)] if nice else []), *command],
            env=self.odoo.environment(),
            input=textwrap.dedent(script),
            capture_output=True,
            text=True,
            timeout=900,
        )
        if not answer.exists():
            raise Failure(f"{module}: {(process.stderr + process.stdout)[-1500:]}")
        return json.loads(answer.read_text())

    def cpu(self) -> float:
        """CPU seconds so far of the server and of PostgreSQL."""
        pids = family(self.postgres.pid())
        if self.server.pid():
            pids += family(self.server.pid())
        return cpu_seconds(pids)

    def load(
        self,
        requests: Iterable[bytes],
        clients: int = 1,
        seconds: float = 1e9,
        rate: float = 0,
    ) -> Load:
        """Send requests from the generator's own process; see `tools.bench.load`."""
        path = self.folder / "requests"
        path.write_bytes(pickle.dumps(list(requests)))
        command = [
            sys.executable, "-m", "tools.bench.load", "--port", str(self.server.port),
            "--requests", str(path), "--clients", str(clients),
            "--seconds", str(seconds), "--rate", str(rate),
        ]  # fmt: skip
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=contained_environment(PYTHONPATH=str(ROOT)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()
        before = self.cpu()
        output, _ = process.communicate("go\n", timeout=600)
        cpu = self.cpu() - before
        result = json.loads(output)
        own = result.pop("cpu")
        return Load(cpu=cpu, generator_cpu=own, **result)

    def send(self, request: bytes) -> int:
        """Send one request from this process; return the status of the answer."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as link:
            link.sendall(request)
            answer = link.makefile("rb").readline()
        return int(answer.split()[1])

    def post(self, mails: list[Mail], clients: int = 8) -> Load:
        """Post mails as Mailgun does and insist on every single answer."""
        result = self.load([mailgun_post(mail, self.peer) for mail in mails], clients)
        if result.bad or len(result.latencies) != len(mails):
            raise Failure(f"posts were not accepted: {result.bad}")
        return result

    @cached_property
    def postgres_settings(self) -> dict[str, str]:
        """What PostgreSQL promises about the disk, and its version."""
        names = ("server_version", *DURABLE)
        return {each: self.sql(f"SHOW {each}", name="postgres")[0][0] for each in names}


def load_average() -> float:
    """How many processes wanted a core in the last minute, ours included."""
    return os.getloadavg()[0]
