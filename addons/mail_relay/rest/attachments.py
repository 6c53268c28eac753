# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where an attachment is, how it is asked for, and what is said where it is not.

Facts: facts/relay.md §1.11, §1.13 (8). Reviewed on 2026-11-21.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Mode = Literal["endpoint", "http_url", "base64", "filesystem"]
#: Seconds for one fetch, and how many are under way for one message.
FETCH_SECONDS = 30.0
_MD5_IN_NAME = re.compile(r"\{MD5:([0-9a-fA-F]{32})\}")
_SPACE = re.compile(rb"\s+")


class FetchFailed(Exception):
    """An attachment cannot be got; the text is for the client.

    Clients look for the first words and send the message again (§1.13).
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"Attachment fetch failed for {name}: {why}")


@dataclass(frozen=True)
class Attachment:
    """One attachment as a message names it."""

    name: str
    place: str
    mode: Mode
    media_type: str = ""
    md5: str = ""
    auth: Mapping[str, Any] | None = None


def read_attachment(given: Mapping[str, Any]) -> Attachment:
    """Return an attachment of a well-formed message."""
    name, place = given["filename"], given["storage_path"]
    marked = _MD5_IN_NAME.search(name)
    mode = given.get("fetch_mode") or _mode(place)
    return Attachment(
        name=_MD5_IN_NAME.sub("", name).strip() or "attachment",
        place=place.removeprefix("base64:") if mode == "base64" else place,
        mode=mode,
        media_type=given.get("mime_type") or "",
        md5=(given.get("content_md5") or (marked[1] if marked else "")).lower(),
        auth=given.get("auth"),
    )


def _mode(place: str) -> Mode:
    if place.startswith("base64:"):
        return "base64"
    if place.startswith(("http://", "https://")):
        return "http_url"
    return "filesystem" if place.startswith("/") else "endpoint"


def is_local(attachment: Attachment) -> bool:
    """Whether the content stands in the message itself."""
    return attachment.mode == "base64"


def decode(attachment: Attachment) -> bytes:
    """Return the content of an attachment that stands in the message.

    :raises FetchFailed: it is no base64, or not what its checksum says.
    """
    try:
        packed = _SPACE.sub(b"", attachment.place.encode("ascii"))
        content = base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error):
        raise FetchFailed(attachment.name, "the content is not base64") from None
    return checked(attachment, content)


def read_file(attachment: Attachment, folders: tuple[Path, ...], most: int) -> bytes:
    """Return the content of a file on this host, in one of the folders allowed.

    :raises FetchFailed: it is elsewhere, links included, or cannot be read.
    """
    try:
        path = Path(attachment.place).resolve(strict=True)
        if not any(path.is_relative_to(folder.resolve()) for folder in folders):
            raise FetchFailed(attachment.name, "its folder is not allowed")
        if not path.is_file():
            raise FetchFailed(attachment.name, "there is no such file")
        with open(path, "rb", opener=_no_waiting) as file:
            content = file.read(most + 1)
    except (OSError, ValueError, RuntimeError):
        raise FetchFailed(attachment.name, "there is no such file") from None
    if len(content) > most:
        raise FetchFailed(attachment.name, f"it has more than {most} bytes")
    return checked(attachment, content)


def _no_waiting(path: str, flags: int) -> int:
    """Open without waiting: a pipe would hold us for ever."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def checked(attachment: Attachment, content: bytes) -> bytes:
    """Return a content that is what its checksum says.

    :raises FetchFailed: it is another one.
    """
    if attachment.md5:
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != attachment.md5:
            raise FetchFailed(attachment.name, "its MD5 is another one")
    return content


def request_for(
    attachment: Attachment, endpoint: str, auth: Mapping[str, Any] | None
) -> tuple[str, str, bytes, dict[str, str]]:
    """Return method, URL, body and header fields that get an attachment.

    :param endpoint: the client's address for attachments; ``auth`` what it wants.
    :raises FetchFailed: the client has no such address.
    """
    if attachment.mode == "http_url":
        return "GET", attachment.place, b"", authorization(attachment.auth)
    if not endpoint:
        raise FetchFailed(attachment.name, "the client has no address to ask")
    body = json.dumps({"storage_path": attachment.place}).encode()
    fields = {"Content-Type": "application/json"}
    return "POST", endpoint, body, fields | authorization(attachment.auth or auth)


def authorization(auth: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the header fields of a client's ``auth`` object (§1.10)."""
    auth = auth or {}
    if auth.get("method") == "bearer":
        return {"Authorization": f"Bearer {auth.get('token') or ''}"}
    if auth.get("method") == "basic":
        pair = f"{auth.get('user') or ''}:{auth.get('password') or ''}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
    return {}


def joined(base: str, path: str) -> str:
    """Return a client's address: its base, and a path behind it."""
    if not base:
        return ""
    return f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
