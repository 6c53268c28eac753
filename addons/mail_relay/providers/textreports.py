# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reports in plain text, from servers older than RFC 3464 or not interested in it.

qmail's format is https://cr.yp.to/proto/qsbmf.txt; Exim names the recipients in a
field of the header and says the rest in its text (Exim specification, "Bounce
messages"). Reviewed on 2026-11-21.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as altered

from odoo.addons.mail_bridge.providers.delivery import Reply
from odoo.addons.mail_bridge.providers.headerfix import read_mailboxes

from .classify import enhanced_in, parse_reply
from .statusfields import read_address

#: What is said before the copy of the mail.
MAX_TEXT = 64 * 1024
MAX_RECIPIENTS = 100

_QMAIL_START = "Hi. This is the"
#: How both begin the copy of the mail; Exim writes a longer line of hyphens.
_BREAK = re.compile(r"^-[^\n]{0,200}$", re.MULTILINE)
_BLANK = re.compile(r"\n[ \t]{0,20}\n")


@dataclass(frozen=True)
class TextReport:
    """(address, reply) of each failed recipient, and the copy of the mail."""

    failures: tuple[tuple[str, Reply], ...]
    copy: str


def read_qmail(text: str) -> TextReport | None:
    """Return what a text in qmail's format says, ``None`` for any other."""
    text = _plain(text)
    if not text.startswith(_QMAIL_START):
        return None
    told, copy = _split_copy(text)
    failures = []
    for paragraph in _paragraphs(told):
        first, _, rest = paragraph.partition("\n")
        first = first.strip()
        if not (first.startswith("<") and first.endswith(">:")):
            continue
        address = read_address(first[:-1])
        if address and len(failures) < MAX_RECIPIENTS:
            failures.append((address, _reply(rest)))
    return TextReport(tuple(failures), copy) if failures else None


def read_exim(text: str, failed: bytes) -> TextReport | None:
    """Return what the text beside an ``X-Failed-Recipients`` says of each of them."""
    boxes, _total = read_mailboxes(failed, MAX_RECIPIENTS)
    if not boxes:
        return None
    told, copy = _split_copy(_plain(text))
    said: dict[str, str] = {}
    for paragraph in _paragraphs(told):
        first, _, rest = paragraph.strip().partition("\n")
        said.setdefault(first.strip().strip("<>:").lower(), rest)
    failures = tuple(
        (address, _reply(said.get(address.lower(), ""))) for _, address in boxes
    )
    return TextReport(failures, copy)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").lstrip()


def _split_copy(text: str) -> tuple[str, str]:
    found = _BREAK.search(text, 0, MAX_TEXT)
    if not found:
        return text[:MAX_TEXT], ""
    return text[: found.start()], text[found.end() :].lstrip("\n")


def _paragraphs(text: str) -> Iterator[str]:
    yield from _BLANK.split(text)


def _reply(text: str) -> Reply:
    """Return the reply in what a server says of one recipient.

    The reply of a later server follows "said:", or stands at the start of a line;
    qmail puts its own code at the end, after a ``#``.
    """
    whole = parse_reply("remote", text)
    _, mark, quoted = whole.text.partition("said: ")
    candidates = [quoted] if mark else []
    candidates += [line.strip() for line in text.splitlines()[:50]]
    for line in candidates:
        reply = parse_reply("remote", line)
        if reply.code >= 400:
            return altered(reply, text=whole.text)
    return altered(whole, code=0, enhanced=enhanced_in(whole.text))
