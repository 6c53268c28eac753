"""A real Odoo server with workers: its configuration, its processes, its log."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tools import processes
from tools.console import Failure
from tools.odoo_source import Odoo
from tools.paths import RUN
from tools.ports import free_port
from tools.postgres import Connection

GUARD = "mail_bridge_guard"
READY_SECONDS = 120


def server_wide_modules(odoo: Odoo) -> str:
    """What is loaded before any database is known; our door as soon as it exists."""
    ours = odoo.addons_path()[-1] / GUARD
    names = ["base", "web"]
    if not odoo.installs_demo_by_default:
        names.append("rpc")
    return ",".join([*names, GUARD] if ours.exists() else names)


def write_config(
    path: Path, odoo: Odoo, connection: Connection, **options: object
) -> Path:
    """Write an odoo.conf; `options` add to and win over the shipped choices."""
    values: dict[str, object] = {
        "addons_path": ",".join(map(str, odoo.addons_path())),
        "data_dir": RUN / "data",
        "db_host": connection.host,
        "db_port": connection.port,
        "db_user": connection.user,
        "db_password": connection.password or False,
        "db_template": "template0",
        "http_interface": "127.0.0.1",
        "list_db": False,
        "server_wide_modules": server_wide_modules(odoo),
        "max_cron_threads": 4,
    }
    values.update(options)
    lines = [f"{key} = {value}" for key, value in values.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("[options]\n" + "\n".join(lines) + "\n")
    return path


class OdooServer:
    """One prefork server on `port`; `folder` holds its configuration and log."""

    def __init__(
        self,
        odoo: Odoo,
        connection: Connection,
        folder: Path,
        port: int = 0,
        bind: str = "127.0.0.1",
        environment: dict[str, str] | None = None,
        **options: object,
    ) -> None:
        self.odoo = odoo
        self.connection = connection
        self.folder = folder
        self.port = port or free_port()
        self.bind = bind
        self.extra_environment = environment or {}
        self.options = {"workers": 2, **options}
        self.log = folder / "odoo.log"
        self.pidfile = folder / "odoo.pid"

    # -- life ---------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> "OdooServer":
        """Start the server; with `wait`, return once it answers."""
        if self.pid():
            return self
        config = self.write_config()
        self.pidfile.unlink(missing_ok=True)
        with (self.folder / "odoo.out").open("ab") as sink:
            process = subprocess.Popen(
                self.odoo.command("-c", str(config)),
                env=self.odoo.environment(**self.extra_environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        processes.record(self.pidfile, process.pid)
        if wait:
            self.wait_ready()
        return self

    def write_config(self) -> Path:
        """Write this server's odoo.conf and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return write_config(
            self.folder / "odoo.conf",
            self.odoo,
            self.connection,
            **{
                "http_interface": self.bind,
                "http_port": self.port,
                "gevent_port": free_port(),
                "logfile": self.log,
                **self.options,
            },
        )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return once the server answers, whatever the answer is."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if answers(f"{self.base_url}/web/health"):
                return
            if not self.pid():
                break
            time.sleep(0.1)
        raise Failure(f"Odoo did not come up, see {self.log}: {self._last_line()}")

    def stop(self, seconds: float = 30) -> None:
        """End the server in order, with force after `seconds`."""
        if pid := self.pid():
            processes.stop_family(pid, seconds)
        self.pidfile.unlink(missing_ok=True)

    def restart(self) -> "OdooServer":
        """Stop and start again on the same port."""
        self.stop()
        return self.start()

    # -- processes ----------------------------------------------------------

    def pid(self) -> int:
        """The master's process id; 0 where it does not run."""
        return processes.recorded(self.pidfile)

    def http_workers(self) -> list[int]:
        """Process ids of the HTTP workers."""
        return self._workers("WorkerHTTP")

    def cron_workers(self) -> list[int]:
        """Process ids of the cron workers."""
        return self._workers("WorkerCron")

    def kill_worker(self, pid: int) -> None:
        """SIGKILL one worker; the master starts a new one."""
        processes.kill(pid)

    def _workers(self, kind: str) -> list[int]:
        pids = processes.descendants(self.pid())
        return [pid for pid in pids if kind in processes.title(pid)]

    # -- log ----------------------------------------------------------------

    def log_text(self, offset: int = 0) -> str:
        """The server's log from `offset` bytes on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def log_size(self) -> int:
        """The present end of the log, an offset for `log_text`."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _last_line(self) -> str:
        lines = self.log_text().strip().splitlines()
        if not lines:
            output = self.folder / "odoo.out"
            lines = output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def answers(url: str, seconds: float = 5) -> bool:
    """Whether anything speaks HTTP at `url`; its status does not matter."""
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
