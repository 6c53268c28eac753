# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What every adapter must do. A provider's test inherits and fills in the hooks.

The posts are composed and signed by the adapter itself, as the provider would; what
the provider's documentation and history add stands in that provider's own tests.
"""

from __future__ import annotations

import gc
import mmap
import re
import tempfile
import traceback
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import ClassVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import (
    MailBridgeError,
    PayloadError,
    SignatureError,
)
from odoo.addons.mail_bridge.providers.base import (
    AccountFacts,
    InboundMail,
    ProviderAdapter,
    WebhookRequest,
)
from odoo.addons.mail_bridge.providers.delivery import (
    BounceClass,
    DeliveryEvent,
    EventType,
    Reply,
)
from odoo.addons.mail_bridge.providers.mime import (
    Attachment,
    MailParts,
    build_mime,
    split_mime,
)
from odoo.addons.mail_bridge.providers.services import Service

#: What a post brings.
Brought = InboundMail | DeliveryEvent

ADDONS = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)
SENDER, RECIPIENT = "bounce+7@sender.example", "sales@inbound.example"

MAIL = MailParts(
    headers=(
        ("Received", "from mx.sender.example by mx.inbound.example; Fri, 20 Nov 2026"),
        ("From", "Ada Löwe <ada@sender.example>"),
        ("To", "Sales <sales@inbound.example>"),
        ("Subject", "Größe 42, please"),
        ("Date", "Fri, 20 Nov 2026 11:59:00 +0000"),
        ("Message-ID", "<one@sender.example>"),
    ),
    text="Hello,\r\nsee below.\r\n",
    html='<p>Hello <img src="cid:logo@1"></p>',
    attachments=(
        Attachment(b"\x89PNG\r\n\x00\xff", "image/png", "lögo.png", "logo@1", True),
        Attachment(bytes(range(256)), "application/pdf", "offer 1.pdf"),
    ),
)

#: What a field may hold that should not be there, as text on the wire.
BAD_TEXTS = {
    "null": "null",
    "number": "17",
    "array": "[]",
    "object": '{"a": [1, {"b": null}]}',
    "empty": "",
    "huge": "x" * 1_000_000,
    "nul": "a\0b",
    "surrogate": "\\ud800 \ud800",
    "crlf": "a\r\nBcc: evil@example.com\r\n\r\nb",
    "bidi": "\u202egpj.exe",
}
#: The same for JSON, where the types are real.
BAD_VALUES = {
    **BAD_TEXTS,
    "null": None,
    "number": 17,
    "array": [[]],
    "object": {"a": 1},
}


def now_and_then(seconds: float) -> datetime:
    """The time of the tests, moved."""
    return NOW + timedelta(seconds=seconds)


def memory_mapped(body: bytes) -> mmap.mmap:
    """The body as the door hands over a large one."""
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class PostContract:
    """What holds for every post, whatever it brings."""

    adapter: ClassVar[ProviderAdapter]
    account: ClassVar[AccountFacts]
    #: The credential that signs, ``None`` where nothing is signed.
    signing_secret: ClassVar[str | None] = None
    #: Names under which results are fetched.
    fetches: ClassVar[tuple[str, ...]] = ()

    # --- Hooks ---

    def altered(self, request: WebhookRequest) -> Iterator[WebhookRequest]:
        """Yield the request with its content altered, the proof kept."""
        raise NotImplementedError

    def reordered(self, request: WebhookRequest) -> Iterator[WebhookRequest]:
        """Yield the same content in another form: order, spacing, boundary."""
        raise NotImplementedError

    def broken(self, account: AccountFacts) -> Iterator[WebhookRequest]:
        """Yield genuine requests whose content makes no sense."""
        raise NotImplementedError

    def mutants(self, request: WebhookRequest) -> Iterator[tuple[str, WebhookRequest]]:
        """Yield the request with one field changed, each field in each bad way."""
        raise NotImplementedError

    def around(self, content: bytes) -> Iterator[WebhookRequest]:
        """Yield requests that hold arbitrary bytes, bare and in a genuine frame."""
        raise NotImplementedError

    # --- Tools ---

    def post(self, mime: bytes | None = None, moment: datetime = NOW) -> WebhookRequest:
        """A genuine post that has just arrived."""
        mime = build_mime(MAIL) if mime is None else mime
        sample = self.adapter.compose_post(
            mime, SENDER, RECIPIENT, self.account, moment
        )
        return self.request(sample.headers, sample.body)

    @cached_property
    def genuine(self) -> WebhookRequest:
        """One genuine post, for tests that need it often."""
        return self.post()

    def request(self, headers, body, **more) -> WebhookRequest:
        """A request that has just arrived."""
        path = f"/mailgate/{self.adapter.code}"
        return WebhookRequest(
            "POST", path, tuple(headers), body, "192.0.2.1", NOW, size=len(body), **more
        )

    def outcome(self, request: WebhookRequest) -> list[Brought] | MailBridgeError:
        """Run the whole way of a request. Anything but our errors fails the test."""
        try:
            self.adapter.verify(request, self.account)
        except SignatureError as error:
            return error
        assert isinstance(self.adapter.reduce(request), bytes)
        try:
            key = self.adapter.dedupe_key(request)
            assert key.isascii() and 0 < len(key) <= 128
            assert len(bytes.fromhex(self.adapter.content_hash(request))) == 32
            self.adapter.missing(request, self.account)
            brought = list(self.adapter.parse(request, {}, self.account))
        except PayloadError as error:
            return error
        for item in brought:
            self.check(item)
        return brought

    def check(self, item: Brought) -> None:
        """What the core relies on, whatever was posted."""
        if isinstance(item, DeliveryEvent):
            check_event(item)
        else:
            check_mail(item)

    # --- Proof ---

    def test_an_account_without_key_accepts_nothing(self):
        for secret in self.adapter.signing_secrets:
            for keys in ((), ("",)):
                secrets = {**self.account.secrets, secret: keys}
                with pytest.raises(SignatureError):
                    self.adapter.verify(
                        self.post(), replace(self.account, secrets=secrets)
                    )

    # --- Repetition ---

    def test_a_repeated_post_is_known_again(self):
        request = self.post()
        again = self.request(request.headers, bytes(bytearray(request.body)))
        assert self.adapter.dedupe_key(again) == self.adapter.dedupe_key(request)
        assert self.adapter.content_hash(again) == self.adapter.content_hash(request)

    def test_the_form_of_the_content_does_not_matter(self):
        request = self.post()
        for other in self.reordered(request):
            assert self.adapter.content_hash(other) == self.adapter.content_hash(
                request
            )
            assert self.adapter.dedupe_key(other) == self.adapter.dedupe_key(request)

    def test_altered_content_shows(self):
        request = self.post()
        known = {self.adapter.content_hash(request)}
        for count, other in enumerate(self.altered(request), start=2):
            known.add(self.adapter.content_hash(other))
            assert len(known) == count

    # --- Bad content ---

    def test_broken_content_is_genuine_and_a_dead_letter(self):
        requests = list(self.broken(self.account))
        assert requests
        for request in requests:
            self.adapter.verify(request, self.account)
            with pytest.raises(PayloadError):
                self.adapter.missing(request, self.account)
                list(self.adapter.parse(request, {}, self.account))

    def test_no_mutant_crashes(self):
        outcomes = []
        for name, request in self.mutants(self.genuine):
            try:
                outcome = self.outcome(request)
            except Exception as error:
                raise AssertionError(f"mutant {name}") from error
            self.check_no_secret(str(outcome) if isinstance(outcome, Exception) else "")
            outcomes.append(type(outcome))
        # Unless both happen often, the mutants do not reach the parser.
        assert outcomes.count(list) >= 10
        assert outcomes.count(PayloadError) >= 10

    @given(content=st.binary(max_size=400))
    def test_no_bytes_crash(self, content):
        for request in self.around(content):
            self.outcome(request)

    @given(
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)),
            min_size=1,
            max_size=4,
        )
    )
    def test_no_scratch_crashes(self, scratches):
        request = self.genuine
        body = bytearray(request.body)
        for place, length, written in scratches:
            start = int(place * len(body))
            body[start : start + length] = written
        self.outcome(replace_body(request, bytes(body)))

    @given(st.binary(max_size=200) | st.text('{}[]":,body-mime', max_size=60))
    def test_nothing_fetched_crashes(self, content):
        content = content if isinstance(content, bytes) else content.encode()
        for name in self.fetches:
            try:
                found = self.adapter.parse(self.genuine, {name: content}, self.account)
                for item in found:
                    self.check(item)
            except PayloadError:
                continue

    def test_a_body_cut_anywhere_is_defined(self):
        request = self.post()
        for tenth in range(10):
            cut = request.body[: len(request.body) * tenth // 10]
            self.outcome(replace_body(request, cut))

    def test_any_content_type_is_defined(self):
        request = self.post()
        for value in (
            "",
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "multipart/form-data; boundary=" + "b" * 1000,
            "message/rfc822; charset=klingon",
            "\u202e/\0",
        ):
            headers = [h for h in request.headers if h[0] != "Content-Type"]
            headers.append(("Content-Type", value))
            self.outcome(self.request(headers, request.body))

    # --- Secrets and answers ---

    def check_no_secret(self, *texts: str) -> None:
        """None of the account's secrets stands in any of the texts."""
        secrets = [value for live in self.account.secrets.values() for value in live]
        assert secrets
        assert not [value for value in secrets if value in "\n".join(texts)]

    def test_secrets_do_not_show(self):
        self.check_no_secret(repr(self.account), repr(self.genuine))
        assert SENDER not in repr(self.genuine)  # nor a mail, in any log
        requests = [*self.broken(self.account)]
        if self.signing_secret:
            requests += [*self.forged(self.genuine), *self.unsigned(self.genuine)]
        for request in requests:
            try:
                self.adapter.verify(request, self.account)
                self.check_no_secret(repr(self.adapter.missing(request, self.account)))
                list(self.adapter.parse(request, {}, self.account))
            except MailBridgeError as error:
                self.check_no_secret(*traceback.format_exception(error))

    def test_the_answers_are_ones_the_provider_understands(self):
        answers = self.adapter.answers
        assert 200 <= answers.stored.status < 300
        assert answers.rejected.status == 403
        assert answers.try_again.status == 503
        assert dict(answers.try_again.headers)["Retry-After"].isdigit()
        assert self.adapter.stored_answer("MB1").status == answers.stored.status

    def test_every_service_that_it_offers_is_there(self):
        assert self.adapter.offers <= set(get_args(Service))
        for service in self.adapter.offers:
            name = service.partition("_")[0] if "register" in service else service
            assert name in vars(type(self.adapter)), service

    def test_the_adapter_says_what_it_is(self):
        assert self.adapter.code and self.adapter.label
        manual = self.adapter.docs_url  # the provider's, or a page of the addon's own
        assert manual.startswith("https://") or (ADDONS / manual[1:]).is_file()
        assert self.adapter.reviewed_on.year >= 2026
        assert self.adapter.retry_horizon >= timedelta(hours=1)


def check_mail(mail: InboundMail) -> None:
    """What the core relies on in a mail."""
    assert isinstance(mail.mime, bytes) and mail.mime
    addresses = [*mail.envelope_recipients, mail.envelope_sender or ""]
    assert not any(set(item) & set("\r\n\0 <>,") for item in addresses)
    assert "" not in mail.envelope_recipients
    assert all(mail.notes)
    lines = [mail.provider_reference, *mail.notes, *addresses]
    assert not any(set(line) & set("\r\n") for line in lines)
    for text in (*lines, mail.stripped_text):  # PostgreSQL takes them
        assert "\0" not in text and text.encode() is not None


def check_event(event: DeliveryEvent) -> None:
    """What the core relies on in an event."""
    assert event.type in get_args(EventType)
    assert event.bounce_class in get_args(BounceClass)
    assert event.occurred_at.utcoffset() == timedelta(0)
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,64}", event.reference)
    assert not set(event.recipient) & set("\r\n\0 <>,")
    assert len(event.recipient) <= 320 and len(event.url) <= 4000
    reply = event.reply or Reply("remote")
    assert 0 <= reply.code <= 999 and len(reply.text) <= 1000
    names = (event.provider_reference, event.event_reference, event.message_id)
    shown = (event.user_agent, event.ip, event.url, reply.enhanced, reply.text)
    for text in (*names, *shown, *event.metadata, *event.metadata.values()):
        assert not set(text) & set("\r\n\0") and text.encode() is not None
        assert len(text) <= 4000


def replace_body(
    request: WebhookRequest, body: bytes | mmap.mmap, **more
) -> WebhookRequest:
    """The request with another body (what was read of the old one is forgotten)."""
    more.setdefault("size", len(body))
    return replace(request, body=body, **more)


class AdapterContract(PostContract):
    """For a provider that posts mail: subclass as ``Test…``, set what differs."""

    # --- Genuine ---

    def test_a_genuine_post_gives_back_the_mail(self):
        [mail] = self.outcome(self.post())
        parts = split_mime(mail.mime)
        assert parts.text == MAIL.text
        assert parts.html == MAIL.html
        assert [(a.content, a.filename) for a in parts.attachments] == [
            (a.content, a.filename) for a in MAIL.attachments
        ]
        assert parts.attachments[0].content_id == "logo@1"
        for name, value in MAIL.headers:
            assert value in [v for k, v in parts.headers if k.lower() == name.lower()]
        assert mail.envelope_sender == SENDER
        assert mail.envelope_recipients == (RECIPIENT,)
        assert not mail.notes

    def test_headers_stay_in_order(self):
        [mail] = self.outcome(self.post())
        wanted = [name.lower() for name, _value in MAIL.headers]
        found = [name.lower() for name, _v in split_mime(mail.mime).headers]
        assert [name for name in found if name in wanted] == wanted

    @pytest.mark.parametrize("sender", ["", SENDER])
    def test_the_null_sender_stays_null(self, sender):
        sample = self.adapter.compose_post(
            build_mime(MAIL), sender, RECIPIENT, self.account, NOW
        )
        [mail] = self.outcome(self.request(sample.headers, sample.body))
        assert mail.envelope_sender == sender

    # --- Too large ---

    def large(self) -> WebhookRequest:
        """A genuine post of some megabytes, as the door hands it over."""
        big = Attachment(b"\x00\xfe" * 1_500_000, "video/mp4", "big.mp4")
        request = self.post(build_mime(replace(MAIL, attachments=(big,))))
        return replace_body(request, memory_mapped(request.body), truncated=True)

    def test_a_large_post_is_verified_and_reduced(self):
        request = self.large()
        self.adapter.verify(request, self.account)
        kept = self.adapter.reduce(request)
        assert len(kept) < 1_200_000 < request.size
        reduced = replace_body(request, kept, truncated=True, size=request.size)
        assert self.adapter.reduce(self.large()) != b""
        if self.signing_secret:
            assert self.adapter.dedupe_key(reduced) == self.adapter.dedupe_key(request)
        assert self.adapter.content_hash(reduced)
        [mail] = self.adapter.parse(reduced, {}, self.account)
        check_mail(mail)
        assert mail.truncated and not mail.is_original
        assert mail.size == request.size
        assert mail.envelope_recipients == (RECIPIENT,)
        parts = split_mime(mail.mime)
        assert parts.header("subject") == MAIL.header("subject")
        assert parts.header("message-id") == MAIL.header("message-id")

    def test_reducing_a_small_post_keeps_who_wrote_to_whom(self):
        request = self.post()
        reduced = replace_body(request, self.adapter.reduce(request), truncated=True)
        [mail] = self.adapter.parse(reduced, {}, self.account)
        assert mail.envelope_sender == SENDER


class EventContract(PostContract):
    """For a provider that posts events: ``compose_post`` makes one of a mail."""

    def test_a_genuine_post_tells_of_the_recipient(self):
        [event] = self.outcome(self.post())
        assert event.type != "unknown"
        assert event.recipient == RECIPIENT
        assert event.message_id == MAIL.header("message-id")
        assert event.occurred_at == NOW

    def test_a_large_post_is_verified_and_reduced(self):
        request = self.post()
        request = self.request(request.headers, request.body + b" " * 3_000_000)
        large = replace_body(request, memory_mapped(request.body), truncated=True)
        assert len(self.adapter.reduce(large)) < 1_200_000


class SignedPosts:
    """For a provider that signs: set ``signing_secret`` and ``keys``."""

    #: Two keys that the provider would accept as such.
    keys: ClassVar[tuple[str, str]]

    # --- Hooks ---

    def unsigned(self, request: WebhookRequest) -> Iterator[WebhookRequest]:
        """Yield the request with proofs missing, repeated or malformed."""
        raise NotImplementedError

    def forged(self, request: WebhookRequest) -> Iterator[WebhookRequest]:
        """Yield the request with a wrong proof, or signed content altered."""
        raise NotImplementedError

    # --- Tools ---

    def keyed(self, *keys: str) -> AccountFacts:
        """The account with other signing keys."""
        others = dict(self.account.secrets)
        others[self.signing_secret or ""] = keys
        return replace(self.account, secrets=others)

    # --- Proof ---

    def test_both_keys_of_a_rotation_are_live(self):
        old, new = self.keys
        for signer, live, accepted in (
            (old, (new, old), True),
            (new, (new, old), True),
            (new, (old, new), True),
            (old, (new,), False),
        ):
            sample = self.adapter.compose_post(
                build_mime(MAIL), SENDER, RECIPIENT, self.keyed(signer), NOW
            )
            request = self.request(sample.headers, sample.body)
            if accepted:
                self.adapter.verify(request, self.keyed(*live))
            else:
                with pytest.raises(SignatureError):
                    self.adapter.verify(request, self.keyed(*live))

    @pytest.mark.parametrize("kind", ["unsigned", "forged"])
    def test_without_its_proof_a_post_is_refused(self, kind):
        requests = list(getattr(self, kind)(self.post()))
        assert requests
        for request in requests:
            with pytest.raises(SignatureError):
                self.adapter.verify(request, self.account)

    def test_a_refused_post_does_not_stay_in_memory(self):
        gc.collect()
        gc.disable()  # what is in no cycle goes at once
        try:
            request = next(iter(self.forged(self.post())))
            kept = weakref.ref(request)
            with suppress(SignatureError):
                self.adapter.verify(request, self.account)
            del request
            assert kept() is None
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        ("seconds", "accepted"),
        [(0, True), (300, True), (301, False), ("-max", True), ("-max-1", False)],
    )
    def test_only_fresh_proof_counts(self, seconds, accepted):
        oldest = self.adapter.retry_horizon.total_seconds()
        seconds = {"-max": -oldest, "-max-1": -oldest - 1}.get(seconds, seconds)
        request = self.post(moment=now_and_then(seconds))
        if accepted:
            self.adapter.verify(request, self.account)
        else:
            with pytest.raises(SignatureError):
                self.adapter.verify(request, self.account)


class SignedContract(SignedPosts, AdapterContract):
    """For a provider that signs what brings mail."""

    def test_two_posts_of_one_mail_are_two_posts(self):
        keys = {self.adapter.dedupe_key(self.post()) for _ in range(2)}
        assert len(keys) == 2
