# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Raw mail from senders of one's own: Email Workers, mail servers, scripts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope, signing
from odoo.addons.mail_bridge.providers.base import (
    PLAIN_ANSWERS,
    AccountFacts,
    InboundMail,
    ProviderAdapter,
    SamplePost,
    WebhookRequest,
    digest,
)
from odoo.addons.mail_bridge.providers.forms import decode
from odoo.addons.mail_bridge.providers.headers import one_line
from odoo.addons.mail_bridge.providers.mime import instant, is_timeless

from . import const


class RawAdapter(ProviderAdapter):
    """One mail a post, verbatim.

    The address holds a token always. Where the account has a signing key too, every
    post must be signed; that is the account's choice, so ``signing_secrets`` stays
    empty.
    """

    code = "raw"
    label = "Raw MIME"
    docs_url = const.DOCS_URL
    reviewed_on = const.REVIEWED_ON
    answers = PLAIN_ANSWERS
    retry_horizon = const.RETRY_HORIZON

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Check the Standard Webhooks signature, where the account has a key."""
        keys = account.secrets.get(const.SIGNING_KEY)
        if keys:
            signing.require_standard(
                keys,
                request.headers,
                request.body,
                request.received_at,
                self.retry_horizon,
            )

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return the webhook's id if the post is signed, else the content's hash.

        A device may say the same every day without a date; only what comes at the same
        instant is a repetition then.
        """
        webhook_id = request.header(const.WEBHOOK_ID)
        if not webhook_id or not request.header(const.WEBHOOK_SIGNATURE):
            known = "sha256:" + self.content_hash(request)
            if is_timeless(bytes(request.body[: const.MAX_HEADERS])):
                known += "@" + instant(request.received_at).decode()
            return known
        if re.fullmatch(r"[\w.-]{8,100}", webhook_id, re.ASCII):
            return webhook_id
        return "id-sha256:" + digest(webhook_id.encode("utf-8", "surrogatepass"))

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash mail and envelope; the signature does not cover the envelope."""
        sender = "\n".join(_values(request, const.ENVELOPE_FROM))
        recipients = ",".join(_values(request, const.ENVELOPE_TO)).split(",")
        names = [sender, *sorted(item.strip() for item in recipients)]
        known = [name.encode("utf-8", "surrogatepass") for name in names]
        return digest(bytes(request.body[:]), *known)

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail]:
        """Return the mail as it came."""
        if request.content_type not in const.MEDIA_TYPES:
            raise PayloadError("the content type is not message/rfc822")
        mime = bytes(request.body[:])
        if not mime.strip():
            raise PayloadError("the mail is empty")
        senders = _values(request, const.ENVELOPE_FROM)
        if len(senders) > 1:
            raise PayloadError(f"{const.ENVELOPE_FROM} stands there more than once")
        recipients = _values(request, const.ENVELOPE_TO)
        return [
            InboundMail(
                mime=mime,
                envelope_sender=envelope.sender(senders[0]) if senders else None,
                envelope_recipients=envelope.recipients(recipients)
                if recipients
                else (),
                provider_reference=one_line(request.header(const.WEBHOOK_ID))[:256],
                is_original=not request.truncated,
                truncated=request.truncated,
                size=request.size if request.truncated else len(mime),
            )
        ]

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the header block."""
        start = bytes(request.body[: const.MAX_HEADERS])
        end = re.search(rb"\r?\n\r?\n", start)
        return start[: end.end()] if end else start

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
    ) -> SamplePost:
        """Return a post as the example Worker makes it."""
        headers = [
            ("Content-Type", "message/rfc822"),
            (const.ENVELOPE_FROM, sender),
            (const.ENVELOPE_TO, recipient),
        ]
        key = account.secret(const.SIGNING_KEY)
        if key:
            webhook_id, stamp = f"msg_{secrets.token_hex(16)}", signing.unix_time(now)
            signature = signing.sign_standard(key, webhook_id, stamp, mime)
            headers += [
                (const.WEBHOOK_ID, webhook_id),
                (const.WEBHOOK_TIMESTAMP, str(stamp)),
                (const.WEBHOOK_SIGNATURE, signature),
            ]
        return SamplePost(tuple(headers), mime)


def _values(request: WebhookRequest, name: str) -> list[str]:
    """Return all values of a header; WSGI hands UTF-8 over as Latin-1."""
    values = [v for k, v in request.headers if k.lower() == name.lower()]
    return [
        decode(value.encode("latin-1")) if _is_latin1(value) else value
        for value in values
    ]


def _is_latin1(value: str) -> bool:
    return all(ord(character) < 256 for character in value)
