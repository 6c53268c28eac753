# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A strict reader for the JSON that providers post.

The grammar that ``json`` accepts is wider than what a provider writes: duplicate
keys, ``NaN``, any depth. What an honest provider never sends is refused here, once,
so that an adapter only has to ask for types.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from ..exceptions import PayloadError
from .forms import REDUCED_FIELD, REDUCED_TOTAL, Buffer, trim_utf8

#: Objects and arrays inside one another.
MAX_DEPTH = 50
#: Part of a string literal; bounded, because the engine remembers each repetition.
_STRING_RUN = re.compile(rb'(?:[^"\\]+|\\.){0,1000}', re.DOTALL)
Json = dict[str, Any]


def read_object(body: Buffer | str) -> Json:
    """Return the JSON object that a body holds.

    :raises PayloadError: no JSON, not an object, a key twice in one object, ``NaN``
        or ``Infinity``, or deeper than ``MAX_DEPTH``.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise PayloadError("the JSON is not an object")
    return value


def read_json(body: Buffer | str) -> Any:
    """Return any JSON value under the rules of :func:`read_object`."""
    text = body if isinstance(body, str) else bytes(body[:])
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # The message of ``json`` quotes the text, which may hold a secret.
        raise PayloadError("the body is not readable as JSON") from None
    _check_depth(value)
    return value


def read_pairs(text: str) -> list[tuple[str, Any]]:
    """Return the pairs of a flat JSON object, those with the same key included.

    :raises PayloadError: it is no JSON object.
    """
    try:
        value = json.loads(text, object_pairs_hook=tuple, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, tuple):
        raise PayloadError("the field is not a JSON object")
    return list(value)


def reduce_json(
    body: Buffer,
    string_limit: int = REDUCED_FIELD,
    total_limit: int = REDUCED_TOTAL,
) -> bytes:
    """Return a JSON text with its long strings cut, without reading it whole.

    The more has been kept, the less is kept of each further string. Goes by what the
    bytes look like: what is no JSON stays none, and a result beyond ``total_limit``
    is cut off there.
    """
    chunks: list[bytes] = []
    room, position, size = total_limit, 0, len(body)
    while position < size and room > 0:
        quote = body.find(b'"', position)
        start = size if quote < 0 else quote + 1
        end = _string_end(body, start)
        limit = min(string_limit, room // 8)
        cut = end if end - start <= limit else _string_cut(body, start, limit)
        chunk = trim_utf8(bytes(body[position : min(cut, position + room)]))
        chunks.append(chunk + body[end : end + 1])
        room -= len(chunk) + 1
        position = end + 1
    return b"".join(chunks)


def _string_end(body: Buffer, start: int) -> int:
    """Return where the string that begins at ``start`` ends (its quote, or the end)."""
    position = start
    while position < len(body) and body[position : position + 1] != b'"':
        found = _STRING_RUN.match(body, position)
        # A backslash at the very end escapes nothing and matches nothing.
        position = max(found.end() if found else 0, position + 1)
    return min(position, len(body))


def _string_cut(body: Buffer, start: int, limit: int) -> int:
    """Return a place within ``limit`` bytes of ``start`` that tears no escape."""
    cut = start + limit
    backslash = body.rfind(b"\\", max(start, cut - 6), cut)
    if backslash < 0:
        return cut
    run = backslash
    while run > start and body[run - 1 : run] == b"\\":
        run -= 1
    return backslash if (backslash - run) % 2 == 0 else cut


def content_digest(value: Any, skip: frozenset[str] = frozenset()) -> str:
    """Return a SHA-256 (hex) of a JSON value that key order and spacing don't change.

    :param skip: keys of the outermost object that don't count.
    """
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key not in skip}
    sha = hashlib.sha256()
    for piece in _canonical(value):
        sha.update(len(piece).to_bytes(8, "big"))
        sha.update(piece)
    return sha.hexdigest()


def _canonical(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield b"{%d" % len(value)
        for key in sorted(value):
            yield key.encode("utf-8", "surrogatepass")
            yield from _canonical(value[key])
    elif isinstance(value, list):
        yield b"[%d" % len(value)
        for item in value:
            yield from _canonical(item)
    elif isinstance(value, str):
        yield b'"'
        yield value.encode("utf-8", "surrogatepass")
    else:
        yield json.dumps(value).encode()


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _check_depth(value: Any) -> None:
    level = [value]
    for _depth in range(MAX_DEPTH + 1):
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise PayloadError("the JSON is nested too deeply")
