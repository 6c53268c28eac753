"""Where things live: everything the commands write stays in the project folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDONS = ROOT / "addons"
VENV = ROOT / ".venv"
ODOO_HOME = ROOT / ".odoo"
RUN = ROOT / ".run"
CACHE = ROOT / ".cache"
TMP = RUN / "tmp"


def suite_addons() -> list[str]:
    """The technical names of the addons of this repository."""
    return sorted(path.parent.name for path in ADDONS.glob("*/__manifest__.py"))


def venv_python() -> Path:
    """The interpreter all Odoo processes run with."""
    return VENV / "bin" / "python"


def contained_environment(**extra: str) -> dict[str, str]:
    """An environment in which no program writes outside the project folder."""
    home = RUN / "home"
    for folder in (home, TMP):
        folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    environment.update(
        HOME=str(home),
        TMPDIR=str(TMP),
        XDG_CACHE_HOME=str(CACHE),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_DATA_HOME=str(home / ".local"),
        XDG_RUNTIME_DIR=str(TMP),
        PYTHONDONTWRITEBYTECODE=os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
    )
    environment.update(extra)
    return environment
