# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Forms for tests: written by hand, so that the reader is not tested by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote_plus


class Item(NamedTuple):
    """One part of a form; ``filename`` is ``None`` for a plain field."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = ""


def multipart(items: Iterable[Item], boundary: str = "bOuNdArY") -> tuple[str, bytes]:
    """Content type and body of a multipart form."""
    body = b""
    for item in items:
        head = f'Content-Disposition: form-data; name="{item.name}"'
        if item.filename is not None:
            head += f'; filename="{item.filename}"'
        if item.content_type:
            head += f"\r\nContent-Type: {item.content_type}"
        block = head.encode("utf-8", "surrogatepass")
        body += b"--%s\r\n%s\r\n\r\n" % (boundary.encode(), block)
        body += item.content + b"\r\n"
    body += b"--%s--\r\n" % boundary.encode()
    return f'multipart/form-data; boundary="{boundary}"', body


def urlencoded(items: Iterable[Item]) -> tuple[str, bytes]:
    """Content type and body of an urlencoded form."""
    pairs = (
        f"{quote_plus(item.name.encode('utf-8', 'surrogatepass'))}"
        f"={quote_plus(item.content)}"
        for item in items
    )
    return "application/x-www-form-urlencoded", "&".join(pairs).encode()
