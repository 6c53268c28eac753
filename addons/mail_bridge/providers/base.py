# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The border between the world and the ORM: values and the adapter contract.

Nothing here knows Odoo's ORM, so every adapter is tested without a database.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import ClassVar

from ..exceptions import PayloadError
from .check import Check
from .delivery import DeliveryEvent, OutgoingMail, SendReceipt
from .forms import Form, read_form
from .payload import Json, read_object
from .services import ProviderServices


@dataclass(frozen=True)
class WebhookRequest:
    """One HTTP request as a provider sent it.

    ``path`` is the URL path with the account token masked; ``headers`` keeps order
    and repetition; ``body`` is the exact body, or, where ``truncated``, what
    :meth:`ProviderAdapter.reduce` kept of a body that was too large. ``size`` is the
    number of bytes that arrived. ``received_at`` is an aware UTC time.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    remote_addr: str
    received_at: datetime
    truncated: bool = False
    size: int = 0

    def header(self, name: str, default: str = "") -> str:
        """Return the last value of a header, whatever its case."""
        wanted = name.lower()
        values = [value for key, value in self.headers if key.lower() == wanted]
        return values[-1] if values else default

    @cached_property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @property
    def form(self) -> Form:
        """The body read as a form (bounded; raises ``PayloadError``)."""
        if isinstance(self._form, str):
            raise PayloadError(self._form)
        return self._form

    @cached_property
    def _form(self) -> Form | str:
        """The form, or why the body is none: read once for all accounts at an address.

        Not the exception itself: it would hold the body in a cycle.
        """
        try:
            return read_form(self.header("Content-Type"), self.body)
        except PayloadError as error:
            return str(error)

    @cached_property
    def json(self) -> Json:
        """The body read as a JSON object (strict; raises ``PayloadError``)."""
        return read_object(self.body)


@dataclass(frozen=True)
class AccountFacts:
    """What an adapter may know about the account that a request belongs to.

    ``secrets`` maps a credential's name to its live values, the current one first and
    the previous one behind it while a rotation lasts. ``options`` holds the account's
    plain settings (``trust_verdicts``, …).
    """

    secrets: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)

    def secret(self, name: str) -> str | None:
        """Return the current value of a credential, ``None`` where it is not set."""
        live = self.secrets.get(name) or ()
        return live[0] if live else None


@dataclass(frozen=True)
class Answer:
    """What we say to a provider: an HTTP status, a body and headers."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answers:
    """The three answers that a provider understands (facts/providers.md §0.1).

    ``stored``: never send it again. ``rejected``: this is not for us, do not insist.
    ``try_again``: trouble of ours, repeat it later.
    """

    stored: Answer
    rejected: Answer
    try_again: Answer


#: For providers that look at the status alone and keep a mail on any but success.
PLAIN_ANSWERS = Answers(
    stored=Answer(200, b"OK"),
    rejected=Answer(403, b"rejected"),
    try_again=Answer(503, b"try again", headers=(("Retry-After", "60"),)),
)


@dataclass(frozen=True)
class FetchRequest:
    """Something that a request only points to, to be fetched before it is parsed.

    ``name`` identifies the result for :meth:`ProviderAdapter.parse`; ``url`` was
    checked against the provider's own ``hosts``; ``auth`` is HTTP basic
    (user, password). A fetch that fails for good, or temporarily at each of the first
    ``tries`` tries of the post, is reported to ``parse`` as a missing name.
    """

    name: str
    url: str
    hosts: tuple[str, ...]
    tries: int = 3
    auth: tuple[str, str] | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class AuthenticationVerdicts:
    """What is known about who sent a mail.

    ``spf``, ``dkim``, ``dmarc`` hold RFC 8601 result words (``pass``, ``fail``,
    ``none``, ``temperror``, …) or ``""`` where nobody looked. ``spf_domain`` is the
    domain of the MAIL FROM that SPF judged, ``dkim_domains`` the ``d=`` of each
    signature that passed, ``unthreaded_domains`` those of them whose signature is
    known to leave out what the mail answers. ``source`` says who judged
    (``"mailgun"``, ``"authentication-results mx.example.com"``, ``"own dkim check"``).
    """

    spf: str = ""
    dkim: str = ""
    dmarc: str = ""
    spf_domain: str = ""
    dkim_domains: tuple[str, ...] = ()
    source: str = ""
    unthreaded_domains: tuple[str, ...] = ()

    def for_replies(self) -> AuthenticationVerdicts:
        """Return what is proven of a mail together with what it answers."""
        left_out = set(self.unthreaded_domains)
        kept = tuple(name for name in self.dkim_domains if name not in left_out)
        return replace(self, dkim_domains=kept, unthreaded_domains=())

    @property
    def known(self) -> bool:
        """Whether anybody found out anything; ``none`` says that there was nothing.

        Nor does a key that DNS did not give say anything: a forger would just leave
        the signature out.
        """
        said_nothing = {"", "none"}
        if not self.spf and not self.dmarc:
            said_nothing.add("temperror")
        return any(
            word not in said_nothing for word in (self.spf, self.dkim, self.dmarc)
        )


@dataclass(frozen=True)
class SpamVerdict:
    """The provider's own opinion: flagged or not (``None``: not said), and a score."""

    flagged: bool | None = None
    score: float | None = None


@dataclass(frozen=True)
class InboundMail:
    """One mail, ready for the gateway.

    ``mime`` are RFC 5322 bytes. ``is_original`` says that they are the bytes the
    sender's server sent (a DKIM check means something), not rebuilt from parts.
    ``envelope_sender`` is ``None`` where the provider does not tell and ``""`` for
    the null return-path; empty ``envelope_recipients`` mean that the provider does
    not tell. ``notes`` are sentences about what could not be kept.
    """

    mime: bytes = field(repr=False)
    envelope_sender: str | None = None
    envelope_recipients: tuple[str, ...] = ()
    provider_reference: str = ""
    is_original: bool = False
    truncated: bool = False
    size: int = 0
    stripped_text: str = ""
    spam: SpamVerdict = field(default_factory=SpamVerdict)
    verdicts: AuthenticationVerdicts = field(default_factory=AuthenticationVerdicts)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamplePost:
    """A genuine post made by us, for the test button, the simulator and the tests."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class ProviderAdapter(ProviderServices, ABC):
    """One provider's dialect. A subclass per provider, picked by ``code``.

    Adapters hold no state and know no ORM. Every method takes bytes that an attacker
    may have written: it returns, or raises a class of ``exceptions``, nothing else.
    """

    code: ClassVar[str]
    label: ClassVar[str]
    docs_url: ClassVar[str]
    reviewed_on: ClassVar[date]
    answers: ClassVar[Answers]
    #: Names of the credentials that authenticate a post; empty: the provider signs
    #: nothing, only the address (token) or the network can.
    signing_secrets: ClassVar[tuple[str, ...]] = ()
    #: How long the provider repeats a post; also how long a replaced URL token and a
    #: replaced key stay valid, and the least freshness window.
    retry_horizon: ClassVar[timedelta]
    #: Whether a post without an account token may name its account by its signature.
    names_account: ClassVar[bool] = False
    #: Whether a HEAD or GET must be answered 200 for the provider's URL check.
    probes_url: ClassVar[bool] = False
    #: What an account may be used for: ``inbound``, ``events``, ``send``.
    supports: ClassVar[frozenset[str]] = frozenset(("inbound",))
    #: Whether the provider takes a repeated ``idempotency_key`` for the same sending.
    is_idempotent: ClassVar[bool] = False

    @property
    def takes_posts(self) -> bool:
        """Whether the provider posts to us; else its accounts have no door."""
        return bool(self.supports & {"inbound", "events"})

    @abstractmethod
    def verify(self, request: WebhookRequest, account: AccountFacts) -> None:
        """For a provider that signs, it must check the raw bytes against all live keys.

        Freshness counts against ``request.received_at``.

        :raises SignatureError: missing, malformed, wrong or stale proof.
        """

    @abstractmethod
    def dedupe_key(self, request: WebhookRequest) -> str:
        """Return what is the same for each repetition of one post, and only for it.

        At most 128 ASCII characters. Called after ``verify``.
        """

    @abstractmethod
    def content_hash(self, request: WebhookRequest) -> str:
        """Return a SHA-256 (hex) of the meaningful content.

        It must not depend on the order of fields or on a multipart boundary, so that
        an honest repetition gives the same value and a changed mail another one.
        """

    @abstractmethod
    def parse(
        self,
        request: WebhookRequest,
        fetched: Mapping[str, bytes],
        account: AccountFacts,
    ) -> Iterable[InboundMail | DeliveryEvent]:
        """Return the mails, or the delivery events, in a verified request.

        :param fetched: results of :meth:`missing` by name; a failed optional fetch
            is absent.
        :raises PayloadError: the content makes no sense (dead letter).
        """

    @abstractmethod
    def compose_post(
        self,
        mime: bytes,
        sender: str,
        recipient: str,
        account: AccountFacts,
        now: datetime | None = None,
    ) -> SamplePost:
        """Return a post exactly as the provider would send it for this mail, signed."""

    def missing(
        self, request: WebhookRequest, account: AccountFacts
    ) -> list[FetchRequest]:
        """For a provider that only points to content, return what must be fetched.

        Pure; each URL was checked against the provider's own hosts.

        :raises PayloadError: the request points outside the provider's hosts.
        """
        return []

    def send(self, mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
        """For a provider that sends, it must hand one mail to it and tell the truth.

        Runs in a thread, with no transaction open. What the provider says, and what
        goes wrong on the way, is in the receipt: a request that may have reached it
        without an answer is ``IN_DOUBT``, never ``DEFERRED``.
        """
        raise NotImplementedError

    def find(self, mail: OutgoingMail, account: AccountFacts) -> list[DeliveryEvent]:
        """For a provider that can be asked, return what it knows of a mail in doubt.

        No event: it knows nothing of it (yet).

        :raises TemporaryError: it cannot be asked now.
        :raises PermanentError: it cannot be asked at all.
        """
        raise NotImplementedError

    def check(self, account: AccountFacts) -> Check:
        """For a provider that sends, it must try the account without sending a mail.

        :raises TemporaryError: the provider cannot be asked now.
        :raises PermanentError: it refuses the account.
        """
        raise NotImplementedError

    def reduce(self, request: WebhookRequest) -> bytes:
        """Return a small body that still tells who wrote to whom, for one too large.

        The result must be readable by ``dedupe_key``, ``content_hash`` and ``parse``
        of the same adapter (with ``truncated`` set). ``request.body`` may be a
        memory-mapped file. Called after ``verify``.
        """
        return b""

    def stored_answer(self, reference: str) -> Answer:
        """Return the success answer for one stored post (``reference`` is ours)."""
        return self.answers.stored


def utcnow() -> datetime:
    """Return the present as an aware UTC time."""
    return datetime.now(timezone.utc)


def digest(*parts: bytes) -> str:
    """Return the SHA-256 (hex) of parts whose borders count."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return sha.hexdigest()
