# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Blocks of fields in a report: ``message/delivery-status`` and its kin.

RFC 3464 §2.1, RFC 5965 §3.1, RFC 6533 §4. Read line by line in one pass: a line that
is no field is passed over, everything has a limit. Reviewed on 2026-11-21.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.headerfix import decode_bytes

MAX_STATUS = 512 * 1024
#: The first block and one for each recipient; nobody may send to more at once.
MAX_BLOCKS = 1001
MAX_FIELDS = 100
MAX_VALUE = 4000
_MAX_ADDRESS = 1000

_FIELD = re.compile(rb"([!-9;-~]{1,80})[ \t]{0,10}:")
#: RFC 6533 §3: a character that does not fit into ASCII.
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


@dataclass(slots=True)
class Block:
    """Some fields: (lower-case name, value in one line), in their order."""

    fields: list[tuple[str, str]] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Return the first value of a field, ``""`` without one."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]


def read_blocks(data: bytes) -> list[Block]:
    """Return the blocks of fields that blank lines part. Never raises."""
    blocks: list[Block] = []
    lines: list[bytes] = []
    for line in [*data[:MAX_STATUS].splitlines(), b""]:
        if line.strip():
            lines.append(line)
            continue
        block = _read_block(lines)
        lines = []
        if block.fields:
            blocks.append(block)
        if len(blocks) >= MAX_BLOCKS:
            break
    return blocks


def _read_block(lines: list[bytes]) -> Block:
    block = Block()
    name, pieces, size = b"", [], 0
    for line in [*lines, b"end:"]:
        if line[:1] in (b" ", b"\t"):
            if size < MAX_VALUE:
                pieces.append(line.strip())
                size += len(line)
            continue
        if name and len(block.fields) < MAX_FIELDS:
            value = decode_bytes(b" ".join(pieces)[:MAX_VALUE], "utf-8")
            block.fields.append((name.decode("ascii").lower(), _one_line(value)))
        found = _FIELD.match(line)
        name = found[1] if found else b""
        pieces = [line[found.end() :].strip()] if found else []
        size = len(line)
    return block


def read_address(value: str) -> str:
    """Return the address of ``rfc822; user@example.com``, ``""`` where there is none.

    Of an address that is written as ``utf-8`` the embedded characters are decoded.
    """
    kind, mark, text = value[:_MAX_ADDRESS].partition(";")
    text = text if mark else kind
    if mark and kind.strip().lower() == "utf-8":
        text = _EMBEDDED.sub(_character, text)
    text = text.strip()
    if text.endswith(")") and " (" in text:
        text = text[: text.rindex(" (")]
    try:
        found = envelope.sender(text)
    except PayloadError:
        return ""
    return found if "@" in found else ""


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    is_one = 0x20 < number < 0x110000 and not 0xD800 <= number < 0xE000
    return chr(number) if is_one else "\ufffd"


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
