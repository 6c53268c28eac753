# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun: routes post mail (``forward()``, ``store()``), webhooks post events.

A route posts a form and an event webhook JSON, so either is known for what it is at
any address.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product

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
from odoo.addons.mail_bridge.providers.check import Check
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    OutgoingMail,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.forms import UploadFile, encode_form, reduce_form
from odoo.addons.mail_bridge.providers.mime import MailParts, split_mime
from odoo.addons.mail_bridge.providers.original import ORIGINAL, original_at
from odoo.addons.mail_bridge.providers.payload import content_digest, read_object
from odoo.addons.mail_bridge.providers.services import OwnAddresses, Purpose
from odoo.addons.mail_bridge.providers.suppression import (
    Suppression,
    SuppressionReason,
)

from . import checking, const, history, registration, sending, suppressions
from .events import read_webhook
from .post import MailgunPost

#: Timestamp, token and signature.
Proof = tuple[bytes, ...]


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
    supports = frozenset(("inbound", "events", "send"))
    services_need = (const.API_KEY,)
    offers = frozenset(
        (
            "register_events",
            "register_inbound",
            "suppressions",
            "suppress",
            "history",
            "domain_records",
        )
    )

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Check the HMAC-SHA256 over timestamp and token (the body is not covered)."""
        keys = account.secrets.get(const.SIGNING_KEY)
        # not the exception itself: it would hold the post in a cycle
        proven, failure = False, "there is no proof"
        for proof in _proofs(request):
            try:
                self._check(proof, keys, request.received_at)
                proven = True
            except SignatureError as error:
                failure = str(error)
        if not proven:
            raise SignatureError(failure)

    def _check(
        self, proof: Proof, keys: Sequence[str] | None, received_at: datetime
    ) -> None:
        timestamp, token, signature = proof
        seconds = signing.parse_timestamp(timestamp.decode("latin-1"))
        signing.require_hex_hmac(keys, timestamp + token, signature)
        signing.require_fresh(seconds, received_at, self.retry_horizon)

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return Mailgun's one-time token; all of them where it is in doubt."""
        tokens = sorted({token for _timestamp, token, _signature in _proofs(request)})
        if len(tokens) == 1 and re.fullmatch(const.TOKEN, tokens[0]):
            return tokens[0].decode("ascii")
        return "sha256:" + digest(*tokens)

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash all fields but the proof, whatever their order."""
        if _is_json(request):
            return content_digest(request.json, skip=frozenset(const.JSON_PROOFS))
        parts = request.form.parts
        return digest(*sorted(p.digest() for p in parts if p.name not in const.SIGNED))

    def missing(
        self, request: WebhookRequest, account: AccountFacts
    ) -> list[FetchRequest]:
        """Return the stored original of a ``store(notify=…)`` post.

        Without an API key nothing can be fetched: the posted parts serve.
        """
        api_key = account.secret(const.API_KEY)
        url = "" if _is_json(request) else MailgunPost(request).stored_url
        if not url or not api_key:
            return []
        accept = ("Accept", "message/rfc2822")
        found = original_at(
            url, const.STORED_URL, api_key, tries=const.TRIES, headers=(accept,)
        )
        if not found:
            raise PayloadError("message-url does not point to Mailgun's storage")
        return [found]

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail | DeliveryEvent]:
        """Return the one mail of a post, as raw as it came, or the events of it."""
        if _is_json(request):
            return read_webhook(request.json, request.received_at)
        post = MailgunPost(request, bool(account.options.get("trust_verdicts")))
        if stored := _stored_mime(fetched.get(ORIGINAL, b"")):
            return [post.original(*stored)]
        raw = post.raw_mime()
        if raw is not None:
            return [post.original(raw, cut=request.truncated)]
        has_key = account.secret(const.API_KEY)
        return [post.rebuilt(const.NOT_FETCHED if has_key else const.NO_API_KEY)]

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the form without its files and with long fields shortened."""
        if _is_json(request):
            return bytes(request.body[: const.MAX_EVENT])  # all that is verified
        content_type = request.header("Content-Type")
        return reduce_form(content_type, request.form, const.REDUCED_KEEP)

    def send(self, mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
        """Hand a mail over as it is; it is taken for all recipients or for none."""
        return sending.send(mail, account)

    def find(self, mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
        """Ask for the events of a Message-ID, of the last 15 minutes."""
        return history.find(mail, account)

    def check(self, account: AccountFacts) -> Check:
        """Ask for the domain's state."""
        return checking.check(account)

    def register(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> None:
        """Enter our address among the domain's webhooks, or as a route of its mail."""
        if purpose == "inbound":
            url = f"{addresses.url}{const.MIME_PATH}"
            registration.register_route(account, url, addresses.reference)
        else:
            url, *retired = _events_urls(addresses)
            registration.register_webhooks(account, url, retired)

    def unregister(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> int:
        """Remove our addresses from the domain's webhooks, or our route."""
        if purpose == "inbound":
            return registration.unregister_route(account, addresses.reference)
        return registration.unregister_webhooks(account, _events_urls(addresses))

    def suppressions(self, account: AccountFacts) -> Iterator[Suppression]:
        """Yield the domain's three lists."""
        for reason in suppressions.LISTS:
            yield from suppressions.suppressions(account, reason)

    def suppress(self, account: AccountFacts, items: Iterable[Suppression]) -> None:
        """Enter addresses, each in the list of its reason."""
        suppressions.add_suppressions(account, items)

    def unsuppress(
        self, account: AccountFacts, address: str, reason: SuppressionReason
    ) -> bool:
        """Take an address off the list of a reason."""
        return suppressions.remove_suppression(account, address, reason)

    def domain_records(
        self, account: AccountFacts, domain: str
    ) -> list[checking.DomainRecord]:
        """Return the records that Mailgun wants a domain to publish."""
        return checking.domain_records(account, domain)

    def history(
        self, account: AccountFacts, begin: datetime, end: datetime
    ) -> tuple[list[DeliveryEvent], datetime]:
        """Read the domain's events."""
        return history.events_between(account, begin, end)

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


def _events_urls(addresses: OwnAddresses) -> list[str]:
    urls = (addresses.url, *addresses.retired)
    return [f"{url}{const.EVENTS_PATH}" for url in urls]


def _is_json(request: WebhookRequest) -> bool:
    return request.content_type == "application/json"


def _proofs(request: WebhookRequest) -> list[Proof]:
    """Return each timestamp, token and signature that may belong together.

    A header of the mail that is called like one of them is posted beside it, and only
    the key tells which one is Mailgun's.

    :raises SignatureError: one is missing, too long, or stands there too often.
    """
    try:
        if _is_json(request):
            return list(_signature_blocks(request))
        named = [request.form.named(name) for name in const.PROOF]
    except PayloadError as error:
        raise SignatureError(str(error)) from None
    if not all(0 < len(parts) <= const.MAX_PROOFS for parts in named):
        raise SignatureError("the proof is missing, or stands there too often")
    if any(part.size > const.MAX_PROOF for parts in named for part in parts):
        raise SignatureError("the proof is too long")
    return list(product(*([part.content for part in parts] for parts in named)))


def _signature_blocks(request: WebhookRequest) -> Iterator[Proof]:
    """Yield the proofs of an event webhook: its own, and the account's above it."""
    if len(request.body) > const.MAX_EVENT:
        raise PayloadError("no event is as large as this")
    for place in const.JSON_PROOFS:
        block = request.json.get(place)
        if block is None and place == const.PARENT:
            continue
        names = const.PROOF if isinstance(block, dict) else ()
        values = [block.get(name) for name in names]
        if list(map(type, values)) != [str, str, str]:
            raise PayloadError("the signature block is malformed")
        yield tuple(value.encode("utf-8", "surrogatepass") for value in values)


def _stored_mime(answer: bytes) -> tuple[bytes, tuple[str, ...]] | None:
    """Return the mail in the answer of the Messages API, and what is doubtful of it."""
    try:
        mime = read_object(answer).get("body-mime")
    except PayloadError:
        return None
    if not isinstance(mime, str) or not mime.strip():
        return None
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
