# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""To whom a mail goes: SMTP2GO knows no envelope, only To, Cc and Bcc.

So these fields must name the recipients of an attempt and nobody else: a recipient
who stands in none of them gets a Bcc, and whoever stands in one without being a
recipient (it was delivered before, or is only shown, as the address of a mailing
list) is left out of it, or would get the mail again at every attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.authentication import normal_domain
from odoo.addons.mail_bridge.providers.headerfix import read_mailboxes
from odoo.addons.mail_bridge.providers.headers import header_line
from odoo.addons.mail_bridge.providers.mimescan import Scan, scan_header

from . import const

_MAX_SHOWN = 1000
_MAX_FIELD = 256 * 1024
#: Nobody shall be shown, and SMTP2GO wants a To.
_NOBODY = "undisclosed-recipients:;"

#: Fields that would name recipients beside, or in place of, To and Cc.
_OURS = (b"bcc", b"resent-to", b"resent-cc", b"resent-bcc")

#: (display name, address)
Mailbox = tuple[str, str]


class Addressed(NamedTuple):
    """A mail whose fields name its recipients, and whom each field names."""

    mime: bytes
    to: list[Mailbox]
    cc: list[Mailbox]
    bcc: list[str]


def is_address(text: str) -> bool:
    """Whether a recipient is one bare address, which can split no field."""
    try:
        return "@" in text and envelope.sender(text) == text
    except PayloadError:
        return False


def address_key(address: str) -> str:
    """Return what two spellings of one address share."""
    local, _at, domain = address.rpartition("@")
    return f"{local.casefold()}@{normal_domain(domain) or domain.casefold()}"


def addressed(mime: bytes, recipients: Iterable[str], reference: str) -> Addressed:
    """Return a mail for these recipients alone, with our reference in its header.

    Where its fields name them already, they stay as they are.

    :raises PayloadError: the header is not well formed, so that nobody could say whom
        SMTP2GO would find in it.
    """
    found = scan_header(mime)
    if found.flaws or mime.startswith((b"\r", b"\n", b"From ")):
        flaws = ", ".join(sorted(found.flaws)) or "it does not begin with a field"
        raise PayloadError(f"the mail's header is not well formed: {flaws}")
    wanted = {address_key(item): item for item in recipients}
    to, others_to = _chosen(found, b"to", wanted)
    cc, others_cc = _chosen(found, b"cc", wanted)
    hidden = list(wanted.values())  # those that no field has named
    dropped = [*_OURS, const.REFERENCE_HEADER.lower().encode()]
    lines = [header_line(const.REFERENCE_HEADER, reference)]
    if others_to or others_cc or not (to or cc):
        to, cc = (to, cc) if to else (cc, [])
        if not to and len(hidden) == 1:
            to, hidden = [("", hidden[0])], []
        dropped += [b"to", b"cc"]
        lines.append(header_line("To", _list(to) or _NOBODY))
        lines += [header_line("Cc", _list(cc))] if cc else []
    if hidden:
        lines.append(header_line("Bcc", ", ".join(hidden)))
    return Addressed(b"".join(lines) + _without(mime, dropped), to, cc, hidden)


def mailbox(name: str, address: str) -> str:
    """Return an address with its display name."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>' if name else address


def _chosen(
    found: Scan, name: bytes, wanted: dict[str, str]
) -> tuple[list[Mailbox], bool]:
    """Return whom a field names of those wanted, and whether it names others too.

    Takes out of ``wanted`` whom it found. What cannot be read counts as another.
    """
    chosen: list[Mailbox] = []
    has_others = len(found.root.values(name)) > 1
    for value in found.root.values(name):
        boxes, total = read_mailboxes(value[:_MAX_FIELD], _MAX_SHOWN)
        has_others |= total != len(boxes) or len(value) > _MAX_FIELD
        for shown, address in boxes:
            mine = wanted.pop(address_key(address), None)
            has_others |= mine is None
            chosen += [(shown, mine)] if mine else []
    return chosen, has_others


def _list(boxes: Iterable[Mailbox]) -> str:
    return ", ".join(mailbox(*box) for box in boxes)


def _without(mime: bytes, names: Iterable[bytes]) -> bytes:
    """Return a mail without some fields of its (well-formed) header."""
    end = re.search(rb"\r?\n(?=\r?\n)|\Z", mime)
    cut = end.end() if end else len(mime)
    pattern = rb"^(?:%s):[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)" % b"|".join(names)
    header = re.sub(pattern, b"", mime[:cut], flags=re.IGNORECASE | re.MULTILINE)
    return header + mime[cut:]
