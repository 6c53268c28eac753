# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Whether Odoo's HTML sanitizer takes a body in reasonable time.

The sanitizer runs three times over each mail body. Its regular expressions and its
search for quoted text are quadratic in places: 100 kB on purpose keep it busy for
ten seconds and more (measured on 18.0; figures beside the limits).
"""

from __future__ import annotations

import re

from lxml import etree, html

#: facts/security.md §1.2; also what the text of a mail may have.
MAX_SIZE = 1024 * 1024
#: Without any mark of a quote, everything quadratic stays below 0.3 s up to here.
FREE_SIZE = 8 * 1024
#: 20 µs each in three passes, 60 µs with a style.
MAX_TAGS = 20_000
#: "<" times the bytes up to the next ">" (10 ns each: ``<[^>]*\s`` starts anew at
#: each "<").
MAX_OPEN_COST = 20_000_000
#: libxml2 compares each attribute with all before it: 5 000 take 0.18 s.
MAX_ATTRIBUTES = 4000
LONG_TAG = 16 * 1024
#: Siblings squared where a quote is looked for among them (1 - 1.5 µs each).
MAX_SIBLING_COST = 600_000
#: Quoted blocks times the text they stand in (2.6 ns each). With CRLF, each quoted
#: line is a block of its own to Odoo.
MAX_QUOTE_COST = 300_000_000
#: Openers (``/*``, ``url(``, …) times the style sheet or comment they stand in: the
#: cleaner looks for the end of each one anew (2 ns each).
MAX_SHEET_COST = 100_000_000
#: Letters without a colon in a ``style``, squared (10 ns each).
MAX_STYLE_COST = 30_000_000

_QUOTE_MARK = re.compile(
    r"gmail_extra|yahoo_quoted|stopspelling|skydriveplaceholder"
    r"|data-o-mail-quote-container|--\s",
    re.IGNORECASE,
)
_CONTAINER = "data-o-mail-quote-container"
_QUOTED_BLOCK = re.compile(r"(?:\n>+[^\n\r]*)+")
_OPENER = re.compile(r"/\*|url\(|expression|@import|\[if", re.IGNORECASE)
_NAME_RUN = re.compile(r"[\w-]{64,}\s*")
_OFFICE_TAG = re.compile(r"</?o:.*?>")
_SEPARATOR = re.compile(r"[\s\"'/]")


def text_is_cheap(text: str) -> bool:
    """Whether a plain text body is small and simple enough to be shown inline."""
    return len(text) <= MAX_SIZE and _quote_cost(text) <= MAX_QUOTE_COST


def html_is_cheap(source: str) -> bool:
    """Whether an HTML body is small and simple enough for Odoo's sanitizer."""
    if len(source) <= FREE_SIZE and not _QUOTE_MARK.search(source):
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
    # Odoo takes these out first, which may join what stood before and behind them.
    source = _OFFICE_TAG.sub("", source)
    try:
        parser = html.HTMLParser(encoding="utf-8")
        root = html.fromstring(source.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError):
        return False
    quotes = _QUOTE_MARK.search(source) is not None
    siblings = quoted = styles = sheets = 0
    for node in root.iter():
        text = node.text or ""
        if not isinstance(node.tag, str) or node.tag == "style":
            sheets += _sheet_cost(text)
            continue
        if quotes:
            siblings += _sibling_cost(node, text)
        if len(text) > 1000:
            quoted += _quote_cost(text)
        style = node.get("style")
        if style and len(style) > 200:
            styles += _run_cost(style)
            sheets += _sheet_cost(style)
    return (
        siblings <= MAX_SIBLING_COST
        and quoted <= MAX_QUOTE_COST
        and styles <= MAX_STYLE_COST
        and sheets <= MAX_SHEET_COST
    )


def _sibling_cost(element: etree._Element, text: str) -> int:
    """Return what the search for quotes costs among the children of an element.

    Odoo marks parents as containers of quotes; each child of a container then looks
    at all its siblings. Quoted text lines become children, too.
    """
    names = [f"{child.get('class', '')} {child.get('id', '')}" for child in element]
    count = len(names) + _blocks(text)
    if count < 100:
        return 0
    cost = count * sum("yahoo_quoted" in n or "stopSpelling" in n for n in names)
    if (
        element.get(_CONTAINER) is not None
        or any("gmail_extra" in n or "SkyDrivePlaceholder" in n for n in names)
        or any("--" in (child.text or "") for child in element)
    ):
        cost += count**2
    return cost


def _quote_cost(text: str) -> int:
    return _blocks(text) * len(text)


def _blocks(text: str) -> int:
    return sum(1 for _ in _QUOTED_BLOCK.finditer(text))


def _sheet_cost(text: str) -> int:
    return sum(1 for _ in _OPENER.finditer(text)) * len(text)


def _run_cost(style: str) -> int:
    return sum(len(match[0]) ** 2 for match in _NAME_RUN.finditer(style))
