# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Proofs of origin: HMAC over bytes, time windows, Standard Webhooks.

All comparisons take the same time whatever the input, try every live key, and work
on bytes (``hmac.compare_digest`` refuses non-ASCII text). Whatever an attacker
writes, the answer is ``None`` or a ``SignatureError`` whose text holds no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from ..exceptions import SignatureError
from .forms import Buffer

#: How far a provider's clock may run ahead of ours.
MAX_SKEW = timedelta(minutes=5)
#: Standard Webhooks asks for a list of signatures; nobody needs more than this.
_MAX_SIGNATURES = 20
_STANDARD_SECRET = "whsec_"


def hmac_sha256(key: bytes, *pieces: Buffer) -> bytes:
    """Return the HMAC-SHA256 of the joined pieces (buffers are not copied)."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for piece in pieces:
        mac.update(piece)
    return mac.digest()


def live_keys(values: Sequence[str] | None) -> list[bytes]:
    """Return an account's live keys as bytes.

    :raises SignatureError: no key is set; without one nothing is believed.
    """
    keys = [value.encode("utf-8", "surrogatepass") for value in values or () if value]
    if not keys:
        raise SignatureError("the account has no signing key")
    return keys


def require_match(expected: Iterable[bytes], given: Iterable[bytes]) -> None:
    """Compare each expected value with each given one, without an early exit.

    :raises SignatureError: none is equal.
    """
    given = list(given)
    found = 0
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    if not found:
        raise SignatureError("the signature is wrong")


def parse_timestamp(text: str) -> int:
    """Return the Unix time in a string of at most twelve ASCII digits.

    ``int`` alone would take ``'１７'``, ``'1_000'`` and ``' 5'`` as well.

    :raises SignatureError: anything else.
    """
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
        raise SignatureError("the timestamp is not a number of seconds")
    return int(text)


def require_fresh(timestamp: int, now: datetime, max_age: timedelta) -> None:
    """Check that a signed Unix time is near enough to ``now`` (an aware time).

    :raises SignatureError: older than ``max_age``, or more than five minutes ahead.
    """
    age = now.timestamp() - timestamp
    if age > max_age.total_seconds():
        raise SignatureError("the signature is too old")
    if -age > MAX_SKEW.total_seconds():
        raise SignatureError("the signature is from the future")


def hex_hmac(key: str, *pieces: bytes) -> str:
    """Return the HMAC-SHA256 under a textual key, as lower-case hex."""
    return hmac_sha256(live_keys([key])[0], *pieces).hex()


def require_hex_hmac(
    values: Sequence[str] | None, message: bytes, signature: str | bytes
) -> None:
    """Check a lower-case hex HMAC-SHA256 of a message against every live key.

    :raises SignatureError: no key is set, or none of them made the signature.
    """
    expected = [hmac_sha256(key, message).hex().encode() for key in live_keys(values)]
    if isinstance(signature, str):
        signature = signature.encode("utf-8", "surrogatepass")
    require_match(expected, [signature])


def standard_key(secret: str) -> bytes:
    """Return the key in a Standard Webhooks secret (``whsec_`` and base64).

    :raises SignatureError: it is not one.
    """
    text = secret.strip().removeprefix(_STANDARD_SECRET)
    try:
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if not key:
        # ``from None``: the chained error would carry the secret into tracebacks.
        raise SignatureError("the signing key is not a Standard Webhooks secret")
    return key


def sign_standard(secret: str, message_id: str, timestamp: int, body: Buffer) -> str:
    """Return the ``webhook-signature`` value of a Standard Webhooks message."""
    prefix = f"{message_id}.{timestamp}.".encode()
    mac = hmac_sha256(standard_key(secret), prefix, body)
    return "v1," + base64.b64encode(mac).decode("ascii")


def require_standard(
    values: Sequence[str] | None,
    headers: Iterable[tuple[str, str]],
    body: Buffer,
    now: datetime,
    max_age: timedelta,
) -> None:
    """Check the Standard Webhooks headers of a body against every live secret.

    Source: the Standard Webhooks specification 1.0, symmetric signatures (``v1``).

    :raises SignatureError: a header is missing, repeated or malformed, no signature
        is right, or it is not fresh.
    """
    found = _standard_headers(headers)
    message_id, stamp = found["webhook-id"], found["webhook-timestamp"]
    if not re.fullmatch(r"[!-~]{1,256}", message_id):
        raise SignatureError("the webhook-id is malformed")
    timestamp = parse_timestamp(stamp)
    given = _standard_signatures(found["webhook-signature"])
    live_keys(values)
    prefix = f"{message_id}.{stamp}.".encode()
    keys = [standard_key(value) for value in values or () if value]
    require_match([hmac_sha256(key, prefix, body) for key in keys], given)
    require_fresh(timestamp, now, max_age)


def _standard_headers(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if name in found:
                raise SignatureError(f"the header {name} is repeated")
            found[name] = value
    if len(found) < 3:
        raise SignatureError("a signature header is missing")
    return found


def _standard_signatures(value: str) -> list[bytes]:
    words = value.split(" ", _MAX_SIGNATURES)[:_MAX_SIGNATURES]
    found = []
    for word in words:
        version, _comma, text = word.partition(",")
        if version != "v1":
            continue
        try:
            found.append(base64.b64decode(text.encode("ascii"), validate=True))
        except (UnicodeEncodeError, binascii.Error):
            continue
    return found


def unix_time(moment: datetime | None) -> int:
    """Return whole Unix seconds of an aware time, of the present without one."""
    return int((moment or datetime.now(timezone.utc)).timestamp())
