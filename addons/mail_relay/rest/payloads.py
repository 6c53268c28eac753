# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The objects of the interface, key by key.

Source: facts/relay.md §1.4 and §1.5. Reviewed on 2026-11-21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formataddr, getaddresses
from typing import Any

from .schema import Choice, Field, Integer, ListOf, Loc, Schema, Text, boolean, wrong

#: Names of priorities; a number is moved between the first and the last.
PRIORITIES: Mapping[str, int] = {"immediate": 0, "high": 1, "medium": 2, "low": 3}
DEFAULT_PRIORITY = 2
MAX_RECIPIENTS = 10_000
MAX_ATTACHMENTS = 500
MAX_HEADERS = 200
#: The year 9999 ends; a moment in seconds since 1970.
LAST_MOMENT = 253_402_300_799

DEFAULT_SYNC_PATH = "/mail-proxy/sync"
DEFAULT_ATTACHMENT_PATH = "/mail-proxy/attachments"
DEFAULT_TTL = 300

TEXT = Text()
IDENTIFIER = Text(high=255)
NAME = Text(high=255)
SECRET = Text(high=4000)
URL = Text(high=2000)
PORT = Integer(1, 65535)
COUNT = Integer(0, 10**9)
MOMENT = Integer(0, LAST_MOMENT)


def priority(value: Any, loc: Loc) -> int:
    """Check for a priority: a number, or one of the names."""
    if isinstance(value, str) and not value.strip().lstrip("+-").isdecimal():
        return PRIORITIES[Choice(tuple(PRIORITIES))(value, loc)]
    return min(max(Integer(-(2**53), 2**53)(value, loc), 0), 3)


def addresses(value: Any, loc: Loc) -> list[str]:
    """Check for addresses: a list, or a text with commas between them.

    Each comes back as ``name <address>``; an entry that holds several is several.
    """
    texts = [value] if isinstance(value, str) else value
    texts = ListOf(Text(high=10**6), MAX_RECIPIENTS)(texts, loc)
    found = [pair for text in texts for pair in split_addresses(text)]
    if len(found) > MAX_RECIPIENTS:
        msg = f"List should have at most {MAX_RECIPIENTS} items"
        raise wrong("too_long", loc, msg, len(found), max_length=MAX_RECIPIENTS)
    return found


def split_addresses(text: str) -> list[str]:
    """Return the addresses in a text, each with its name.

    A text of several lines is left as it is: ``getaddresses`` would hide that.
    """
    if "\r" in text or "\n" in text:
        return [text]
    if "@" in text and not any(mark in text for mark in ',;"<>()'):
        return [text.strip()]
    pairs = getaddresses([text.replace(";", ",") if '"' not in text else text])
    # Beyond ASCII a name is encoded where it is written, and not yet.
    return [_shown(name, address) for name, address in pairs if name or address]


def _shown(name: str, address: str) -> str:
    if not name:
        return address
    if name.isascii() and address.isascii():
        return formataddr((name, address))
    return '"{}" <{}>'.format(name.replace("\\", "\\\\").replace('"', '\\"'), address)


def mapping(value: Any, loc: Loc) -> dict[str, str]:
    """Check for header fields by name; values of other kinds become text."""
    if not isinstance(value, dict):
        raise wrong("dict_type", loc, "Input should be a valid dictionary", value)
    if len(value) > MAX_HEADERS:
        msg = f"Dictionary should have at most {MAX_HEADERS} items"
        raise wrong("too_long", loc, msg, len(value), max_length=MAX_HEADERS)
    return {
        TEXT(name, loc): TEXT("" if one is None else _text(one), (*loc, name))
        for name, one in value.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def mailbox(value: Any, loc: Loc) -> str:
    """Check for one address, which may be empty."""
    return Text(high=1000)(value, loc)


AUTH = Schema(
    {
        "method": Field(Choice(("none", "bearer", "basic")), default="none"),
        "token": Field(SECRET, secret=True),
        "user": Field(NAME),
        "password": Field(SECRET, secret=True),
    },
    closed=True,
)
ATTACHMENT = Schema(
    {
        "filename": Field(Text(1, 255), required=True),
        "storage_path": Field(Text(1, 256 * 1024 * 1024), required=True),
        "mime_type": Field(NAME),
        "fetch_mode": Field(Choice(("endpoint", "http_url", "base64", "filesystem"))),
        "content_md5": Field(Text(pattern=re.compile("[0-9a-fA-F]{32}"))),
        "auth": Field(AUTH.read),
    },
    closed=True,
)
#: In the order in which a missing one is named.
MESSAGE = Schema(
    {
        "id": Field(IDENTIFIER, required=True),
        "tenant_id": Field(IDENTIFIER, required=True),
        "account_id": Field(IDENTIFIER, required=True),
        "from": Field(mailbox, required=True),
        "to": Field(addresses, required=True),
        "subject": Field(Text(high=10_000), required=True),
        "cc": Field(addresses),
        "bcc": Field(addresses),
        "reply_to": Field(mailbox),
        "return_path": Field(mailbox),
        "body": Field(Text(high=256 * 1024 * 1024), default=""),
        "content_type": Field(Choice(("plain", "html")), default="plain"),
        "headers": Field(mapping),
        "message_id": Field(Text(high=900)),
        "attachments": Field(ListOf(ATTACHMENT.read, MAX_ATTACHMENTS)),
        "priority": Field(priority),
        "deferred_ts": Field(MOMENT),
        "batch_code": Field(Text(high=64)),
    }
)
ACCOUNT = Schema(
    {
        "id": Field(Text(1, 255), required=True),
        "tenant_id": Field(IDENTIFIER),
        "host": Field(Text(1, 255), required=True),
        "port": Field(PORT, required=True),
        "user": Field(NAME),
        "password": Field(SECRET, secret=True),
        "ttl": Field(COUNT, default=DEFAULT_TTL),
        "limit_per_minute": Field(COUNT),
        "limit_per_hour": Field(COUNT),
        "limit_per_day": Field(COUNT),
        "limit_behavior": Field(Choice(("defer", "reject")), default="defer"),
        "use_tls": Field(boolean),
        "batch_size": Field(COUNT),
        "is_pec_account": Field(boolean),
        "imap_host": Field(Text(high=255)),
        "imap_port": Field(PORT),
        "imap_user": Field(NAME),
        "imap_password": Field(SECRET, secret=True),
        "imap_ssl": Field(boolean),
    }
)
RATE_LIMITS = Schema({"hourly": Field(COUNT), "daily": Field(COUNT)})
#: ``rewrite`` (a link in place of a large file) is refused: docs/decisions.md.
LARGE_FILES = Schema(
    {
        "enabled": Field(boolean, default=False),
        "max_size_mb": Field(Integer(1, 10_000), default=10),
        "storage_url": Field(URL),
        "public_base_url": Field(URL),
        "file_ttl_days": Field(COUNT, default=30),
        "lifespan_after_download_days": Field(COUNT),
        "action": Field(Choice(("warn", "reject")), default="warn"),
    }
)
_TENANT_FIELDS: Mapping[str, Field] = {
    "name": Field(NAME),
    "client_auth": Field(AUTH.read),
    "client_base_url": Field(URL),
    "client_sync_path": Field(URL, default=DEFAULT_SYNC_PATH),
    "client_attachment_path": Field(URL, default=DEFAULT_ATTACHMENT_PATH),
    "rate_limits": Field(RATE_LIMITS.read),
    "large_file_config": Field(LARGE_FILES.read),
    "active": Field(boolean, default=True),
}
#: A tenant's id is a part of paths.
TENANT = Schema(
    {
        "id": Field(Text(1, 255, re.compile(r"[^/\s?#]+")), required=True),
        **_TENANT_FIELDS,
    }
)
TENANT_UPDATE = Schema(_TENANT_FIELDS)
INSTANCE_UPDATE = Schema(
    {
        "name": Field(NAME),
        "api_token": Field(SECRET, secret=True),
        "bounce_enabled": Field(boolean),
        "bounce_imap_host": Field(Text(high=255)),
        "bounce_imap_port": Field(PORT),
        "bounce_imap_user": Field(NAME),
        "bounce_imap_password": Field(SECRET, secret=True),
        "bounce_imap_folder": Field(NAME),
        "bounce_imap_ssl": Field(boolean),
        "bounce_poll_interval": Field(COUNT),
        "bounce_return_path": Field(NAME),
    }
)
DELETE_MESSAGES = Schema({"ids": Field(ListOf(IDENTIFIER), default=())})
CLEANUP_MESSAGES = Schema({"older_than_seconds": Field(Integer(0, 10**9))})

_TENANT_ID = Field(IDENTIFIER, required=True)
_FLAG = Field(boolean, default=False)
TENANT_QUERY = Schema({"tenant_id": _TENANT_ID})
BATCH_QUERY = Schema({"tenant_id": _TENANT_ID, "batch_code": Field(Text(high=64))})
MESSAGES_QUERY = Schema(
    {"tenant_id": _TENANT_ID, "active_only": _FLAG, "include_history": _FLAG}
)
ACTIVE_QUERY = Schema({"active_only": _FLAG})
EXPORT_QUERY = Schema(
    {
        "tenant_id": Field(IDENTIFIER),
        "since_ts": Field(MOMENT),
        "until_ts": Field(MOMENT),
    }
)
LOG_QUERY = Schema(
    {
        **EXPORT_QUERY.fields,
        "endpoint_filter": Field(NAME),
        "limit": Field(Integer(0, 10_000), default=100),
    }
)
