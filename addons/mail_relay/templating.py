# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Texts with named gaps: ``{{ name }}``, and nothing that could be computed.

Whoever writes a template can name a value, never call anything; a value is text, and in
HTML it is escaped, so that it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from markupsafe import escape

from odoo.addons.mail_bridge.exceptions import PermanentError

NAME = re.compile(r"[a-z_][a-z0-9_]{0,63}", re.ASCII | re.IGNORECASE)
_GAP = re.compile(r"\{\{\s*([a-z_][a-z0-9_]{0,63})\s*\}\}", re.ASCII | re.IGNORECASE)
#: What opens like a gap and is none: somebody's slip, told when it is written.
_BROKEN = re.compile(r"\{\{(?!\s*[a-z_][a-z0-9_]{0,63}\s*\}\})", re.ASCII | re.I)
_BREAKS = re.compile(r"[\r\n\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
MAX_VALUE = 100_000


class MissingVariables(PermanentError):
    """Values that a template needs and nobody gave: ``names``."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(f"missing: {', '.join(self.names)}")


class BadVariables(PermanentError):
    """Values that are no text: ``names``."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(f"no text: {', '.join(self.names)}")


class Rendered(NamedTuple):
    """A mail's words for one recipient."""

    subject: str
    html: str
    text: str


def names_in(*texts: str | None) -> set[str]:
    """Return the names of all gaps."""
    return {name for text in texts for name in _GAP.findall(text or "")}


def is_broken(text: str | None) -> bool:
    """Whether something opens like a gap and is none."""
    return bool(_BROKEN.search(text or ""))


def render(
    parts: Rendered, values: Mapping[str, object], defaults: Mapping[str, str]
) -> Rendered:
    """Fill the gaps.

    :param values: texts and numbers by name; what has no gap is left out.
    :param defaults: what stands where no value, or an empty one, was given.
    :raises MissingVariables: a gap has neither.
    :raises BadVariables: a value is neither text nor number.
    """
    names = names_in(*parts)
    words = _words({name: values[name] for name in names if name in values})
    known = {name: words.get(name) or defaults.get(name) for name in names}
    if missing := [name for name, word in known.items() if word is None]:
        raise MissingVariables(missing)
    plain = {name: word or "" for name, word in known.items()}
    escaped = {name: str(escape(word)) for name, word in plain.items()}
    return Rendered(
        subject=_BREAKS.sub(" ", _fill(parts.subject, plain)).strip(),
        html=_fill(parts.html, escaped),
        text=_fill(parts.text, plain),
    )


def _words(values: Mapping[str, object]) -> dict[str, str]:
    kinds = (str, int, float)
    bad = [
        name
        for name, value in values.items()
        if value is not None
        and (not isinstance(value, kinds) or len(str(value)) > MAX_VALUE)
    ]
    if bad:
        raise BadVariables(bad)
    return {name: str(value) for name, value in values.items() if value is not None}


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _GAP.sub(lambda gap: values[gap[1]], text or "")
