# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail from another address than its author's: its From rewritten, bytes to bytes."""

from __future__ import annotations

import email.policy
import re
from email.utils import formataddr, parseaddr

_FROM = re.compile(rb"^From[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n", re.I | re.M)
_REPLY_TO = re.compile(rb"^Reply-To[ \t]*:", re.I | re.M)
_END = re.compile(rb"\r?\n\r?\n")
_POLICY = email.policy.SMTP


def rewrite_from(mime: bytes, author: str, address: str) -> tuple[bytes, str]:
    """Return a mail whose From is an address of ours, and that From.

    The author's name stays; answers go to him, or to where he wants them.

    :param author: the From as its author gave it.
    """
    name, own = parseaddr(author)
    sender = formataddr((name or own, address))
    found = _END.search(mime)
    end = found.start() + 2 if found else len(mime)
    head, rest = mime[:end], mime[end:]
    fields = _field("From", sender)
    if own and not _REPLY_TO.search(head):
        fields += _field("Reply-To", formataddr((name, own)))
    if b"\r\n" not in head:
        fields = fields.replace(b"\r\n", b"\n")
    return fields + _FROM.sub(b"", head) + rest, sender


def _field(name: str, value: str) -> bytes:
    return _POLICY.header_factory(name, value).fold(policy=_POLICY).encode("utf-8")
