# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Raw mail: the bytes, the envelope in headers, and the signature that covers them."""

import base64
import hashlib
import hmac
from dataclasses import replace
from pathlib import Path

import pytest

from odoo.addons.mail_bridge.exceptions import PayloadError, SignatureError
from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.tests_plain.contract import NOW, now_and_then
from odoo.addons.mail_bridge_raw.adapter import RawAdapter

MAIL = (Path(__file__).parent / "samples" / "latin1.eml").read_bytes()
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
TOKEN_ONLY = AccountFacts()
SIGNED = AccountFacts(secrets={"signing_key": (SECRET,)})
adapter = RawAdapter()


def request_of(body=MAIL, *headers, content_type="message/rfc822") -> WebhookRequest:
    headers = (("Content-Type", content_type), *headers)
    return WebhookRequest("POST", "/mailgate/raw/-", headers, body, "192.0.2.1", NOW)


def signature(body=MAIL, webhook_id="msg_2a8f", moment=NOW):
    """Signature headers, made without the code under test."""
    stamp = str(int(moment.timestamp()))
    mac = hmac.new(KEY, f"{webhook_id}.{stamp}.".encode() + body, hashlib.sha256)
    return (
        ("Webhook-Id", webhook_id),
        ("Webhook-Timestamp", stamp),
        ("Webhook-Signature", "v1," + base64.b64encode(mac.digest()).decode()),
    )


def parse(request, account=TOKEN_ONLY):
    adapter.verify(request, account)
    [mail] = adapter.parse(request, {}, account)
    return mail


class TestMail:
    @pytest.mark.parametrize(
        "kind",
        [
            "message/rfc822",
            "Message/RFC822; charset=utf-8",
            "message/rfc2822",
            "application/octet-stream",
        ],
    )
    def test_it_is_verbatim(self, kind):
        mail = parse(request_of(content_type=kind))
        assert mail.mime == MAIL
        assert mail.is_original and not mail.truncated
        assert mail.size == len(MAIL)

    @pytest.mark.parametrize(
        "kind",
        ["", "text/plain", "application/x-www-form-urlencoded", "message/partial"],
    )
    def test_another_type_is_a_dead_letter(self, kind):
        with pytest.raises(PayloadError, match="message/rfc822"):
            parse(request_of(content_type=kind))

    @pytest.mark.parametrize("body", [b"", b"\r\n", b" \n\t"])
    def test_nothing_is_a_dead_letter(self, body):
        with pytest.raises(PayloadError, match="empty"):
            parse(request_of(body))

    def test_any_bytes_are_a_mail(self):
        assert parse(request_of(b"\xff\0")).mime == b"\xff\0"


class TestEnvelope:
    @pytest.mark.parametrize(
        ("values", "sender"),
        [
            ([], None),
            ([""], ""),
            (["<>"], ""),
            (["a@b.example"], "a@b.example"),
            (["<a@b.example>"], "a@b.example"),
        ],
    )
    def test_the_sender(self, values, sender):
        headers = [("X-Envelope-From", value) for value in values]
        assert parse(request_of(MAIL, *headers)).envelope_sender == sender

    @pytest.mark.parametrize(
        ("values", "recipients"),
        [
            ([], ()),
            (["a@b.example"], ("a@b.example",)),
            (["a@b.example, c@d.example"], ("a@b.example", "c@d.example")),
            (["a@b.example", "c@d.example"], ("a@b.example", "c@d.example")),
            (["a@b.example", "a@b.example"], ("a@b.example",)),
        ],
    )
    def test_the_recipients(self, values, recipients):
        headers = [("x-envelope-to", value) for value in values]
        mail = parse(request_of(MAIL, *headers))
        assert mail.envelope_recipients == recipients

    def test_utf8_as_wsgi_hands_it_over(self):
        value = "jörg@bücher.example".encode().decode("latin-1")
        mail = parse(request_of(MAIL, ("X-Envelope-To", value)))
        assert mail.envelope_recipients == ("jörg@bücher.example",)

    def test_five_thousand_recipients(self):
        many = ",".join(f"u{n}@b.example" for n in range(5000))
        assert len(parse(request_of(MAIL, ("X-Envelope-To", many))).envelope_recipients)


class TestProof:
    def test_with_a_key_every_post_must_be_signed(self):
        with pytest.raises(SignatureError):
            adapter.verify(request_of(), SIGNED)
        adapter.verify(request_of(MAIL, *signature()), SIGNED)

    def test_without_a_key_the_address_is_the_proof(self):
        adapter.verify(request_of(), TOKEN_ONLY)
        adapter.verify(request_of(), replace(TOKEN_ONLY, secrets={"signing_key": ()}))

    @pytest.mark.parametrize("keys", [("",), ("not base64!",), ("whsec_",)])
    def test_a_useless_key_opens_nothing(self, keys):
        account = AccountFacts(secrets={"signing_key": keys})
        for headers in ((), signature()):
            with pytest.raises(SignatureError):
                adapter.verify(request_of(MAIL, *headers), account)

    def test_a_signed_post_may_wait_for_a_day(self):
        headers = signature(moment=now_and_then(-86_000))
        adapter.verify(request_of(MAIL, *headers), SIGNED)
        headers = signature(moment=now_and_then(-87_000))
        with pytest.raises(SignatureError):
            adapter.verify(request_of(MAIL, *headers), SIGNED)


class TestRepetition:
    def test_a_signed_post_is_known_by_its_id(self):
        one = request_of(MAIL, *signature())
        later = request_of(MAIL, *signature(moment=now_and_then(60)))
        assert adapter.dedupe_key(one) == adapter.dedupe_key(later) == "msg_2a8f"
        assert adapter.content_hash(one) == adapter.content_hash(later)

    @pytest.mark.parametrize(
        "webhook_id", ["x", "a b c d e f", "i" * 200, "sha256:" + "0" * 64]
    )
    def test_an_odd_id_is_hashed(self, webhook_id):
        key = adapter.dedupe_key(request_of(MAIL, *signature(webhook_id=webhook_id)))
        assert key.startswith("id-sha256:") and len(key) <= 128

    def test_an_unsigned_post_is_known_by_its_content(self):
        keys = {
            adapter.dedupe_key(request_of(body, ("X-Envelope-To", to)))
            for body in (MAIL, MAIL + b"x")
            for to in ("a@b.example", "c@d.example", "a@b.example")
        }
        assert len(keys) == 4

    def test_a_device_without_a_clock_may_say_the_same_tomorrow(self):
        alarm = b"From: door@b.example\r\nSubject: Alarm\r\n\r\nDoor 3 was opened"
        for body, count in (
            (alarm, 2),
            (b"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n" + alarm, 1),
            (b"Message-ID: <1@b.example>\r\n" + alarm, 1),
        ):
            posts = [
                replace(request_of(body), received_at=now_and_then(seconds))
                for seconds in (0, 60, 86_400)
            ]
            assert len({adapter.dedupe_key(post) for post in posts}) == count
            assert len({adapter.content_hash(post) for post in posts}) == 1

    def test_the_envelope_is_content(self):
        """The signature does not cover it, so only this shows a change."""
        one = request_of(MAIL, *signature(), ("X-Envelope-To", "a@b.example"))
        other = request_of(MAIL, *signature(), ("X-Envelope-To", "evil@b.example"))
        assert adapter.dedupe_key(one) == adapter.dedupe_key(other)
        assert adapter.content_hash(one) != adapter.content_hash(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (["a@b.example,c@d.example"], ["c@d.example", "a@b.example"]),
            (["a@b.example"], [" a@b.example "]),
        ],
    )
    def test_the_order_of_recipients_is_not(self, one, other):
        one, other = (
            request_of(MAIL, *(("X-Envelope-To", value) for value in values))
            for values in (one, other)
        )
        assert adapter.content_hash(one) == adapter.content_hash(other)


class TestTooLarge:
    def test_the_headers_are_kept(self):
        request = request_of(MAIL + b"x" * 1_000_000)
        kept = adapter.reduce(request)
        assert kept == MAIL[: MAIL.index(b"\r\n\r\n") + 4]
        mail = parse(replace(request, body=kept, truncated=True, size=1_000_500))
        assert mail.truncated and not mail.is_original and mail.size == 1_000_500

    def test_a_header_block_without_end_is_cut(self):
        assert len(adapter.reduce(request_of(b"X: y\n" * 1_000_000))) == 262_144
