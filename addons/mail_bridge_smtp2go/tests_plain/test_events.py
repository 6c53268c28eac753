# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO's posts as documented and as seen, and what each of them means."""

import base64
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import PayloadError, SignatureError
from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.delivery import Reply
from odoo.addons.mail_bridge.tests_plain.contract import NOW, check_event
from odoo.addons.mail_bridge_smtp2go import const
from odoo.addons.mail_bridge_smtp2go.adapter import Smtp2goAdapter
from odoo.addons.mail_bridge_smtp2go.events import (
    activity_fields,
    read_event,
    read_time,
)
from odoo.addons.mail_bridge_smtp2go.registration import published_addresses

adapter = Smtp2goAdapter()
ACCOUNT = AccountFacts()
EMAIL_ID = "1w4x2g-FnQW0hPru7M-NRRC"
MESSAGE_ID = "<17@customer.example>"
REFERENCE = "mb-4711_x"

#: As seen: ``processed`` has no rcpt, the others have no recipients; both spellings of
#: Message-Id stand in one form.
PROCESSED = {
    "Message-Id": MESSAGE_ID,
    "Subject": "Ein Muster",
    "auth": "api-597435AE4E55",
    "email_id": EMAIL_ID,
    "event": "processed",
    "from": "Vera <vera@customer.example>",
    "from_address": "vera@customer.example",
    "id": "e57b42854a69ee377c4221c22e08e5e7",
    "message-id": MESSAGE_ID,
    "recipients": ["anna@example.com", "ben@example.com"],
    "sender": "bounce@customer.example",
    "sendtime": "2026-11-20T11:23:14.828376+00:00",
    "srchost": "192.0.2.9",
    "subject": "Ein Muster",
    "time": "2026-11-20T11:23:14Z",
    const.REFERENCE_HEADER: REFERENCE,
}
DELIVERED = {
    "srchost": "192.0.2.9",
    "email_id": EMAIL_ID,
    "event": "delivered",
    "time": "2026-11-20T11:25:06Z",
    "rcpt": "anna@example.com",
    "sender": "bounce@customer.example",
    "host": "mx.example.com [198.51.100.7]",
    "context": "Unavailable",
    "message": "250 2.0.0 Ok: 2788 bytes queued as 4f7f4b3tWbzKy",
    "sendtime": "2026-11-20T11:25:06.215451+00:00",
}


def request_of(data, form=False) -> WebhookRequest:
    content_type = "application/json"
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    if form:
        content_type = "application/x-www-form-urlencoded"
        body = urlencode(data, doseq=True).encode()
    headers = (("Content-Type", content_type),)
    return WebhookRequest("POST", "/mailgate/smtp2go", headers, body, "192.0.2.1", NOW)


def parse(data, form=False):
    return list(adapter.parse(request_of(data, form), {}, ACCOUNT))


def event_of(**fields):
    [event] = parse({**DELIVERED, **fields})
    return event


class TestProcessed:
    @pytest.mark.parametrize("form", [False, True])
    def test_one_event_for_each_recipient(self, form):
        events = parse(PROCESSED, form)
        assert [event.recipient for event in events] == PROCESSED["recipients"]
        for event in events:
            assert event.type == "queued"
            assert event.reference == REFERENCE
            assert event.provider_reference == EMAIL_ID
            assert event.message_id == MESSAGE_ID
            assert event.occurred_at == datetime(
                2026, 11, 20, 11, 23, 14, tzinfo=timezone.utc
            )
            assert event.reply is None and not event.ip
            assert event.metadata["subject"] == "Ein Muster"
        assert len({event.event_reference for event in events}) == 2

    @pytest.mark.parametrize(
        "recipients",
        [
            {"recipients": "anna@example.com,ben@example.com"},
            {"recipients[]": ["anna@example.com", "ben@example.com"]},
            {"recipients": '["anna@example.com", "ben@example.com"]'},
        ],
    )
    def test_other_ways_to_list_them_in_a_form(self, recipients):
        fields = {"event": "processed", "time": PROCESSED["time"], **recipients}
        events = parse(fields, form=True)
        assert [item.recipient for item in events] == PROCESSED["recipients"]

    def test_the_beginning_of_the_api_key_is_not_kept(self):
        assert "api-597435AE4E55" not in repr(parse(PROCESSED))


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("delivered", "delivered"),
            ("open", "opened"),
            ("opened", "opened"),
            ("click", "clicked"),
            ("clicked", "clicked"),
            ("bounce", "bounced"),
            ("spam", "complained"),
            ("spam_complaint", "complained"),
            ("unsubscribe", "unsubscribed"),
            ("unsubscribed", "unsubscribed"),
            ("resubscribe", "subscribed"),
            ("resubscribed", "subscribed"),
            ("reject", "rejected"),
            ("rejected", "rejected"),
            ("Delivered", "delivered"),
            ("something_new", "unknown"),
        ],
    )
    def test_both_spellings(self, name, kind):
        assert event_of(event=name).type == kind
        [event] = parse({**DELIVERED, "event": name}, form=True)
        assert event.type == kind and event.metadata["event"] == name

    @pytest.mark.parametrize("name", ["sms_delivered", "sms_failed", "opt-out"])
    def test_text_messages_are_none_of_our_business(self, name):
        assert parse({"event": name, "destination_number": "+49"}) == []

    def test_an_unknown_event_may_be_about_nobody(self):
        [event] = parse({"event": "maintenance"})
        assert (event.type, event.recipient) == ("unknown", "")
        assert event.occurred_at == NOW

    @pytest.mark.parametrize("name", ["delivered", "bounce", "open", "reject"])
    def test_a_known_event_is_about_somebody(self, name):
        with pytest.raises(PayloadError):
            parse({"event": name})

    def test_a_list(self):
        bounce = {**DELIVERED, "event": "bounce", "bounce": "hard"}
        kinds = [event.type for event in parse([PROCESSED, DELIVERED, bounce])]
        assert kinds == ["queued", "queued", "delivered", "bounced"]
        assert parse([]) == []


class TestBounces:
    @pytest.mark.parametrize(
        ("fields", "bounce_class", "code", "enhanced"),
        [
            ({"bounce": "hard"}, "hard", 0, ""),
            ({"bounce": "soft", "context": "DATA: 452 Mailbox full"}, "soft", 452, ""),
            ({"bounce": "Hard", "message": "550 5.1.1 No such"}, "hard", 550, "5.1.1"),
            ({"bounce": "hard", "message": "550-5.7.1 spam"}, "block", 550, "5.7.1"),
            ({"bounce": "soft", "message": "451 4.7.1 later"}, "soft", 451, "4.7.1"),
            ({"message": "452 4.2.2 full"}, "soft", 452, "4.2.2"),
            ({"message": "554 no"}, "", 554, ""),
            ({"bounce": "future"}, "", 0, ""),
            (
                {
                    "bounce": "hard",
                    "message": "unknown user",
                    "context": "RCPT TO:<anna@example.com>: 550 5.1.1 unknown",
                },
                "hard",
                550,
                "5.1.1",
            ),
            ({"bounce": "hard", "message": "sent 550 bytes"}, "hard", 0, ""),
        ],
    )
    def test_class_and_codes(self, fields, bounce_class, code, enhanced):
        data = {k: v for k, v in DELIVERED.items() if k not in ("message", "context")}
        for form in (False, True):
            [event] = parse({**data, "event": "bounce", **fields}, form)
            assert (event.type, event.bounce_class) == ("bounced", bounce_class)
            reply = event.reply or Reply("remote")
            assert (reply.code, reply.enhanced) == (code, enhanced)

    def test_only_a_bounce_has_a_class(self):
        assert event_of(bounce="hard").bounce_class == ""

    def test_what_the_server_said(self):
        reply = event_of().reply
        assert reply == Reply("remote", 250, "2.0.0", DELIVERED["message"])
        event = event_of(event="reject", message="", context="Recipient suppressed")
        assert event.reply == Reply("remote", 0, "", "Recipient suppressed")
        assert len(event_of(message="x" * 5000).reply.text) == 1000
        assert event_of(message="").reply is None  # the context is "Unavailable"


class TestReaders:
    FIELDS = {
        "event": "clicked",
        "click_url": "https://customer.example/?a=1&b=2",
        "link": "https://track.example/abc",
        "user-agent": "Mozilla/5.0 (X11)",
        "srchost": "2001:db8::17",
        "read-secs": 15,
        "client-os": "Linux",
        "geoip-country": "DE",
    }

    @pytest.mark.parametrize("form", [False, True])
    def test_what_is_known_of_them(self, form):
        [event] = parse({**DELIVERED, **self.FIELDS}, form)
        assert event.url == self.FIELDS["click_url"]
        assert event.user_agent == "Mozilla/5.0 (X11)"
        assert event.ip == "2001:db8::17"
        assert event.metadata["read_seconds"] == "15"
        assert event.metadata["client_os"] == "Linux"
        assert event.metadata["country"] == "DE"

    def test_whoever_handed_the_mail_in_is_no_reader(self):
        assert event_of(srchost="192.0.2.9").ip == ""

    @pytest.mark.parametrize(
        "url",
        ["javascript:alert(1)", "data:text/html,x", "/x", "https://a b", "x" * 3000],
    )
    def test_only_web_addresses_are_links(self, url):
        assert event_of(event="click", click_url=url).url == ""
        both = event_of(event="click", click_url=url, link="http://a.example/")
        assert both.url == "http://a.example/"


class TestReferences:
    @pytest.mark.parametrize(
        ("name", "value", "found"),
        [
            (const.REFERENCE_HEADER, REFERENCE, REFERENCE),
            ("x-mail-bridge-reference", REFERENCE, REFERENCE),
            ("X_Mail_Bridge_Reference", REFERENCE, REFERENCE),
            (const.REFERENCE_HEADER, "Headers Unavailable", ""),
            (const.REFERENCE_HEADER, "x" * 65, ""),
            (const.REFERENCE_HEADER, "a\nb", ""),
            (const.REFERENCE_HEADER, 4711, "4711"),
            (const.REFERENCE_HEADER, ["a"], ""),
        ],
    )
    def test_ours(self, name, value, found):
        assert event_of(**{name: value}).reference == found

    @pytest.mark.parametrize("value", ["17@customer.example", MESSAGE_ID])
    @pytest.mark.parametrize("name", ["message-id", "Message-Id", "message_id"])
    def test_message_id(self, name, value):
        assert event_of(**{name: value}).message_id == MESSAGE_ID

    def test_of_a_scheduled_mail(self):
        event = event_of(**{const.SCHEDULE_HEADER: "188262b6-f6cc"})
        assert event.metadata["schedule"] == "188262b6-f6cc"

    def test_the_event_is_named_by_what_it_says(self):
        """Not by ``id``, of which nobody knows whose it is."""
        one = event_of(id="1")
        assert event_of(id="2").event_reference == one.event_reference
        assert event_of(time="2026-11-20T11:25:06.9Z").event_reference == (
            one.event_reference
        )
        others = [
            event_of(event="open"),
            event_of(rcpt="ben@example.com"),
            event_of(time="2026-11-20T11:25:07Z"),
            event_of(email_id="other"),
            event_of(event="click", click_url="https://a.example/1"),
            event_of(event="click", click_url="https://a.example/2"),
        ]
        names = {one.event_reference, *(event.event_reference for event in others)}
        assert len(names) == 7

    def test_the_same_from_the_activity_search(self):
        item = {
            "event": "hard-bounced",
            "date": "2026-11-20T11:25:06Z",
            "recipient": "Anna@example.com",
            "recipients": ["Anna@example.com", "ben@example.com"],
            "email_id": EMAIL_ID,
            "smtp_response": "550 5.1.1 No such user",
            "reason": None,
            "host": "198.51.100.7",
            "custom_headers": {
                const.REFERENCE_HEADER: REFERENCE,
                "Message-ID": MESSAGE_ID,
                "event": "delivered",
            },
        }
        [found] = read_event(activity_fields(item), NOW)
        assert (found.type, found.bounce_class) == ("bounced", "hard")
        assert (found.reference, found.message_id) == (REFERENCE, MESSAGE_ID)
        assert found.reply == Reply("remote", 550, "5.1.1", "550 5.1.1 No such user")
        posted = event_of(event="bounce", bounce="hard")
        assert found.event_reference == posted.event_reference


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "hour", "micro"),
        [
            ("2026-11-20T11:25:06Z", 11, 0),
            ("2026-11-20T11:25:06.215451+00:00", 11, 215451),
            ("2026-11-20T11:25:06.123456789Z", 11, 123456),
            ("2026-11-20 11:25:06", 11, 0),
            ("2026-11-20 11:25:06.5+00:00", 11, 500000),
            ("2026-11-20 13:25:06 +0200", 11, 0),
            ("2026-11-20T09:25:06-02:00", 11, 0),
            ("2026-11-20T11:25:06 UTC", 11, 0),
        ],
    )
    def test_forms(self, text, hour, micro):
        wanted = datetime(2026, 11, 20, hour, 25, 6, micro, tzinfo=timezone.utc)
        assert read_time(text) == wanted
        assert event_of(time=text).occurred_at == wanted

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "1763637906",
            "2026-13-20T11:25:06Z",
            "0001-01-01T00:00:00+23:00",
            "9999-12-31T23:59:59Z",
            "1999-12-31T23:59:59Z",
            "2026-11-22T11:25:06Z",
            "２026-11-20T11:25:06Z",
        ],
    )
    def test_a_time_that_makes_no_sense_is_now(self, text):
        assert event_of(time=text).occurred_at == NOW

    @given(st.text("0123456789-T:+Z .", max_size=40))
    def test_any_text(self, text):
        moment = read_time(text)
        assert moment is None or moment.utcoffset() == timedelta(0)


#: What may stand in a field, and what must not but may.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["processed", "bounce", "click", "anna@example.com", "hard"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*PROCESSED, *DELIVERED]), inner, max_size=9),
    max_leaves=20,
)


class TestAnyPost:
    """Whatever stands in it, a post is read or is a ``PayloadError``."""

    def check(self, request):
        assert len(bytes.fromhex(adapter.content_hash(request))) == 32
        assert isinstance(adapter.reduce(request), bytes)
        try:
            events = list(adapter.parse(request, {}, ACCOUNT))
        except PayloadError:
            return
        for event in events:
            check_event(event)

    @given(VALUES)
    def test_json(self, value):
        self.check(request_of(json.dumps(value).encode()))
        self.check(request_of([{**DELIVERED, "bounce": value}, PROCESSED]))

    @given(st.lists(st.tuples(st.sampled_from([*PROCESSED, *DELIVERED]), st.text())))
    def test_form(self, pairs):
        body = urlencode([(name, text.encode()) for name, text in pairs]).encode()
        headers = (("Content-Type", "application/x-www-form-urlencoded"),)
        self.check(replace(request_of(b""), headers=headers, body=body))

    @given(
        st.binary(), st.sampled_from(["application/json", "multipart/form-data", ""])
    )
    def test_bytes(self, body, content_type):
        headers = (("Content-Type", content_type),)
        self.check(replace(request_of(b""), headers=headers, body=body))

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 1_000_000,
            b'{"event":"open","rcpt":"' + b"a," * 500_000 + b'"}',
            b'{"event":"processed","recipients":"' + b'\\"' * 500_000 + b'"}',
            b'{"event":"bounce","rcpt":"a@b.example","message":"'
            + b"5.1." * 500_000
            + b'"}',
            b'{"event":"open","rcpt":"a@b.example","time":' + b"9" * 4000 + b"}",
            b'{"event":"open","rcpt":"a@b.example","time":' + b"9" * 5000 + b"}",
            b'{"event":"open","rcpt":"a@b.example","id":1e999}',
            b'[{"event":"sms_x"},' + b'{"event":"x"},' * 9000 + b'{"event":"x"}]',
        ],
    )
    def test_large_ones_take_no_time(self, body):
        start = time.monotonic()
        self.check(request_of(body))
        assert time.monotonic() - start < 3


class TestProof:
    """What SMTP2GO offers: a header that it repeats; it signs nothing."""

    PAIR = "hook:s3cret-0123456789"
    ENCODED = base64.b64encode(PAIR.encode()).decode()
    TOKEN = "tok-0123456789abcdef"

    def verify(self, values, *headers):
        account = AccountFacts(secrets={"webhook_auth": values})
        request = replace(
            request_of(DELIVERED),
            headers=tuple(("Authorization", header) for header in headers),
        )
        try:
            adapter.verify(request, account)
        except SignatureError as error:
            assert not any(value and value in str(error) for value in values)
            return False
        return True

    def test_without_a_secret_address_and_network_prove_it(self):
        adapter.verify(request_of(DELIVERED), ACCOUNT)
        assert adapter.signing_secrets == () and not adapter.names_account

    @pytest.mark.parametrize(
        ("value", "header", "accepted"),
        [
            (TOKEN, f"Bearer {TOKEN}", True),
            (TOKEN, f"bearer {TOKEN}", True),
            (TOKEN, f"Bearer {TOKEN}x", False),
            (TOKEN, f"Bearer {TOKEN[:-1]}", False),
            (TOKEN, TOKEN, False),
            (TOKEN, "Bearer", False),
            (TOKEN, "", False),
            (TOKEN, "Bearer größe", False),
            (TOKEN, "Bearer \ud800", False),
            (PAIR, f"Basic {ENCODED}", True),
            (ENCODED, f"Basic {ENCODED}", True),
            (PAIR, f"Basic {ENCODED[:-4]}", False),
            (PAIR, f"Digest {ENCODED}", False),
            ("", "Bearer ", False),
        ],
    )
    def test_one_value(self, value, header, accepted):
        assert self.verify((value,), header) is accepted

    def test_both_of_a_rotation_and_only_once(self):
        new, old = self.TOKEN, "old-0123456789abcdef"
        for value in (new, old):
            assert self.verify((new, old), f"Bearer {value}")
        assert not self.verify((new,), f"Bearer {old}")
        assert not self.verify((new,))
        assert not self.verify((new,), f"Bearer {new}", f"Bearer {new}")

    def test_the_published_addresses_are_a_name(self):
        asked = []

        def resolver(host, port):
            asked.append(host)
            return ["198.51.100.8", "198.51.100.7"]

        assert published_addresses(resolver) == ["198.51.100.7", "198.51.100.8"]
        assert asked == ["webhooks.smtp2go.com"]


class TestRepetition:
    def test_the_order_of_fields_and_events_does_not_matter(self):
        keys = {
            adapter.dedupe_key(request_of(data))
            for data in (
                [PROCESSED, DELIVERED],
                [DELIVERED, PROCESSED],
                [DELIVERED, dict(reversed(PROCESSED.items()))],
            )
        }
        assert len(keys) == 1

    def test_the_id_alone_does_not_count(self):
        """Or whoever guesses one could suppress an event."""
        posts = [{**DELIVERED, "id": "1"}, {**DELIVERED, "id": "1", "event": "open"}]
        assert len({adapter.dedupe_key(request_of(post)) for post in posts}) == 2

    def test_what_cannot_be_read_is_known_again(self):
        keys = [adapter.dedupe_key(request_of(body)) for body in (b"{", b"{", b"[")]
        assert len(set(keys)) == 2
