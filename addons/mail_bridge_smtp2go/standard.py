# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail as the JSON of ``/email/send``, where nothing of it is lost.

Most mail is text, HTML, images in the HTML and files; that is what the JSON knows.
Any other (a report, a signed mail, an invitation to a calendar, a part that cannot be
named) is not taken apart: then there is no JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from odoo.addons.mail_bridge.providers import headerfix
from odoo.addons.mail_bridge.providers.headerfix import read_mailboxes
from odoo.addons.mail_bridge.providers.mimeparts import (
    decoded,
    file_name,
    is_inline,
    text_of,
)
from odoo.addons.mail_bridge.providers.mimescan import Part, Scan, scan, unfold
from odoo.addons.mail_bridge.providers.payload import Json

from .addressing import Addressed, mailbox

#: Fields that the JSON has other places for, or builds anew.
_OWN = re.compile(rb"from|to|cc|bcc|subject|mime-version|content-.*")
#: A field that speaks of the bytes of the mail, which ``/email/send`` makes anew.
_BOUND = re.compile(rb".*dkim-signature|arc-.*")
_CHARSETS = frozenset((b"", b"utf-8", b"us-ascii"))


class _LossyError(Exception):
    """Something has no place in the JSON."""


def as_standard(mail: Addressed) -> Json | None:
    """Return the JSON object of ``/email/send``, ``None`` where it would lose a part.

    Reads at most what :func:`mimescan.scan` allows, in linear time.
    """
    found = scan(mail.mime)
    if found.flaws or not mail.to:
        return None
    try:
        body = _Body(found).read()
        head = _head(found.root)
    except _LossyError:
        return None
    people = {
        "to": [mailbox(*box) for box in mail.to],
        "cc": [mailbox(*box) for box in mail.cc],
        "bcc": mail.bcc,
    }
    return {**head, **{name: value for name, value in people.items() if value}, **body}


class _Body:
    """The bodies and files of a mail, filled in as the tree is walked."""

    def __init__(self, found: Scan) -> None:
        self.found = found
        self.texts: dict[str, str] = {}
        self.files: list[Json] = []
        self.images: list[Json] = []

    def read(self) -> Json:
        """Return the fields of the JSON.

        :raises _LossyError: the tree is of another kind.
        """
        root = self.found.root
        if root.media_type == b"multipart/mixed":
            first, *others = root.children or [root]
            self._body(first)
            for part in others:
                self.files.append(self._file(part, self._name(part)))
        else:
            self._body(root)
        values = {"attachments": self.files, "inlines": self.images}
        return {**self.texts, **{k: v for k, v in values.items() if v}}

    def _body(self, part: Part) -> None:
        if part.media_type == b"multipart/alternative":
            if [child.media_type for child in part.children][:1] != [b"text/plain"]:
                raise _LossyError
            if len(part.children) != 2:
                raise _LossyError
            self._text(part.children[0], "text_body")
            self._html(part.children[1])
        elif part.media_type == b"text/plain":
            self._text(part, "text_body")
        else:
            self._html(part)

    def _html(self, part: Part) -> None:
        if part.media_type != b"multipart/related":
            self._text(part, "html_body")
            return
        first, *images = part.children or [part]
        self._text(first, "html_body")
        # the HTML names an image by what SMTP2GO makes its Content-ID
        self.images += [self._file(item, self._content_id(item)) for item in images]

    def _text(self, part: Part, name: str) -> None:
        kind = {"text_body": b"text/plain", "html_body": b"text/html"}[name]
        options = {key for key in part.parameters if key != b"charset"}
        if part.media_type != kind or options or not is_inline(part):
            raise _LossyError
        self.texts[name] = text_of(part, decoded(self.found, part))

    def _file(self, part: Part, name: str) -> Json:
        options = {key.partition(b"*")[0] for key in part.parameters}
        charset = part.parameters.get(b"charset", b"").lower()
        if part.is_multipart or part.is_message or options - {b"name", b"charset"}:
            raise _LossyError
        if part.media_type.startswith(b"message/") or charset not in _CHARSETS:
            raise _LossyError
        content = base64.b64encode(decoded(self.found, part)).decode("ascii")
        kind = part.media_type.decode("ascii")
        return {"filename": name, "mimetype": kind, "fileblob": content}

    def _name(self, part: Part) -> str:
        name = file_name(part)
        if not name or part.values(b"content-id"):
            raise _LossyError
        return name

    def _content_id(self, part: Part) -> str:
        name = part.value(b"content-id").strip(b"<> ").decode("latin-1")
        if not re.fullmatch(r"[\w.@+-]{1,150}", name, re.ASCII):
            raise _LossyError
        return name


def _head(root: Part) -> Json:
    """Return sender, subject and all other fields of the header."""
    senders, total = read_mailboxes(root.value(b"from"), 2)
    if len(root.values(b"from")) != 1 or len(senders) != 1 or total != 1:
        raise _LossyError
    subject = headerfix.decode(root.value(b"subject"))
    return {
        "sender": mailbox(*senders[0]),
        "subject": subject,
        "custom_headers": list(_custom_headers(root)),
    }


def _custom_headers(root: Part) -> Iterator[Json]:
    for lower, name, value in root.fields:
        if _BOUND.fullmatch(lower):
            raise _LossyError
        if not _OWN.fullmatch(lower):
            text = unfold(value).decode("utf-8", "replace")
            yield {"header": name.decode("ascii"), "value": text}
