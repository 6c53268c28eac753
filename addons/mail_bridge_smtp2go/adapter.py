# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO: sends by its interface, tells by webhooks and when it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from odoo.addons.mail_bridge.providers import signing
from odoo.addons.mail_bridge.providers.base import (
    PLAIN_ANSWERS,
    AccountFacts,
    ProviderAdapter,
    SamplePost,
    WebhookRequest,
    utcnow,
)
from odoo.addons.mail_bridge.providers.check import Check
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    OutgoingMail,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.forms import encode_form
from odoo.addons.mail_bridge.providers.mimescan import scan_header
from odoo.addons.mail_bridge.providers.services import Figure, OwnAddresses, Purpose
from odoo.addons.mail_bridge.providers.suppression import (
    Suppression,
    SuppressionReason,
)

from . import (
    checking,
    const,
    history,
    proof,
    registration,
    sending,
    statistics,
    suppressions,
)
from .events import read_events
from .post import content_hash, read_post, reduce_post


class Smtp2goAdapter(ProviderAdapter):
    """Posts are unsigned: the address and the network prove who posts.

    An account may want more (``webhook_auth``, ``proxy_key``); what it has must be
    right, so ``signing_secrets`` stays empty.
    """

    code = "smtp2go"
    label = "SMTP2GO"
    docs_url = const.DOCS_URL
    reviewed_on = const.REVIEWED_ON
    answers = PLAIN_ANSWERS
    retry_horizon = const.RETRY_HORIZON
    supports = frozenset(("events", "send"))
    services_need = (const.API_KEY,)
    offers = frozenset(
        (
            "register_events",
            "networks",
            "suppressions",
            "suppress",
            "history",
            "statistics",
        )
    )

    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """Check the header that SMTP2GO repeats and a proxy's HMAC, as far as set."""
        if values := account.secrets.get(const.WEBHOOK_AUTH):
            proof.require_authorization(values, request)
        if keys := account.secrets.get(const.PROXY_KEY):
            proof.require_proxy(keys, request, self.retry_horizon)

    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return the hash of the content: no field names a post for sure."""
        return "sha256:" + self.content_hash(request)

    def content_hash(self, request: WebhookRequest) -> str:
        """Hash all values, whatever their order; what cannot be read, as it is."""
        return content_hash(request)

    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[DeliveryEvent]:
        """Return the events of a post, one for each recipient."""
        return list(read_events(read_post(request), request.received_at))

    def reduce(self, request: WebhookRequest) -> bytes:
        """Keep the post with its long values cut."""
        return reduce_post(request)

    def send(self, mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
        """Send by ``/email/mime``, else by ``/email/send``."""
        return sending.send(mail, account)

    def find(self, mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
        """Ask the activity search, by our reference or the Message-ID."""
        return history.find(mail, account)

    def check(self, account: AccountFacts) -> Check:
        """Ask for the permissions of the key."""
        return checking.check(account)

    def register(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> None:
        """Let one webhook of the account post all events to our address."""
        registration.register_webhooks(account, addresses.url, addresses.retired)

    def unregister(
        self, account: AccountFacts, addresses: OwnAddresses, purpose: Purpose
    ) -> int:
        """Remove the webhooks at our addresses."""
        urls = [addresses.url, *addresses.retired]
        return registration.unregister_webhooks(account, urls)

    def networks(self, account: AccountFacts) -> list[str]:
        """Return the addresses of the one name that SMTP2GO publishes."""
        return registration.published_addresses()

    def suppressions(self, account: AccountFacts) -> Iterator[Suppression]:
        """Yield the account's list, the oldest first."""
        return suppressions.suppressions(account)

    def suppress(self, account: AccountFacts, items: Iterable[Suppression]) -> None:
        """Enter addresses one by one."""
        suppressions.add_suppressions(account, items)

    def unsuppress(
        self, account: AccountFacts, address: str, reason: SuppressionReason
    ) -> bool:
        """Lift what stands there for this reason."""
        return suppressions.remove_suppression(account, address, reason)

    def history(
        self, account: AccountFacts, begin: datetime, end: datetime
    ) -> tuple[list[DeliveryEvent], datetime]:
        """Read the activity search."""
        return history.events_between(account, begin, end)

    def statistics(self, account: AccountFacts) -> Mapping[Figure, str]:
        """Return the summary of the billing cycle."""
        return statistics.figures(account)

    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
        form: bool = False,
        **fields: str,
    ) -> SamplePost:
        """Return what SMTP2GO posts when this mail was delivered.

        :param form: as form, which is SMTP2GO's default, not as JSON.
        :param fields: other fields than those of a delivery.
        """
        moment = now or utcnow()
        header = scan_header(mime).root
        reference = header.value(const.REFERENCE_HEADER.lower().encode())
        values = {
            "event": "delivered",
            "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "sendtime": f"{moment:%Y-%m-%dT%H:%M:%S.%f+00:00}",
            "sender": sender,
            "rcpt": recipient,
            "message-id": header.value(b"message-id").decode("latin-1"),
            "message": "250 2.0.0 Ok: queued as 4f7f4b3tWbzKy",
            "host": "mx.example.com [192.0.2.25]",
            "context": "Unavailable",
            const.REFERENCE_HEADER: reference.decode("latin-1"),
            **fields,
        }
        content_type, body = "application/json", json.dumps(values).encode("ascii")
        if form:
            content_type, body = encode_form(list(values.items()))
        headers = [("Content-Type", content_type)]
        if value := account.secret(const.WEBHOOK_AUTH):
            headers.append(("Authorization", proof.authorization(value)))
        if key := account.secret(const.PROXY_KEY):
            headers += proof.proxy_headers(key, body, signing.unix_time(now))
        return SamplePost(tuple(headers), body)
