# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether Odoo's gateway takes a mail as it is.

Everything here is cheap for ordinary mail: header fields are matched against narrow
patterns, and only what falls outside is shown to the ``email`` package, piece by piece
and bounded.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage

from . import headerfix
from .htmlcost import MAX_SIZE, MAX_TAGS, html_is_cheap, text_is_cheap
from .mimeparts import decoded, file_name, is_inline, text_of
from .mimescan import Part, Scan, is_plain_media, scan

#: facts/security.md §1.2 "Parser limits".
MAX_ATTACHMENTS = 100
#: Odoo sanitizes the whole body again for each HTML part it appends.
MAX_INLINE_TEXTS = 20
#: Mail in mail in mail: Odoo attaches each of them with everything inside.
MAX_ENCLOSED = 3
#: What a file system takes; a longer name is cut.
MAX_FILE_NAME = 255
#: ``message/delivery-status`` and the like are read block by block.
MAX_STATUS = 64 * 1024
MAX_STATUS_BLOCKS = 200

PLAIN_ENCODINGS = frozenset((b"", b"7bit", b"8bit", b"binary"))
ENCODINGS = PLAIN_ENCODINGS | {b"base64", b"quoted-printable"}
#: The main types that ``email.contentmanager`` has a reader for, and so Odoo;
#: ``font/woff`` or ``model/stl`` end in a KeyError.
READABLE = (b"text/", b"image/", b"audio/", b"video/", b"application/", b"multipart/")
TEXTS = frozenset((b"text/plain", b"text/html"))
#: Fields that describe a part; the rest of a header describes the mail.
STRUCTURAL = frozenset(
    b"content-type content-disposition content-transfer-encoding content-id "
    b"mime-version".split()
)
_PLAIN_ID = re.compile(rb"[!-~]{1,256}")
_PLAIN_DISPOSITION = re.compile(rb"[\w-]+")


def core_reads(mime: bytes) -> bool:
    """Whether ``email`` reads a (bounded) mail in all the ways that Odoo asks for."""
    try:
        message = email.message_from_bytes(mime, policy=policy.SMTP)
        for name in headerfix.READ_FIELDS:
            for value in message.get_all(name.decode(), []):
                if headerfix.has_unwanted(str(value)):
                    return False
        for part in message.walk():
            _read_as_core(part)
    except Exception:
        return False
    return True


def is_ordinary(found: Scan) -> bool:
    """Whether Odoo reads the mail as it is, quickly and without an error."""
    if found.flaws or b"\0" in found.raw:
        return False
    if not _header_is_ordinary(found.root.fields):
        return False
    return parts_are_ordinary(found, found.parts, Budget())


def parts_are_ordinary(found: Scan, parts: Iterable[Part], budget: Budget) -> bool:
    """Whether every part is plain, and all together fit into the budget."""
    for part in parts:
        if not _part_is_ordinary(found, part):
            return False
        if part.media_type in TEXTS and is_inline(part):
            if not _text_is_ordinary(found, part, budget):
                return False
        elif part.is_message or not part.children:
            budget.attachments += 1
    return budget.attachments <= MAX_ATTACHMENTS


def is_harmless_name(name: str) -> bool:
    """Whether a file name may stand in Odoo as it came."""
    if headerfix.has_unwanted(name) or "/" in name or "\\" in name:
        return False
    return not name.startswith(".") and 0 < len(name.encode()) <= MAX_FILE_NAME


def _header_is_ordinary(fields: Iterable[tuple[bytes, bytes, bytes]]) -> bool:
    seen: set[bytes] = set()
    addresses = 0
    for lower, _, value in fields:
        if lower in headerfix.ADDRESS_FIELDS:
            addresses += value.count(b",") + 1
        if lower in headerfix.SINGLE_FIELDS or lower == b"from":
            if lower in seen or not value.strip():
                return False
            seen.add(lower)
        if lower not in STRUCTURAL and not headerfix.is_ordinary(lower, value):
            return False
    return addresses <= headerfix.MAX_ADDRESSES


def _part_is_ordinary(found: Scan, part: Part) -> bool:
    """Whether the MIME fields of a part, and what they announce, are plain."""
    if part.value(b"content-transfer-encoding").lower() not in ENCODINGS:
        return False
    content_id = part.value(b"content-id")
    if content_id and not _PLAIN_ID.fullmatch(content_id):
        return False
    if not _names_are_ordinary(part):
        return False
    if part.media_type.startswith(b"text/"):
        return (
            charset_is_ordinary(part)
            and label_is_true(found, part)
            and _embedded_is_ordinary(found, part)
        )
    if part.media_type.startswith(b"message/"):
        return _message_is_ordinary(found, part)
    return part.media_type.startswith(READABLE)


def _names_are_ordinary(part: Part) -> bool:
    disposition = part.value(b"content-disposition")
    media = part.value(b"content-type")
    words = disposition + media
    if b"=?" in words and (
        headerfix.has_broken_word(words) or not headerfix.words_are_ordinary(words)
    ):
        return False
    if disposition:
        kind, _, parameters = disposition.partition(b";")
        plain = b"x/y;" + parameters if parameters else b"x/y"
        if not _PLAIN_DISPOSITION.fullmatch(kind.strip()) or not is_plain_media(plain):
            return False
    elif b"name" not in media:
        return True
    name = file_name(part)
    return name is None or is_harmless_name(name)


def charset_is_ordinary(part: Part) -> bool:
    """Whether Python decodes the charset of a text part under the name it bears."""
    if any(name.startswith(b"charset*") for name in part.parameters):
        return False
    charset = part.parameters.get(b"charset", b"us-ascii").decode("latin-1")
    codec = headerfix.python_charset(charset)
    return bool(codec) and codec == charset.lower().strip()


def label_is_true(found: Scan, part: Part) -> bool:
    """Whether Odoo gets the text, or back the bytes of a file, in the charset named.

    It decodes both, with U+FFFD for what it can't read, and encodes a file again. What
    is inside an enclosed mail stands whole in the file of that mail.
    """
    if part.messages:
        return True
    data = decoded(found, part)
    shown = part.media_type in TEXTS and is_inline(part)
    # Odoo takes UTF-8 for granted, but not in a mail of one part.
    unnamed = b"us-ascii" if part is found.root else b"utf-8"
    named = part.parameters.get(b"charset", unnamed).decode("latin-1")
    codec = headerfix.python_charset(named)
    try:
        text = data.decode(codec)
        return shown or text.encode(codec) == data
    except UnicodeError:
        if not shown or codec in ("us-ascii", "ascii"):
            return False
    # A few broken bytes make no text one of another charset.
    is_other = data.decode("utf-8", "ignore").isascii()
    return b"charset" in part.parameters or not is_other


def _embedded_is_ordinary(found: Scan, part: Part) -> bool:
    """Look into ``text/rfc822-headers``, which Odoo reads as a mail (bounces)."""
    if part.media_type != b"text/rfc822-headers":
        return True
    inner = scan(decoded(found, part))
    return not inner.flaws and _header_is_ordinary(inner.root.fields)


def _message_is_ordinary(found: Scan, part: Part) -> bool:
    """Whether Odoo may take an enclosed message apart and write it out again."""
    body = found.raw[part.body : part.end]
    encoding = part.value(b"content-transfer-encoding").lower()
    if encoding not in PLAIN_ENCODINGS or not body.strip():
        return False
    if part.is_message:
        if any(item.messages > MAX_ENCLOSED for item in part.walk()):
            return False
        if not all(_header_is_ordinary(child.fields) for child in part.children):
            return False
        if part.messages:
            # Read below together with the one around it.
            return True
    else:
        blocks = body.count(b"\n\n") + body.count(b"\n\r\n")
        if len(body) > MAX_STATUS or blocks > MAX_STATUS_BLOCKS:
            return False
    head = b"Content-Type: " + part.media_type + b"\r\n\r\n"
    return core_reads(head + body)


def _text_is_ordinary(found: Scan, part: Part, budget: Budget) -> bool:
    data = decoded(found, part)
    if b"\0" in data and not part.parameters.get(b"charset", b"").startswith(b"utf-"):
        return False
    return budget.admits(text_of(part, data), part.media_type == b"text/html")


@dataclass(slots=True)
class Budget:
    """How much Odoo is going to do, part after part.

    ``reserve`` is how many short texts may come on top.
    """

    reserve: int = 0
    texts: int = 0
    htmls: int = 0
    size: int = 0
    tags: int = 0
    attachments: int = 0

    def admits(self, text: str, is_html: bool) -> bool:
        """Whether one more text fits; it counts as shown if it does."""
        htmls, size = self.htmls + is_html, self.size + len(text)
        tags = self.tags + (text.count("<") if is_html else 0)
        if self.texts + self.reserve >= MAX_INLINE_TEXTS:
            return False
        if htmls > 1 and (htmls * size > 2 * MAX_SIZE or htmls * tags > 2 * MAX_TAGS):
            return False
        if not (html_is_cheap(text) if is_html else text_is_cheap(text)):
            return False
        self.texts, self.htmls = self.texts + 1, htmls
        self.size, self.tags = size, tags
        return True


def _read_as_core(part: EmailMessage) -> None:
    part.get_filename()
    part.get("content-id")
    part.get("content-disposition")
    if part.get_content_maintype() == "multipart":
        return
    if part.get_content_maintype() == "text" and not part.get_param("charset"):
        part.set_charset("utf-8")
    part.get_content_charset()
    content = part.get_content()
    if isinstance(content, EmailMessage):
        content.as_bytes()
