# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A bounded look at the structure of a mail, on bytes.

The ``email`` package needs seconds, or the whole stack, for a mail of a few kilobytes
that somebody shaped on purpose (facts/security.md §1.3). This reader gives the same
tree for a well-formed mail, stops at fixed limits for any other, and says in
``Scan.flaws`` what is not well formed. It copies no body: a part is a pair of offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Limits of facts/security.md §1.2 "Parser limits"; Postfix has 100 for the nesting.
MAX_DEPTH = 50
MAX_PARTS = 500
MAX_BOUNDARY = 256
MAX_HEADER_BLOCK = 256 * 1024
MAX_HEADER_FIELDS = 1000
MAX_PARAMETERS = 100
MAX_BROKEN_LINES = 20
#: The ``email`` package touches every line once per enclosing multipart (measured:
#: about 1 µs). Base64 in lines of 76, three levels deep, stays far below one touch
#: per 7 bytes.
FREE_TOUCHES = 600_000
BYTES_PER_TOUCH = 7
#: Lines that look like a boundary and are none cost a step each.
MAX_BOUNDARY_HITS = 20_000

_FIELD = re.compile(rb"([!-9;-~]+):([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)(?:\r?\n|\Z)")
_KNOWN_FIELD = re.compile(
    rb"(\A|\n)(?:from|to|cc|subject|date|message-id|in-reply-to|references|reply-to"
    rb"|mime-version|content-type|content-transfer-encoding):",
    re.IGNORECASE,
)
_BOUNDARY_END = re.compile(rb"(--)?[ \t]*(?:\r?\n|\r|\Z)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_FOLD = re.compile(rb"\r?\n[ \t]?")
_PARAMETER = re.compile(rb';\s*([^\s=;"]{1,80})\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_MEDIA = re.compile(
    rb"\s*([\w.+-]+/[\w.+-]+)\s*"
    rb'(?:;\s*(?:[\w-]+(?:\*\d+)?=(?:"[^"\\]*"|[^\s"\'()<>@,;:\\\[\]?=/*%]+)'
    rb"|[\w-]+(?:\*\d+)?\*=(?:[\w-]*'[\w-]*')?[\w.!#$&+^`{|}~%-]+)\s*)*;?\s*"
)
_TYPE = re.compile(rb"\s*([\w.+-]+/[\w.+-]+)")


@dataclass(slots=True)
class Part:
    """One entity: its header fields and where its body stands in the raw bytes.

    ``fields`` are (lower-case name, name, value as it came with its folding).
    ``media_type`` is lower case; ``parameters`` those of Content-Type, unquoted,
    RFC 2231 not decoded. ``children`` are the parts of a multipart, or the one
    mail in a ``message/rfc822`` and its kin; ``messages`` counts those around it.
    """

    start: int
    body: int
    end: int
    depth: int
    messages: int = 0
    fields: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    media_type: bytes = b"text/plain"
    parameters: dict[bytes, bytes] = field(default_factory=dict)
    children: list[Part] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field, in order (``name`` in lower case)."""
        return [value for lower, _, value in self.fields if lower == name]

    def value(self, name: bytes) -> bytes:
        """Return the first value of a field, unfolded, or ``b""``."""
        for lower, _, value in self.fields:
            if lower == name:
                return unfold(value)
        return b""

    def walk(self) -> Iterator[Part]:
        """Yield this part and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def is_multipart(self) -> bool:
        """Whether the part only holds other parts."""
        return self.media_type.startswith(b"multipart/")

    @property
    def is_message(self) -> bool:
        """Whether ``email`` reads the body as one mail (it takes a status apart)."""
        if self.media_type == b"message/delivery-status":
            return False
        return self.media_type.startswith(b"message/")


@dataclass(slots=True)
class Scan:
    """The result of :func:`scan`: the tree, its leaves and what is not well formed."""

    raw: bytes
    root: Part
    parts: list[Part] = field(default_factory=list)
    flaws: set[str] = field(default_factory=set)
    hits: int = 0


def scan(raw: bytes) -> Scan:
    """Return the structure of a mail. Never raises; linear in the size."""
    result = Scan(raw, Part(0, 0, len(raw), 0))
    start = raw.find(b"\n", 0, 1000) + 1 if raw.startswith(b"From ") else 0
    if raw.count(b"\r") != raw.count(b"\r\n"):
        result.flaws.add("bare carriage return")
    result.root = _read_part(result, Part(start, start, len(raw), 0))
    deepest = max(part.depth for part in result.parts) + 1
    touches = raw.count(b"\n") * deepest
    if touches > FREE_TOUCHES and touches * BYTES_PER_TOUCH > len(raw):
        result.flaws.add("very many lines")
    return result


def scan_header(raw: bytes) -> Scan:
    """Return a scan of which only the header of the mail was read."""
    start = raw.find(b"\n", 0, 1000) + 1 if raw.startswith(b"From ") else 0
    found = Scan(raw, Part(start, start, len(raw), 0))
    _read_fields(found, found.root)
    return found


def header_fields(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return the header of a mail: (lower-case name, value with folding)."""
    return [(lower, value) for lower, _, value in scan_header(raw).root.fields]


def unfold(value: bytes) -> bytes:
    """Return a header value in one line."""
    if b"\n" in value:
        value = _FOLD.sub(b" ", value)
    return value.strip()


def parse_parameters(value: bytes) -> dict[bytes, bytes]:
    """Return the parameters of a Content-Type or -Disposition, first one wins."""
    found: dict[bytes, bytes] = {}
    for count, match in enumerate(_PARAMETER.finditer(value)):
        if count >= MAX_PARAMETERS:
            break
        text = match[2].strip()
        if text.startswith(b'"'):
            text = re.sub(rb"\\(.)", rb"\1", text[1:-1])
        found.setdefault(match[1].lower(), text)
    return found


def is_plain_media(value: bytes) -> bool:
    """Whether every parser reads this Content-Type or -Disposition the same way."""
    return len(value) <= 2000 and _MEDIA.fullmatch(value) is not None


def _read_part(found: Scan, part: Part, default: bytes = b"text/plain") -> Part:
    found.parts.append(part)
    part.body = _read_fields(found, part)
    types = part.values(b"content-type")
    if len(types) > 1:
        found.flaws.add("several content types")
    part.media_type = default
    if types:
        _read_media(found, part, unfold(types[0]))
    if part.is_multipart:
        _read_multipart(found, part)
    elif part.is_message:
        _read_message(found, part)
    return part


def _read_fields(found: Scan, part: Part) -> int:
    """Read the header block into ``part.fields`` and return where the body begins."""
    start = part.start
    block_end, body = _header_end(found.raw, start, part.end)
    block = found.raw[start:block_end]
    if len(block) > MAX_HEADER_BLOCK:
        found.flaws.add("large header")
    if b"\r" in block and _BARE_CR.search(block):
        found.flaws.add("bare carriage return")
        block = _BARE_CR.sub(b" ", block)
    position = broken = 0
    while position < len(block):
        match = _FIELD.match(block, position)
        if match is not None:
            _keep_field(found, part, match[1], match[2])
            position = match.end()
            continue
        found.flaws.add("broken header line")
        broken += 1
        known = _KNOWN_FIELD.search(block, position)
        if known is None:
            return start + position
        # Line by line at first, so that nothing between is lost; then straight on.
        line = block.find(b"\n", position) + 1 or len(block)
        position = line if broken < MAX_BROKEN_LINES else known.end(1)
    return body


def _keep_field(found: Scan, part: Part, name: bytes, value: bytes) -> None:
    lower = name.lower()
    if len(part.fields) >= MAX_HEADER_FIELDS:
        found.flaws.add("many header fields")
        known = _KNOWN_FIELD.match(lower + b":")
        if known is None or len(part.fields) >= 2 * MAX_HEADER_FIELDS:
            return
    part.fields.append((lower, name, value))


def _header_end(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the header block ends and where the body begins."""
    if raw.startswith(b"\r\n", start, end):
        return start, start + 2
    if raw.startswith(b"\n", start, end):
        return start, start + 1
    first = raw.find(b"\n\r\n", start, end)
    second = raw.find(b"\n\n", start, end if first < 0 else first)
    if second >= 0:
        return second + 1, second + 2
    if first >= 0:
        return first + 1, first + 3
    return end, end


def _read_media(found: Scan, part: Part, value: bytes) -> None:
    match = _TYPE.match(value)
    if match is None:
        found.flaws.add("unreadable content type")
        return
    part.media_type = match[1].lower()
    if not is_plain_media(value):
        found.flaws.add("unusual content type")
    part.parameters = parse_parameters(value[match.end() :])


def _read_multipart(found: Scan, part: Part) -> None:
    boundary = part.parameters.get(b"boundary", b"").rstrip()
    if not boundary or len(boundary) > MAX_BOUNDARY:
        found.flaws.add("unusable boundary")
    if not boundary:
        return
    if part.depth >= MAX_DEPTH:
        found.flaws.add("deep nesting")
        return
    digest = part.media_type == b"multipart/digest"
    default = b"message/rfc822" if digest else b"text/plain"
    if digest:
        found.flaws.add("digest")
    for start, end in _split(found, part, b"--" + boundary):
        if len(found.parts) >= MAX_PARTS:
            found.flaws.add("many parts")
            return
        child = Part(start, start, end, part.depth + 1, part.messages)
        part.children.append(_read_part(found, child, default))
    if not part.children:
        found.flaws.add("multipart without parts")


def _split(found: Scan, part: Part, separator: bytes) -> list[tuple[int, int]]:
    """Return the ranges between the boundary lines, at most ``MAX_PARTS`` + 1."""
    raw = found.raw
    ranges: list[tuple[int, int]] = []
    position, opened = part.body, -1
    while len(ranges) <= MAX_PARTS:
        position = raw.find(separator, position, part.end)
        if position < 0:
            break
        found.hits += 1
        if found.hits > MAX_BOUNDARY_HITS:
            found.flaws.add("many boundaries")
            break
        at_line_start = position == part.body or raw[position - 1] in b"\r\n"
        match = _BOUNDARY_END.match(raw, position + len(separator), part.end)
        if not at_line_start or match is None:
            position += len(separator)
            continue
        if 0 <= opened < position:
            ranges.append((opened, _before_newline(raw, opened, position)))
        opened = -1 if match[1] else match.end()
        position = match.end()
        if match[1]:
            return ranges
    if 0 <= opened < part.end and len(ranges) <= MAX_PARTS:
        ranges.append((opened, part.end))
    return ranges


def _before_newline(raw: bytes, start: int, end: int) -> int:
    """Return ``end`` less the newline before it, which belongs to the boundary."""
    if raw.endswith(b"\r\n", start, end):
        return end - 2
    return end - 1


def _read_message(found: Scan, part: Part) -> None:
    if part.depth >= MAX_DEPTH or len(found.parts) >= MAX_PARTS:
        found.flaws.add("deep nesting")
        return
    child = Part(part.body, part.body, part.end, part.depth + 1, part.messages + 1)
    part.children.append(_read_part(found, child))
