# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The link by which a recipient leaves, in one click (RFC 8058): who, from what.

The token says all of it under HMAC, so that a link works as long as the mail lies in
somebody's mailbox, also when our own row of it is gone. Reviewed on 2026-11-21.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from typing import NamedTuple

from odoo.addons.mail_bridge.providers.signing import hmac_sha256

#: One HMAC key serves one purpose.
_PURPOSE = b"mail_relay unsubscribe token 1\0"
_MAC_BYTES = 16
_MAX_TOKEN = 2000


class Leave(NamedTuple):
    """Who wants no more: of which mail he says so, in which company, of which list.

    Without ``list_reference`` he wants no marketing at all.
    """

    reference: str
    company_id: int
    address: str
    list_reference: str = ""


def make_leave_token(key: bytes, leave: Leave) -> str:
    """Return the token of a link: letters, digits, ``-``, ``_`` and one dot."""
    payload = json.dumps(leave, separators=(",", ":")).encode()
    return f"{_encode(payload)}.{_encode(_mac(key, payload))}"


def read_leave_token(keys: Sequence[bytes], token: str) -> Leave | None:
    """Return what a token says that one of the keys made, else ``None``."""
    payload, _, mac = token[:_MAX_TOKEN].partition(".")
    try:
        content, given = _decode(payload), _decode(mac)
    except (ValueError, binascii.Error):
        return None
    genuine = False
    for key in keys:
        genuine |= hmac.compare_digest(_mac(key, content), given)
    return Leave(*json.loads(content)) if genuine else None


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac_sha256(key, _PURPOSE, payload)[:_MAC_BYTES]


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    content = text.encode("ascii")
    return base64.b64decode(content + b"=" * (-len(content) % 4), b"-_", validate=True)
