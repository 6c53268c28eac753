# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The half of the adapter contract that a provider without posts has no answer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from ..exceptions import PayloadError, SignatureError
from .base import (
    PLAIN_ANSWERS,
    AccountFacts,
    InboundMail,
    ProviderAdapter,
    SamplePost,
    WebhookRequest,
)
from .delivery import DeliveryEvent

_NOTHING = "this provider posts nothing"


class SendOnlyAdapter(ProviderAdapter):
    """For a provider that takes mail and never posts, it must implement ``send``.

    The door asks no adapter without ``inbound`` and ``events``; whoever does all the
    same is refused. A replaced credential has no use any more, so none stays live.
    """

    answers = PLAIN_ANSWERS
    retry_horizon = timedelta(0)
    supports = frozenset(("send",))

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Refuse every post."""
        raise SignatureError(_NOTHING)

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Refuse every post."""
        raise PayloadError(_NOTHING)

    def content_hash(self, request: WebhookRequest) -> str:
        """Refuse every post."""
        raise PayloadError(_NOTHING)

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail | DeliveryEvent]:
        """Refuse every post."""
        raise PayloadError(_NOTHING)

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
    ) -> SamplePost:
        """There is nothing to imitate."""
        raise PayloadError(_NOTHING)
