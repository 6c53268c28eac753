# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Header lines and file names for mail that is built from parts.

The library's own header folding parses a value before it writes it, which loses what
it can't parse and raises on what an attacker writes. These functions copy instead: a
printable ASCII value stands in the mail as it came, anything else as RFC 2047 words,
and no value can end its line.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from werkzeug.http import parse_options_header

#: Names and values of headers, in their order.
Pairs = tuple[tuple[str, str], ...]

#: RFC 5322 §2.1.1, without the line break.
_MAX_LINE = 998
#: RFC 2047 §2: lines with encoded words.
_MAX_ENCODED_LINE = 76
#: UTF-8 bytes in one encoded word, so that the word stays within 75 characters.
_WORD = 45
#: The same in a name before an address: Python up to 3.12 keeps the white space between
#: two encoded words there, so a name is one word as long as the line can hold it.
_NAME_WORD = 600
_MAX_NAME = 200
#: What a file system takes.
_MAX_FILENAME = 255

#: Headers whose value is addresses with names, or a phrase before ``<…>``.
_ADDRESSES = re.compile(
    r"(resent-)?(from|sender|reply-to|to|cc|bcc)|return-path|delivered-to|list-id"
    r"|(x-original|envelope|disposition-notification|return-receipt|errors)-to"
    r"|mail-(followup|reply)-to"
)
#: Headers that machines read: encoded words mean nothing in them, so what is not
#: ASCII stands there as UTF-8 (RFC 6532).
_MACHINE = re.compile(
    r"message-id|in-reply-to|references|received|received-spf|date|mime-version"
    r"|authentication-results|list-.*|arc-.*|content-.*|.*dkim-signature"
)
_PLAIN = re.compile(r"[\t -~]*")
_BLANKS = re.compile(r"(\s{64})\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
#: Characters that reorder what a reader sees (Unicode UAX 9).
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EDGES = re.compile(r"^[\s.]+|[\s.]+$")
_RESERVED_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: A quoted string (RFC 5322 §3.2.4). One without an end goes to the end of the text,
#: or each quote of a long row of them would be tried as a beginning.
QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_ADDRESS_TOKEN = re.compile(rf"{QUOTED}|<[^<>]*>|[,;:]|[^\"<>,;:]+|.", re.DOTALL)


def clean_text(text: str) -> str:
    """Return text that can be encoded: lone surrogates become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def storable(text: str) -> str:
    """Return text that a database can keep: clean, and without NUL."""
    return clean_text(text).replace("\0", "")


def one_line(value: str) -> str:
    """Return a header value unfolded, without CR, LF, NUL and lone surrogates."""
    value = re.sub(r"\r?\n(?=[ \t])", "", storable(value))
    return re.sub(r"[\r\n]+", " ", value)


def read_options(value: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the first ``;`` of a header, and its parameters.

    The time Werkzeug's reader takes grows with the square of a run of blanks, so no
    run stays long.
    """
    return parse_options_header(_BLANKS.sub(r"\1", value))


def completed(headers: Pairs, spare: Pairs) -> Pairs:
    """Return headers, and behind them what only ``spare`` has a value for."""
    present = {name.lower() for name, value in headers if value.strip()}
    missing = [(k, v) for k, v in spare if v and k.lower() not in present]
    return (*headers, *missing)


def header_line(name: str, value: str) -> bytes:
    """Return one header, folded and with its line break.

    Names lose what RFC 5322 forbids in them. A value comes back from a parser as it
    was given, but for line breaks and NUL, which :func:`one_line` takes out.
    """
    name = re.sub(r"[^!-9;-~]", "-", name)[:_MAX_NAME] or "X-Unnamed"
    value = one_line(value)
    kind = name.lower()
    start = name.encode("ascii") + b": "
    with_names = _ADDRESSES.fullmatch(kind)
    structured = with_names or _MACHINE.fullmatch(kind)
    if _PLAIN.fullmatch(value):
        lines = _fold(start, value.encode("ascii"), _MAX_LINE)
        if structured or max(map(len, lines)) <= _MAX_LINE:
            return b"\r\n".join(lines) + b"\r\n"
    if not structured:
        encoded = b" ".join(_encoded_words(value, _WORD))
    else:
        value = _CONTROL.sub(" ", value)
        value = _encode_names(value) if with_names else value
        encoded = value.encode()
    return b"\r\n".join(_fold(start, encoded, _MAX_ENCODED_LINE)) + b"\r\n"


def parameter(name: str, value: str) -> str:
    """Return one MIME parameter with the ``;`` before it (RFC 2045, RFC 2231)."""
    value = _CONTROL.sub("", one_line(value))
    if value.isascii():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'; {name}="{escaped}"'
    return f"; {name}*=utf-8''{quote(value, safe='')}"


def safe_filename(name: str) -> str:
    """Return a bare file name of at most 255 bytes, ``""`` where nothing is left.

    Paths, leading and trailing dots, control and bidirectional characters go; names
    that Windows reserves get an underscore; the extension survives the cut.
    """
    name = clean_text(name)
    name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Zl", "Zp"))
    name = _EDGES.sub("", re.split(r"[/\\]", _BIDI.sub("", name))[-1])
    if _RESERVED_NAME.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) <= _MAX_FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    room = _MAX_FILENAME - len((dot + extension).encode())
    stem = _EDGES.sub("", stem.encode()[:room].decode(errors="ignore"))
    return stem + dot + extension


def _fold(start: bytes, value: bytes, limit: int) -> list[bytes]:
    """Break a header before white space; a longer word keeps a line of its own."""
    if len(start) + len(value) <= limit:
        return [start + value]
    lines = []
    line, rest = start, value
    position = 0
    while len(line) + len(rest) - position > limit:
        cut = _fold_at(rest, position + 1, position + limit - len(line))
        if cut < 0:
            break
        lines.append(line + rest[position:cut])
        line, position = b"", cut
    return [*lines, line + rest[position:]]


def _fold_at(value: bytes, low: int, high: int) -> int:
    """Return where white space allows a break, at best before ``high``."""
    high = max(high, low)
    cut = max(value.rfind(b" ", low, high), value.rfind(b"\t", low, high))
    if cut < 0:
        found = _FOLD.search(value, high)
        cut = found.start() if found else -1
    return cut


_FOLD = re.compile(rb"[ \t]")


def _encoded_words(text: str, size: int) -> Iterator[bytes]:
    """Yield RFC 2047 words of at most ``size`` UTF-8 bytes each."""
    data = text.encode()
    start = 0
    while start < len(data):
        end = min(start + size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield b"=?utf-8?b?" + base64.b64encode(data[start:end]) + b"?="
        start = end


def _encode_names(value: str) -> str:
    """Encode what is not ASCII in the names of an address list.

    Addresses themselves can't be encoded; they stay (RFC 6532).
    """
    out: list[str] = []
    phrase: list[str] = []

    def flush(is_name: bool) -> None:
        text = "".join(phrase)
        is_name = is_name or "@" not in text
        out.append(_encode_phrase(text) if is_name else text)
        phrase.clear()

    for token in _ADDRESS_TOKEN.findall(value):
        if token[0] == "<" or token in ",;:":
            flush(is_name=token[0] == "<")
            out.append(token)
        else:
            phrase.append(token)
    flush(is_name=False)
    return "".join(out)


def _encode_phrase(text: str) -> str:
    if text.isascii():
        return text
    bare = text.strip(" \t")
    before, _bare, after = text.partition(bare)
    plain = re.sub(QUOTED, _unquoted, bare, flags=re.DOTALL)
    words = b" ".join(_encoded_words(plain, _NAME_WORD)).decode("ascii")
    return f"{before}{words}{after}"


def _unquoted(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", found[0][1:].removesuffix('"'), flags=re.DOTALL)
