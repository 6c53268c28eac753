# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a sending domain publishes (SPF, DKIM, DMARC, return path), judged from DNS.

Pure: whoever calls hands over what asks DNS.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from odoo.addons.mail_bridge.exceptions import TemporaryError
from odoo.addons.mail_bridge.providers import dkim
from odoo.addons.mail_bridge.providers.authentication import organizational_domain

#: What a record is for.
Purpose = Literal["spf", "dkim", "dmarc", "return_path", "mx", "other"]
#: ``unknown``: DNS could not be asked now.
State = Literal["ok", "missing", "wrong", "unknown"]
#: What is wrong about a record that is there.
Problem = Literal["", "several", "lacks", "differs", "inherited", "malformed"]
#: Returns the texts of the records of a type at a name (the strings of a TXT joined, a
#: host without its last dot); raises ``TemporaryError`` where nobody can tell.
Lookup = Callable[[str, str], Sequence[str]]

#: Seconds for all DNS questions about one domain.
TIMEOUT = 15.0
_TAG = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*([^;]*)")
_ALL = re.compile(r"[-+~?]?all", re.IGNORECASE)


class Wanted(NamedTuple):
    """A record to publish. For SPF ``value`` is the term that the record must have."""

    purpose: Purpose
    type: str
    host: str
    value: str


@dataclass(frozen=True)
class Found:
    """What DNS says about a record: its state, and what stands there now."""

    state: State
    published: str = ""
    problem: Problem = ""


def lookup(
    nameservers: Sequence[str] = (), port: int = 53, timeout: float = TIMEOUT
) -> Lookup:
    """Return a function that asks DNS, the system's servers unless others are named."""
    return partial(_ask, tuple(nameservers), port, time.monotonic() + timeout)


def _ask(
    nameservers: tuple[str, ...], port: int, end: float, name: str, kind: str
) -> list[str]:
    records = dkim.ask_dns(nameservers, port, end, name, kind)
    read = {"TXT": _text, "MX": lambda one: one.exchange.to_text()}
    return [read.get(kind, str)(one).rstrip(".") for one in records]


def _text(record: dkim.TXT) -> str:
    return b"".join(record.strings).decode("utf-8", "replace")


def check(wanted: Iterable[Wanted], ask: Lookup) -> list[Found]:
    """Return what DNS says about each record; what cannot be asked is ``unknown``."""
    return [_checked(one, ask) for one in wanted]


def _checked(wanted: Wanted, ask: Lookup) -> Found:
    judge = _JUDGES.get((wanted.purpose, wanted.type), _judge_equal)
    try:
        return judge(wanted, ask)
    except TemporaryError as error:
        return Found("unknown", str(error))


def _judge_spf(wanted: Wanted, ask: Lookup) -> Found:
    """RFC 7208 §4.5: one record only, or none counts."""
    records = [text for text in ask(wanted.host, "TXT") if is_spf(text)]
    if not records:
        return Found("missing")
    published = "\n".join(records)
    if len(records) > 1:
        return Found("wrong", published, "several")
    terms = [term.removeprefix("+") for term in records[0].lower().split()[1:]]
    term = wanted.value.lower().removeprefix("+")
    has_term = not term or term in terms
    return Found("ok" if has_term else "wrong", published, "" if has_term else "lacks")


def is_spf(text: str) -> bool:
    """Whether a TXT record is one of SPF."""
    return text.lower().split(" ")[0] == "v=spf1"


def spf_to_publish(published: str, term: str) -> str:
    """Return the SPF record to publish: what stands there, with the term in it."""
    words = published.split("\n")[0].split() or ["v=spf1", "~all"]
    term = term or "mx"
    if term.lower() in map(str.lower, words):
        return " ".join(words)
    is_end = (bool(_ALL.fullmatch(word)) or "=" in word for word in words[1:])
    at = next((at for at, end in enumerate(is_end, 1) if end), len(words))
    return " ".join([*words[:at], term, *words[at:]])


def _judge_dkim(wanted: Wanted, ask: Lookup) -> Found:
    """The key counts, not how the record is written."""
    records = ask(wanted.host, "TXT")
    keys = [tags(text).get("p", "") for text in records]
    if not records:
        return Found("missing")
    published = "\n".join(records)
    key = tags(wanted.value).get("p", "")
    if key not in keys:
        return Found("wrong", published, "differs")
    return Found("ok" if len(keys) == 1 else "wrong", published, _several(keys))


def _several(records: Sequence[str]) -> Problem:
    return "several" if len(records) > 1 else ""


def tags(text: str) -> Mapping[str, str]:
    """Return a tag list (RFC 6376 §3.2), white space taken out of the values."""
    found = (_TAG.match(piece) for piece in text.split(";"))
    return {one[1]: "".join(one[2].split()) for one in found if one}


def _judge_dmarc(wanted: Wanted, ask: Lookup) -> Found:
    """RFC 7489 §6.6.3: a domain without a policy has that of its organization."""
    domain = wanted.host.removeprefix("_dmarc.")
    above = organizational_domain(domain)
    for name in dict.fromkeys((domain, above or domain)):
        records = [text for text in ask(f"_dmarc.{name}", "TXT") if _is_dmarc(text)]
        published = "\n".join(records)
        if len(records) > 1:
            return Found("wrong", published, "several")
        if records:
            is_good = tags(records[0]).get("p", "").lower() in _POLICIES
            problem: Problem = "malformed"
            if is_good:
                problem = "" if name == domain else "inherited"
            return Found("ok" if is_good else "wrong", published, problem)
    return Found("missing")


_POLICIES = ("none", "quarantine", "reject")


def _is_dmarc(text: str) -> bool:
    return text.partition(";")[0].replace(" ", "") == "v=DMARC1"


def _judge_equal(wanted: Wanted, ask: Lookup) -> Found:
    """A host, or a text: one of the records is the wanted one."""
    records = ask(wanted.host, wanted.type)
    if not records:
        return Found("missing")
    is_there = _same(wanted.value) in map(_same, records)
    published = "\n".join(records)
    return Found("ok", published) if is_there else Found("wrong", published, "differs")


def _same(value: str) -> str:
    return value.strip().rstrip(".").lower()


_JUDGES: Mapping[tuple[str, str], Callable[[Wanted, Lookup], Found]] = {
    ("spf", "TXT"): _judge_spf,
    ("dkim", "TXT"): _judge_dkim,
    ("dmarc", "TXT"): _judge_dmarc,
}
