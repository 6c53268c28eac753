# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Addresses as they may stand in an SMTP command, and nothing beside them.

An address comes from users and other applications: whatever could end the command, or
add to it, is refused (RFC 5321 §4.1.2, RFC 6531 §3.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

#: RFC 5321 §4.5.3.1.3: a path has 256 octets with its brackets.
MAX_ADDRESS = 254
_LOCAL = re.compile(r'[^\s<>()\[\],:;\\"@]+|"(?:[^"\\]|\\.)*"')
_DOMAIN = re.compile(r"[A-Za-z0-9_.-]+|\[[A-Za-z0-9:.]+\]")


@dataclass(frozen=True)
class WireAddress:
    """An address for a command; ``needs_utf8``: the server must know SMTPUTF8."""

    text: str
    needs_utf8: bool = False


def wire_address(address: str) -> WireAddress | None:
    """Return an address as it goes into a command, ``None`` where it may not.

    The domain of an internationalised address is written in ASCII (RFC 5890), so that
    only a local part beyond ASCII needs a server that knows SMTPUTF8.
    """
    local, at, domain = address.rpartition("@")
    if len(address) > MAX_ADDRESS or not at or not address.isprintable():
        return None
    if not _LOCAL.fullmatch(local):
        return None
    domain = ascii_domain(domain)
    if not _DOMAIN.fullmatch(domain):
        return None
    text = f"{local}@{domain}"
    if len(text.encode("utf-8")) > MAX_ADDRESS:
        return None
    return WireAddress(text, not local.isascii())


def ascii_domain(domain: str) -> str:
    """Return a domain or host name in ASCII, empty where there is no such thing."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""
