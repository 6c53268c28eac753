# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Adapters by provider code. A provider addon registers its own when it is imported."""

from .base import ProviderAdapter

_adapters: dict[str, ProviderAdapter] = {}


def register(adapter: type[ProviderAdapter]) -> type[ProviderAdapter]:
    """Register an adapter class under its code (usable as a decorator)."""
    _adapters[adapter.code] = adapter()
    return adapter


def get(code: str) -> ProviderAdapter | None:
    """Return the adapter of a provider, ``None`` where its addon is not loaded."""
    return _adapters.get(code)


def codes() -> list[str]:
    """Return the codes of all registered adapters."""
    return sorted(_adapters)
