# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What stands in the JSON that ImprovMX posts for one mail."""

from __future__ import annotations

import base64
import binascii
import email.utils
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.base import AuthenticationVerdicts
from odoo.addons.mail_bridge.providers.headers import (
    Pairs,
    clean_text,
    completed,
    safe_filename,
)
from odoo.addons.mail_bridge.providers.mime import (
    DROPPED,
    ORIGINAL_PREFIX,
    Attachment,
    MailParts,
    rename_notes,
)
from odoo.addons.mail_bridge.providers.payload import Json

from . import const


class ImprovmxPost:
    """A post's JSON object, read; a value of a wrong type is a ``PayloadError``."""

    def __init__(self, data: Json) -> None:
        self.data = data
        self.notes: list[str] = []
        #: Results stand there in two spellings, and nobody knows which was on top.
        self.is_in_doubt = False
        if not any(key in data for key in ("headers", "from", "to", "text", "html")):
            raise PayloadError("the JSON is no mail of ImprovMX")
        self.headers = tuple(self._headers())

    def text(self, key: str) -> str:
        """Return a text that may be missing or null."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, str):
            raise PayloadError(f"{key} is no text")
        return value or ""

    @property
    def raw_url(self) -> str:
        """Where ImprovMX says that the original is, ``""`` where it does not."""
        return self.text("raw_url").strip()

    def sender(self) -> str | None:
        """Return the MAIL FROM, ``None`` where the post does not tell."""
        value = self.data.get("return-path")
        if value is None:
            value = self._first_header("return-path")
        return None if value is None else envelope.sender(_address(value))

    def recipients(self) -> tuple[str, ...]:
        """Return the address that ImprovMX took the mail for.

        It stands in the topmost ``Delivered-To``; those below are of earlier servers.
        """
        value = self._first_header("delivered-to")
        return envelope.recipients([value]) if value and value.strip() else ()

    def verdicts(self) -> AuthenticationVerdicts:
        """Say that the parts prove nothing, where a sender may have seen to that."""
        if not self.is_in_doubt:
            return AuthenticationVerdicts()
        self.notes.append(const.RESULTS_IN_DOUBT)
        return AuthenticationVerdicts(dmarc="policy", source="improvmx")

    def parts(self, truncated: bool) -> MailParts:
        """Return the mail's parts and fill :attr:`notes`."""
        inlines = self._files("inlines")
        attachments = self._files("attachments")
        if truncated and (inlines or attachments):
            dropped = len(inlines) + len(attachments)
            self.notes.append(DROPPED.format(count=dropped))
            inlines = attachments = []
        files = [self._attachment(item, True) for item in inlines]
        files += [self._attachment(item, False) for item in attachments]
        self.notes.extend(rename_notes(files))
        return MailParts(
            headers=self._all_headers(),
            text=self.text("text") or None,
            html=self.text("html") or None,
            attachments=tuple(files),
        )

    def _headers(self) -> Iterator[tuple[str, str]]:
        """Yield the headers: an object whose values may be lists or addresses."""
        value = self.data.get("headers") or {}
        if not isinstance(value, dict):
            raise PayloadError("headers is no object")
        spellings = Counter(name.lower() for name in value)
        for name, item in value.items():
            items = item if isinstance(item, list) else [item]
            is_judged = name.lower() in const.ONLY_TOPMOST
            is_in_doubt = is_judged and spellings[name.lower()] > 1
            self.is_in_doubt = self.is_in_doubt or is_in_doubt
            for number, one in enumerate(items):
                if one is not None:
                    is_foreign = is_in_doubt or (is_judged and number)
                    prefix = ORIGINAL_PREFIX if is_foreign else ""
                    yield prefix + name, _address(one)

    def _first_header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name), None)

    def _all_headers(self) -> Pairs:
        """Return the headers, and those that only stand in fields of their own."""
        message_id = self.text("message-id").strip()
        if message_id and not message_id.startswith("<"):
            message_id = f"<{message_id}>"
        spare = (
            ("From", self._addresses("from")),
            ("To", self._addresses("to")),
            ("Cc", self._addresses("cc")),
            ("Bcc", self._addresses("bcc")),
            ("Subject", self.text("subject")),
            ("Date", self.text("date")),
            ("Message-ID", message_id),
        )
        return completed(self.headers, spare)

    def _addresses(self, key: str) -> str:
        value = self.data.get(key)
        items = value if isinstance(value, list) else [value]
        return ", ".join(filter(None, (_address(item) for item in items if item)))

    def _files(self, key: str) -> list[Json]:
        value = self.data.get(key) or []
        if not isinstance(value, list):
            raise PayloadError(f"{key} is no list")
        for item in value:
            if not isinstance(item, dict):
                raise PayloadError(f"{key} holds something that is no file")
        return value

    def _attachment(self, item: Json, inline: bool) -> Attachment:
        kind = _optional(item, "type") or "application/octet-stream"
        name = _optional(item, "name") or _optional(item, "description")
        content_id = _optional(item, "cid").strip().strip("<>")
        return Attachment(
            content=self._content(item, kind, safe_filename(name) or "a file"),
            content_type=kind,
            filename=name,
            content_id=content_id,
            inline=inline,
        )

    def _content(self, item: Json, kind: str, name: str) -> bytes:
        """Undo what ImprovMX did to the bytes of a file; it depends on two fields.

        ``encoding`` is the transfer encoding in the mail. Was it base64, ``content``
        is that text. Else the bytes were decoded as text, which comes as it is for
        ``text/*`` and ``message/*`` and in base64 for all others.
        """
        content = _optional(item, "content")
        encoding = _optional(item, "encoding").strip().lower()
        is_text = kind.strip().lower().startswith(("text/", "message/"))
        if is_text and encoding != "base64":
            return clean_text(content).encode()
        if encoding in ("7bit", "8bit", "quoted-printable"):
            self.notes.append(const.DAMAGED.format(name=name))
        try:
            return base64.b64decode(re.sub(r"\s", "", content), validate=True)
        except (ValueError, binascii.Error):
            self.notes.append(const.NOT_BASE64.format(name=name))
            return clean_text(content).encode()


def _optional(item: Json, key: str) -> str:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise PayloadError(f"{key} of a file is no text")
    return value or ""


def _address(value: Any) -> str:
    """Return a text, or an object with ``name`` and ``email``, as header text."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        name, address = value.get("name"), value.get("email")
        if isinstance(name, str | None) and isinstance(address, str | None):
            return _formatted(name or "", address or "")
    raise PayloadError("a header is neither text nor an address")


def _formatted(name: str, address: str) -> str:
    if not name:
        return address
    quoted = email.utils.quote(name)
    return f'"{quoted}" <{address}>'
