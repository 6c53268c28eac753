# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's event webhooks: what is believed, and what each event means."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import PayloadError, SignatureError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, Reply
from odoo.addons.mail_bridge.tests_plain.contract import BAD_VALUES, NOW
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter
from odoo.addons.mail_bridge_mailgun.tests_plain.event_posts import (
    KEY,
    OLD_KEY,
    REFERENCE,
    STAMP,
    TOKEN,
    VERA,
    event,
    post,
    proof,
    signed,
    status,
    without,
)

ACCOUNT = AccountFacts(secrets={"signing_key": (KEY, OLD_KEY)})
adapter = MailgunAdapter()


def events_of(data) -> list[DeliveryEvent]:
    request = signed(data)
    adapter.verify(request, ACCOUNT)
    assert adapter.missing(request, ACCOUNT) == []
    return list(adapter.parse(request, {}, ACCOUNT))


def one(data) -> DeliveryEvent:
    [found] = events_of(data)
    return found


class TestProof:
    def test_it_counts_at_any_address(self):
        data = {"signature": proof(), "event-data": event("delivered")}
        for path in ("/mailgate/mailgun", "/mailgate/mailgun/***/events"):
            request = post(data, path)
            adapter.verify(request, ACCOUNT)
            assert len(adapter.parse(request, {}, ACCOUNT)) == 1

    @pytest.mark.parametrize("key", [KEY, OLD_KEY])
    def test_two_keys_while_a_rotation_lasts(self, key):
        request = signed(event("delivered"), **proof(key=key))
        adapter.verify(request, ACCOUNT)
        with pytest.raises(SignatureError):
            adapter.verify(request, AccountFacts(secrets={"signing_key": ("other",)}))

    @pytest.mark.parametrize("keys", [(), ("",)])
    def test_no_key_believes_nothing(self, keys):
        with pytest.raises(SignatureError):
            adapter.verify(
                signed(event("delivered")), AccountFacts(secrets={"signing_key": keys})
            )

    @pytest.mark.parametrize(
        ("hours", "good"),
        [(0, True), (-9, True), (-23, True), (-25, False), (1, False)],
    )
    def test_fresh_for_as_long_as_mailgun_repeats(self, hours, good):
        request = signed(
            event("delivered"), **proof(moment=NOW + timedelta(hours=hours))
        )
        if good:
            adapter.verify(request, ACCOUNT)
        else:
            with pytest.raises(SignatureError):
                adapter.verify(request, ACCOUNT)

    @pytest.mark.parametrize(
        "change",
        [
            {"signature": "0" * 64},
            {"signature": proof()["signature"].upper()},
            {"signature": None},
            {"token": TOKEN + "0"},
            {"token": 1},
            {"timestamp": 5},
            {"timestamp": []},
            {"token": {}},
            {"timestamp": "１７"},
        ],
    )
    def test_a_wrong_one(self, change):
        with pytest.raises(SignatureError):
            adapter.verify(signed(event("delivered"), **change), ACCOUNT)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"null",
            b"{}",
            b"{",
            b'{"signature": null}',
            b'{"signature": []}',
            b'{"signature": "x"}',
            b'{"signature": {}, "signature": {}}',
            b"[" * 10**6,
            b'{"a": "' + b"x" * 2_000_000 + b'"}',
        ],
    )
    def test_other_json_proves_nothing(self, body):
        with pytest.raises(SignatureError):
            adapter.verify(post(body), ACCOUNT)

    def test_the_account_above_may_have_signed(self):
        """Posts of a sub-account carry both signatures."""
        foreign, ours = proof(key="key-of-the-child"), proof(token="1" + TOKEN[1:])
        data = {"event-data": event("opened"), "signature": foreign}
        with pytest.raises(SignatureError):
            adapter.verify(post(data), ACCOUNT)
        request = post({**data, "parent-signature": ours})
        adapter.verify(request, ACCOUNT)
        key = adapter.dedupe_key(request)
        assert key.startswith("sha256:") and len(key) <= 128
        with pytest.raises(SignatureError):
            adapter.verify(post({**data, "parent-signature": "x"}), ACCOUNT)

    def test_secrets_stand_in_no_error(self):
        nobody = event("delivered", recipient=f"{KEY} x", id=KEY)
        for data in (nobody, {}, KEY, {"event": None, "id": KEY}):
            with pytest.raises(PayloadError) as caught:
                adapter.parse(signed(data), {}, ACCOUNT)
            assert KEY not in str(caught.value)


class TestRepetition:
    def test_the_token_is_the_key(self):
        request = signed(event("delivered"))
        assert adapter.dedupe_key(request) == TOKEN

    def test_order_and_proof_are_no_content(self):
        data = {"signature": proof(), "event-data": event("delivered")}
        shuffled = dict(reversed(list(data.items())))
        again = {**shuffled, "signature": proof(token="a" * 50)}
        known = adapter.content_hash(post(data))
        assert adapter.content_hash(post(shuffled)) == known
        assert adapter.content_hash(post(again)) == known
        assert adapter.content_hash(post(json.dumps(data, indent=2).encode())) == known

    @pytest.mark.parametrize("name", sorted(event("delivered")))
    def test_a_change_shows(self, name):
        known = adapter.content_hash(signed(event("delivered")))
        changed = {**event("delivered"), name: "another"}
        assert adapter.content_hash(signed(changed)) != known

    def test_an_id_is_unique_only_within_a_day(self):
        today, again = one(event("opened")), one(event("opened"))
        assert today.event_reference == again.event_reference
        assert today.event_reference == "20261120/W3X4JOhFT-OZidZGKKr9iA"
        earlier = one(event("opened", timestamp=STAMP - 86400))
        assert earlier.event_reference != today.event_reference

    def test_without_an_id_there_is_no_reference(self):
        assert one(without(event("opened"), "id")).event_reference == ""


MEANINGS = [
    (event("accepted"), "queued", ""),
    (event("delivered"), "delivered", ""),
    (event("opened"), "opened", ""),
    (event("clicked"), "clicked", ""),
    (event("unsubscribed"), "unsubscribed", ""),
    (event("complained"), "complained", ""),
    (event("rejected"), "rejected", ""),
    (event("failed"), "failed", ""),
    (event("failed", severity="temporary"), "deferred", "soft"),
    (event("failed", severity="temporary", reason="espblock"), "deferred", "block"),
    (event("failed", severity="temporary", reason="bounce"), "deferred", "soft"),
    (event("failed", severity="permanent"), "bounced", ""),
    (event("failed", severity="permanent", reason="bounce"), "bounced", "hard"),
    (event("failed", severity="permanent", reason="old"), "bounced", "soft"),
    (event("failed", severity="permanent", reason="espblock"), "bounced", "block"),
    (event("failed", severity="permanent", reason="generic"), "bounced", ""),
    (event("failed", severity="permanent", reason="suppress-bounce"), "rejected", ""),
    (
        event("failed", severity="permanent", reason="suppress-complaint"),
        "rejected",
        "",
    ),
    (
        event("failed", severity="permanent", reason="suppress-unsubscribe"),
        "rejected",
        "",
    ),
    (event("stored"), "unknown", ""),
    (event("list_member_uploaded"), "unknown", ""),
    (event("failed", severity="strange"), "unknown", ""),
    (event("a new one"), "unknown", ""),
]
#: code, message and more of a delivery status of a permanent failure
FAILURES = [
    (status(605), "rejected", "", ("api", 605, "")),
    (status(606), "rejected", "", ("api", 606, "")),
    (status(607), "rejected", "", ("api", 607, "")),
    (status(625), "rejected", "", ("api", 625, "")),
    (status("605"), "rejected", "", ("api", 605, "")),
    (status(602, "Too old"), "bounced", "", ("api", 602, "")),
    (status(498, "No MX for x.example"), "bounced", "hard", ("api", 498, "")),
    (status(550), "bounced", "", ("remote", 550, "")),
    (status(550, "5.1.1 no such user"), "bounced", "hard", ("remote", 550, "5.1.1")),
    (status(550, "550-5.1.1 The\r\nx"), "bounced", "hard", ("remote", 550, "5.1.1")),
    (
        status(None, "smtp; 554 5.7.1 spam"),
        "bounced",
        "block",
        ("remote", 554, "5.7.1"),
    ),
    (
        status(550, "no", enhanced_code="5.7.26"),
        "bounced",
        "block",
        ("remote", 550, "5.7.26"),
    ),
    (
        status(550, "no", bounce_code="5.0.0"),
        "bounced",
        "",
        ("remote", 550, "5.0.0"),
    ),
    (
        status(552, "5.1.1 x", enhanced_code="5.2.2"),
        "bounced",
        "soft",
        ("remote", 552, "5.2.2"),
    ),
    (status(550, bounce_type="hard"), "bounced", "hard", ("remote", 550, "")),
    (status(True), "bounced", "", ("remote", 0, "")),
    (status(10**300, "x"), "bounced", "", ("remote", 0, "")),
]


class TestMeaning:
    @pytest.mark.parametrize(("data", "kind", "bounce_class"), MEANINGS)
    def test_of_each_event(self, data, kind, bounce_class):
        found = one(data)
        assert (found.type, found.bounce_class) == (kind, bounce_class)
        assert found.recipient == VERA
        assert found.reference == REFERENCE
        assert found.message_id == "<out1@mg.example>"
        assert found.provider_reference == "out1@mg.example"
        assert found.occurred_at == datetime(
            2026, 11, 20, 11, 59, 0, 89676, timezone.utc
        )

    @pytest.mark.parametrize(("delivery", "kind", "bounce_class", "reply"), FAILURES)
    def test_of_each_failure(self, delivery, kind, bounce_class, reply):
        data = event("failed", severity="permanent", delivery_status=delivery)
        found = one(data)
        assert (found.type, found.bounce_class) == (kind, bounce_class)
        assert (found.reply.stage, found.reply.code, found.reply.enhanced) == reply

    @pytest.mark.parametrize("kind", ["delivered", "failed", "opened"])
    @pytest.mark.parametrize("value", [None, [], "x", 5])
    def test_no_delivery_status(self, kind, value):
        """anymail #361: it may be null."""
        data = event(kind, severity="permanent", delivery_status=value)
        assert one(data).reply is None

    def test_the_words_of_a_server_are_one_line(self):
        data = event("delivered", delivery_status=status(250, "OK\r\n\tqueued as 1\0"))
        assert one(data).reply == Reply("remote", 250, "", "OK queued as 1")
        long = status(550, "x" * 5000)
        data = event("failed", severity="permanent", delivery_status=long)
        assert len(one(data).reply.text) == 1000

    def test_an_empty_message_leaves_its_description(self):
        said = {**status(605), "description": "Not delivering to bounced address"}
        data = event("failed", severity="permanent", delivery_status=said)
        assert one(data).reply.text == "Not delivering to bounced address"

    def test_a_later_try_is_announced(self):
        said = status(451, "4.7.652 too many", retry_seconds=600, attempt_no=2)
        found = one(event("failed", severity="temporary", delivery_status=said))
        assert found.reply == Reply("remote", 451, "4.7.652", "4.7.652 too many")
        assert found.bounce_class == "block"
        assert found.metadata["retry_seconds"] == "600"
        assert found.metadata["attempt"] == "2"

    def test_a_bounce_that_came_later_by_mail(self):
        data = without(event("failed", severity="permanent", reason="generic"), "tags")
        data["flags"] = {"is-delayed-bounce": True}
        data["delivery-status"] = status(
            550, "smtp; 550-5.1.1 none", bounce_code="5.1.1"
        )
        found = one(data)
        assert (found.type, found.bounce_class) == ("bounced", "hard")
        assert found.metadata["delayed"] == "yes"

    def test_a_rejected_mail_names_its_recipients_in_a_header(self):
        data = without(event("rejected"), "recipient")
        data["message"]["headers"]["to"] = 'A <a@b.example>, "x, y" <c@d.example>, junk'
        data["reject"] = {"reason": "Sandbox only", "description": ""}
        found = events_of(data)
        assert [item.recipient for item in found] == ["a@b.example", "c@d.example"]
        assert {item.type for item in found} == {"rejected"}
        assert found[0].reply == Reply("api", 0, "", "Sandbox only")

    def test_mail_that_came_in_is_none_of_ours(self):
        for data in (
            event("accepted", flags={"is-authenticated": False}),
            event("delivered", flags={"is-routed": True}),
            event("accepted", routes=[{"id": "1"}]),
        ):
            assert one(data).type == "unknown"

    def test_events_of_lists_are_about_nobody(self):
        data = {"event": "list_uploaded", "id": "x", "timestamp": STAMP}
        assert one(data).recipient == ""

    def test_what_a_click_tells(self):
        found = one(
            event(
                "clicked",
                url="https://shop.example/?a=1",
                ip="2001:DB8::1",
                client_info={
                    "user-agent": "Mozilla/5.0 (X11)",
                    "client-name": "Firefox",
                    "device-type": "desktop",
                    "bot": "apple",
                },
                geolocation={"country": "DE", "city": "Köln"},
                tags=["invoice", 7, None, "spring"],
            )
        )
        assert found.url == "https://shop.example/?a=1"
        assert found.user_agent == "Mozilla/5.0 (X11)"
        assert found.ip == "2001:db8::1"
        assert found.metadata == {
            "client": "Firefox",
            "device": "desktop",
            "bot": "apple",
            "country": "DE",
            "city": "Köln",
            "tags": "invoice, 7, spring",
        }

    def test_other_variables_are_kept(self):
        variables = {"mail_bridge_reference": REFERENCE, "shop": "7", "x": {"a": 1}}
        found = one(event("opened", user_variables=variables))
        assert found.metadata == {"v:shop": "7"}

    @pytest.mark.parametrize("value", ["", "a b", "x" * 65, "é", 7, None, ["x"]])
    def test_what_is_no_reference_of_ours(self, value):
        variables = {"mail_bridge_reference": value}
        assert one(event("opened", user_variables=variables)).reference == ""

    @pytest.mark.parametrize("value", [None, "1795176000", True, -1, 0, 1e300, 4e9])
    def test_an_absurd_time_is_that_of_its_arrival(self, value):
        found = one(event("opened", timestamp=value))
        assert found.occurred_at == NOW
        assert found.event_reference == "W3X4JOhFT-OZidZGKKr9iA"

    @pytest.mark.parametrize("value", ["", None, 7, "a@b\r\nBcc: c@d", "a b", "<>"])
    def test_an_event_of_nobody_is_a_dead_letter(self, value):
        data = event("delivered", recipient=value)
        with pytest.raises(PayloadError):
            events_of(data)

    @pytest.mark.parametrize(
        "data",
        [None, [], "x", 5, {}, {"event": None}, {"event": ""}, [event("opened")]],
    )
    def test_what_is_no_event_is_a_dead_letter(self, data):
        with pytest.raises(PayloadError):
            events_of(data)


class TestHostile:
    """What the core relies on, whatever stands in a genuine post."""

    def check(self, found: DeliveryEvent) -> None:
        reply = found.reply or Reply("remote")
        texts = [
            found.recipient,
            found.reference,
            found.provider_reference,
            found.event_reference,
            found.message_id,
            found.url,
            found.user_agent,
            found.ip,
            reply.enhanced,
            reply.text,
            *found.metadata,
            *found.metadata.values(),
        ]
        for text in texts:
            assert isinstance(text, str) and len(text) <= 4000
            assert not set(text) & set("\r\n\0") and text.encode() is not None
        assert found.occurred_at.tzinfo is not None
        assert 0 <= reply.code <= 999 and len(reply.text) <= 1000
        assert len(found.metadata) <= 40

    def judged(self, request) -> str:
        try:
            for found in adapter.parse(request, {}, ACCOUNT):
                self.check(found)
        except PayloadError as error:
            return str(error)
        return ""

    @pytest.mark.parametrize("kind", ["delivered", "failed", "rejected", "clicked"])
    def test_no_field_crashes(self, kind):
        full = event(
            kind,
            severity="permanent",
            reason="generic",
            delivery_status=status(550, "x", enhanced_code="5.1.1", bounce_type="hard"),
            reject={"reason": "x", "description": "y"},
            client_info={"user-agent": "x", "bot": "y"},
            geolocation={"country": "x"},
            envelope={"sending-ip": "x"},
            url="https://x.example",
            ip="192.0.2.1",
        )
        for path in _paths(full):
            for value in (*BAD_VALUES.values(), 1e308, 10**400, True, -1, "\ud800"):
                data = json.loads(json.dumps(full))
                _set(data, path, value)
                self.judged(signed(data))

    def test_very_long_lists_take_no_time(self):
        data = without(event("rejected"), "recipient")
        data["message"]["headers"]["to"] = "(" * 50_000 + '"<,' * 10_000
        data["user-variables"] = {str(n): "x" * 500 for n in range(500)}
        data["tags"] = ["x" * 500] * 500
        self.judged(signed(data))
        data["recipient"] = VERA
        self.check(one(data))

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        [*event("x"), "headers", "to", "code", "delivery-status"]
                    ),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=20,
        )
    )
    def test_no_json_raises_anything_else(self, data):
        self.judged(post(json.dumps(data).encode()))
        self.judged(signed(data))
        if isinstance(data, dict):
            self.judged(signed({**event("failed", severity="permanent"), **data}))

    @given(st.binary(max_size=200) | st.text('{}[]":,eE0.5ut\\', max_size=60))
    def test_no_bytes_raise_anything_else(self, body):
        body = body if isinstance(body, bytes) else body.encode()
        self.judged(post(body))
        self.judged(post(b'{"event-data": {"event": "opened", "recipient": ' + body))


def _paths(data, start=()):
    for key, value in data.items():
        yield (*start, key)
        if isinstance(value, dict):
            yield from _paths(value, (*start, key))


def _set(data, path, value):
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value
