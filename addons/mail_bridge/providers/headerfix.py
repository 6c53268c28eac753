# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Header fields that the ``email`` package, Odoo and PostgreSQL can take.

:func:`is_ordinary` is a cheap test of one field as it came; :func:`repair` writes the
field anew, short and in plain form. Addresses and identifiers are kept as they are or
left out, never changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from email import policy
from email.headerregistry import BaseHeader

from .headers import header_line
from .mime import STAND_IN_DOMAIN
from .mimescan import unfold

#: RFC 5322 §2.1.1 limits a line to 998 characters. A longer identifier does not fit
#: into the btree index of ``mail.message.message_id`` for sure (2 704 bytes).
MAX_ID = 998
#: Odoo itself looks at the last 32 References.
MAX_REFERENCES = 32
#: facts/security.md §1.2: 8 kB a line, 1 000 addresses. A subject becomes the name of
#: a record, which may stand in a btree index.
MAX_FIELD = 8192
MAX_ADDRESSES = 1000
MAX_ADDRESS_FIELD = 64 * 1024
#: A sender's name becomes the name of a partner.
MAX_SENDER_FIELD = 2000
#: What nobody reads may be longer (spam filters write a lot).
MAX_UNREAD_FIELD = 64 * 1024
MAX_SUBJECT = 1000
#: How much of a field is looked at when it is written anew.
MAX_READ = 256 * 1024
MAX_DATE = 128
MAX_NAME = 200
MAX_ADDRESS = 320
#: Each level of comment or group takes about eight frames of the ``email`` package.
MAX_COMMENTS = 20

ADDRESS_FIELDS = frozenset(
    b"from sender reply-to to cc bcc delivered-to resent-from resent-sender "
    b"resent-to resent-cc resent-bcc disposition-notification-to".split()
)
SENDER_FIELDS = frozenset((b"from", b"sender", b"reply-to"))
ID_FIELDS = frozenset(
    b"message-id resent-message-id in-reply-to references "
    b"x-microsoft-original-message-id".split()
)
DATE_FIELDS = frozenset((b"date", b"resent-date", b"orig-date"))
#: The fields that Odoo reads.
READ_FIELDS = (
    ADDRESS_FIELDS
    | ID_FIELDS
    | DATE_FIELDS
    | {b"subject", b"auto-submitted", b"precedence", b"return-path"}
)
#: Fields that must stand once; a second one of these is left out.
SINGLE_FIELDS = frozenset(
    b"subject message-id in-reply-to references date reply-to sender".split()
)

_CHARSET_NAMES = """
    us-ascii ascii ansi_x3.4-1968 utf-8 utf8 iso-8859-1 iso8859-1 latin1 latin-1
    iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8
    iso-8859-8-i iso-8859-9 iso-8859-10 iso-8859-11 iso-8859-13 iso-8859-14
    iso-8859-15 iso-8859-16 windows-1250 windows-1251 windows-1252 windows-1253
    windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 cp1250 cp1251
    cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp850 cp852 cp866 koi8-r
    koi8-u macintosh gb2312 gbk gb18030 big5 big5-hkscs hz-gb-2312 euc-jp
    iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 shift_jis shift-jis sjis cp932
    windows-31j euc-kr ks_c_5601-1987 iso-2022-kr cp949 johab tis-620 windows-874
    cp874 utf-16 utf-16le utf-16be utf-32
"""
#: The charsets that mail is written in. Python knows more "charsets": codecs that
#: raise (``undefined``, ``idna``), are quadratic (``punycode``) or are no text.
CHARSETS = frozenset(_CHARSET_NAMES.split())
#: Names in the list above that Python does not know, and what they mean.
_ALIASES = {
    "iso-8859-8-i": "iso-8859-8",
    "windows-31j": "cp932",
    "windows-874": "cp874",
}

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: What no header may hold once decoded: controls (but the tabulator), lone surrogates,
#: and the marks that turn the direction of writing (``txt.exe`` shown as ``exe.txt``).
_UNWANTED = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_WORD = re.compile(rb"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\s]*)\?=")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_Q_BYTE = re.compile(rb"=([0-9A-Fa-f]{2})")
_WORD_GAP = re.compile(rb"(\?=)[ \t\r\n]+(?==\?)")
#: A dot in front (``.Net <a@b.example>``), or one right before ``<``, is too much for
#: the ``email`` package.
_ATOM = rb"[\w!#$%&'*+/=?^`{|}~-][\w.!#$%&'*+/=?^`{|}~-]*"
_PHRASE_WORD = rb"[\w'+\-=?/*@\x80-\xff][\w.'+\-=?/*@\x80-\xff]*"
_MAILBOX = (
    rb'(?:(?:"[^"\\]*" ?|' + _PHRASE_WORD + rb"(?: " + _PHRASE_WORD + rb")* ?|)"
    rb"(?<!\.)<" + _ATOM + rb"@[\w.-]+>|" + _ATOM + rb"@[\w.-]+)"
)
#: Only for a few hundred bytes: it may step back once over each word.
_PLAIN_ADDRESSES = re.compile(_MAILBOX + rb"(?: ?, ?" + _MAILBOX + rb")*")
_PLAIN_ID = re.compile(rb"\s*<[\w.!#$%&'*+/=?^`{|}~@-]+>\s*")
_PLAIN_DATE = re.compile(rb"[\w ,:+()./-]*")
_ID = re.compile(rb"<([!-;=?-~]+)>")
_ADDRESS_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|\(|\)|<[^<>,;]*>?|[,;]|[^"()<>,;]+|>')
_BARE_ADDRESS = re.compile(r"[^\s<>()\[\]\\,;:\"@]+@[^\s<>()\[\]\\,;:\"@]+")


def is_ordinary(name: bytes, value: bytes) -> bool:
    """Whether a field may go to the ``email`` package as it came.

    :param name: in lower case.
    :param value: as it came, with its folding.
    """
    if len(value) > _limit(name) or _CONTROL.search(value):
        return False
    if name not in READ_FIELDS:
        return True
    if not value.isascii() and not _is_sound_utf8(value):
        return False
    if b"=?" in value and not words_are_ordinary(value):
        return False
    if name in DATE_FIELDS:
        return _PLAIN_DATE.fullmatch(value.strip()) is not None
    if name in ADDRESS_FIELDS and _count_commas(value) >= MAX_ADDRESSES:
        return False
    return _is_plain(name, value) or reads_well(name, value)


def reads_well(name: bytes, value: bytes) -> bool:
    """Whether the ``email`` package reads a field (already bounded) without harm."""
    if value.count(b"(") + value.count(b"[") > MAX_COMMENTS:
        return False
    try:
        read = str(read_as_in_a_mail(name.decode("ascii"), value))
    except Exception:  # its parser dies on more than we know of
        return False
    return not has_unwanted(read)


def read_as_in_a_mail(name: str, value: bytes) -> BaseHeader:
    """Return a field as the ``email`` package reads it where it stands in a mail.

    There the blanks behind the colon are gone, and a blank more may be all that keeps
    its parser alive (``From: .group:``). Raises whatever that parser raises.
    """
    line = f"{name}:{value.decode('ascii', 'surrogateescape')}"
    return policy.SMTP.header_fetch_parse(*policy.SMTP.header_source_parse([line]))


def has_unwanted(text: str) -> bool:
    """Whether decoded text holds characters that no header may show."""
    return _UNWANTED.search(text) is not None


def repair(
    name: bytes, written: bytes, value: bytes, most: int = MAX_ADDRESSES
) -> tuple[bytes, str]:
    """Return a field that is safe, and a sentence about what was changed.

    :param name: in lower case; ``written``: as it stood in the mail.
    :param most: how many addresses may be kept.
    :returns: the whole field with its line end, or ``b""`` where nothing of it could
        be kept.
    """
    label = written.decode("ascii")[:80]
    note = f"The header {label} was shortened or cleaned."
    if name in ADDRESS_FIELDS:
        text, note = _repair_addresses(name, value, label, most)
    elif name in ID_FIELDS:
        text = _repair_ids(name, value)
    elif name == b"subject":
        text = clean_text(decode(value[: MAX_FIELD * 4]), MAX_SUBJECT)
    elif name in DATE_FIELDS:
        text = clean_text(decode(value[:MAX_DATE]), MAX_DATE)
        text = text if text.isascii() else ""
    else:
        text = clean_text(decode(value[:MAX_FIELD]), MAX_FIELD)
    if not text:
        return b"", f"The header {label} held nothing usable and was left out."
    return header_line(label, text), note


def decode(value: bytes) -> str:
    """Return a header value as text: encoded words, else UTF-8, else Windows-1252."""
    value = _WORD_GAP.sub(rb"\1", unfold(value))
    pieces: list[str] = []
    position, pending, charset = 0, b"", ""
    for match in _WORD.finditer(value):
        raw, used = _word_bytes(match), match[1].decode("latin-1").lower()
        if raw is None:
            continue
        if match.start() > position or used != charset:
            pieces.append(decode_bytes(pending, charset))
            pieces.append(decode_bytes(value[position : match.start()], ""))
            pending = b""
        pending, charset, position = pending + raw, used, match.end()
    pieces.append(decode_bytes(pending, charset))
    pieces.append(decode_bytes(value[position:], ""))
    return "".join(pieces)


def decode_bytes(data: bytes, charset: str) -> str:
    """Return bytes as text: as labelled where the label is sound, else by trial."""
    for codec in (python_charset(charset), "utf-8"):
        if codec:
            try:
                return data.decode(codec)
            except UnicodeError:
                continue
    return data.decode("cp1252", "replace")


def python_charset(charset: str) -> str:
    """Return the codec of a charset that mail may use, ``""`` for any other."""
    charset = charset.strip().lower()
    if charset not in CHARSETS:
        return ""
    return _ALIASES.get(charset, charset)


def clean_text(text: str, limit: int) -> str:
    """Return text without control characters, in one line, at most ``limit`` long.

    What would be read as an encoded word once more is broken up.
    """
    text = _UNWANTED.sub(" ", text[: limit * 4]).replace("=?", "= ?")
    return " ".join(unicodedata.normalize("NFC", text).split())[:limit].rstrip()


def _limit(name: bytes) -> int:
    if name in ADDRESS_FIELDS:
        return MAX_SENDER_FIELD if name in SENDER_FIELDS else MAX_ADDRESS_FIELD
    if name == b"subject":
        return 2 * MAX_SUBJECT
    if name in DATE_FIELDS:
        return MAX_DATE
    if name in ID_FIELDS:
        return MAX_FIELD if name == b"references" else MAX_ID
    return MAX_FIELD if name in READ_FIELDS else MAX_UNREAD_FIELD


def _is_sound_utf8(value: bytes) -> bool:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not has_unwanted(text.replace("\r", "").replace("\n", ""))


def words_are_ordinary(value: bytes) -> bool:
    """Whether every reader decodes the encoded words of a value alike."""
    for match in _WORD.finditer(value):
        codec = python_charset(match[1].decode("latin-1"))
        data = _word_bytes(match)
        if data is None or not codec:
            return False
        try:
            text = data.decode(codec)
        except UnicodeError:
            return False
        if has_unwanted(text):
            return False
    return True


def has_broken_word(value: bytes) -> bool:
    """Whether something begins like an encoded word and is none."""
    return b"=?" in _WORD.sub(b"", value)


def _word_bytes(match: re.Match[bytes]) -> bytes | None:
    """Return the bytes of an encoded word (RFC 2047), ``None`` where it is broken."""
    text = match[3]
    if match[2] in b"qQ":
        return _Q_BYTE.sub(
            lambda found: binascii.unhexlify(found[1]), text.replace(b"_", b" ")
        )
    if not _BASE64.fullmatch(text):
        return None
    text = text.rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


def _is_plain(name: bytes, value: bytes) -> bool:
    """Whether a field is written so simply that it need not be tried.

    Never with encoded words: what is decoded takes part in the parser's grammar
    (``=?utf-8?q?=3Ca?=x@b.example``).
    """
    if b"=?" in value:
        return False
    if name in ADDRESS_FIELDS:
        if not value.strip():
            return True
        return len(value) <= 500 and bool(_PLAIN_ADDRESSES.fullmatch(unfold(value)))
    if name in (b"message-id", b"resent-message-id"):
        return _PLAIN_ID.fullmatch(value) is not None
    return True


def _count_commas(value: bytes) -> int:
    return value.count(b",") + value.count(b";")


def _repair_ids(name: bytes, value: bytes) -> str:
    ids = [
        found for found in _ID.findall(value[-MAX_READ:]) if len(found) <= MAX_ID - 2
    ]
    ids = ids[-MAX_REFERENCES:] if name == b"references" else ids[:1]
    kept = [found for found in ids if reads_well(b"message-id", b"<%s>" % found)]
    if not kept and name == b"message-id":
        # Still tells one mail from another, and the same mail as itself.
        identity = hashlib.sha256(b"".join(value.split())).hexdigest()
        return f"<{identity}@{STAND_IN_DOMAIN}>"
    return " ".join(f"<{found.decode('ascii')}>" for found in kept)


def _repair_addresses(
    name: bytes, value: bytes, label: str, most: int
) -> tuple[str, str]:
    most = 1 if name in SENDER_FIELDS - {b"reply-to"} else most
    boxes, total = read_mailboxes(value[:MAX_READ], most)
    kept = ", ".join(_write_mailbox(*box) for box in boxes[:most])
    note = f"The header {label} was written anew in plain form."
    if total > most:
        note = f"Of about {total} addresses in {label} the first {most} were kept."
    return kept, note


def read_mailboxes(value: bytes, most: int) -> tuple[list[tuple[str, str]], int]:
    """Return (display name, address) pairs, and how many items the list held.

    Reads what an attacker may have written, in linear time.
    """
    boxes: list[tuple[str, str]] = []
    words: list[bytes] = []
    angle, comments, total = b"", 0, 0
    for match in [*_ADDRESS_TOKEN.finditer(unfold(value)), None]:
        token = match[0] if match else b","
        if token in (b"(", b")"):
            comments = max(0, comments + (1 if token == b"(" else -1))
        elif token in (b",", b";"):
            total += bool(words or angle)
            if len(boxes) < most:
                boxes += _read_mailbox(words, angle)
            words, angle, comments = [], b"", 0
        elif token.startswith(b"<"):
            angle = angle or token
        elif not comments and len(words) < 50:
            words.append(token)
    return boxes, total


def _read_mailbox(words: list[bytes], angle: bytes) -> list[tuple[str, str]]:
    """Return the one (name, address) of an item, or nothing."""
    text = b" ".join(word.strip().strip(b'"') for word in words)[:MAX_FIELD]
    name = clean_text(decode(text), MAX_NAME)
    wanted = decode_bytes(angle.strip(b"<> \t"), "") if angle else name
    found = _BARE_ADDRESS.search(wanted)
    if found is None or len(found[0]) > MAX_ADDRESS or _UNWANTED.search(found[0]):
        return []
    return [(name if angle else "", found[0])]


def _write_mailbox(name: str, address: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>' if name else address
