"""Loaded before any test: makes providers and adapters importable without Odoo."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tools import plain_odoo
from tools.paths import ADDONS

plain_odoo.install()

# How many examples each property is tried with; `make soak` chooses its own profile.
settings.register_profile(
    "suite",
    deadline=None,
    max_examples=200,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.differing_executors,
    ],
)
settings.register_profile("soak", settings.get_profile("suite"), max_examples=5000)
settings.load_profile("suite")

# Those need Odoo and its own runner: see `make addons`.
collect_ignore_glob = ["addons/*/tests"]


def pytest_collect_directory(
    path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """An addon is a folder to pytest, or it would run the `__init__` of a package."""
    if path.parent == ADDONS:
        return pytest.Dir.from_parent(parent, path=path)
    return None
