# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A message of a client as RFC 5322 bytes, made once.

Written line by line: ``email.message`` costs ten times as much, and this is what every
submission waits for. Lines end with CRLF; bcc stands in no header field; Date and
Message-ID are always there.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.base64mime import body_encode as base64_lines
from email.header import Header
from email.message import Message
from email.quoprimime import body_encode as quoted_lines
from email.utils import format_datetime, parseaddr
from typing import Any

from ..providers.smtp_address import ascii_domain

#: RFC 5322 §2.2
FIELD_NAME = re.compile(r"[!-9;-~]{1,100}")
#: Fields that the message itself gives, or that only its structure may.
_OURS = frozenset(("from", "to", "cc", "bcc", "subject", "mime-version", "return-path"))
_MAX_LINE = 998
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_BEYOND = bytes(range(127, 256))
_LONE_ENDS = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True)
class File:
    """An attachment with its content."""

    name: str
    content: bytes = field(repr=False)
    media_type: str = ""


@dataclass(frozen=True)
class Composed:
    """A finished mail, and what must be known to send it."""

    mime: bytes = field(repr=False)
    message_id: str
    envelope_sender: str
    recipients: tuple[str, ...]


def compose(
    item: Mapping[str, Any], now: datetime, files: Sequence[File] = ()
) -> Composed:
    """Return the mail of a well-formed item (see ``batch``).

    :param now: an aware time, for Date.
    """
    sender = bare_address(item["from"])
    others = {
        name: value
        for name, value in (item["headers"] or {}).items()
        if name.lower() not in _OURS and not name.lower().startswith("content-")
    }
    taken = {name.lower(): value for name, value in others.items()}
    message_id = item["message_id"] or taken.get("message-id") or _new_id(sender)
    if not message_id.startswith("<"):
        message_id = f"<{message_id}>"
    lines = [
        _addresses("From", [item["from"]]),
        _addresses("To", item["to"]),
        _addresses("Cc", item["cc"] or ()),
        _text("Subject", item["subject"]),
        _text("Date", taken.get("date") or format_datetime(now)),
        f"Message-ID: {message_id}\r\n",
        _addresses("Reply-To", [item["reply_to"]] if item["reply_to"] else ()),
    ]
    given = {"date", "message-id"} | ({"reply-to"} if item["reply_to"] else set())
    lines += [_text(n, v) for n, v in others.items() if n.lower() not in given]
    lines.append("MIME-Version: 1.0\r\n")
    head = "".join(lines).encode("utf-8")
    body = _part(f"text/{item['content_type']}", item["body"])
    return Composed(
        mime=head + (_mixed(body, files) if files else body),
        message_id=message_id,
        envelope_sender=bare_address(item["return_path"] or "") or sender,
        recipients=_envelope(item),
    )


def bare_address(text: str) -> str:
    """Return the address without its name."""
    if "<" not in text and "(" not in text and '"' not in text:
        return text.strip()
    return parseaddr(text)[1]


def _envelope(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return each address once, whoever may see it."""
    everybody = (one for name in ("to", "cc", "bcc") for one in item[name] or ())
    return tuple(dict.fromkeys(map(bare_address, everybody)))


def _new_id(sender: str) -> str:
    domain = ascii_domain(sender.rpartition("@")[2]) or "localhost"
    return f"{secrets.token_hex(16)}@{domain}"


def _text(name: str, value: str) -> str:
    """Return an unstructured field, folded and encoded where it must be."""
    if value.isascii() and len(name) + len(value) <= 76:
        return f"{name}: {value}\r\n"
    charset = "us-ascii" if value.isascii() else "utf-8"
    header = Header(value, charset, maxlinelen=76, header_name=name)
    folded = header.encode(linesep="\r\n")
    if any(len(line) > _MAX_LINE for line in folded.split("\r\n")):
        header = Header(value, "utf-8", maxlinelen=76, header_name=name)
        folded = header.encode(linesep="\r\n")
    return f"{name}: {folded}\r\n"


def _addresses(name: str, entries: Iterable[str]) -> str:
    """Return a field of addresses, one a line; nothing where there are none."""
    shown = ",\r\n ".join(map(_address, entries))
    return f"{name}: {shown}\r\n" if shown else ""


def _address(entry: str) -> str:
    bare = bare_address(entry)
    local, _at, domain = bare.rpartition("@")
    written = f"{local}@{ascii_domain(domain)}" if local else bare
    name = parseaddr(entry)[0] if bare != entry.strip() else ""
    if not name:
        return written
    if name.isascii():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{written}>'
    encoded = Header(name, "utf-8", maxlinelen=60).encode(linesep="\r\n")
    return f"{encoded}\r\n <{written}>"


def _part(media_type: str, text: str) -> bytes:
    """Return a text part, in the encoding that changes it least."""
    data = _LONE_ENDS.sub(b"\r\n", text.encode("utf-8"))
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    longest = max(map(len, data.split(b"\r\n")))
    charset = "us-ascii" if data.isascii() else "utf-8"
    encoding = "7bit"
    if charset == "utf-8" or longest > _MAX_LINE or b"\0" in data:
        encoding, data = _packed(data)
    head = (
        f'Content-Type: {media_type}; charset="{charset}"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode("ascii") + data


def _packed(data: bytes) -> tuple[str, bytes]:
    """Return the shorter of the two encodings for 7 bits."""
    beyond = len(data) - len(data.translate(None, delete=_BEYOND))
    if beyond * 6 > len(data):
        return "base64", base64_lines(data, eol="\r\n").encode("ascii")
    text = quoted_lines(data.decode("latin-1"), eol="\r\n")
    return "quoted-printable", text.encode("ascii")


def _mixed(body: bytes, files: Sequence[File]) -> bytes:
    border = f"=_{secrets.token_hex(16)}".encode("ascii")
    pieces = [
        b'Content-Type: multipart/mixed; boundary="' + border + b'"\r\n\r\n',
        *(b"--" + border + b"\r\n" + p + b"\r\n" for p in (body, *map(_file, files))),
        b"--" + border + b"--\r\n",
    ]
    return b"".join(pieces)


def _file(file: File) -> bytes:
    """Return an attachment, its name as RFC 2231 wants it."""
    media_type = file.media_type if _MEDIA_TYPE.fullmatch(file.media_type) else ""
    if media_type.startswith(("multipart/", "message/")):
        media_type = ""  # neither may be base64 (RFC 2045 §6.4)
    head = Message()
    name = file.name if file.name.isascii() else ("utf-8", "", file.name)
    head.add_header("Content-Type", media_type or "application/octet-stream", name=name)
    head.add_header("Content-Disposition", "attachment", filename=name)
    head["Content-Transfer-Encoding"] = "base64"
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    content = base64.encodebytes(file.content).replace(b"\n", b"\r\n")
    return lines.encode("ascii") + b"\r\n" + content
