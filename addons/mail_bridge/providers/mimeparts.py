# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a part of a mail holds: bytes, text and file name, read without ``email``."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote, unquote_to_bytes

from . import headerfix
from .mimescan import MAX_PARAMETERS, Part, Scan, parse_parameters

_EXTENDED = re.compile(rb"([\w.-]+)'[\w-]*'([!#$&+^`|~.\w%-]*)")


def decoded(found: Scan, part: Part) -> bytes:
    """Return the content of a part without its transfer encoding."""
    body = found.raw[part.body : part.end]
    encoding = part.value(b"content-transfer-encoding").lower()
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    if encoding != b"base64":
        return body
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        return base64.b64decode(letters[: len(letters) // 4 * 4])


def text_of(part: Part, data: bytes) -> str:
    """Return the text of a part; an unknown charset is guessed, bytes never lost."""
    charset = part.parameters.get(b"charset", b"").decode("latin-1")
    return headerfix.decode_bytes(data, charset)


def file_name(part: Part) -> str | None:
    """Return the file name of a part as it stands in the mail, or ``None``."""
    _, mark, rest = part.value(b"content-disposition").partition(b";")
    parameters = parse_parameters(mark + rest) if mark else {}
    for table, base in ((parameters, b"filename"), (part.parameters, b"name")):
        if not table:
            continue
        if b"%s*" % base in table:
            return _extended([table[b"%s*" % base]])
        pieces = _continued(table, base)
        if pieces:
            return pieces
        if base in table:
            return headerfix.decode(table[base])
    return None


def _continued(table: dict[bytes, bytes], base: bytes) -> str:
    """Return a name that RFC 2231 cut into ``name*0``, ``name*1*``, …"""
    pieces, extended = [], False
    for index in range(MAX_PARAMETERS):
        plain = table.get(b"%s*%d" % (base, index))
        coded = table.get(b"%s*%d*" % (base, index))
        if plain is None and coded is None:
            break
        extended = extended or coded is not None
        piece = coded if coded is not None else plain or b""
        pieces.append(piece if coded is not None else quote(piece).encode())
    if extended:
        return _extended(pieces)
    return headerfix.decode(unquote_to_bytes(b"".join(pieces)))


def _extended(pieces: list[bytes]) -> str:
    """Decode ``charset'language'percent-encoded``."""
    value = b"".join(pieces)
    match = _EXTENDED.fullmatch(value)
    charset = match[1].decode() if match else ""
    data = unquote_to_bytes(match[2] if match else value)
    return headerfix.decode_bytes(data, charset)


def is_inline(part: Part) -> bool:
    """Whether Odoo shows a text part as body, not as an attachment."""
    disposition = part.value(b"content-disposition").lower()
    return not disposition.startswith(b"attachment") and file_name(part) is None
