# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Envelope addresses as providers hand them over: checked, bare, without repetition.

The core writes them into headers and looks aliases up by them, so nothing that could
end a line, hide, or split into two addresses gets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..exceptions import PayloadError
from .headers import QUOTED

_LIST_ITEM = re.compile(rf'(?:{QUOTED}|[^",]+)+', re.DOTALL)
#: Unicode spaces, controls, invisible and reordering characters, half characters.
_HIDDEN = r"\s\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_ATOM = rf'[^"<>,;:@()\\\ud800-\udfff{_HIDDEN}]+'
_ADDRESS = re.compile(
    rf'(?:{_ATOM}|"(?:[^"\\\x00-\x1f\x7f\ud800-\udfff]|\\[ -~])*")'
    rf"(?:@(?:{_ATOM}|\[[A-Za-z0-9.:]+\]))?"
)
#: RFC 5321 §4.5.3.1 allows 64 + 1 + 255.
_MAX_ADDRESS = 320


def sender(value: str) -> str:
    """Return a MAIL FROM, ``""`` for the null return-path.

    :raises PayloadError: it is no address.
    """
    return _address(value) if value.strip(" <>") else ""


def recipients(values: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of RCPT TO lists (comma-separated), each of them once.

    :raises PayloadError: one is no address, or there are none.
    """
    found = {
        _address(item): None
        for value in values
        for item in _LIST_ITEM.findall(value)
        if item.strip()
    }
    if not found:
        raise PayloadError("the post names no recipient")
    return tuple(found)


def _address(value: str) -> str:
    text = value.strip()
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1].strip()
    if len(text) > _MAX_ADDRESS or not _ADDRESS.fullmatch(text):
        raise PayloadError("an envelope address is malformed")
    return text
