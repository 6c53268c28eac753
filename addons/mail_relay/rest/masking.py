# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What of a request may be kept in the command log: no secret, and no mail."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
_SECRET = re.compile(r"(?i)password|token|secret|api_?key|authorization")
#: A mail's content, and files in it: their size is kept.
_CONTENT = frozenset(("body", "storage_path"))
_SHOWN = 120
_MAX_ITEMS = 1000


def masked(value: Any, name: str = "") -> Any:
    """Return a JSON value with secrets and contents replaced."""
    if value and _SECRET.search(name):
        return MASK
    if isinstance(value, dict):
        return {str(key)[:100]: masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one, name) for one in value[:_MAX_ITEMS]]
    if isinstance(value, str):
        return _shortened(value, name)
    return value


def _shortened(text: str, name: str) -> str:
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if name == "body" or (name in _CONTENT and len(text) > _SHOWN):
        return f"[{len(text)} characters]"
    return text if len(text) <= 2000 else f"{text[:2000]}…"
