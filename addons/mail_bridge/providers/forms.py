# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A bounded reader for the forms that providers post.

Why not the one of the web framework: it decodes text fields as UTF-8 and replaces
what does not fit, refuses fields over 10 MB (how much depends on Werkzeug's version)
and drops files that have no name. Mail is not UTF-8, is large, and has such files
(facts/security.md §2.2). This reader only notes where each part stands in the body,
which may be a memory-mapped file, and cuts a part out when somebody asks for it: a
signature check costs a scan and three small fields.

Escapes are undone by ``urllib.parse`` and ``binascii``.
"""

from __future__ import annotations

import binascii
import hashlib
import mmap
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote_plus, unquote_to_bytes, urlencode

from ..exceptions import PayloadError
from .headers import read_options

Buffer = bytes | bytearray | mmap.mmap

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

#: Most fields a form may have, files included.
MAX_FIELDS = 10_000
#: Most files among them.
MAX_FILES = 2_000
#: Bytes of the header block of one part, and of a name in an urlencoded form.
MAX_HEADER = 16_384
#: Bytes of all header blocks: reading one may take a thousand times longer than
#: skipping as much content, and nobody has proved anything yet.
MAX_HEADERS = 4 * 1024 * 1024
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_TOO_MANY = "the form has too many fields"
#: Bytes of one field that survive in a post that is too large, and of all together. A
#: multiple of four, so that base64 stays readable.
REDUCED_FIELD = 64 * 1024
REDUCED_TOTAL = 1024 * 1024
#: Bytes cut out of the body at a time.
_PIECE = 1 << 20
#: An honest sender picks a boundary that its content does not contain even once.
_FALSE_BOUNDARIES = 100
#: RFC 2046 §5.1.1 allows 70; some senders take a few more.
_BOUNDARY = re.compile(r"[!-~]([ -~]{0,198}[!-~])?")


def decode(data: bytes) -> str:
    """Return text for bytes that ought to be UTF-8; no byte makes it fail."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


@dataclass(frozen=True)
class FormPart:
    """One field or file; its content stays in the body until it is asked for.

    ``filename`` is ``None`` for a plain field and may be ``""`` for a file.
    ``content_type`` and ``headers`` are as posted (empty in urlencoded forms).
    ``size`` is the number of bytes it takes in the body.
    """

    name: str
    filename: str | None
    headers: tuple[tuple[str, str], ...]
    body: Buffer = field(repr=False)
    start: int
    end: int
    escaped: bool = False

    @property
    def size(self) -> int:
        """How many bytes the content takes in the body."""
        return self.end - self.start

    @property
    def content_type(self) -> str:
        """The part's own media type with its parameters, ``""`` if it has none."""
        return next((v for k, v in self.headers if k.lower() == "content-type"), "")

    @property
    def content(self) -> bytes:
        """The exact bytes of the content (cut out of the body at each call)."""
        return b"".join(self.pieces())

    @property
    def text(self) -> str:
        """The content as text; UTF-8, else Latin-1."""
        return decode(self.content)

    def beginning(self, limit: int) -> bytes:
        """Return the first bytes of the content, no character torn (limit ≤ 1 MB)."""
        content = next(self.pieces(), b"")
        return content if len(content) <= limit else trim_utf8(content[:limit])

    def digest(self) -> bytes:
        """Return a SHA-256 of name, file name, type and content."""
        sha = hashlib.sha256()
        for text in (self.name, str(self.filename), self.content_type):
            data = text.encode("utf-8", "surrogatepass")
            sha.update(len(data).to_bytes(8, "big") + data)
        for piece in self.pieces():
            sha.update(piece)
        return sha.digest()

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces of bounded size."""
        start = self.start
        while start < self.end:
            cut = min(start + _PIECE, self.end)
            piece = bytes(self.body[start:cut])
            if self.escaped:
                # An escape is three bytes long and must not be torn apart.
                torn = piece.find(b"%", len(piece) - 2) if cut < self.end else -1
                if torn > 0:
                    cut, piece = start + torn, piece[:torn]
                piece = _unescape(piece)
            yield piece
            start = cut


@dataclass(frozen=True)
class Form:
    """The parts of a form, in the order in which they were posted."""

    parts: tuple[FormPart, ...]
    by_name: dict[str, list[FormPart]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Index the parts by name."""
        for part in self.parts:
            self.by_name.setdefault(part.name, []).append(part)

    def __contains__(self, name: str) -> bool:
        """Whether any part has this name."""
        return name in self.by_name

    @property
    def files(self) -> list[FormPart]:
        """The parts that were posted as files, those without a name included."""
        return [part for part in self.parts if part.filename is not None]

    def named(self, name: str) -> list[FormPart]:
        """Return all parts of a name, in order."""
        return self.by_name.get(name, [])

    def getlist(self, name: str) -> list[bytes]:
        """Return the contents of all parts of a name, in order."""
        return [part.content for part in self.named(name)]

    def first(self, name: str, default: bytes = b"") -> bytes:
        """Return the content of the first part of a name."""
        found = self.named(name)
        return found[0].content if found else default

    def last(self, name: str, default: bytes = b"") -> bytes:
        """Return the content of the last part of a name."""
        found = self.named(name)
        return found[-1].content if found else default

    def single(self, name: str) -> bytes:
        """Return the content of the only part of a name.

        :raises PayloadError: the name is missing or was posted more than once.
        """
        found = self.named(name)
        if len(found) != 1:
            how = "more than once" if found else "nowhere"
            raise PayloadError(f"the field {name!r} stands {how} in the form")
        return found[0].content


def read_form(content_type: str, body: Buffer | memoryview) -> Form:
    """Read an urlencoded or multipart body (bytes, or a memory-mapped file).

    :raises PayloadError: another content type, broken, or beyond the limits above.
    """
    if isinstance(body, memoryview):
        body = body.tobytes()
    media_type, options = read_options(content_type)
    if media_type.lower() == URLENCODED:
        return Form(tuple(_limited(_urlencoded(body))))
    if media_type.lower() == MULTIPART:
        return Form(tuple(_limited(_multipart(body, _boundary(options)))))
    raise PayloadError("the body is not a form")


@dataclass(frozen=True)
class UploadFile:
    """A file for a form that we compose."""

    name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)


def encode_form(
    fields: Iterable[tuple[str, str | bytes]], files: Iterable[UploadFile] = ()
) -> tuple[str, bytes]:
    """Return content type and body of a form, multipart only where it has files."""
    uploads = list(files)
    if not uploads:
        return URLENCODED, urlencode(list(fields)).encode("ascii")
    boundary = secrets.token_hex(16)
    chunks = []
    for name, value in fields:
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        chunks += [_part_head(boundary, head), _bytes(value), b"\r\n"]
    for item in uploads:
        head = (
            f'Content-Disposition: form-data; name="{_quoted(item.name)}"; '
            f'filename="{_quoted(item.filename)}"\r\n'
            f"Content-Type: {item.content_type}"
        )
        chunks += [_part_head(boundary, head), item.content, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode("ascii"))
    return f"{MULTIPART}; boundary={boundary}", b"".join(chunks)


def reduce_form(
    content_type: str,
    form: Form,
    keep: Collection[str],
    field_limit: int = REDUCED_FIELD,
    total_limit: int = REDUCED_TOTAL,
) -> bytes:
    """Return a small body that the same content type describes.

    Files are emptied and fields cut at ``field_limit`` bytes. What goes beyond
    ``total_limit`` is left out, but for the first two parts of each name in ``keep``
    (two, so that a repeated field is still seen to be repeated).
    """
    chunks: list[bytes] = []
    total, seen = 0, Counter[str]()
    media_type, options = read_options(content_type)
    boundary = _boundary(options) if media_type.lower() == MULTIPART else b""
    for part in form.parts:
        content = b"" if part.filename is not None else part.beginning(field_limit)
        chunk = _reduced_part(part, content, boundary)
        seen[part.name] += 1
        if total + len(chunk) <= total_limit:
            total += len(chunk)
        elif part.name not in keep or seen[part.name] > 2:
            continue
        chunks.append(chunk)
    if boundary:
        return b"".join(chunks) + b"--" + boundary + b"--\r\n"
    return b"&".join(chunks)


def _reduced_part(part: FormPart, content: bytes, boundary: bytes) -> bytes:
    if part.escaped:
        name = quote_plus(part.name.encode("utf-8", "surrogatepass"))
        return f"{name}={quote_plus(content)}".encode("ascii")
    lines = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
    return b"--%s\r\n%s\r\n%s\r\n" % (boundary, lines.encode(), content)


def _part_head(boundary: str, head: str) -> bytes:
    return f"--{boundary}\r\n{head}\r\n\r\n".encode()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _quoted(text: str) -> str:
    """Escape a name the way browsers do (WHATWG, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def trim_utf8(data: bytes) -> bytes:
    """Return data without a UTF-8 character that a cut has torn at its end."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < width else data
        if byte < 0x80:
            break
    return data


def _boundary(options: dict[str, str]) -> bytes:
    boundary = options.get("boundary") or ""
    if not _BOUNDARY.fullmatch(boundary):
        raise PayloadError("the form names no usable boundary")
    return boundary.encode("ascii")


def _limited(parts: Iterator[FormPart]) -> Iterator[FormPart]:
    files = 0
    for count, part in enumerate(parts):
        files += part.filename is not None
        if count >= MAX_FIELDS or files > MAX_FILES:
            raise PayloadError(_TOO_MANY)
        yield part


def _urlencoded(body: Buffer) -> Iterator[FormPart]:
    start, size = 0, len(body)
    for _count in range(MAX_FIELDS + 1):
        if start >= size:
            return
        end = body.find(b"&", start)
        end = size if end < 0 else end
        equals = body.find(b"=", start, end)
        name_end = end if equals < 0 else equals
        if name_end - start > MAX_HEADER:
            raise PayloadError("a field of the form has too long a name")
        if end > start:
            name = decode(_unescape(bytes(body[start:name_end])))
            value = min(name_end + 1, end)
            yield FormPart(name, None, (), body, value, end, escaped=True)
        start = end + 1
    raise PayloadError(_TOO_MANY)


def _unescape(data: bytes) -> bytes:
    """Undo the escapes of an urlencoded value.

    Quoted-printable is the same escape under another sign, and the library undoes that
    one in C: four times as fast, and mail has many escapes.
    """
    if b"%" not in data:
        return data.replace(b"+", b" ")
    if _NO_ESCAPE.search(data):
        return unquote_to_bytes(data.replace(b"+", b" "))
    data = data.replace(b"=", b"=3D").replace(b"+", b" ").replace(b"%", b"=")
    return binascii.a2b_qp(data)


def _multipart(body: Buffer, boundary: bytes) -> Iterator[FormPart]:
    marker = b"--" + boundary
    start, last = _delimiter(body, marker, 0)[1:]
    room = MAX_HEADERS
    while not last:
        headers, content = _part_headers(body, start)
        room -= content - start
        if room < 0:
            raise PayloadError("the form has too many headers")
        end, start, last = _delimiter(body, marker, content)
        options = _disposition(headers)
        name, filename = options.get("name", ""), options.get("filename")
        yield FormPart(name, filename, headers, body, content, max(end, content))


def _delimiter(body: Buffer, marker: bytes, start: int) -> tuple[int, int, bool]:
    """Find the next boundary line.

    :return: end of the content before it, start of what follows it, and whether it
        closes the form.
    :raises PayloadError: the form ends before it.
    """
    for _attempt in range(_FALSE_BOUNDARIES):
        at = body.find(marker, start)
        if at < 0:
            break
        start = at + len(marker)
        line_end = body.find(b"\n", start, start + 256)
        rest = bytes(body[start : start + 256 if line_end < 0 else line_end])
        content_end = _line_start(body, at)
        if content_end < 0:
            continue
        if rest.startswith(b"--"):
            return content_end, start + 2, True
        if line_end >= 0 and not rest.strip():
            return content_end, line_end + 1, False
    raise PayloadError("the form is cut off")


def _line_start(body: Buffer, at: int) -> int:
    """Return where the line break before ``at`` begins, -1 if there is none."""
    if at == 0:
        return 0
    if body[at - 1 : at] != b"\n":
        return -1
    return at - 2 if body[max(at - 2, 0) : at] == b"\r\n" else at - 1


def _part_headers(body: Buffer, start: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return the headers of the part at ``start`` and where its content begins."""
    block = bytes(body[start : start + MAX_HEADER])
    blank = re.match(rb"(?:[^\n]+\n)*?\r?\n", block)
    if blank is None:
        raise PayloadError("a part of the form has no end of its headers")
    headers = []
    lines = re.sub(rb"\r?\n[ \t]+", b" ", blank.group()).splitlines()
    for line in filter(None, lines):
        name, _colon, value = decode(line).partition(":")
        headers.append((name.strip(), value.strip()))
    return tuple(headers), start + blank.end()


def _disposition(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    for name, value in headers:
        if name.lower() == "content-disposition":
            return read_options(value)[1]
    return {}
