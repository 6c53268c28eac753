# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""DKIM signatures (RFC 6376) of our own: RSA-SHA256, relaxed/relaxed."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from . import dkim

#: RFC 8301 §3.2.
KEY_BITS = 2048
#: What is signed where it stands (RFC 6376 §5.4.1; RFC 8058 §4 for the List fields).
SIGNED = tuple(
    b"from reply-to to cc subject date message-id in-reply-to references mime-version "
    b"content-type content-transfer-encoding list-id list-unsubscribe "
    b"list-unsubscribe-post feedback-id".split()
)
#: Nobody may add one later: each is named once more than it stands.
_SEALED = (b"from", b"to", b"subject", b"date", b"reply-to")
#: Characters of base64 in a line.
_LINE = 70


def make_key() -> tuple[str, str]:
    """Return a new private key (PEM) and its public key as DNS shows it (base64)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), base64.b64encode(public).decode()


def sign(mime: bytes, domain: str, selector: str, private_key: str) -> bytes:
    """Return a mail with a signature on top, its line ends CRLF.

    :param private_key: PEM, as of :func:`make_key`.
    :raises ValueError: the header cannot be read, or the key is none.
    """
    mail = dkim._split(mime)
    if mail is None:
        raise ValueError("the header cannot be read")
    key = serialization.load_pem_private_key(private_key.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("this is no RSA key")
    body = dkim._body_hash(dkim._relaxed_body(mail.body), simple=False)
    tags = {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": domain,
        "s": selector,
        "t": str(int(time.time())),
        "h": b":".join(_names(mail)).decode(),
        "bh": base64.b64encode(body).decode(),
        "b": "",
    }
    value = _folded(tags)
    name = b"DKIM-Signature"
    unsigned = dkim._Mail(((name.lower(), name, value), *mail.fields), mail.body)
    data = dkim._signed_data(unsigned, 0, dkim._read_tags(value))
    signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    text = base64.b64encode(signature)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    rest = b"".join(b"%s:%s\r\n" % item[1:] for item in mail.fields)
    signed = b"%s:%s%s\r\n" % (name, value, b"\r\n ".join(lines))
    return signed + rest + b"\r\n" + mail.body


def _names(mail: dkim._Mail) -> Iterator[bytes]:
    """Yield the fields to sign, each as often as it stands."""
    for name in SIGNED:
        count = len(mail.named(name)) + (name in _SEALED)
        yield from [name] * count


def _folded(tags: dict[str, str]) -> bytes:
    """Return the value of the field, one line for each tag and for each field's name.

    The expression that takes the signature out looks for ``b=`` behind a semicolon.
    """
    lines = [f"{name}={value}" for name, value in tags.items()]
    text = ";\r\n ".join(lines).replace(":", ":\r\n  ")
    return b" " + text.encode("ascii")
