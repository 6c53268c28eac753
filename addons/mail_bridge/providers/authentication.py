# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who sent a mail, as far as anybody can tell.

Three independent proofs: what a trusted server wrote into the mail (RFC 8601), what
the mail's own DKIM signatures say, and a token of ours in the address it was sent to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from email.utils import getaddresses
from functools import cache
from typing import Any

from publicsuffixlist import PublicSuffixList

from . import dkim
from .base import AuthenticationVerdicts
from .headerfix import MAX_FIELD, is_ordinary, read_as_in_a_mail, read_mailboxes
from .mimescan import scan_header

MAX_RESULTS = 16 * 1024
DKIM_SOURCE = "own dkim check"
#: 120 bits, 24 characters of base32.
TOKEN_BYTES = 15
_TOKEN_MARK = "mb-"

_WORDS = re.compile(r"\s*([A-Za-z0-9-]{1,40})(?:\s*/\s*\d+)?\s*=\s*([A-Za-z-]{1,40})")
_PROPERTY = re.compile(
    r"\s*(?:reason|([a-z-]{1,40})\s*\.\s*([a-z0-9._-]{1,80}))"
    r'\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]+)',
    re.IGNORECASE,
)
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"|=\?[^\s?]*\?[^\s?]\?[^\s?]*\?=')
_COMMENT = re.compile(rb"\([^()]*\)")
_TOKEN_ADDRESS = re.compile(
    rf"([^@+]+)\+(?:[^@]*\+)?{_TOKEN_MARK}([a-z2-7]{{24}})@([^@]+)", re.IGNORECASE
)
_TAG_TOKEN = re.compile(rf"\+{_TOKEN_MARK}[a-z2-7]{{24}}(?=@|\+)", re.IGNORECASE)
#: Python with the fix of CVE-2023-27043 has a strict mode; Odoo reads without it.
_LENIENT: dict[str, Any] = {"strict": False}


# ------------------------------------------------------------ what a server tells us


def parse_authentication_results(
    headers: Sequence[tuple[str, str]], trusted_authserv_id: str
) -> AuthenticationVerdicts:
    """Return what the trusted server wrote into ``Authentication-Results``.

    Only the topmost field of that server counts, and further ones of it down to the
    next ``Received``: what stands below came in with the mail and may be forged.

    :param headers: (name, value) as they stand in the mail, topmost first.
    :param trusted_authserv_id: compared without regard to case; empty trusts nobody.
    """
    trusted = trusted_authserv_id.strip().lower()
    results = [
        result
        for value in _trusted_fields(headers, trusted)
        for result in _read_results(value)
    ]
    if not results:
        return AuthenticationVerdicts()
    passed = [item for item in results if item[0] == "dkim" and item[1] == "pass"]
    signers = (
        normal_domain(p.get("header.d") or p.get("header.i", "").rpartition("@")[2])
        for _, _, p in passed
    )
    sender = next((p for method, _, p in results if method == "spf"), {})
    return AuthenticationVerdicts(
        spf=_first(results, "spf"),
        dkim="pass" if passed else _first(results, "dkim"),
        dmarc=_first(results, "dmarc"),
        spf_domain=normal_domain(sender.get("smtp.mailfrom", "").rpartition("@")[2]),
        dkim_domains=tuple(dict.fromkeys(filter(None, signers))),
        source=f"authentication-results {trusted}",
    )


_Result = tuple[str, str, dict[str, str]]


def _first(results: Sequence[_Result], method: str) -> str:
    return next((word for name, word, _ in results if name == method), "")


def _trusted_fields(
    headers: Sequence[tuple[str, str]], trusted: str
) -> Iterator[list[str]]:
    """Yield the statements of each field that counts."""
    seen = False
    for name, value in headers:
        lower = name.strip().lower()
        if seen and lower == "received":
            return
        if not trusted or lower != "authentication-results":
            continue
        pieces = _statements(value[:MAX_RESULTS])
        identity = pieces[0].split() if pieces else []
        if identity and identity[0].strip('"').lower() == trusted:
            seen = True
            yield pieces[1:]


def _statements(value: str) -> list[str]:
    """Split at ``;`` outside of quotes, comments taken out."""
    pieces, depth = [""], 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|\\.|[^"\\();]+|.', value, re.DOTALL):
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        elif depth:
            continue
        elif token == ";":
            pieces.append("")
        else:
            pieces[-1] += token
    return [piece.strip() for piece in pieces]


def _read_results(statements: Sequence[str]) -> Iterator[_Result]:
    """Yield (method, result, properties) of each well-formed statement."""
    for text in statements:
        head = _WORDS.match(text)
        if head is None:
            continue
        properties: dict[str, str] = {}
        position = head.end()
        while match := _PROPERTY.match(text, position):
            if match[1]:
                key = f"{match[1]}.{match[2]}".lower()
                properties.setdefault(key, match[3].strip('"'))
            position = match.end()
        yield head[1].lower(), head[2].lower(), properties


# --------------------------------------------------------------- what the mail proves


def check_dkim(
    raw: bytes, lookup: dkim.TxtLookup | None = None
) -> AuthenticationVerdicts:
    """Return what the signatures over the raw bytes prove. Never raises.

    A passing signature proves who wrote the mail, not that he wrote it to us now:
    anybody who received it may post it again, and where it does not cover what the
    mail answers, as an answer to anything.

    :param lookup: answers DNS questions; the system's resolver where none is given.
    """
    signatures = dkim.verify(raw, lookup or dkim.txt_lookup())
    passed = [item for item in signatures if item.result == "pass"]
    domains = tuple(dict.fromkeys(item.domain for item in passed))
    threaded = {item.domain for item in passed if item.covers_thread}
    return AuthenticationVerdicts(
        dkim=dkim.overall(signatures),
        dkim_domains=domains,
        unthreaded_domains=tuple(name for name in domains if name not in threaded),
        source=DKIM_SOURCE,
    )


def from_domain(mime: bytes) -> str:
    """Return the domain of the one author of a mail, ``""`` where that is not clear.

    Several From fields, several addresses, or a value that two readers read in two
    ways (``admin@a.example <x@b.example>``) name no author at all: the one who judged
    the mail may have looked at another address than Odoo does. Neither does a header
    that is not well formed.

    :param mime: as it came, not a repaired copy: repair makes one author of several.
    """
    found = scan_header(mime)
    values = found.root.values(b"from")
    if found.flaws or len(values) != 1 or len(values[0]) > MAX_FIELD:
        return ""
    if not is_ordinary(b"from", values[0]) or _count_at(values[0]) != 1:
        return ""
    own = [address for _, address in read_mailboxes(values[0], 2)[0]]
    standard, gateway = _read_as_others(values[0])
    if len(own) != 1 or not own == standard == gateway:
        return ""
    return normal_domain(own[0].rpartition("@")[2])


def _read_as_others(value: bytes) -> tuple[list[str], list[str]]:
    """Return the addresses as the ``email`` package and as Odoo find them."""
    try:
        header = read_as_in_a_mail("From", value)
        standard = [item.addr_spec for item in header.addresses]
    except Exception:  # its parser dies on more than we know of
        return [], []
    gateway = [address for _, address in _lenient(str(header))]
    return _with_at(standard), _with_at(gateway)


def _with_at(addresses: list[str]) -> list[str]:
    return [address for address in addresses if "@" in address]


def _count_at(value: bytes) -> int:
    """Count the ``@`` outside of quotes, comments and encoded words."""
    rest, before = _QUOTED.sub(b"", value), b""
    while rest != before:
        before, rest = rest, _COMMENT.sub(b"", rest)
    return rest.count(b"@")


def _lenient(value: str) -> list[tuple[str, str]]:
    """Read addresses as Odoo's ``email_split_tuples`` does."""
    try:
        return getaddresses([value], **_LENIENT)
    except TypeError:
        return getaddresses([value])


# ------------------------------------------------------------------------- alignment


def normal_domain(domain: str) -> str:
    """Return a domain in ASCII and lower case, ``""`` for what is none."""
    domain = domain.strip().rstrip(".").lower()
    try:
        name = domain.encode("idna").decode("ascii") if domain else ""
    except UnicodeError:
        return ""
    return name if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", name) else ""


def organizational_domain(domain: str) -> str:
    """Return the registered domain above a name, by the public suffix list.

    A public suffix itself, or what is no domain, gives ``""``.
    """
    name = normal_domain(domain)
    return (_suffixes().privatesuffix(name) or "") if name else ""


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_aligned(verdicts: AuthenticationVerdicts, from_header_domain: str) -> bool:
    """Whether a proven identity belongs to the author's organization.

    As DMARC with relaxed alignment (RFC 7489 §3.1); where somebody judged DMARC
    itself, that counts.

    :param from_header_domain: :func:`from_domain`; ``""`` is never aligned.
    """
    author = normal_domain(from_header_domain)
    if not author or verdicts.dmarc == "fail":
        return False
    if verdicts.dmarc == "pass":
        return True
    proven = list(verdicts.dkim_domains) if verdicts.dkim == "pass" else []
    if verdicts.spf == "pass":
        proven.append(verdicts.spf_domain)
    return any(_same_organization(author, domain) for domain in proven)


def _same_organization(author: str, domain: str) -> bool:
    domain = normal_domain(domain)
    if domain == author:
        return True
    organization = organizational_domain(author)
    return bool(organization) and organization == organizational_domain(domain)


# ---------------------------------------------------------------------- reply tokens


def make_reply_token(key: bytes, model: str, res_id: int) -> str:
    """Return the token that lets replies into one record (``mb-`` + 24 letters).

    Lower case, because mail servers change the case of addresses.
    """
    text = f"mail_bridge reply {model},{int(res_id)}".encode()
    mac = hmac.new(key, text, hashlib.sha256).digest()[:TOKEN_BYTES]
    return _TOKEN_MARK + base64.b32encode(mac).decode("ascii").lower()


def add_reply_token(address: str, token: str) -> str:
    """Return ``local+token@domain`` for ``local@domain``."""
    local, at, domain = address.rpartition("@")
    return f"{local}+{token}{at}{domain}" if at else address


def strip_reply_token(address: str) -> str:
    """Return an address without our token; any other plus tag stays."""
    return _TAG_TOKEN.sub("", address, count=1)


def read_reply_token(key: bytes, address: str, model: str, res_id: int) -> bool:
    """Whether an address carries the token of that record (in constant time)."""
    found = _TOKEN_ADDRESS.fullmatch(address.strip())
    if found is None:
        return False
    given = _TOKEN_MARK + found[2].lower()
    return hmac.compare_digest(given, make_reply_token(key, model, res_id))
