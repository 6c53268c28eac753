"""Mails as people write them, and the requests that carry them to each door.

One mail is 4.8 kB of multipart/alternative with 40 HTML paragraphs. Each has a
Message-ID and a sender of its own: Odoo takes more than 20 mails of one sender in two
hours for a loop.
"""

import hashlib
import hmac
import json
import secrets
import time
import xmlrpc.client
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from urllib.parse import urlencode

DOMAIN = "bench.example.com"
RECIPIENT = f"leads@{DOMAIN}"
MEGABYTE = 1024 * 1024
PARAGRAPH = "The delivery of lot {} is planned for week {}, as agreed."


@dataclass(frozen=True)
class Peer:
    """What the doors need to know: where they are and what opens them."""

    host: str
    database: str
    uid: int
    api_key: str
    signing_key: str


@dataclass(frozen=True)
class Mail:
    """One mail by its parts; `message_id` with angle brackets."""

    message_id: str
    sender: str
    subject: str
    text: str
    html: str

    def headers(self) -> list[tuple[str, str]]:
        """The headers in the order of the mail."""
        return [
            ("Received", "from mx.example.net by mx.bench.example.com with ESMTPS"),
            ("From", f"Ada Example <{self.sender}>"),
            ("To", RECIPIENT),
            ("Subject", self.subject),
            ("Date", formatdate()),
            ("Message-Id", self.message_id),
            ("X-Mailer", "Example Mailer 7.2"),
        ]

    def mime(self, attachment: bytes = b"") -> bytes:
        """The mail as a mail server hands it on."""
        message = EmailMessage(policy=SMTP)
        for name, value in self.headers():
            message[name] = value
        message.set_content(self.text)
        message.add_alternative(self.html, subtype="html")
        if attachment:
            kind = {"maintype": "application", "subtype": "octet-stream"}
            message.add_attachment(attachment, filename="plan.bin", **kind)
        return message.as_bytes()


def make_mail() -> Mail:
    """A new mail of a new sender."""
    mark = secrets.token_hex(12)
    lines = [PARAGRAPH.format(n, n % 52 + 1) for n in range(40)]
    return Mail(
        message_id=f"<{mark}@example.net>",
        sender=f"ada.{mark}@example.net",
        subject=f"Delivery plan {mark}",
        text="\n".join(lines[:12]) + "\n",
        html="".join(f"<p>{line}</p>\n" for line in lines),
    )


def make_mails(count: int) -> list[Mail]:
    """`count` new mails."""
    return [make_mail() for _ in range(count)]


# -- requests ---------------------------------------------------------------


def http_post(host: str, path: str, content_type: str, body: bytes) -> bytes:
    """A complete HTTP request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def mailgun_fields(mail: Mail, key: str) -> list[tuple[str, str]]:
    """The fields of Mailgun's `forward()`, signed."""
    timestamp, token = str(int(time.time())), secrets.token_hex(25)
    proof = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256)
    headers = mail.headers()
    return [
        ("recipient", RECIPIENT),
        ("sender", mail.sender),
        ("subject", mail.subject),
        ("from", headers[1][1]),
        *headers,
        ("message-headers", json.dumps(headers)),
        ("body-plain", mail.text),
        ("body-html", mail.html),
        ("stripped-text", mail.text),
        ("stripped-html", mail.html),
        ("stripped-signature", ""),
        ("timestamp", timestamp),
        ("token", token),
        ("signature", proof.hexdigest()),
    ]


def mailgun_post(mail: Mail, peer: Peer, path: str = "/mailgate/mailgun") -> bytes:
    """A mail as Mailgun posts it when it has no attachment."""
    body = urlencode(mailgun_fields(mail, peer.signing_key)).encode()
    return http_post(peer.host, path, "application/x-www-form-urlencoded", body)


def empty_post(mail: Mail, peer: Peer) -> bytes:
    """The same post to the route that does nothing."""
    return mailgun_post(mail, peer, "/bench/empty")


def gateway_call(mail: Mail, peer: Peer) -> bytes:
    """The call of Odoo's shipped mailgate script, with an API key as its password."""
    message = xmlrpc.client.Binary(mail.mime())
    arguments = (
        peer.database, peer.uid, peer.api_key,
        "mail.thread", "message_process", [False, message], {},
    )  # fmt: skip
    body = xmlrpc.client.dumps(arguments, "execute_kw", allow_none=True).encode()
    return http_post(peer.host, "/xmlrpc/2/object", "text/xml", body)


def large_post(peer: Peer, attachment: bytes, raw: bool) -> tuple[bytes, int]:
    """A Mailgun post with one attachment, and how many bytes its body has.

    :param raw: as the route to an address ending in `mime` posts it.
    """
    mail = make_mail()
    fields = mailgun_fields(mail, peer.signing_key)
    path = "/mailgate/mailgun/mime" if raw else "/mailgate/mailgun"
    boundary = secrets.token_hex(16)
    if raw:
        kept = ("recipient", "sender", "timestamp", "token", "signature")
        fields = [item for item in fields if item[0] in kept]
        parts = [_part(boundary, 'name="body-mime"', mail.mime(attachment))]
    else:
        fields.append(("attachment-count", "1"))
        name = 'name="attachment-1"; filename="plan.bin"'
        parts = [_part(boundary, name, attachment)]
    texts = [_part(boundary, f'name="{k}"', v.encode()) for k, v in fields]
    body = b"".join([*texts, *parts, f"--{boundary}--\r\n".encode()])
    kind = f"multipart/form-data; boundary={boundary}"
    return http_post(peer.host, path, kind, body), len(body)


def _part(boundary: str, disposition: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    return head.encode() + b"\r\n" + content + b"\r\n"
