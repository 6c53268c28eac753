# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether Odoo's HTML sanitizer takes a body in reasonable time.

The sanitizer runs three times over each mail body. Its regular expressions and its
search for quoted text are quadratic in places: 100 kB on purpose keep it busy for
ten seconds and more (measured on 18.0; figures beside the limits).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

#: facts/security.md §1.2; also what the text of a mail may have.
MAX_SIZE = 1024 * 1024
#: Everything quadratic stays below 0.3 s up to here.
FREE_SIZE = 8 * 1024
#: About 20 µs each (three passes).
MAX_TAGS = 30_000
#: "<" times the bytes up to the next ">" (10 ns each: ``<[^>]*\s`` starts anew at
#: each "<").
MAX_OPEN_COST = 20_000_000
#: libxml2 compares each attribute with all before it: 5 000 take 0.18 s.
MAX_ATTRIBUTES = 4000
LONG_TAG = 16 * 1024
#: Siblings squared where quotes are searched (0.5 - 1 µs each).
MAX_SIBLING_COST = 1_000_000
#: Quoted blocks times the text they stand in (2.6 ns each). With CRLF, each quoted
#: line is a block of its own to Odoo.
MAX_QUOTE_COST = 400_000_000
#: Letters without a colon in a ``style``, squared (10 ns each).
MAX_STYLE_COST = 30_000_000

_QUOTE_MARK = re.compile(
    r"gmail_|yahoo_quoted|stopspelling|skydriveplaceholder|odoo_signature_wrapper"
    r'|signature"|signature\'|appendonsend|divrplyfwdmsg|data-o-mail-quote'
    r"|=signature|\n--",
    re.IGNORECASE,
)
_QUOTED_BLOCK = re.compile(r"(?:\n>+[^\n\r]*)+")
_NAME_RUN = re.compile(r"[\w-]{200,}")
_SEPARATOR = re.compile(r"[\s\"'/]")


def text_is_cheap(text: str) -> bool:
    """Whether a plain text body is small and simple enough to be shown inline."""
    return len(text) <= MAX_SIZE and _quote_cost(text) <= MAX_QUOTE_COST


def html_is_cheap(source: str) -> bool:
    """Whether an HTML body is small and simple enough for Odoo's sanitizer."""
    if len(source) <= FREE_SIZE:
        return True
    if len(source) > MAX_SIZE or source.count("<") > MAX_TAGS:
        return False
    return _tags_close(source) and _few_attributes(source) and _tree_is_cheap(source)


def _tags_close(source: str) -> bool:
    cost = 0
    for piece in source.split(">"):
        opened = piece.count("<")
        if opened > 1 or len(piece) > LONG_TAG:
            cost += opened * len(piece)
    return cost <= MAX_OPEN_COST


def _few_attributes(source: str) -> bool:
    """Whether no single tag, even with ">" inside quotes, has very many attributes."""
    for piece in source.split("<"):
        if len(piece) <= LONG_TAG:
            continue
        tag = piece[: piece.find(">") + 1]
        closed = tag and tag.count('"') % 2 == 0 and tag.count("'") % 2 == 0
        region = tag if closed else piece
        if sum(1 for _ in _SEPARATOR.finditer(region)) > MAX_ATTRIBUTES * 2:
            return False
    return True


def _tree_is_cheap(source: str) -> bool:
    try:
        root = html.fromstring(source.encode("utf-8", "replace"), parser=_parser())
    except (etree.LxmlError, ValueError):
        return False
    quotes = _QUOTE_MARK.search(source) is not None
    siblings = quoted = styles = 0
    for element in _elements(root):
        if quotes:
            siblings += len(element) ** 2
        text = element.text
        if text and len(text) > 1000:
            quoted += _quote_cost(text)
        style = element.get("style")
        if style and len(style) > 200:
            styles += _run_cost(style)
    return (
        siblings <= MAX_SIBLING_COST
        and quoted <= MAX_QUOTE_COST
        and styles <= MAX_STYLE_COST
    )


def _parser() -> html.HTMLParser:
    return html.HTMLParser(encoding="utf-8")


def _elements(root: etree._Element) -> Iterator[etree._Element]:
    return root.iter(etree.Element)


def _quote_cost(text: str) -> int:
    blocks = sum(1 for _ in _QUOTED_BLOCK.finditer(text))
    return blocks * len(text)


def _run_cost(style: str) -> int:
    return sum(len(match[0]) ** 2 for match in _NAME_RUN.finditer(style))
