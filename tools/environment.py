"""The virtual environment: made once, brought up to date when the pins change."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tools.console import Failure, say
from tools.locks import locked
from tools.paths import CACHE, ROOT, RUN, TMP, VENV, venv_python

RUNTIME = ROOT / "requirements.txt"
DEVELOPMENT = ROOT / "requirements-dev.txt"
# Written when the folder is complete; it holds the Python it was made with.
MADE = VENV / ".made"
# Set for the process that runs in the virtual environment.
INSIDE = "MAIL_BRIDGE_VENV"


def ensure(requirements: Path = RUNTIME) -> None:
    """Create `.venv` and install `requirements`; nothing to do when it has them."""
    if _is_enough(requirements):
        return
    with locked("venv"):
        if not _is_enough(requirements):
            _install(requirements)


def _install(requirements: Path) -> None:
    if not _is_made():
        say(f"making .venv with Python {sys.version.split()[0]}")
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failure(f"the virtual environment cannot be made: {error}") from error
        MADE.write_text(sys.version)
    say(f"installing {requirements.name}")
    _pip("install", "--quiet", "--only-binary", ":all:", "-r", str(requirements))
    _stamp(requirements).write_text(_fingerprint(requirements))


def _is_made() -> bool:
    """Whether the folder is whole, and made with the Python that asks."""
    return MADE.exists() and venv_python().exists() and MADE.read_text() == sys.version


def _is_enough(requirements: Path) -> bool:
    # What the tests need includes what Odoo needs.
    includes = [DEVELOPMENT] if requirements == RUNTIME else []
    return any(_is_current(each) for each in [requirements, *includes])


def _stamp(requirements: Path) -> Path:
    return VENV / f".{requirements.stem}"


def _is_current(requirements: Path) -> bool:
    stamp = _stamp(requirements)
    if not stamp.exists() or not _is_made():
        return False
    return stamp.read_text() == _fingerprint(requirements)


def _fingerprint(requirements: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in dict.fromkeys([RUNTIME, requirements]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _pip(*arguments: str) -> None:
    # HOME stays: the user's pip settings (mirror, certificates) count here.
    TMP.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, TMPDIR=str(TMP))
    environment.setdefault("PIP_CACHE_DIR", str(CACHE / "pip"))
    environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(
        [str(venv_python()), "-m", "pip", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        (RUN / "pip.log").write_text(result.stdout + result.stderr)
        errors = [x for x in result.stderr.splitlines() if x.startswith("ERROR")]
        reason = errors[-1] if errors else "see .run/pip.log"
        raise Failure(f"pip {arguments[0]} failed: {reason}")


def enter(requirements: Path, arguments: list[str]) -> None:
    """Continue in the virtual environment: replaces this process unless it is there."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    if os.environ.get(INSIDE) == str(VENV):
        raise Failure(f"{VENV} is no virtual environment: delete it")
    ensure(requirements)
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **{INSIDE: str(VENV)})
    command = [str(venv_python()), "-m", "tools", *arguments]
    os.execve(command[0], command, environment)
