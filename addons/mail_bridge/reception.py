# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What happens to a post at the door: refuse early, verify, store, answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg2
from psycopg2 import errors

from odoo import fields

from odoo.addons.mail_bridge_guard.door import BodyTooLarge, Exchange
from odoo.addons.mail_bridge_guard.redaction import mask_path

from .const import CEILING_FACTOR, CEILING_FLOOR_BYTES, CONFLICT_TRIES
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
    """An account that a post may be for.

    ``obstacle`` is the notice of why it cannot take one now, even a proven one, ``""``
    if it can. ``facts`` is ``None`` where the secrets cannot be read, ``trouble`` why.
    """

    account: DoorAccount
    obstacle: str
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
        allowed = [account for account in named if self._is_allowed(account)]
        if not allowed:
            self._refuse_network(named)
        # a signature proves a post in spite of its network, and then it is known
        wanted = named if self.adapter.names_account else allowed
        return [self._candidate(account) for account in wanted]

    def _is_allowed(self, account: DoorAccount) -> bool:
        return is_allowed(account.networks, self._remote_addr)

    @property
    def _remote_addr(self) -> str:
        return self.http.remote_addr or ""

    def _refuse_network(self, named: list[DoorAccount]) -> None:
        """End a post that no account takes from where it comes.

        With a token the account is known, and the mail may be genuine: the provider's
        network has changed, or our own proxy hides it.
        """
        for account in named:
            if self.token or self._obstacle(account) == "network":
                self._notice(account, "network", self._remote_addr)
        answers = self.adapter.answers
        raise Refusal(answers.try_again if named and self.token else answers.rejected)

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
            if self.adapter.names_account
            or (account.networks and not account.require_token)
        ]

    def _candidate(self, account: DoorAccount) -> Candidate:
        """Return an account with what the adapter needs to verify a post."""
        obstacle = self._obstacle(account)
        try:
            facts = account.facts(lambda: self._decrypt(account))
        except KeyRingError as error:
            return Candidate(account, obstacle, None, str(error))
        return Candidate(account, obstacle, facts)

    def _obstacle(self, account: DoorAccount) -> str:
        """Return the notice of why an account takes no post now, or ``""``."""
        if account.state == "disabled":
            return "disabled"
        if account.require_token and not self.token:
            return "address"
        return "" if self._is_allowed(account) else "network"

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
            ceiling = max(CEILING_FACTOR * limit, CEILING_FLOOR_BYTES)
            body = exchange.read_body(limit, ceiling)
        except BodyTooLarge:
            raise Refusal(TOO_LARGE) from None
        return WebhookRequest(
            method=self.http.method,
            path=mask_path(self.http.path).replace("\0", ""),
            headers=tuple(self.http.headers),
            body=body.data,
            remote_addr=self._remote_addr,
            received_at=utcnow(),
            truncated=body.oversized,
            size=body.size,
        )

    def _verify(
        self, request: WebhookRequest, candidates: list[Candidate]
    ) -> Candidate:
        """Return the one account whose keys, or whose address, prove the post."""
        proven = [item for item in candidates if self._is_proven(request, item)]
        live = [item for item in proven if not item.obstacle]
        if len(live) == 1:
            return live[0]
        if live:
            self._later(live[0].account, "ambiguous")
        if proven:
            self._held_up(proven[0])
        self._unproven(candidates)
        raise Refusal(TOO_LARGE if request.truncated else self.adapter.answers.rejected)

    def _held_up(self, candidate: Candidate) -> None:
        """End a proven post that its account takes no more, or not from there."""
        is_network = candidate.obstacle == "network"
        detail = self._remote_addr if is_network else ""
        self._later(candidate.account, candidate.obstacle, detail)

    def _unproven(self, candidates: list[Candidate]) -> None:
        """Tell whom it may concern; where it may be our own fault, ask for a retry."""
        for item in candidates:
            if item.facts is None:
                self._later(item.account, "key_ring", item.trouble)
        concerned = [item for item in candidates if self.token or not item.obstacle]
        for item in concerned:
            if self._lacks_key(item):
                self._later(item.account, item.obstacle or "no_key")
        for item in concerned:
            self._notice(item.account, "signature")

    def _lacks_key(self, candidate: Candidate) -> bool:
        """Tell whether an account that only a signature proves has nothing to check."""
        if not self.adapter.names_account or candidate.facts is None:
            return False
        names = self.adapter.signing_secrets
        return not all(candidate.facts.secret(name) for name in names)

    def _is_proven(self, request: WebhookRequest, candidate: Candidate) -> bool:
        if candidate.facts is None:
            return False
        try:
            self.adapter.verify(request, candidate.facts)
        except SignatureError:
            return False
        return True

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
        """Call the drains; the post stands already, and their next round finds it.

        Whatever goes wrong here, an answer but *stored* would be a lie.
        """
        try:
            self.env["mail.bridge.intake"]._wake()
        except Exception:
            _logger.warning("the drains could not be woken", exc_info=True)
            with suppress(psycopg2.Error):
                self.env.cr.rollback()

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
        """Write and commit a sampled notice; one that always meets others is left out.

        A conflict is not left to Odoo's own retry, which would do the whole post anew.
        """
        for _ in range(CONFLICT_TRIES):
            try:
                self.env["mail.bridge.notice"]._record(account.id, kind, detail)
                return self.env.cr.commit()
            except errors.SerializationFailure:
                self.env.cr.rollback()

    def _later(self, account: DoorAccount, kind: str, detail: str = "") -> None:
        """Known, but not now: the provider keeps the mail, somebody is told."""
        self._notice(account, kind, detail)
        raise Refusal(self.adapter.answers.try_again)
