# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Posts as the providers document them, made and signed without the adapters' code.

Mailgun: documentation.mailgun.com, "Receive, Forward and Store Messages" and "Securing
Webhooks". ImprovMX: improvmx.com/guides/webhooks. Raw: Standard Webhooks 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.message import EmailMessage
from urllib.parse import quote_plus
from uuid import uuid4

from tests.support import wire

Fields = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
#: (field name, file name, media type, content)
File = tuple[str, str, str, bytes]

URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Post:
    """One request of a provider."""

    path: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def to(self, port: int, seconds: float = wire.SECONDS) -> wire.Reply:
        """Send it once."""
        headers = [("Content-Type", self.content_type), *self.headers]
        return wire.request(port, "POST", self.path, headers, self.body, seconds)

    def at(self, path: str) -> Post:
        """The same post for another address."""
        return replace(self, path=path)


# ------------------------------------------------------------------------------ mails


def unique(word: str = "Mail") -> str:
    """A subject that no other mail has."""
    return f"{word} {uuid4().hex[:12]}"


def make_mail(
    recipient: str,
    subject: str,
    text: str = "A text.\n",
    sender: str = "",
    files: Iterable[tuple[str, bytes]] = (),
    **headers: str,
) -> EmailMessage:
    """A mail with text and attachments; underscores in `headers` are dashes."""
    mail = EmailMessage()
    mail["From"] = sender or f"{uuid4().hex[:10]}@outside.example"
    mail["To"] = recipient
    mail["Subject"] = subject
    mail["Date"] = "Fri, 20 Nov 2026 10:00:00 +0000"
    mail["Message-ID"] = f"<{uuid4().hex}@outside.example>"
    for name, value in headers.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    for name, content in files:
        mail.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=name
        )
    return mail


# ---------------------------------------------------------------------------- Mailgun


def mailgun_proof(key: str, age: float = 0, token: str = "") -> dict[str, str]:
    """`timestamp`, `token` and `signature`: HMAC-SHA256 of the first two, in hex."""
    timestamp, token = str(int(time.time() - age)), token or secrets.token_hex(25)
    message = f"{timestamp}{token}".encode()
    signature = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": signature}


def mailgun_fields(mail: EmailMessage, recipient: str) -> dict[str, str]:
    """What a route's `forward()` posts of a mail, without files and proof."""
    text = mail.get_body(("plain",))
    return {
        "recipient": recipient,
        "sender": mail["From"].addresses[0].addr_spec if mail["From"] else "",
        "from": str(mail["From"] or ""),
        "subject": str(mail["Subject"] or ""),
        "body-plain": text.get_content() if text else "",
        "message-headers": json.dumps([[k, str(v)] for k, v in mail.items()]),
    }


def mailgun_mail(key: str, recipient: str, mail: EmailMessage) -> Post:
    """A route's post of a mail, signed now."""
    files = [
        (f"attachment-{n}", part.get_filename(), part.get_content_type(), content)
        for n, part in enumerate(mail.iter_attachments(), 1)
        if (content := part.get_payload(decode=True)) is not None
    ]
    fields = mailgun_fields(mail, recipient) | mailgun_proof(key)
    if files:
        fields["attachment-count"] = str(len(files))
    return form("/mailgate/mailgun", fields, files)


def mailgun_raw(key: str, recipient: str, mime: bytes, sender: str = "") -> Post:
    """A route's post to an address that ends in `mime`."""
    fields = {
        "recipient": recipient,
        "sender": sender or "envelope@outside.example",
        "body-mime": mime,
        **mailgun_proof(key),
    }
    return form("/mailgate/mailgun/mime", fields)


def mailgun_event(key: str, event: Mapping[str, object]) -> Post:
    """The post of an event webhook, signed now."""
    post = {"signature": mailgun_proof(key), "event-data": event}
    return as_json("/mailgate/mailgun/events", post)


def form(path: str, fields: Fields, files: Iterable[File] = ()) -> Post:
    """A form: urlencoded, or multipart/form-data where it has files."""
    pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
    files = list(files)
    if not files:
        return Post(path, URLENCODED, urlencoded(pairs))
    boundary = f"----{secrets.token_hex(12)}"
    content_type = f"multipart/form-data; boundary={boundary}"
    return Post(path, content_type, multipart(boundary, pairs, files))


def urlencoded(pairs: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Fields as `application/x-www-form-urlencoded`."""
    return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in pairs).encode()


def multipart(
    boundary: str, pairs: Iterable[tuple[str, str | bytes]], files: Iterable[File] = ()
) -> bytes:
    """Fields and files as `multipart/form-data`."""
    mark = f"--{boundary}\r\nContent-Disposition: form-data; name=".encode()
    pieces = []
    for name, value in pairs:
        data = value.encode() if isinstance(value, str) else value
        pieces.append(mark + f'"{name}"\r\n\r\n'.encode() + data + b"\r\n")
    for name, filename, kind, content in files:
        head = f'"{name}"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        pieces.append(mark + head.encode() + content + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


# --------------------------------------------------------------------------- ImprovMX


def improvmx_data(mail: EmailMessage, recipient: str) -> dict:
    """The JSON object that an alias with a webhook posts."""
    text = mail.get_body(("plain",))
    sender = mail["From"].addresses[0]
    return {
        "headers": {"Delivered-To": recipient}
        | {name: str(value) for name, value in mail.items()},
        "from": {"name": sender.display_name, "email": sender.addr_spec},
        "to": [
            {"name": one.display_name, "email": one.addr_spec}
            for one in (mail["To"].addresses if mail["To"] else ())
        ],
        "subject": str(mail["Subject"]),
        "message-id": str(mail["Message-ID"] or "").strip("<>"),
        "date": str(mail["Date"]),
        "return-path": {"name": None, "email": sender.addr_spec},
        "timestamp": int(time.time()),
        "text": text.get_content() if text else None,
        "html": None,
        "inlines": [],
        "attachments": [
            {
                "type": part.get_content_type(),
                "name": part.get_filename(),
                "encoding": "base64",
                "content": base64.encodebytes(part.get_payload(decode=True)).decode(),
            }
            for part in mail.iter_attachments()
        ],
    }


def improvmx_mail(path: str, recipient: str, mail: EmailMessage) -> Post:
    """The post of a mail to an address of an ImprovMX account."""
    return as_json(path, improvmx_data(mail, recipient))


def as_json(path: str, value: object) -> Post:
    """Any JSON value as a post."""
    return Post(path, "application/json", json.dumps(value).encode())


# -------------------------------------------------------------------------------- raw


def raw_mail(
    path: str,
    recipient: str | None,
    mime: bytes,
    key: str = "",
    sender: str | None = "envelope@outside.example",
) -> Post:
    """Raw MIME with the envelope in headers, signed where there is a `key`."""
    headers = []
    if sender is not None:
        headers.append(("X-Envelope-From", sender))
    if recipient is not None:
        headers.append(("X-Envelope-To", recipient))
    if key:
        headers += standard_proof(key, mime)
    return Post(path, "message/rfc822", mime, tuple(headers))


def standard_proof(key: str, body: bytes) -> list[tuple[str, str]]:
    """The three headers of Standard Webhooks; `key` is `whsec_` and base64."""
    name, stamp = f"msg_{secrets.token_hex(12)}", str(int(time.time()))
    secret = base64.b64decode(key.removeprefix("whsec_"))
    message = f"{name}.{stamp}.".encode() + body
    digest = hmac.new(secret, message, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return [
        ("webhook-id", name),
        ("webhook-timestamp", stamp),
        ("webhook-signature", signature),
    ]


def standard_key() -> str:
    """A fresh Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
