# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Parts → RFC 5322 bytes, for providers that take a mail apart.

Nothing of the original is lost: all headers in their order, text, HTML, attachments
with their exact bytes, names and types, inline images by Content-ID.

Two kinds of attachments can't stand in the mail under their own type, because a
parser takes them apart again and hands on other bytes than it got (``message/*``,
``multipart/*``), or because Odoo's gateway knows no reader for them (``font/*``,
``model/*``, …). They are carried as ``application/octet-stream``; the original type
stands beside it in ``X-Mail-Bridge-Type``. A delivery report is the exception: its
``message/*`` parts stay what they are, so that Odoo's bounce handling finds them.
"""

from __future__ import annotations

import binascii
import email
import email.policy
import hashlib
import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import MIMEPart
from email.utils import format_datetime
from io import BytesIO
from urllib.parse import unquote

from .headers import (
    clean_text,
    header_line,
    one_line,
    parameter,
    read_options,
    safe_filename,
)

#: The original type of an attachment that travels as ``application/octet-stream``.
TYPE_HEADER = "X-Mail-Bridge-Type"
#: Prefix for headers that described the original body, not the one built here.
ORIGINAL_PREFIX = "X-Mail-Bridge-Original-"
#: Those headers; whatever else begins with ``Content-`` still holds.
_REBUILT = re.compile(
    r"mime-version|content-(type|transfer-encoding|disposition|id|length|md5)"
)
#: A note for a mail that was too large; takes their number.
DROPPED = "{count} attachments were too large to keep."
#: A note for a file that has another name now.
RENAMED = "An attachment was renamed to “{name}”."
_MAX_RENAMED = 20
#: RFC 2606 reserves ``invalid``: nobody can receive mail there.
STAND_IN_DOMAIN = "mail-bridge.invalid"
_BINARY = "application/octet-stream"
#: What ``email.contentmanager`` can read, and therefore Odoo.
_READABLE = ("text/", "image/", "audio/", "video/", "application/")
_TOKEN = re.compile(r"[a-z0-9-]{1,60}")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
#: Headers that tell one mail from another wherever it passed through.
_IDENTITY = ("from", "to", "cc", "subject", "date", "in-reply-to", "references")
#: Charsets that are neither slow nor more than a charset (punycode, zlib_codec, …).
_CHARSETS = re.compile(
    r"us-ascii|ascii|utf-?8|utf-16(le|be)?|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5|iso-2022-jp"
)
#: A field with a value, which may stand on the next line; Outlook writes it so.
_FIELD = rb"^%s[ \t]*:[ \t]*(?:\r?\n[ \t]+)*[^ \t\r\n]"
_MESSAGE_ID = re.compile(_FIELD % b"message-id", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(_FIELD % b"date", re.IGNORECASE | re.MULTILINE)
#: Posts of one mail, one for each of its recipients, come within this many seconds.
_SAME_INSTANT = 600
#: A text larger than this is not decoded only to see whether its charset is true.
_MAX_CHARSET_CHECK = 8 * 1024 * 1024
#: Raw bytes per line (76 characters) times lines per block of base64.
_BASE64_LINE = 57
_BASE64_BLOCK = _BASE64_LINE * 2048
_TYPES = mimetypes.MimeTypes()


@dataclass(frozen=True)
class Attachment:
    """A file in a mail.

    ``content_type`` may carry parameters; ``content_id`` stands without ``<>``;
    ``inline`` says that the sender wants it shown within the HTML.
    """

    content: bytes = field(repr=False)
    content_type: str = _BINARY
    filename: str = ""
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True)
class MailParts:
    """A mail taken apart: headers as (name, value) pairs in order, bodies, files."""

    headers: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()

    def header(self, name: str) -> str:
        """Return the first value of a header, ``""`` where there is none."""
        wanted = name.lower()
        return next((v for k, v in self.headers if k.lower() == wanted), "")


@dataclass(frozen=True)
class _Leaf:
    headers: bytes
    content: bytes
    encoding: str = "base64"


@dataclass(frozen=True)
class _Multipart:
    subtype: str
    children: Sequence[_Leaf | _Multipart]


def build_mime(parts: MailParts, date: datetime | None = None) -> bytes:
    """Return a mail as RFC 5322 bytes; the same parts always give the same bytes.

    A mail without Message-ID gets one that is computed from who wrote what to whom and
    when; one without Date gets ``date`` (when it came, an aware time).
    """
    seed = _identity(parts, date)
    out = BytesIO()
    for name, value in parts.headers:
        out.write(_outer_header(name, value))
    if not parts.header("message-id").strip():
        out.write(header_line("Message-ID", f"<{seed}@{STAND_IN_DOMAIN}>"))
    if date is not None and not parts.header("date").strip():
        out.write(header_line("Date", format_datetime(date)))
    out.write(b"MIME-Version: 1.0\r\n")
    _write(out, _tree(parts), seed[:32])
    return out.getvalue()


def rename_notes(attachments: Sequence[Attachment]) -> tuple[str, ...]:
    """Return sentences about files whose names can't stand as they came."""
    notes = []
    for number, item in enumerate(attachments, start=1):
        name = _carried_name(item, number)
        if item.filename.strip() not in ("", name):
            notes.append(RENAMED.format(name=name))
    return tuple(notes[:_MAX_RENAMED])


def split_mime(mime: bytes) -> MailParts:
    """Take a well-formed mail apart, as a provider does before it posts the parts."""
    message = email.message_from_bytes(mime, policy=email.policy.SMTP)
    texts: dict[str, str] = {}
    attachments = []
    for part in _leaves(message):
        kind = part.get_content_type()
        is_file = part.get_filename() or part.get_content_disposition() == "attachment"
        if kind in ("text/plain", "text/html") and not is_file and kind not in texts:
            texts[kind] = part.get_content()
        else:
            attachments.append(_attachment_of(part))
    headers = tuple((name, str(value)) for name, value in message.items())
    return MailParts(
        headers, texts.get("text/plain"), texts.get("text/html"), tuple(attachments)
    )


def with_message_id(mime: bytes, received_at: datetime | None = None) -> bytes:
    """Return a raw mail with a Message-ID, put in front where the mail has none.

    Without one Odoo invents another at every try, and would not know it again.

    :param received_at: when the mail came, the same at every try (UTC).
    """
    block = _header_block(mime)
    if _MESSAGE_ID.search(block):
        return mime
    sha = hashlib.sha256()
    if received_at is not None and not _DATE.search(block):
        sha.update(instant(received_at))
    for name in _IDENTITY:
        pattern = rb"^%s[ \t]*:.*(?:\r?\n[ \t].*)*" % name.encode()
        for found in re.finditer(pattern, block, re.IGNORECASE | re.MULTILINE):
            sha.update(b" ".join(found.group().split()) + b"\n")
    sha.update(memoryview(mime)[len(block) :])
    identity = f"<{sha.hexdigest()}@{STAND_IN_DOMAIN}>"
    return header_line("Message-ID", identity) + mime


def is_timeless(mime: bytes) -> bool:
    """Whether a raw mail does not tell itself from the same words on another day."""
    block = _header_block(mime)
    return not _MESSAGE_ID.search(block) and not _DATE.search(block)


def instant(moment: datetime) -> bytes:
    """Return the ten minutes that a moment is in (UTC where it is naive).

    An alarm that says the same every day is another mail every day; the posts of one
    mail come at once.
    """
    moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
    return b"%d" % (moment.timestamp() // _SAME_INSTANT)


def _header_block(mime: bytes) -> bytes:
    end = re.search(rb"\r?\n\r?\n", mime)
    return mime[: end.start()] if end else mime


def _identity(parts: MailParts, received_at: datetime | None) -> str:
    sha = hashlib.sha256()

    def add(*pieces: str | bytes) -> None:
        for piece in pieces:
            data = piece if isinstance(piece, bytes) else clean_text(piece).encode()
            sha.update(len(data).to_bytes(8, "big"))
            sha.update(data)

    for name in _IDENTITY:
        add(name, *(v for k, v in parts.headers if k.lower() == name))
    add("text", parts.text or "", "html", parts.html or "")
    for item in parts.attachments:
        add(item.filename, item.content_type, item.content_id, item.content)
    known = parts.header("message-id") + parts.header("date")
    if received_at is not None and not known.strip():
        add("received", instant(received_at))
    return sha.hexdigest()


def _outer_header(name: str, value: str) -> bytes:
    kind = name.lower()
    if _REBUILT.fullmatch(kind):
        name = ORIGINAL_PREFIX + name
    elif kind in ("message-id", "date") and not value.strip():
        return b""
    return header_line(name, value)


def _tree(parts: MailParts) -> _Leaf | _Multipart:
    """Return the body: mixed(alternative(text, related(html, images)), files)."""
    report = parts.header("content-type").lower().startswith("multipart/report")
    images, files = [], []
    shown_ids = unquote(parts.html or "")
    for number, item in enumerate(parts.attachments, start=1):
        if report and item.content_type.lower().startswith("message/"):
            files.append(_report_leaf(item))
        elif _is_shown(item, shown_ids):
            images.append(_attachment_leaf(item, number, shown=True))
        else:
            files.append(_attachment_leaf(item, number, shown=False))
    bodies: list[_Leaf | _Multipart] = []
    if parts.text or not parts.html:
        bodies.append(_text_leaf(parts.text or "", "plain"))
    if parts.html:
        html = _text_leaf(parts.html, "html")
        bodies.append(_Multipart("related", [html, *images]) if images else html)
    body = bodies[0] if len(bodies) == 1 else _Multipart("alternative", bodies)
    if report:
        return _Multipart('report; report-type="delivery-status"', [body, *files])
    return _Multipart("mixed", [body, *files]) if files else body


def _is_shown(item: Attachment, html: str) -> bool:
    """Whether the HTML (its escapes undone) shows this file."""
    if not html or not item.content_id:
        return False
    return item.inline or f"cid:{item.content_id}" in html


def _text_leaf(text: str, subtype: str) -> _Leaf:
    content = clean_text(text).encode()
    header = header_line("Content-Type", f"text/{subtype}; charset=utf-8")
    return _Leaf(header, content, "7bit" if _is_7bit(content) else "base64")


def _is_7bit(content: bytes) -> bool:
    """Whether a text survives any way as it is (RFC 2045 §2.7), byte by byte."""
    return (
        content.isascii()
        and b"\0" not in content
        and content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")
        and not re.search(rb"[^\n]{990}", content)
    )


def _attachment_leaf(item: Attachment, number: int, shown: bool) -> _Leaf:
    carried, faithful = _carried_type(item)
    disposition = "inline" if shown else "attachment"
    disposition += parameter("filename", _carried_name(item, number))
    lines = [
        header_line("Content-Type", carried),
        header_line("Content-Disposition", disposition),
    ]
    if item.content_id:
        bare_id = re.sub(r"[<>\s]", "", item.content_id)
        lines.append(header_line("Content-ID", f"<{bare_id}>"))
    if not faithful:
        lines.append(header_line(TYPE_HEADER, item.content_type))
    return _Leaf(b"".join(lines), item.content)


def _carried_name(item: Attachment, number: int) -> str:
    bare_type = item.content_type.partition(";")[0].strip().lower()
    stand_in = f"attachment-{number}{_TYPES.guess_extension(bare_type) or ''}"
    return safe_filename(item.filename) or stand_in


def _report_leaf(item: Attachment) -> _Leaf:
    """Carry a ``message/*`` part of a delivery report as it is (RFC 2046 §5.2)."""
    encoding = "7bit" if _is_7bit(item.content) else "8bit"
    kind = item.content_type.partition(";")[0].strip().lower()
    headers = header_line("Content-Type", kind)
    if filename := safe_filename(item.filename):
        disposition = "attachment" + parameter("filename", filename)
        headers += header_line("Content-Disposition", disposition)
    return _Leaf(headers, item.content, encoding)


def _carried_type(item: Attachment) -> tuple[str, bool]:
    """Return the Content-Type that carries a file, and whether it is its own."""
    media_type, options = read_options(one_line(item.content_type))
    media_type = media_type.lower()
    if not _MEDIA_TYPE.fullmatch(media_type) or not media_type.startswith(_READABLE):
        return _BINARY, False
    faithful = True
    if media_type.startswith("text/"):
        declared = options.get("charset", "").lower()
        options["charset"] = _true_charset(item.content, declared)
        faithful = declared in ("", options["charset"])
    kept = [
        parameter(name, value)
        for name, value in options.items()
        if _TOKEN.fullmatch(name) and name not in ("name", "filename", "boundary")
    ]
    return media_type + "".join(kept), faithful


def _true_charset(content: bytes, declared: str) -> str:
    """Return a charset in which a text can be decoded and comes back unchanged.

    Odoo decodes text attachments, with replacement characters where that fails, and
    encodes them again. ISO-8859-1 brings every byte back.
    """
    charset = declared or "utf-8"
    if _CHARSETS.fullmatch(charset) and len(content) <= _MAX_CHARSET_CHECK:
        try:
            if content.decode(charset).encode(charset) == content:
                return charset
        except (UnicodeError, LookupError):
            pass
    return "iso-8859-1"


def _write(out: BytesIO, node: _Leaf | _Multipart, seed: str, path: str = "") -> None:
    """Write a node with its own headers; ``seed`` makes boundaries unguessable."""
    if isinstance(node, _Leaf):
        out.write(node.headers)
        out.write(b"Content-Transfer-Encoding: %s\r\n\r\n" % node.encoding.encode())
        _write_content(out, node)
        return
    boundary = f"=_{path or 0}_{seed}"
    kind = f'multipart/{node.subtype}; boundary="{boundary}"'
    out.write(header_line("Content-Type", kind) + b"\r\n")
    for number, child in enumerate(node.children, start=1):
        out.write(b"--%s\r\n" % boundary.encode())
        _write(out, child, seed, f"{path}{number}.")
        out.write(b"\r\n")
    out.write(b"--%s--\r\n" % boundary.encode())


def _write_content(out: BytesIO, leaf: _Leaf) -> None:
    if leaf.encoding != "base64":
        out.write(leaf.content)
        return
    for start in range(0, len(leaf.content), _BASE64_BLOCK):
        block = leaf.content[start : start + _BASE64_BLOCK]
        text = binascii.b2a_base64(block, newline=False)
        lines = (text[at : at + 76] for at in range(0, len(text), 76))
        out.write(b"\r\n".join(lines) + b"\r\n")


def _leaves(part: MIMEPart) -> Iterator[MIMEPart]:
    if part.get_content_maintype() != "multipart":
        yield part
        return
    for child in part.iter_parts():
        yield from _leaves(child)


def _attachment_of(part: MIMEPart) -> Attachment:
    if part.is_multipart():
        content = b"\r\n".join(inner.as_bytes() for inner in part.get_payload())
    else:
        content = part.get_payload(decode=True)
    content_type = part.get(TYPE_HEADER) or part.get("Content-Type", _BINARY)
    return Attachment(
        content,
        str(content_type),
        part.get_filename() or "",
        str(part.get("Content-ID", "")).strip("<> "),
        part.get_content_disposition() == "inline",
    )
