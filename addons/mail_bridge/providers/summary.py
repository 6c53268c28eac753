# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The few header fields of a mail that people look for, without parsing it all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .headerfix import decode
from .mimescan import header_fields

#: Longest text of a header that is shown.
SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class Summary:
    """Header fields as text in one line; ``""`` and ``None`` where there is none."""

    subject: str
    author: str
    to: str
    cc: str
    message_id: str
    date: datetime | None


def summarize(mime: bytes) -> Summary:
    """Return the summary of a mail that is safe to read (see ``repair``)."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in header_fields(mime):
        found.setdefault(name, []).append(value)

    def text(name: bytes) -> str:
        return one_line(", ".join(decode(value) for value in found.get(name, ())))

    return Summary(
        subject=text(b"subject"),
        author=text(b"from"),
        to=text(b"to"),
        cc=text(b"cc"),
        message_id=text(b"message-id"),
        date=read_date(decode(found.get(b"date", [b""])[0])),
    )


def one_line(text: str) -> str:
    """Return text in one line, without NUL, of a length that is worth showing."""
    return " ".join(text.replace("\0", "").split())[:SHOWN_CHARACTERS]


def read_date(text: str) -> datetime | None:
    """Return a Date header as naive UTC, ``None`` where it makes no sense."""
    try:
        moment = parsedate_to_datetime(text.strip())
        if moment.tzinfo:  # ``-0000``, as qmail writes, is UTC and gives none
            moment = moment.astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment.replace(tzinfo=None)
