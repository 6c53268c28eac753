# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""HMAC, time windows and Standard Webhooks, against vectors and against anything."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import SignatureError
from odoo.addons.mail_bridge.providers import signing
from odoo.addons.mail_bridge.tests_plain.contract import (
    NOW,
    memory_mapped,
    now_and_then,
)

#: RFC 4231, test case 2.
RFC_4231 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
BODY = b"From: \xff\xfe\r\n\r\n"
DAY = now_and_then(86400) - NOW


class TestHmac:
    def test_the_vector_of_the_rfc(self):
        assert (
            signing.hex_hmac("Jefe", b"what do ya want ", b"for nothing?") == RFC_4231
        )
        signing.require_hex_hmac(
            ["Jefe"], b"what do ya want for nothing?", RFC_4231.encode()
        )

    def test_every_live_key_is_tried(self):
        signature = signing.hex_hmac("two", b"message").encode()
        signing.require_hex_hmac(["one", "two", "three"], b"message", signature)
        with pytest.raises(SignatureError):
            signing.require_hex_hmac(["one", "three"], b"message", signature)

    @pytest.mark.parametrize("values", [None, (), [""], ["", ""]])
    def test_no_key_means_no(self, values):
        empty = hmac.new(b"", b"message", hashlib.sha256).hexdigest().encode()
        with pytest.raises(SignatureError, match="no signing key"):
            signing.require_hex_hmac(values, b"message", empty)

    @given(
        st.binary(max_size=80)
        | st.text(st.characters(codec=None, exclude_categories=()), max_size=80)
    )
    def test_no_text_is_a_signature(self, signature):
        with pytest.raises(SignatureError):
            signing.require_hex_hmac(["key"], b"message", signature)

    def test_a_key_may_be_any_text(self):
        signature = signing.hex_hmac("schlüssel \ud800", b"m").encode()
        signing.require_hex_hmac(["schlüssel \ud800"], b"m", signature)


class TestTime:
    @pytest.mark.parametrize(
        ("text", "value"), [("0", 0), ("17", 17), ("9" * 12, None)]
    )
    def test_numbers(self, text, value):
        assert signing.parse_timestamp(text) == (int(text) if value is None else value)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "１７", "1_000", " 5", "5 ", "5\n", "٣", "-1", "+1", "1.0", "1e3"),
            *("0x1", "9" * 13, "1\0", "²", "\ud800", "nan"),
        ],
    )
    def test_what_int_would_take_is_refused(self, text):
        with pytest.raises(SignatureError):
            signing.parse_timestamp(text)

    @pytest.mark.parametrize(
        ("age", "fresh"),
        [(0, True), (60, True), (61, False), (-300, True), (-301, False), (1e9, False)],
    )
    def test_the_window(self, age, fresh):
        stamp = int(NOW.timestamp()) - int(age)
        if fresh:
            signing.require_fresh(stamp, NOW, now_and_then(60) - NOW)
        else:
            with pytest.raises(SignatureError):
                signing.require_fresh(stamp, NOW, now_and_then(60) - NOW)


class TestStandardWebhooks:
    def headers(self, secret=SECRET, body=BODY, **other):
        stamp = int(NOW.timestamp())
        signature = signing.sign_standard(secret, "msg_1", stamp, body)
        found = {"id": "msg_1", "timestamp": str(stamp), "signature": signature}
        return [(f"Webhook-{k}", v) for k, v in {**found, **other}.items()]

    def check(self, headers, secrets=(SECRET,), body=BODY):
        signing.require_standard(secrets, headers, body, NOW, DAY)

    def test_the_published_vector(self):
        """The example of the specification's own text and libraries."""
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        signature = signing.sign_standard(
            secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
        )
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_genuine(self):
        self.check(self.headers())
        self.check(self.headers(), secrets=(OTHER, SECRET))

    def test_a_memory_mapped_body(self):
        body = memory_mapped(BODY)
        self.check(self.headers(), body=body)
        body.close()  # nothing holds on to it

    def test_one_of_several_signatures_is_enough(self):
        good = self.headers()[2][1]
        wrong = self.headers(OTHER)[2][1]
        for text in (f"{wrong} {good}", f"v2,x v1a,y {good}", f"v1,*** {good} "):
            self.check(self.headers(signature=text))

    def test_a_flood_of_signatures_is_not_read(self):
        good = self.headers()[2][1]
        with pytest.raises(SignatureError):
            self.check(self.headers(signature=f"{'v1,eA== ' * 10_000}{good}"))

    @pytest.mark.parametrize(
        "secret", ["whsec_", "whsec_***", "whsec_\xfc", "", "whsec_YQ", "whsec_a b"]
    )
    def test_a_malformed_secret_accepts_nothing_and_does_not_show(self, secret):
        with pytest.raises(SignatureError) as caught:
            self.check(self.headers(), secrets=(secret,))
        assert len(secret) < 7 or secret not in str(caught.value)

    @pytest.mark.parametrize("secrets", [None, (), ("",)])
    def test_no_secret_means_no(self, secrets):
        with pytest.raises(SignatureError, match="no signing key"):
            self.check(self.headers(), secrets=secrets)

    def test_the_prefix_may_be_missing(self):
        self.check(self.headers(), secrets=(SECRET.removeprefix("whsec_"),))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["webhook-id", "webhook-timestamp", "webhook-signature"]
                ),
                st.text(st.characters(codec=None, exclude_categories=()), max_size=60),
            )
        )
    )
    def test_anything_else_is_refused(self, headers):
        with pytest.raises(SignatureError):
            self.check(headers)
