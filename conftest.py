"""Loaded before any test: makes providers and adapters importable without Odoo."""

from pathlib import Path

import pytest

from tools import plain_odoo
from tools.paths import ADDONS

plain_odoo.install()

# Those need Odoo and its own runner: see `make addons`.
collect_ignore_glob = ["addons/*/tests"]


def pytest_collect_directory(
    path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """An addon is a folder to pytest, or it would run the `__init__` of a package."""
    if path.parent == ADDONS:
        return pytest.Dir.from_parent(parent, path=path)
    return None
