# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Our sign on a mail, that a report about it must show: a reference under HMAC.

It stands in the return path (``bounce+<token>@…``), in a header and, where the server
takes one, in ENVID (RFC 3461 §4.4). Without it anybody could report that any address
is dead. The letters are those that every server leaves alone: some fold the case of
a local part, and it has 64 characters (RFC 5321 §4.5.3.1.1). Reviewed on 2026-11-21.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence

from odoo.addons.mail_bridge.providers.signing import hmac_sha256

#: Carries the token in every mail that the relay sends.
TOKEN_HEADER = "X-Mail-Relay-Token"

#: One HMAC key serves one purpose.
_PURPOSE = b"mail_relay report token 1\0"
#: 100 bits: nobody guesses them through a mail server.
_MAC_LENGTH = 20
_REFERENCE = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_TOKEN = re.compile(r"([a-z0-9_-]{1,64})-([a-z2-7]{20})", re.ASCII)
_MAX_LOCAL = 64
_MIN_KEY = 16


def make_bounce_token(key: bytes, reference: str) -> str:
    """Return the token of a reference: itself, a hyphen and 20 characters.

    :param reference: 1 to 64 lower-case letters, digits, ``-`` and ``_``; at most 36
        where the token goes into a return path with a local part of seven characters.
    :raises ValueError: another reference, or a key under 16 bytes.
    """
    if not _REFERENCE.fullmatch(reference):
        raise ValueError("a reference is 1 to 64 of a-z, 0-9, - and _")
    if len(key) < _MIN_KEY:
        raise ValueError("the key is too short")
    return f"{reference}-{_mac(key, reference)}"


def read_bounce_token(keys: Sequence[bytes], token: str) -> str | None:
    """Return the reference in a token that one of the keys made, else ``None``.

    :param keys: the live keys, the current one first; without any nothing is believed.
    """
    found = _TOKEN.fullmatch(token.strip().lower())
    if not found:
        return None
    genuine = False
    for key in keys:
        if len(key) >= _MIN_KEY:
            genuine |= hmac.compare_digest(_mac(key, found[1]), found[2])
    return found[1] if genuine else None


def make_return_path(key: bytes, reference: str, mailbox: str, domain: str) -> str:
    """Return a MAIL FROM that brings the token home: ``<mailbox>+<token>@<domain>``.

    :raises ValueError: see :func:`make_bounce_token`, or too long for a local part.
    """
    local = f"{mailbox}+{make_bounce_token(key, reference)}"
    if len(local) > _MAX_LOCAL:
        raise ValueError("the return path is longer than a local part may be")
    return f"{local}@{domain}"


def read_return_path(keys: Sequence[bytes], address: str) -> str | None:
    """Return the reference in an address of ours, else ``None``."""
    local = address.strip().strip("<>").rpartition("@")[0]
    return read_bounce_token(keys, local.rpartition("+")[2])


def _mac(key: bytes, reference: str) -> str:
    mac = hmac_sha256(key, _PURPOSE, reference.encode("ascii"))
    return base64.b32encode(mac).decode("ascii")[:_MAC_LENGTH].lower()
