# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What happens to a post at the door: refuse early, verify, store, answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import psycopg2
from psycopg2 import errors

from odoo import fields

from odoo.addons.mail_bridge_guard.door import BodyTooLarge, Exchange
from odoo.addons.mail_bridge_guard.redaction import mask_path

from .const import CEILING_FACTOR, CONFLICT_TRIES
from .door_account import DoorAccount, is_allowed, provider_facts
from .exceptions import MailBridgeError, SignatureError
from .keyring import KeyRingError
from .models.mail_bridge_secret import token_digest
from .providers.base import (
    AccountFacts,
    Answer,
    ProviderAdapter,
    WebhookRequest,
    digest,
    utcnow,
)

_logger = logging.getLogger(__name__)

TOO_LARGE = Answer(413, b"too large\n")


@dataclass
class Candidate:
    """An account that a post may be for; ``trouble`` is why it cannot take one now."""

    account: DoorAccount
    facts: AccountFacts | None
    trouble: str = ""

    @property
    def secrets(self) -> list[str]:
        """All live secret values of the account."""
        facts = self.facts or AccountFacts()
        return [value for live in facts.secrets.values() for value in live]


class Refusal(Exception):
    """The post ends here with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Reception:
    """One post. ``env`` is the superuser's; nothing is read before it may be."""

    def __init__(self, env, adapter: ProviderAdapter, http, token: str | None) -> None:
        self.env = env
        self.accounts = env["mail.bridge.account"]
        self.adapter = adapter
        self.http = http
        self.token = token

    def answer(self, exchange: Exchange) -> Answer:
        """Return what to say; whatever is acknowledged is committed."""
        probe = self._probe()
        if probe:
            return probe
        try:
            candidates = self._candidates()
            request = self._read(exchange, candidates)
            candidate = self._verify(request, candidates)
            return self._store(request, candidate)
        except Refusal as refusal:
            self.env.cr.commit()  # a sampled notice
            return refusal.answer

    def _probe(self) -> Answer | None:
        """Answer everything that is no post."""
        method = self.http.method
        if method == "POST":
            return None
        if method in ("GET", "HEAD") and self.adapter.probes_url:
            return Answer(200)
        return Answer(405, b"POST only\n", headers=(("Allow", "POST"),))

    # --- Whose post is it ---

    def _candidates(self) -> list[Candidate]:
        """Return the accounts a post at this address may be for, before its body."""
        known = self.accounts._door_accounts(self.adapter.code)
        named = self._by_token(known) if self.token else self._without_token(known)
        remote_addr = self.http.remote_addr or ""
        allowed = [item for item in named if is_allowed(item.networks, remote_addr)]
        if not allowed:
            raise Refusal(self.adapter.answers.rejected)
        return [self._candidate(account) for account in allowed]

    def _by_token(self, known: Iterable[DoorAccount]) -> list[DoorAccount]:
        """Return the account of an address; tell of one that was replaced long ago."""
        token_hash = token_digest(self.token)
        for account in known:
            if token_hash in account.addresses:
                valid_until = account.addresses[token_hash]
                if valid_until and valid_until < fields.Datetime.now():
                    self._later(account, "retired_token")
                return [account]
        return []

    def _without_token(self, known: Iterable[DoorAccount]) -> list[DoorAccount]:
        """Return all accounts that may be named by a signature or by the network."""
        return [
            account
            for account in known
            if not account.require_token
            and (self.adapter.names_account or account.networks)
        ]

    def _candidate(self, account: DoorAccount) -> Candidate:
        """Return an account with what the adapter needs to verify a post."""
        try:
            return Candidate(account, account.facts(lambda: self._decrypt(account)))
        except KeyRingError as error:
            return Candidate(account, None, str(error))

    def _decrypt(self, account: DoorAccount) -> AccountFacts:
        stored = self.env["mail.bridge.secret"]._decrypt(
            self.accounts._name, account.id, account.secrets
        )
        given = self.accounts._outside_secrets(account.reference)
        return provider_facts(account.code, stored | given)

    # --- What it says ---

    def _read(self, exchange: Exchange, candidates: list[Candidate]) -> WebhookRequest:
        limit = max(candidate.account.body_limit for candidate in candidates)
        try:
            body = exchange.read_body(limit, CEILING_FACTOR * limit)
        except BodyTooLarge:
            raise Refusal(TOO_LARGE) from None
        return WebhookRequest(
            method=self.http.method,
            path=mask_path(self.http.path).replace("\0", ""),
            headers=tuple(self.http.headers),
            body=body.data,
            remote_addr=self.http.remote_addr or "",
            received_at=utcnow(),
            truncated=body.oversized,
            size=body.size,
        )

    def _verify(
        self, request: WebhookRequest, candidates: list[Candidate]
    ) -> Candidate:
        """Return the one account whose keys, or whose address, prove the post."""
        proven = [item for item in candidates if self._is_proven(request, item)]
        if len(proven) == 1:
            return self._ready(proven[0])
        live = [item for item in proven if item.account.state != "disabled"]
        if len(live) == 1:
            return self._ready(live[0])
        if proven:
            self._later(proven[0].account, "ambiguous")
        locked = [item for item in candidates if item.trouble]
        if locked:
            self._later(locked[0].account, "key_ring", locked[0].trouble)
        if len(candidates) == 1:
            self._notice(candidates[0].account, "signature")
        raise Refusal(TOO_LARGE if request.truncated else self.adapter.answers.rejected)

    def _is_proven(self, request: WebhookRequest, candidate: Candidate) -> bool:
        if candidate.facts is None:
            return False
        try:
            self.adapter.verify(request, candidate.facts)
        except SignatureError:
            return False
        return True

    def _ready(self, candidate: Candidate) -> Candidate:
        if candidate.account.state == "disabled":
            self._later(candidate.account, "disabled")
        return candidate

    # --- Keep it ---

    def _store(self, request: WebhookRequest, candidate: Candidate) -> Answer:
        request = self._reduced(request)
        try:
            dedupe_key = self.adapter.dedupe_key(request)
            content_hash = self.adapter.content_hash(request)
        except MailBridgeError:  # genuine, but broken: kept as a dead letter
            dedupe_key = content_hash = digest(bytes(request.body))
        reference, outcome = self._insert(request, candidate, dedupe_key, content_hash)
        if outcome == "altered":
            self._notice(candidate.account, "replay", reference)
            raise Refusal(self.adapter.answers.rejected)
        if outcome == "new":
            self._wake()
        return self.adapter.stored_answer(reference)

    def _wake(self) -> None:
        """Call the drains; the post stands already, and their next round finds it."""
        try:
            self.env["mail.bridge.intake"]._wake()
        except psycopg2.Error:
            self.env.cr.rollback()
            _logger.warning("the drains could not be woken", exc_info=True)

    def _reduced(self, request: WebhookRequest) -> WebhookRequest:
        """Return the request as it is stored: an oversized one without its content."""
        if not request.truncated:
            return request
        return replace(request, body=self.adapter.reduce(request))

    def _insert(
        self, request: WebhookRequest, candidate: Candidate, key: str, content: str
    ) -> tuple[str, str]:
        """Insert and commit; one that came at the same instant is found next time."""
        account = candidate.account
        secrets = [value for value in (*candidate.secrets, self.token) if value]
        for _ in range(CONFLICT_TRIES):
            try:
                result = self.env["mail.bridge.intake"]._store_request(
                    account.id, account.company_id, request, key, content, secrets
                )
                self.env.cr.commit()
                return result
            except errors.SerializationFailure:
                self.env.cr.rollback()
        raise Refusal(self.adapter.answers.try_again)

    # --- Tell ---

    def _notice(self, account: DoorAccount, kind: str, detail: str = "") -> None:
        """Write a sampled notice; a conflict is never left to Odoo's own retry.

        That one would read the body again, which is gone.
        """
        for _ in range(CONFLICT_TRIES):
            try:
                return self.env["mail.bridge.notice"]._record(account.id, kind, detail)
            except errors.SerializationFailure:
                self.env.cr.rollback()

    def _later(self, account: DoorAccount, kind: str, detail: str = "") -> None:
        """Known, but not now: the provider keeps the mail, somebody is told."""
        self._notice(account, kind, detail)
        raise Refusal(self.adapter.answers.try_again)
