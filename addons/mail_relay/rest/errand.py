# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Getting the attachments of one message, in a thread and with no transaction open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from .attachments import Attachment, decode, is_local, read_file
from .cache import Cache
from .compose import File
from .outgoing import fetch_attachment

#: Attachments fetched by this process a moment ago, by application and checksum.
_fetched = Cache(max_bytes=50 * 1024 * 1024, seconds=300)


@dataclass(frozen=True)
class Errand:
    """The attachments of one message: all that a thread needs.

    ``claimed_until`` names this claim: a message may be posted anew meanwhile.
    """

    posting_id: int
    claimed_until: datetime
    owner: int
    attachments: tuple[Attachment, ...]
    url: str = field(repr=False)
    auth: Mapping[str, object] = field(repr=False)
    is_trusted: bool
    networks: str
    folders: tuple[Path, ...]
    most: int

    def run(self) -> list[File]:
        """Return the files (raises ``FetchFailed``)."""
        return [
            File(one.name, self._content(one), one.media_type)
            for one in self.attachments
        ]

    def _content(self, one: Attachment) -> bytes:
        if is_local(one):
            return decode(one)
        if one.mode == "filesystem":
            return read_file(one, self.folders, self.most)
        key = (self.owner, one.md5)
        content = _fetched.get(key) if one.md5 else None
        if content is None:
            content = fetch_attachment(
                one, self.url, self.auth, self.is_trusted, self.networks, self.most
            )
            if one.md5:
                _fetched.put(key, content)
        return content
