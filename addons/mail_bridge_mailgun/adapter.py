# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's routes: ``forward()`` as fields or raw MIME, and ``store(notify=…)``."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from odoo.addons.mail_bridge.exceptions import PayloadError, SignatureError
from odoo.addons.mail_bridge.providers import signing
from odoo.addons.mail_bridge.providers.base import (
    PLAIN_ANSWERS,
    AccountFacts,
    FetchRequest,
    InboundMail,
    ProviderAdapter,
    SamplePost,
    WebhookRequest,
    digest,
)
from odoo.addons.mail_bridge.providers.forms import UploadFile, encode_form, reduce_form
from odoo.addons.mail_bridge.providers.mime import MailParts, split_mime
from odoo.addons.mail_bridge.providers.payload import content_digest, read_object

from . import const
from .post import MailgunPost

#: Name of the stored original among the fetched results.
FETCHED = "message"


class MailgunAdapter(ProviderAdapter):
    """Signed forms, one post for each matching route."""

    code = "mailgun"
    label = "Mailgun"
    docs_url = const.DOCS_URL
    reviewed_on = const.REVIEWED_ON
    # Never 406: Mailgun drops the mail for good on it.
    answers = PLAIN_ANSWERS
    signing_secrets = (const.SIGNING_KEY,)
    retry_horizon = const.RETRY_HORIZON
    names_account = True

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Check the HMAC-SHA256 over timestamp and token (the body is not covered)."""
        try:
            timestamp, token, signature = _proof(request)
        except PayloadError as error:
            raise SignatureError(str(error)) from None
        seconds = signing.parse_timestamp(timestamp.decode("latin-1"))
        keys = account.secrets.get(const.SIGNING_KEY)
        signing.require_hex_hmac(keys, timestamp + token, signature)
        signing.require_fresh(seconds, request.received_at, self.retry_horizon)

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return Mailgun's one-time token."""
        token = _proof(request)[1]
        if re.fullmatch(const.TOKEN, token):
            return token.decode("ascii")
        return "sha256:" + digest(token)

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash all fields but the proof, whatever their order."""
        if _is_json(request):
            return content_digest(request.json, skip=frozenset({"signature"}))
        parts = [part for part in request.form.parts if part.name not in const.PROOF]
        return digest(*sorted(part.digest() for part in parts))

    def missing(
        self, request: WebhookRequest, account: AccountFacts
    ) -> list[FetchRequest]:
        """Return the stored original of a ``store(notify=…)`` post.

        Without an API key nothing can be fetched: the posted parts serve.
        """
        api_key = account.secret(const.API_KEY)
        url = "" if _is_json(request) else MailgunPost(request).stored_url()
        if not url or not api_key:
            return []
        region = account.options.get("region")
        host = _storage_host(url, region if isinstance(region, str) else "us")
        return [
            FetchRequest(
                name=FETCHED,
                url=url,
                hosts=(host,),
                auth=("api", api_key),
                headers=(("Accept", "message/rfc2822"),),
            )
        ]

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail]:
        """Return the one mail of a post, as raw as it came."""
        if _is_json(request):
            raise PayloadError(const.WRONG_ADDRESS)
        post = MailgunPost(request)
        trusted = bool(account.options.get("trust_verdicts"))
        if FETCHED in fetched:
            mime, notes = _stored_mime(fetched[FETCHED])
            return [post.original(mime, trusted, notes)]
        raw = post.raw_mime()
        if raw is not None:
            return [post.original(raw, trusted, cut=request.truncated)]
        return [post.rebuilt(trusted)]

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the form without its files and with long fields shortened."""
        if _is_json(request):
            return bytes(request.body[:])  # verified, so it is small
        return reduce_form(
            request.header("Content-Type"),
            request.form,
            const.REDUCED_KEEP,
            const.REDUCED_FIELD,
            const.REDUCED_TOTAL,
        )

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
        raw: bool = False,
    ) -> SamplePost:
        """Return a post as a route's ``forward()`` makes it.

        :param raw: as to an address that ends in ``mime``.
        """
        timestamp, token = str(signing.unix_time(now)), secrets.token_hex(25)
        key = account.secret(const.SIGNING_KEY) or ""
        proof = {
            "timestamp": timestamp,
            "token": token,
            "signature": signing.hex_hmac(key, timestamp.encode(), token.encode()),
        }
        envelope = {"recipient": recipient, "sender": sender}
        fields: list[tuple[str, str | bytes]] = [*envelope.items(), *proof.items()]
        files: list[UploadFile] = []
        if raw:
            fields.append(("body-mime", mime))
        else:
            files = _posted_parts(split_mime(mime), fields)
        content_type, body = encode_form(fields, files)
        return SamplePost((("Content-Type", content_type),), body)


def _is_json(request: WebhookRequest) -> bool:
    return request.content_type == "application/json"


def _proof(request: WebhookRequest) -> tuple[bytes, ...]:
    """Return timestamp, token and signature, each of which was posted exactly once.

    :raises PayloadError: one is missing, repeated or no text.
    """
    if not _is_json(request):
        return tuple(map(request.form.single, const.PROOF))
    if len(request.body) > const.MAX_EVENT:
        raise PayloadError("no mail comes as JSON")
    block = request.json.get("signature")
    values = (
        [block.get(name) for name in const.PROOF] if isinstance(block, dict) else []
    )
    if list(map(type, values)) != [str, str, str]:
        raise PayloadError("the signature block is malformed")
    return tuple(value.encode("utf-8", "surrogatepass") for value in values)


def _storage_host(url: str, region: str) -> str:
    """Return the host of a stored mail.

    The API key goes there, so the whole URL must be what Mailgun writes.

    :raises PayloadError: it is not.
    """
    hosts = const.STORAGE_HOSTS.get(region, const.STORAGE_HOSTS["us"])
    found = re.fullmatch(
        rf"https://(?P<host>{hosts}){const.STORED_PATH}", url, re.ASCII
    )
    if not found:
        raise PayloadError("message-url does not point to Mailgun's storage")
    return found["host"]


def _stored_mime(answer: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the mail in the answer of the Messages API, and what is doubtful of it."""
    mime = read_object(answer).get("body-mime")
    if not isinstance(mime, str):
        raise PayloadError("the stored mail has no body-mime")
    damaged = "\ufffd" in mime or re.search("[\ud800-\udfff]", mime)
    data = mime.encode("utf-8", "surrogatepass")
    return data, (const.REENCODED,) if damaged else ()


def _posted_parts(
    parts: MailParts, fields: list[tuple[str, str | bytes]]
) -> list[UploadFile]:
    """Add the fields that Mailgun makes of a mail, and return its files."""
    fields += [
        *parts.headers,
        ("from", parts.header("from")),
        ("subject", parts.header("subject")),
        ("body-plain", parts.text or ""),
        ("stripped-text", parts.text or ""),
        ("message-headers", json.dumps(parts.headers)),
    ]
    if parts.html:
        fields.append(("body-html", parts.html))
    named = {f"attachment-{n}": item for n, item in enumerate(parts.attachments, 1)}
    if named:
        ids = {f"<{i.content_id}>": name for name, i in named.items() if i.content_id}
        fields.append(("attachment-count", str(len(named))))
        fields.append(("content-id-map", json.dumps(ids)))
    return [
        UploadFile(name, item.filename, item.content_type, item.content)
        for name, item in named.items()
    ]
