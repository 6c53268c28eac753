# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A provider that exists on this machine alone, for demonstrations and for tests."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from odoo.addons.mail_bridge.exceptions import (
    PayloadError,
    PermanentError,
    SignatureError,
)
from odoo.addons.mail_bridge.providers import envelope, signing
from odoo.addons.mail_bridge.providers.base import (
    PLAIN_ANSWERS,
    AccountFacts,
    AuthenticationVerdicts,
    InboundMail,
    ProviderAdapter,
    SamplePost,
    SpamVerdict,
    WebhookRequest,
    digest,
)
from odoo.addons.mail_bridge.providers.check import Check, CheckStep
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    OutgoingMail,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.payload import content_digest, reduce_json

from . import const, events, sending

NO_VERDICTS = AuthenticationVerdicts()
NO_SPAM = SpamVerdict()


class DemoAdapter(ProviderAdapter):
    """Signed JSON; knows verdicts, spam and every event, so that each screen has its
    case. It takes mail to send, and sends nothing.
    """

    code = "demo"
    label = "Simulator"
    docs_url = const.DOCS_URL
    reviewed_on = const.REVIEWED_ON
    answers = PLAIN_ANSWERS
    signing_secrets = (const.SIGNING_KEY,)
    retry_horizon = const.RETRY_HORIZON
    names_account = True
    supports = frozenset(("inbound", "events", "send"))

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Check the signature over id, timestamp and body."""
        stamp, post_id = _header(request, const.TIMESTAMP), _post_id(request)
        signature = _header(request, const.SIGNATURE).encode("utf-8", "replace")
        seconds = signing.parse_timestamp(stamp)
        message = f"{post_id}.{stamp}.".encode() + bytes(request.body[:])
        keys = account.secrets.get(const.SIGNING_KEY)
        signing.require_hex_hmac(keys, message, signature)
        signing.require_fresh(seconds, request.received_at, self.retry_horizon)

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return the id of the post, which is signed."""
        return _post_id(request)

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash all values, whatever their order; what is no JSON, as it is."""
        try:
            return content_digest(request.json)
        except PayloadError:
            return digest(bytes(request.body[:]))

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail | DeliveryEvent]:
        """Return the one mail of a post, or its events."""
        post = request.json
        if "events" in post:
            return events.read(post["events"])
        mime = _mime(post.get("mime"))
        verdicts, spam = _mapping(post, "verdicts"), _mapping(post, "spam")
        return [
            InboundMail(
                mime=mime,
                envelope_sender=envelope.sender(_text(post, "sender")),
                envelope_recipients=envelope.recipients([_text(post, "recipient")]),
                provider_reference=_post_id(request),
                is_original=not request.truncated,
                truncated=request.truncated,
                size=request.size if request.truncated else len(mime),
                verdicts=AuthenticationVerdicts(
                    spf=_word(verdicts, "spf"),
                    dkim=_word(verdicts, "dkim"),
                    dmarc=_word(verdicts, "dmarc"),
                    source="simulator" if verdicts else "",
                ),
                spam=_spam(spam),
            )
        ]

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the JSON with its long strings cut."""
        return reduce_json(request.body)

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
        verdicts: AuthenticationVerdicts = NO_VERDICTS,
        spam: SpamVerdict = NO_SPAM,
    ) -> SamplePost:
        """Return a signed post.

        :param verdicts: what the simulator claims to know of the sender.
        :param spam: what it thinks of the mail.
        """
        post: dict[str, Any] = {
            "sender": sender,
            "recipient": recipient,
            "mime": base64.b64encode(mime).decode("ascii"),
        }
        if verdicts.known:
            words = {name: getattr(verdicts, name) for name in ("spf", "dkim", "dmarc")}
            post["verdicts"] = words
        if spam.flagged is not None:
            post["spam"] = {"flagged": spam.flagged, "score": spam.score or 0}
        return self.sign(json.dumps(post).encode("ascii"), account, now)

    def compose_events(
        self,
        told: Iterable[DeliveryEvent],
        account: AccountFacts,
        now: datetime | None = None,
    ) -> SamplePost:
        """Return a signed post with events."""
        body = json.dumps({"events": events.as_json(told)}).encode("ascii")
        return self.sign(body, account, now)

    def send(self, mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
        """Say that the mail was taken, or what its addresses ask for; send nothing."""
        return sending.receipt(mail)

    def find(self, mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
        """The simulator remembers nothing."""
        raise PermanentError("the simulator does not remember what it has taken")

    def check(self, account: AccountFacts) -> Check:
        """There is nobody who could refuse."""
        return Check((CheckStep("api", "simulator", 0.0),))

    @staticmethod
    def sign(
        body: bytes, account: AccountFacts, now: datetime | None = None
    ) -> SamplePost:
        """Return a genuine post with any body."""
        post_id, stamp = secrets.token_hex(16), str(signing.unix_time(now))
        key = account.secret(const.SIGNING_KEY) or ""
        signature = signing.hex_hmac(key, f"{post_id}.{stamp}.".encode(), body)
        return SamplePost(
            (
                ("Content-Type", "application/json"),
                (const.POST_ID, post_id),
                (const.TIMESTAMP, stamp),
                (const.SIGNATURE, signature),
            ),
            body,
        )


def _header(request: WebhookRequest, name: str) -> str:
    """Return a header that must stand there once.

    :raises SignatureError: it does not.
    """
    values = [value for key, value in request.headers if key.lower() == name.lower()]
    if len(values) != 1:
        raise SignatureError(f"{name} must stand there once")
    return values[0]


def _post_id(request: WebhookRequest) -> str:
    post_id = _header(request, const.POST_ID)
    if not re.fullmatch(r"[0-9a-f]{32}", post_id):
        raise SignatureError("the post has no usable id")
    return post_id


def _mime(value: object) -> bytes:
    if not isinstance(value, str):
        raise PayloadError("the post holds no mail")
    try:
        mime = base64.b64decode(value.encode("ascii", "replace"), validate=True)
    except binascii.Error:
        raise PayloadError("the mail is not base64") from None
    if not mime.strip():
        raise PayloadError("the mail is empty")
    return mime


def _text(post: Mapping[str, object], name: str) -> str:
    value = post.get(name)
    if not isinstance(value, str):
        raise PayloadError(f"{name} is not a text")
    return value


def _mapping(post: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = post.get(name, {})
    if not isinstance(value, dict):
        raise PayloadError(f"{name} is not an object")
    return value


def _word(verdicts: Mapping[str, object], name: str) -> str:
    """Return a result word of RFC 8601, ``""`` where nobody looked."""
    value = verdicts.get(name, "")
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]{0,12}", value):
        raise PayloadError(f"{name} is no verdict")
    return value


def _spam(spam: Mapping[str, object]) -> SpamVerdict:
    flagged, score = spam.get("flagged"), spam.get("score")
    if not isinstance(flagged, bool | None) or isinstance(score, bool):
        raise PayloadError("spam is not judged")
    if not isinstance(score, int | float | None) or abs(score or 0) > 1000:
        raise PayloadError("the spam score is no score")
    return SpamVerdict(flagged, float(score) if score is not None else None)
