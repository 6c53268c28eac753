# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""DKIM signatures (RFC 6376, 8301, 8463) checked over the raw bytes of a mail.

Stricter than the RFC where a mail could be changed under a valid signature: a body
length (``l=``) counts as no proof, nor does a mail in which a field that may stand
once stands twice. Everything is bounded and linear in the size of the mail.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import dns.exception
import dns.resolver
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT

from ..exceptions import TemporaryError

#: Returns the texts of the TXT records at a name (the strings of a record joined),
#: none where there is no such name; raises ``TemporaryError`` where nobody can tell.
TxtLookup = Callable[[str], Sequence[bytes]]

MAX_SIGNATURES = 5
MAX_HEADER = 256 * 1024
MAX_FIELDS = 2000
MAX_RECORDS = 5
#: RFC 8301 §3.2.
MIN_RSA_BITS = 1024
MAX_RSA_BITS = 8192
#: Seconds for all DNS questions of one mail.
DNS_TIMEOUT = 5.0
#: Seconds that a signer's clock may be ahead of ours.
CLOCK_SKEW = 3600

#: RFC 5322 §3.6 and RFC 2045: at most one of each. A reader takes the first, a
#: signature covers the last.
_SINGLE = frozenset(
    b"from sender reply-to to cc subject date message-id in-reply-to references "
    b"mime-version content-type content-transfer-encoding".split()
)
#: What a mail answers. Outlook and Exchange Online sign neither.
_THREAD = (b"references", b"in-reply-to")
_REQUIRED = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
_FIELD = re.compile(rb"([!-9;-~]+)([ \t]*):([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)\r\n")
_TAG = re.compile(rb"\s*([A-Za-z]\w*)\s*=\s*([^;]*)")
_B_VALUE = re.compile(rb"((?:^|;)\s*b\s*=)[^;]*")
_WHITE = re.compile(rb"\s+")
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_ORDER = ("pass", "temperror", "fail", "policy", "permerror")


@dataclass(frozen=True)
class Signature:
    """The outcome for one signature: RFC 8601 result word, ``d=``, and why.

    ``covers_thread`` is false where the mail names others that it answers, and the
    signature does not cover them all.
    """

    result: str
    domain: str = ""
    reason: str = ""
    covers_thread: bool = True


class _FlawError(Exception):
    """A signature that does not count: (result word, reason)."""


@dataclass(frozen=True)
class _Mail:
    fields: tuple[tuple[bytes, bytes, bytes], ...]
    body: bytes

    def named(self, name: bytes) -> list[int]:
        """Return the positions of a field, topmost first."""
        return [i for i, item in enumerate(self.fields) if item[0] == name]


def verify(raw: bytes, lookup: TxtLookup) -> list[Signature]:
    """Return the outcome for each signature of a mail, at most five. Never raises."""
    mail = _split(raw)
    if mail is None:
        signed = b"dkim-signature" in raw[:MAX_HEADER].lower()
        unreadable = Signature("permerror", reason="the header cannot be read")
        return [unreadable] if signed else []
    twice = [name for name in _SINGLE if len(mail.named(name)) > 1]
    positions = mail.named(b"dkim-signature")[:MAX_SIGNATURES]
    if positions and twice:
        reason = f"{twice[0].decode()} stands more than once"
        return [Signature("policy", reason=reason)]
    hashed: dict[bytes, bytes] = {}
    return [_verify_one(mail, position, lookup, hashed) for position in positions]


def overall(signatures: Sequence[Signature]) -> str:
    """Return the one RFC 8601 word for several signatures: the best one counts."""
    results = {signature.result for signature in signatures}
    return next((word for word in _ORDER if word in results), "none")


def txt_lookup(
    nameservers: Sequence[str] = (), port: int = 53, timeout: float = DNS_TIMEOUT
) -> TxtLookup:
    """Return a function that asks DNS, the system's servers unless others are named.

    :param timeout: seconds from now for all its questions together.
    """
    return partial(_ask, tuple(nameservers), port, time.monotonic() + timeout)


def _ask(nameservers: tuple[str, ...], port: int, end: float, name: str) -> list[bytes]:
    records = ask_dns(nameservers, port, end, name, "TXT")
    return [b"".join(record.strings) for record in records if isinstance(record, TXT)]


def ask_dns(
    nameservers: Sequence[str], port: int, end: float, name: str, kind: str
) -> list[Rdata]:
    """Return the records of one type at a name, none where there are none.

    :param nameservers: addresses; none: the system's.
    :param end: until when to wait, of ``time.monotonic``.
    :raises TemporaryError: nobody can tell now.
    """
    left = end - time.monotonic()
    if left <= 0:
        raise TemporaryError("DNS: no time is left")
    try:
        resolver = dns.resolver.Resolver(configure=not nameservers)
        if nameservers:
            resolver.nameservers, resolver.port = list(nameservers), port
        answer = resolver.resolve(name + ".", kind, lifetime=left, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise TemporaryError(f"DNS: {type(error).__name__}") from None
    return list(answer)


def _split(raw: bytes) -> _Mail | None:
    """Return the fields (lower name, as written, value) and the body, CRLF only."""
    if raw.count(b"\n") != raw.count(b"\r\n"):
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    end = raw.find(b"\r\n\r\n")
    block = raw if end < 0 else raw[: end + 2]
    if len(block) > MAX_HEADER:
        return None
    if not block.endswith(b"\r\n"):
        block += b"\r\n"
    position = block.find(b"\r\n") + 2 if block.startswith(b"From ") else 0
    fields: list[tuple[bytes, bytes, bytes]] = []
    while position < len(block):
        match = _FIELD.match(block, position)
        if match is None or len(fields) >= MAX_FIELDS:
            return None
        fields.append((match[1].lower(), match[1] + match[2], match[3]))
        position = match.end()
    return _Mail(tuple(fields), b"" if end < 0 else raw[end + 4 :])


def _verify_one(
    mail: _Mail, position: int, lookup: TxtLookup, hashed: dict[bytes, bytes]
) -> Signature:
    domain = ""
    try:
        tags = _read_tags(mail.fields[position][2])
        domain = _host(tags.get(b"d", b""))
        _check_tags(tags, domain)
        _check_body(mail, tags, hashed)
        data = _signed_data(mail, position, tags)
        texts = lookup(f"{_host(tags[b's'])}._domainkey.{domain}")
        _check_signature(tags, data, _read_key(tags, texts, domain))
    except TemporaryError as error:
        return Signature("temperror", domain, str(error))
    except _FlawError as error:
        return Signature(error.args[0], domain, error.args[1])
    return Signature("pass", domain, covers_thread=_covers_thread(mail, tags))


def _covers_thread(mail: _Mail, tags: dict[bytes, bytes]) -> bool:
    signed = _signed_names(tags)
    return all(name in signed for name in _THREAD if mail.named(name))


def _read_tags(value: bytes) -> dict[bytes, bytes]:
    """Return a tag list (RFC 6376 §3.2), white space taken out of every value."""
    tags: dict[bytes, bytes] = {}
    for piece in value.split(b";"):
        if not piece.strip():
            continue
        match = _TAG.fullmatch(piece)
        if match is None or match[1] in tags:
            raise _FlawError("permerror", "the tag list is malformed")
        tags[match[1]] = _WHITE.sub(b"", match[2])
    return tags


def _host(value: bytes) -> str:
    """Return a DNS name in its ASCII form, lower case."""
    try:
        text = value.decode("utf-8").lower()
        name = text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise _FlawError("permerror", "a domain or selector is malformed")
    return name


def _check_tags(tags: dict[bytes, bytes], domain: str) -> None:
    if any(name not in tags for name in _REQUIRED) or tags[b"v"] != b"1":
        raise _FlawError("permerror", "a required tag is missing")
    if tags[b"a"].lower() not in (b"rsa-sha256", b"ed25519-sha256"):
        raise _FlawError("policy", "the algorithm is unknown or too weak")
    if b"l" in tags:
        raise _FlawError("policy", "only a part of the body is signed")
    if b"from" not in _signed_names(tags):
        raise _FlawError("permerror", "From is not signed")
    if b"dns/txt" not in tags.get(b"q", b"dns/txt").lower().split(b":"):
        raise _FlawError("permerror", "the key is not in DNS")
    signer = _signer(tags, domain)
    if signer != domain and not signer.endswith("." + domain):
        raise _FlawError("permerror", "i= is outside of d=")
    now = time.time()
    if _moment(tags, b"t", 0) > now + CLOCK_SKEW:
        raise _FlawError("permerror", "the signature is from the future")
    if _moment(tags, b"x", now) < now - CLOCK_SKEW:
        raise _FlawError("fail", "the signature has expired")


def _signer(tags: dict[bytes, bytes], domain: str) -> str:
    """Return the domain of ``i=``, which may lie below ``d=``."""
    return _host(tags[b"i"].rpartition(b"@")[2]) if b"i" in tags else domain


def _moment(tags: dict[bytes, bytes], name: bytes, default: float) -> float:
    value = tags.get(name)
    if value is None:
        return default
    if not re.fullmatch(rb"[0-9]{1,12}", value):
        raise _FlawError("permerror", "a time is malformed")
    return int(value)


def _signed_names(tags: dict[bytes, bytes]) -> list[bytes]:
    return tags[b"h"].lower().split(b":")


def _canonicalization(tags: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    head, _, body = tags.get(b"c", b"simple/simple").lower().partition(b"/")
    body = body or b"simple"
    if {head, body} - {b"simple", b"relaxed"}:
        raise _FlawError("permerror", "the canonicalization is unknown")
    return head, body


def _check_body(
    mail: _Mail, tags: dict[bytes, bytes], hashed: dict[bytes, bytes]
) -> None:
    way = _canonicalization(tags)[1]
    if way not in hashed:
        body = _relaxed_body(mail.body) if way == b"relaxed" else mail.body
        hashed[way] = _body_hash(body, way == b"simple")
    if _decode(tags[b"bh"]) != hashed[way]:
        raise _FlawError("fail", "the body was changed")


def _relaxed_body(body: bytes) -> bytes:
    body = _one_space(body).replace(b" \r\n", b"\r\n")
    return body[:-1] if body.endswith(b" ") else body


def _one_space(text: bytes) -> bytes:
    """Make every run of blanks one space, ten times faster than an expression."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _body_hash(body: bytes, simple: bool) -> bytes:
    """Hash a body without its empty lines at the end (RFC 6376 §3.4.3, §3.4.4)."""
    kept = len(body.rstrip(b"\r\n"))
    tail = body[kept:]
    bare = tail.rfind(b"\r\r") + 1
    kept = len(body) if tail.endswith(b"\r") else kept + bare
    sha = hashlib.sha256(memoryview(body)[:kept])
    if kept or simple:
        sha.update(b"\r\n")
    return sha.digest()


def _signed_data(mail: _Mail, position: int, tags: dict[bytes, bytes]) -> bytes:
    """Return the header fields as the signer hashed them (RFC 6376 §3.7)."""
    relaxed = _canonicalization(tags)[0] == b"relaxed"
    left: dict[bytes, list[int]] = {}
    for index, item in enumerate(mail.fields):
        left.setdefault(item[0], []).append(index)
    pieces = []
    for name in _signed_names(tags):
        positions = left.get(name)
        if positions:
            _, written, value = mail.fields[positions.pop()]
            pieces.append(_field_line(name, written, value, relaxed) + b"\r\n")
    lower, written, value = mail.fields[position]
    value = _B_VALUE.sub(rb"\1", value, count=1)
    pieces.append(_field_line(lower, written, value, relaxed))
    return b"".join(pieces)


def _field_line(name: bytes, written: bytes, value: bytes, relaxed: bool) -> bytes:
    if not relaxed:
        return written + b":" + value
    value = _one_space(value.replace(b"\r\n", b"")).strip(b" ")
    return name + b":" + value


def _read_key(
    tags: dict[bytes, bytes], texts: Sequence[bytes], domain: str
) -> rsa.RSAPublicKey | Ed25519PublicKey:
    """Return the public key of the first usable key record (RFC 6376 §3.6.1)."""
    problem = _FlawError("permerror", "there is no key in DNS")
    for text in texts[:MAX_RECORDS]:
        try:
            return _key_of(tags, _read_tags(text[:MAX_HEADER]), domain)
        except _FlawError as error:
            problem = error
    raise problem


def _key_of(
    tags: dict[bytes, bytes], record: dict[bytes, bytes], domain: str
) -> rsa.RSAPublicKey | Ed25519PublicKey:
    kind = tags[b"a"].lower().partition(b"-")[0]
    flags = record.get(b"t", b"").lower().split(b":")
    services = record.get(b"s", b"*").lower().split(b":")
    digests = record.get(b"h", b"sha256").lower().split(b":")
    if record.get(b"v", b"DKIM1") != b"DKIM1" or not record.get(b"p"):
        raise _FlawError("permerror", "the key is revoked or malformed")
    if record.get(b"k", b"rsa").lower() != kind or b"sha256" not in digests:
        raise _FlawError("permerror", "the key is for another algorithm")
    if not {b"*", b"email"} & set(services):
        raise _FlawError("permerror", "the key is not for mail")
    if b"y" in flags:
        raise _FlawError("policy", "the signer is only testing")
    if b"s" in flags and _signer(tags, domain) != domain:
        raise _FlawError("permerror", "the key is not for subdomains")
    return _load_key(kind, _decode(record[b"p"]))


def _load_key(kind: bytes, data: bytes) -> rsa.RSAPublicKey | Ed25519PublicKey:
    try:
        if kind == b"ed25519":
            return Ed25519PublicKey.from_public_bytes(data)
        key = load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _FlawError("permerror", "the key is malformed") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise _FlawError("permerror", "the key is malformed")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise _FlawError("policy", f"the key has {key.key_size} bits")
    return key


def _check_signature(
    tags: dict[bytes, bytes], data: bytes, key: rsa.RSAPublicKey | Ed25519PublicKey
) -> None:
    signature = _decode(tags[b"b"])
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, hashlib.sha256(data).digest())
    except InvalidSignature:
        raise _FlawError("fail", "the signature does not fit") from None


def _decode(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise _FlawError("permerror", "base64 is malformed") from None
