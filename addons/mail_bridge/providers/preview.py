# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail as its sender made it, for a sandboxed frame.

The frame runs no script and loads nothing (the controller's headers see to that);
what could act is taken out here all the same. Inline images become ``data:`` URLs,
remote images stay away until somebody asks for them.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from urllib.parse import unquote

from lxml import etree, html

from .headers import clean_text, safe_filename
from .htmlcost import html_is_cheap
from .mimeparts import decoded, file_name, is_inline, text_of
from .mimescan import MAX_DEPTH, Part, Scan, scan

#: Longest text shown; the rest is in the original.
MAX_TEXT = 500_000
#: About as many characters stand in a line of the frame.
LINE_LENGTH = 150
#: All inline images of one page together, bytes.
MAX_INLINE_BYTES = 20 * 1024 * 1024
#: What a browser may take by its own name; all else is ``application/octet-stream``.
SAFE_TYPES = frozenset(
    "image/png image/jpeg image/gif image/webp text/plain text/csv text/calendar "
    "application/pdf application/zip message/rfc822".split()
)
OCTETS = "application/octet-stream"
#: What parts without a name are called; bounces, receipts and complaints have such
#: (RFC 3464, 5965, 6522, 6533, 8098).
_UNNAMED = {
    "message/rfc822": "message.eml",
    "message/global": "message.eml",
    "message/delivery-status": "delivery-status.txt",
    "message/global-delivery-status": "delivery-status.txt",
    "message/disposition-notification": "disposition-notification.txt",
    "message/feedback-report": "feedback-report.txt",
    "text/rfc822-headers": "headers.txt",
}
_TYPES = mimetypes.MimeTypes()
_IMAGE_TYPES = frozenset("image/png image/jpeg image/gif image/webp image/bmp".split())

#: Gone with what is in them; of the others only the tag goes, with its attributes.
_DROPPED = "script noscript iframe template svg math title".split()
_UNWRAPPED = (
    "object embed applet meta base link video audio source track portal frame frameset "
    "form button input select textarea option"
).split()
_URL_ATTRIBUTES = frozenset("href src background poster action formaction".split())
_LOADED = frozenset(("src", "background", "poster"))
_REMOTE_URL = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_CSS_URL = re.compile(r"url\(\s*(['\"]?)(.*?)\1\s*\)", re.IGNORECASE | re.DOTALL)
_CSS_REMOTE = re.compile(r"url\(\s*['\"]?\s*(?:https?:)?//", re.IGNORECASE)
_HARMLESS_LINK = re.compile(r"\s*(?:https?|mailto|tel):", re.IGNORECASE)

PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><base target="_blank"><style>
body {{ margin: 12px; color: #212529; background: #fff; overflow-wrap: anywhere;
  font: 14px/1.5 system-ui, sans-serif; }}
img {{ max-width: 100%; }}
pre {{ white-space: pre-wrap; font: inherit; margin: 0; }}
.note {{ color: #6c757d; font-style: italic; }}
</style></head><body>{body}</body></html>"""
#: One transparent pixel.
NO_IMAGE = (
    "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
)
TOO_COMPLEX = "The HTML of this mail is too complex to be shown here."


@dataclass(frozen=True)
class Enclosure:
    """An attachment: ``index`` among the mail's leaves, ``size`` in bytes."""

    index: int
    name: str
    media_type: str
    size: int


class Preview:
    """One mail, ready to be looked at. Never raises, whatever the bytes are."""

    def __init__(self, mime: bytes) -> None:
        self._scan: Scan = scan(mime)
        self._leaves = list(_leaves(self._scan.root))

    @cached_property
    def html(self) -> str:
        """The HTML body as it came, ``""`` where there is none."""
        return "\n".join(self._inline_texts(b"text/html"))

    @cached_property
    def text(self) -> str:
        """The plain text body, ``""`` where there is none."""
        return "\n".join(self._inline_texts(b"text/plain"))

    @property
    def text_lines(self) -> int:
        """About how many lines the plain text takes on a screen."""
        return sum(1 + len(line) // LINE_LENGTH for line in self.text.splitlines())

    @cached_property
    def has_remote_images(self) -> bool:
        """Whether the HTML wants to load images from elsewhere."""
        root = self._tree()
        return root is not None and any(map(_loads_remote, root.iter(etree.Element)))

    @cached_property
    def attachments(self) -> list[Enclosure]:
        """What is attached, without the texts and the images shown in the HTML."""
        source = self.html
        return [
            self._enclosure(index, part)
            for index, part in enumerate(self._leaves)
            if not _is_body(part) and not self._is_shown(part, source)
        ]

    def attachment(self, index: int) -> tuple[str, str, bytes] | None:
        """Return (name, media type that is safe to send, content) of a leaf."""
        if not 0 <= index < len(self._leaves) or _is_body(self._leaves[index]):
            return None
        part = self._leaves[index]
        enclosure = self._enclosure(index, part)
        media_type = enclosure.media_type
        safe_type = media_type if media_type in SAFE_TYPES else OCTETS
        return enclosure.name, safe_type, decoded(self._scan, part)

    def page(self, images: bool = False, as_text: bool = False) -> str:
        """Return the document for the frame.

        :param images: let remote images (https alone) in.
        :param as_text: the plain text, where there is one.
        """
        root = None if as_text and self.text else self._tree()
        if root is not None:
            return self._html_page(root, images)
        body = f"<pre>{escape(self.text[:MAX_TEXT])}</pre>" if self.text else ""
        if self.html and not as_text:
            body = f'<p class="note">{TOO_COMPLEX}</p>{body}'
        return PAGE.format(body=body or '<p class="note">(no text)</p>')

    # --- Parts ---

    def _inline_texts(self, media_type: bytes) -> list[str]:
        return [
            clean_text(text_of(part, decoded(self._scan, part))).replace("\0", "")
            for part in self._leaves
            if part.media_type == media_type and is_inline(part)
        ]

    def _enclosure(self, index: int, part: Part) -> Enclosure:
        media_type = part.media_type.decode("ascii", "replace")
        name = safe_filename(file_name(part) or "")
        if not name:
            extension = _TYPES.guess_extension(media_type) or ".bin"
            name = _UNNAMED.get(media_type) or f"part-{index + 1}{extension}"
        return Enclosure(index, name, media_type, len(decoded(self._scan, part)))

    def _is_shown(self, part: Part, source: str) -> bool:
        content_id = _content_id(part)
        return bool(content_id) and f"cid:{content_id}" in unquote(source)

    def _images(self) -> dict[str, str]:
        """Return ``data:`` URLs of inline images by Content-ID."""
        urls: dict[str, str] = {}
        room = MAX_INLINE_BYTES
        for part in self._leaves:
            media_type = part.media_type.decode("ascii", "replace")
            content_id = _content_id(part)
            if not content_id or media_type not in _IMAGE_TYPES:
                continue
            content = decoded(self._scan, part)
            room -= len(content)
            if room >= 0:
                coded = base64.b64encode(content).decode()
                urls.setdefault(content_id, f"data:{media_type};base64,{coded}")
        return urls

    # --- HTML ---

    def _tree(self) -> html.HtmlElement | None:
        """Return the parsed HTML; ``None`` where there is none, or too much of it."""
        if not self.html.strip() or not html_is_cheap(self.html):
            return None
        parser = html.HTMLParser(encoding="utf-8", remove_comments=True)
        try:
            return html.document_fromstring(self.html.encode(), parser=parser)
        except (etree.LxmlError, ValueError):
            return None

    def _html_page(self, root: html.HtmlElement, images: bool) -> str:
        etree.strip_elements(root, *_DROPPED, with_tail=False)
        etree.strip_tags(root, *_UNWRAPPED, etree.PI)
        inline = self._images()
        for element in root.iter(etree.Element):
            _clean(element, inline, images)
        styles = "".join(
            html.tostring(style, encoding="unicode", with_tail=False)
            for style in root.iter("style")
        )
        etree.strip_elements(root, "style", with_tail=False)
        body = root.find("body")
        content = html.tostring(body if body is not None else root, encoding="unicode")
        return PAGE.format(body=styles + content)


def without_remote(body: str) -> str:
    """Return the HTML of a chatter's message that loads nothing from elsewhere.

    What the mail brought itself (``cid:``) stays, and so does every link. A style that
    may name a place goes: CSS has too many ways to write one.
    """
    if "//" not in body and "\\" not in body:
        return body
    try:
        root = html.fragment_fromstring(body, create_parent="div")
    except (etree.LxmlError, ValueError):
        return f"<p>{TOO_COMPLEX}</p>"
    for element in root.iter(etree.Element):
        for name, value in list(element.attrib.items()):
            loads = name in _LOADED and _REMOTE_URL.match(value)
            hides = name == "style" and ("//" in value or "\\" in value)
            if loads or hides or name == "srcset":
                del element.attrib[name]
    inner = html.tostring(root, encoding="unicode")
    return inner.removeprefix("<div>").removesuffix("</div>")


def _leaves(part: Part, depth: int = 0) -> Iterator[Part]:
    """Yield what is no multipart; an attached message stays in one piece."""
    if not part.is_multipart or depth > MAX_DEPTH:
        yield part
        return
    for child in part.children:
        yield from _leaves(child, depth + 1)


def _is_body(part: Part) -> bool:
    return part.media_type in (b"text/plain", b"text/html") and is_inline(part)


def _content_id(part: Part) -> str:
    return part.value(b"content-id").decode("latin-1").strip().strip("<>")


def _loads_remote(element: html.HtmlElement) -> bool:
    if element.tag == "style":
        return bool(_CSS_REMOTE.search(element.text or ""))
    if element.tag == "img" and _REMOTE_URL.match(element.get("src", "")):
        return True
    if _REMOTE_URL.match(element.get("background", "")):
        return True
    return bool(_CSS_REMOTE.search(element.get("style", "")))


def _clean(element: html.HtmlElement, inline: dict[str, str], images: bool) -> None:
    """Take out of an element what acts or loads; put inline images in."""
    for name, value in list(element.attrib.items()):
        lower = name.lower()
        if lower.startswith("on") or lower in ("srcset", "srcdoc", "ping", "target"):
            del element.attrib[name]
        elif lower == "style":
            element.set(name, _css(value, inline, images))
        elif lower == "href" and element.tag in ("a", "area"):
            if _HARMLESS_LINK.match(value):
                element.set("rel", "noopener noreferrer")
            else:
                del element.attrib[name]
        elif lower in _URL_ATTRIBUTES or ":" in lower:
            _set_url(element, name, _url(value, inline, images))
    if element.tag == "style":
        element.text = _css(element.text or "", inline, images).replace("</", "<\\/")


def _set_url(element: html.HtmlElement, name: str, url: str) -> None:
    if url:
        element.set(name, url)
    elif element.tag == "img" and name == "src":
        element.set(name, NO_IMAGE)  # keeps its place, without a broken icon
        element.set("style", f"background: #f1f3f5; {element.get('style', '')}")
    else:
        del element.attrib[name]


def _css(style: str, inline: dict[str, str], images: bool) -> str:
    return _CSS_URL.sub(lambda m: f'url("{_url(m[2], inline, images)}")', style)


def _url(value: str, inline: dict[str, str], images: bool) -> str:
    """Return where an image comes from in the frame, ``""`` for nowhere."""
    value = value.strip()
    if value.lower().startswith("cid:"):
        content_id = unquote(value[4:])
        return inline.get(content_id) or inline.get(value[4:], "")
    if re.match(r"data:image/(?:png|jpe?g|gif|webp|bmp)[;,]", value, re.IGNORECASE):
        return value
    if images and _REMOTE_URL.match(value):
        return "https://" + value.partition("//")[2]
    return ""
