# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mail that Odoo's gateway can take.

The gateway reads a mail with ``email`` (policy SMTP), walks every part, sanitizes the
HTML three times and writes the rest into PostgreSQL. A mail that breaks one of them is
lost there, or keeps a worker busy for minutes (facts/security.md §0.11, §1.3).
:func:`make_safe` leaves an ordinary mail alone and writes any other anew, in plain
form and inside fixed limits. The bytes that came are kept elsewhere, so a repaired
copy may leave things out as long as it says so.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field

from . import headerfix
from .headers import header_line, parameter, safe_filename
from .mime import RENAMED, STAND_IN_DOMAIN, TYPE_HEADER, with_message_id
from .mimeparts import decoded, file_name, is_inline, text_of
from .mimescan import (
    MAX_DEPTH,
    MAX_HEADER_BLOCK,
    MAX_HEADER_FIELDS,
    MAX_PARTS,
    Part,
    Scan,
    scan,
)
from .ordinary import (
    ENCODINGS,
    MAX_ATTACHMENTS,
    MAX_INLINE_TEXTS,
    READABLE,
    STRUCTURAL,
    TEXTS,
    Budget,
    charset_is_ordinary,
    core_reads,
    is_harmless_name,
    is_ordinary,
    label_is_true,
    parts_are_ordinary,
)

#: How much of a text that is too large stays visible, in characters.
EXCERPT = 20_000
#: A mail rarely has more than one sender; several are kept, so that nobody hides the
#: second one, but not a flood of them.
MAX_SENDERS = 5
MAX_NOTES = 30
#: How many texts of ours may stand in the place of moved ones.
RESERVED_TEXTS = 3
#: Leaves room for the MIME fields, so that the copy is an ordinary mail.
MOST_FIELDS = MAX_HEADER_FIELDS - 10
STAND_IN_SENDER = f'"Unknown sender" <unknown-sender@{STAND_IN_DOMAIN}>'
#: Without a sender Odoo would post the mail as its own robot; without a Message-ID it
#: would not notice a second copy.
NO_SENDER = "The mail names no usable sender; a stand-in was put in."
NO_MESSAGE_ID = "The mail had no usable Message-ID; one was computed."
#: Base64 in lines as long as RFC 5322 allows: ``email`` works line by line.
BASE64_LINE = 996

_STRUCTURES = frozenset(b"mixed alternative related report signed".split())
_MEDIA_TYPE = re.compile(rb"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][\w.+-]{0,80}")
_CONTENT_ID = re.compile(rb"<?([!-;=?-~]{1,250})>?")
_SENDER_LINE = header_line("From", STAND_IN_SENDER)
_NEWLINE = re.compile(rb"\r?\n")


@dataclass(frozen=True)
class Safe:
    """A mail for the gateway, and in plain sentences what was changed in it.

    ``mime`` is the very object that was given in where nothing had to be changed.
    """

    mime: bytes
    notes: tuple[str, ...] = ()


def make_safe(raw: bytes) -> Safe:
    """Return a mail that Odoo's gateway reads, in at most two seconds of CPU.

    Never raises. An ordinary mail costs a scan of its bytes and comes back untouched.
    """
    found = scan(raw)
    if is_ordinary(found):
        return _complete(found)
    writer = _Writer(found)
    mime = writer.write()
    if core_reads(mime):
        return Safe(mime, writer.sentences())
    return _last_resort(found)


def _complete(found: Scan) -> Safe:
    """Put missing fields before an otherwise ordinary mail."""
    root = found.root
    present = {lower for lower, _, _ in root.fields}
    if b"from" in present and b"message-id" in present:
        return Safe(found.raw)
    rest = found.raw[root.start :] if root.fields else b"\r\n" + found.raw[root.body :]
    notes = []
    if b"from" not in present:
        rest, notes = _SENDER_LINE + rest, [NO_SENDER]
    if b"message-id" not in present:
        rest, notes = with_message_id(rest), [*notes, NO_MESSAGE_ID]
    return Safe(rest, tuple(notes))


def _last_resort(found: Scan) -> Safe:
    """Return a mail of our own with what can be said about one beyond repair."""
    note = "The mail could not be taken apart; only its main headers are shown."
    kept: dict[bytes, bytes] = {}
    for lower, name, value in found.root.fields:
        if lower in (b"from", b"to", b"subject", b"message-id") and lower not in kept:
            line, _ = headerfix.repair(lower, name, value)
            if line and headerfix.reads_well(lower, line.partition(b": ")[2]):
                kept[lower] = line
    kept.setdefault(b"from", _SENDER_LINE)
    head = b"".join(kept.values()) + b"MIME-Version: 1.0\r\n"
    return Safe(with_message_id(head + _text_entity(b"plain", note)), (note,))


@dataclass
class _Writer:
    """Writes a mail anew: the same tree, headers and contents in plain form."""

    found: Scan
    notes: dict[str, None] = field(default_factory=dict)
    extras: list[bytes] = field(default_factory=list)
    budget: Budget = field(default_factory=lambda: Budget(RESERVED_TEXTS))
    addresses: int = 0
    left_out: int = 0
    placeholders: int = 0
    boundaries: int = 0

    def write(self) -> bytes:
        """Return the whole mail."""
        header = self._header()
        body = self._entity(self.found.root) or _text_entity(b"plain", "")
        if self.extras:
            body = self._multipart(b"mixed", [body, *self.extras])
        return with_message_id(b"".join([*header, b"MIME-Version: 1.0\r\n", body]))

    def sentences(self) -> tuple[str, ...]:
        """Return what was changed, each thing once."""
        notes = list(self.notes)
        if "many parts" in self.found.flaws:
            notes.append(f"Only the first {MAX_PARTS} parts of the mail were kept.")
        if self.left_out:
            notes.append(
                f"{self.left_out} attachments beyond the first {MAX_ATTACHMENTS} "
                "were left out."
            )
        if not notes:
            notes.append("The mail was written anew in plain form; nothing is missing.")
        return tuple(notes[:MAX_NOTES])

    def _note(self, sentence: str) -> None:
        self.notes[sentence] = None

    # -- header

    def _header(self) -> list[bytes]:
        """Return the header lines of the mail, the ones Odoo reads first."""
        kept: list[tuple[bytes, bytes]] = []
        counts: dict[bytes, int] = {}
        room = MAX_HEADER_BLOCK
        fields = [item for item in self.found.root.fields if item[0] not in STRUCTURAL]
        fields.sort(key=lambda item: item[0] not in headerfix.READ_FIELDS)
        for lower, name, value in fields:
            counts[lower] = counts.get(lower, 0) + 1
            if counts[lower] > _most(lower):
                self._note(f"A repeated header {name.decode()[:80]} was left out.")
                continue
            line = self._field(lower, name, value)
            room -= len(line)
            if room < 0 or len(kept) >= MOST_FIELDS:
                self._note("Headers beyond 256 kB or 990 fields were left out.")
                break
            if line:
                kept.append((lower, line))
        if "broken header line" in self.found.flaws:
            self._note("A broken line in the header was left out.")
        present = {lower for lower, _ in kept}
        if b"message-id" not in present:
            self._note(NO_MESSAGE_ID)
        lines = [line for _, line in kept]
        if b"from" not in present:
            self._note(NO_SENDER)
            lines.insert(0, _SENDER_LINE)
        return lines

    def _field(self, lower: bytes, name: bytes, value: bytes) -> bytes:
        if not value.strip():
            return b""
        count = value.count(b",") + 1 if lower in headerfix.ADDRESS_FIELDS else 0
        room = max(0, headerfix.MAX_ADDRESSES - self.addresses)
        self.addresses += count
        if count <= room and headerfix.is_ordinary(lower, value):
            return name + b":" + _NEWLINE.sub(b"\r\n", value) + b"\r\n"
        line, note = headerfix.repair(lower, name, value, room)
        self._note(note)
        return line

    # -- body

    def _entity(self, part: Part, has_text: bool = False) -> bytes:
        """Return a part with its MIME header, ``b""`` where it is left out.

        :param has_text: the part is one of several forms of a text that also comes
            as plain text.
        """
        if part.children and part.is_multipart:
            return self._structure(part)
        if part.is_multipart:
            return self._unsplit(part)
        if part.media_type.startswith(b"message/"):
            return self._message(part)
        if part.media_type in TEXTS and is_inline(part):
            return self._text(part, has_text)
        return self._attachment(part)

    def _structure(self, part: Part) -> bytes:
        subtype = part.media_type.partition(b"/")[2]
        plain = sum(
            child.media_type == b"text/plain" and is_inline(child)
            for child in part.children
        )
        has_text = subtype == b"alternative" and plain > 0
        entities = [self._entity(child, has_text) for child in part.children]
        extra = b""
        if subtype == b"report":
            extra = b"; report-type=delivery-status"
        if subtype not in _STRUCTURES:
            subtype = b"mixed"
        return self._multipart(subtype, [item for item in entities if item], extra)

    def _multipart(
        self, subtype: bytes, items: list[bytes], extra: bytes = b""
    ) -> bytes:
        self.boundaries += 1
        seed = hashlib.sha256(b"%d" % self.boundaries)
        seed.update(memoryview(self.found.raw)[: 64 * 1024])
        boundary = f"=_{self.boundaries}_{seed.hexdigest()[:32]}".encode()
        if not items:
            return b""
        pieces = [b"Content-Type: multipart/%s%s;\r\n" % (subtype, extra)]
        pieces.append(b' boundary="%s"\r\n\r\n' % boundary)
        for item in items:
            pieces += [b"--", boundary, b"\r\n", item, b"\r\n"]
        return b"".join([*pieces, b"--", boundary, b"--\r\n"])

    def _unsplit(self, part: Part) -> bytes:
        """Write a multipart that could not be split: as text where it is text."""
        if part.depth >= MAX_DEPTH:
            return self._opaque(part, "A part nested too deeply was kept as a file.")
        body = self.found.raw[part.body : part.end]
        if not body.strip():
            return b""
        text = headerfix.decode_bytes(body, "")
        if b"\0" in body or not self.budget.admits(text, False):
            return self._opaque(part, "A part with a broken structure became a file.")
        self._note("A part with a broken structure is shown as text.")
        return _text_entity(b"plain", text)

    def _message(self, part: Part) -> bytes:
        if parts_are_ordinary(self.found, part.walk(), self.budget):
            body = self.found.raw[part.body : part.end]
            head = b"Content-Type: %s\r\n" % part.media_type
            if file_name(part) is not None:
                head += self._disposition(part)
            return head + b"\r\n" + body
        if not self.found.raw[part.body : part.end].strip():
            return b""
        return self._opaque(part, "An enclosed message was kept as a file.")

    def _text(self, part: Part, has_text: bool) -> bytes:
        data = decoded(self.found, part)
        text = text_of(part, data)
        is_html = part.media_type == b"text/html"
        kind = b"html" if is_html else b"plain"
        if not self.budget.admits(text, is_html):
            return self._moved(kind, text, has_text and is_html)
        charset = part.parameters.get(b"charset", b"")
        known = charset_is_ordinary(part) and label_is_true(self.found, part)
        if not known:
            self._note_guess(charset.decode("latin-1"), data)
        sound = charset and known and "\0" not in text and "\ufffd" not in text
        if not sound or self._recode(part):
            return _text_entity(kind, text)
        head = b"Content-Type: text/%s; charset=%s\r\n" % (kind, charset)
        return self._verbatim(head, part)

    def _note_guess(self, charset: str, data: bytes) -> None:
        """Say that a text was guessed, where neither its label nor UTF-8 holds."""
        codec = headerfix.python_charset(charset)
        if charset and not codec:
            name = headerfix.clean_text(charset, 40)
            self._note(f"The text is in the unknown charset “{name}”; it was guessed.")
        elif not any(_is_in(data, name) for name in (codec, "utf-8") if name):
            self._note("A text is not in the charset it should be in; it was guessed.")

    def _moved(self, kind: bytes, text: str, has_text: bool) -> bytes:
        """Attach a text that is too costly to show, and say so in its place."""
        suffix = "html" if kind == b"html" else "txt"
        size = len(text.encode("utf-8", "replace"))
        if self._counts():
            name = f"body-{self.budget.attachments}.{suffix}"
            disposition = f'Content-Disposition: attachment; filename="{name}"\r\n'
            self.extras.append(disposition.encode() + _text_entity(kind, text))
        if self.budget.texts + RESERVED_TEXTS >= MAX_INLINE_TEXTS:
            note = f"Texts beyond the first {self.budget.texts} were attached as files."
        else:
            note = (
                f"A text of {size // 1024 + 1} kB ({suffix}) is too large or too "
                "intricate to be shown; it was attached as a file."
            )
        known = note in self.notes
        self._note(note)
        if has_text or known or self.placeholders >= RESERVED_TEXTS:
            return b""
        self.placeholders += 1
        excerpt = f"\n\n{text[:EXCERPT]}" if kind == b"plain" else ""
        return _text_entity(b"plain", note + excerpt)

    def _attachment(self, part: Part) -> bytes:
        if not self._counts():
            return b""
        media = part.media_type
        head = b""
        if not _MEDIA_TYPE.fullmatch(media) or not media.startswith(READABLE):
            head = header_line(TYPE_HEADER, media.decode("latin-1"))
            media = b"application/octet-stream"
        head += b"Content-Type: " + media
        if media.startswith(b"text/"):
            # Every byte is a character of Latin-1, so Odoo writes back what came.
            known = charset_is_ordinary(part) and label_is_true(self.found, part)
            charset = part.parameters.get(b"charset", b"utf-8")
            head += b"; charset=" + (charset if known else b"iso-8859-1")
        head += b"\r\n" + self._disposition(part)
        found = _CONTENT_ID.fullmatch(part.value(b"content-id"))
        if found:
            head += b"Content-ID: <%s>\r\n" % found[1]
        return self._verbatim(head, part)

    def _disposition(self, part: Part) -> bytes:
        kind = part.value(b"content-disposition").partition(b";")[0].strip().lower()
        came = file_name(part)
        # Odoo ties an inline picture to its place by a name and a Content-ID.
        name = came or ("inline" if part.value(b"content-id") else "attachment")
        if not is_harmless_name(name) or "=?" in name:
            # What looks like an encoded word would be decoded once more.
            name = safe_filename(name).replace("=?", "=_") or "attachment"
            self._note(RENAMED.format(name=name))
        disposition = "inline" if kind == b"inline" else "attachment"
        return header_line(
            "Content-Disposition", disposition + parameter("filename", name)
        )

    def _opaque(self, part: Part, note: str) -> bytes:
        """Attach a part as the bytes it consists of, for nobody to take apart."""
        self._note(note)
        if not self._counts():
            return b""
        name = b"message.eml" if part.media_type == b"message/rfc822" else b"part.bin"
        body = self.found.raw[part.body : part.end]
        head = b"Content-Type: application/octet-stream\r\n"
        head += b'Content-Disposition: attachment; filename="%s"\r\n' % name
        return head + _base64(body)

    def _counts(self) -> bool:
        """Count one more attachment; whether there is room for it."""
        if self.budget.attachments >= MAX_ATTACHMENTS:
            self.left_out += 1
            return False
        self.budget.attachments += 1
        return True

    def _recode(self, part: Part) -> bool:
        encoding = part.value(b"content-transfer-encoding").lower()
        return encoding not in ENCODINGS or "very many lines" in self.found.flaws

    def _verbatim(self, head: bytes, part: Part) -> bytes:
        if self._recode(part):
            return head + _base64(decoded(self.found, part))
        encoding = part.value(b"content-transfer-encoding").lower()
        if encoding:
            head += b"Content-Transfer-Encoding: %s\r\n" % encoding
        body = memoryview(self.found.raw)[part.body : part.end]
        return b"".join([head, b"\r\n", body])


def _most(lower: bytes) -> int:
    """Return how often a field may stand in a mail."""
    if lower == b"from":
        return MAX_SENDERS
    return 1 if lower in headerfix.SINGLE_FIELDS else MAX_HEADER_FIELDS


def _is_in(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeError:
        return False
    return True


def _text_entity(kind: bytes, text: str) -> bytes:
    head = b"Content-Type: text/%s; charset=utf-8\r\n" % kind
    return head + _base64(text.replace("\0", "\ufffd").encode("utf-8", "replace"))


def _base64(data: bytes) -> bytes:
    """Return data as the rest of an entity, from the encoding field on."""
    step = BASE64_LINE // 4 * 3
    lines = [
        base64.b64encode(data[start : start + step])
        for start in range(0, len(data), step)
    ]
    head = b"Content-Transfer-Encoding: base64\r\n\r\n"
    return head + b"\r\n".join(lines) + b"\r\n"
