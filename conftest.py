"""Loaded before any test: makes providers and adapters importable without Odoo."""

import tools.plain_odoo  # noqa: F401
