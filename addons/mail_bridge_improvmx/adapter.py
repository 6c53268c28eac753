# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""ImprovMX's webhooks: JSON, unsigned, with the original behind a URL."""

from __future__ import annotations

import base64
import email.utils
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import signing
from odoo.addons.mail_bridge.providers.base import (
    AccountFacts,
    Answer,
    Answers,
    AuthenticationVerdicts,
    FetchRequest,
    InboundMail,
    ProviderAdapter,
    SamplePost,
    WebhookRequest,
    digest,
)
from odoo.addons.mail_bridge.providers.headers import one_line
from odoo.addons.mail_bridge.providers.mime import Attachment, build_mime, split_mime
from odoo.addons.mail_bridge.providers.original import ORIGINAL, original_at
from odoo.addons.mail_bridge.providers.payload import content_digest, reduce_json

from . import const
from .post import ImprovmxPost


def _answer(status: int, message: str, **more: str) -> Answer:
    body = {"success": status == 200, "message": message, **more}
    return Answer(
        status,
        json.dumps(body).encode("ascii"),
        content_type="application/json",
        headers=(("Retry-After", "60"),) if status == 503 else (),
    )


class ImprovmxAdapter(ProviderAdapter):
    """Nothing is signed: the address and the network prove who posts."""

    code = "improvmx"
    label = "ImprovMX"
    docs_url = const.DOCS_URL
    reviewed_on = const.REVIEWED_ON
    answers = Answers(
        stored=_answer(200, "stored"),
        rejected=_answer(403, "rejected"),
        try_again=_answer(503, "try again"),
    )
    retry_horizon = const.RETRY_HORIZON

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Accept: the caller has checked the address and the network already."""

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return the hash of the content; ImprovMX gives a post no name."""
        return "sha256:" + self.content_hash(request)

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash all values, whatever their order; what is no JSON, as it is."""
        try:
            return content_digest(request.json, skip=const.VOLATILE)
        except PayloadError:
            return digest(bytes(request.body[:]))

    def missing(
        self, request: WebhookRequest, account: AccountFacts
    ) -> list[FetchRequest]:
        """Return the original, where ``raw_url`` is one of ImprovMX's addresses.

        The key goes nowhere else. The parts serve where the original can't be had.
        """
        api_key = account.secret(const.API_KEY)
        if not api_key:
            return []
        url = ImprovmxPost(request.json).raw_url
        found = original_at(url, const.RAW_URL, api_key)
        return [found] if found else []

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail]:
        """Return the one mail of a post."""
        post = ImprovmxPost(request.json)
        original = fetched.get(ORIGINAL, b"")
        verdicts = AuthenticationVerdicts()
        if original.strip():
            mime, truncated = original, False
        else:
            verdicts = post.verdicts()
            if post.raw_url and account.secret(const.API_KEY):
                post.notes.append(const.NOT_FETCHED)
            truncated = request.truncated
            mime = build_mime(post.parts(truncated), request.received_at)
        return [
            InboundMail(
                mime=mime,
                envelope_sender=post.sender(),
                envelope_recipients=post.recipients(),
                provider_reference=one_line(post.text("message-id"))[:256],
                is_original=mime is original,
                truncated=truncated,
                size=request.size if truncated else len(mime),
                verdicts=verdicts,
                notes=tuple(post.notes),
            )
        ]

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the JSON with its long strings cut."""
        return reduce_json(request.body)

    def stored_answer(self, reference: str) -> Answer:
        """Return what ImprovMX's other receivers answer, with our reference."""
        return _answer(200, "stored", email_id=reference)

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
    ) -> SamplePost:
        """Return the JSON that an alias with a webhook posts."""
        parts = split_mime(mime)
        headers: dict[str, list[str]] = {"Delivered-To": [recipient]}
        for name, value in parts.headers:
            headers.setdefault(name.title(), []).append(value)
        inlines = [item for item in parts.attachments if item.content_id]
        others = [item for item in parts.attachments if not item.content_id]
        data = {
            "headers": headers,
            "from": _person(parts.header("from")),
            "to": [_person(item) for item in parts.header("to").split(",")],
            "subject": parts.header("subject"),
            "message-id": parts.header("message-id").strip("<>"),
            "date": parts.header("date"),
            "return-path": {"name": None, "email": sender},
            "timestamp": signing.unix_time(now),
            "text": parts.text,
            "html": parts.html,
            "inlines": [_file(item) for item in inlines],
            "attachments": [_file(item) for item in others],
        }
        content_type = ("Content-Type", "application/json")
        return SamplePost((content_type,), json.dumps(data).encode("ascii"))


def _person(header: str) -> dict[str, str]:
    name, address = email.utils.parseaddr(header)
    return {"name": name, "email": address}


def _file(item: Attachment) -> dict[str, str]:
    posted = {
        "type": item.content_type.partition(";")[0],
        "name": item.filename,
        "encoding": "base64",
        "content": base64.encodebytes(item.content).decode("ascii"),
    }
    return {**posted, "cid": item.content_id} if item.content_id else posted
