# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the simulator says of a mail that it is to send, and what it tells later."""

import json
from datetime import datetime, timezone

import pytest

from odoo.addons.mail_bridge.exceptions import PayloadError, PermanentError
from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.delivery import (
    DeliveryEvent,
    Outcome,
    OutgoingMail,
    Reply,
)
from odoo.addons.mail_bridge_demo import sending
from odoo.addons.mail_bridge_demo.adapter import DemoAdapter

ADAPTER = DemoAdapter()
ACCOUNT = AccountFacts(secrets={"signing_key": ("canary-one-1234567890",)})
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
EVENT = DeliveryEvent(
    type="bounced",
    recipient="bounce@example.com",
    occurred_at=NOW,
    reference="a" * 32,
    event_reference="one",
    bounce_class="hard",
    reply=Reply("remote", 550, "5.1.1", "no such user"),
)


def mail(*recipients):
    return OutgoingMail(b"x", "a@example.com", recipients, "a" * 32, "<a@example.com>")


def request(data):
    sample = ADAPTER.sign(json.dumps(data).encode(), ACCOUNT, NOW)
    return WebhookRequest(
        "POST", "/mailgate/demo", sample.headers, sample.body, "192.0.2.1", NOW
    )


def test_the_first_word_of_an_address_chooses_what_is_said():
    receipt = ADAPTER.send(
        mail(
            "ann@example.com",
            "Defer+1@x.example",
            "refuse@x.example",
            "doubt@x.example",
        ),
        ACCOUNT,
    )
    assert [result.outcome for result in receipt.results] == [
        Outcome.ACCEPTED,
        Outcome.DEFERRED,
        Outcome.REJECTED,
        Outcome.IN_DOUBT,
    ]
    assert receipt.provider_reference


def test_it_can_be_tried_and_remembers_nothing():
    assert ADAPTER.check(ACCOUNT).failure is None
    with pytest.raises(PermanentError):
        ADAPTER.find(mail("ann@example.com"), ACCOUNT)


def test_a_story_is_always_the_same_and_begins_with_the_delivery():
    stories = {sending.story(f"n{number}@example.com") for number in range(30)}
    assert stories == {("delivered", "opened"), ("delivered", "opened", "clicked")}
    assert sending.story("ann@example.com") == sending.story("Ann@Example.com")
    assert sending.story("bounce+3@example.com") == ("bounced",)


def test_events_come_back_as_they_were_told():
    sample = ADAPTER.compose_events([EVENT], ACCOUNT, NOW)
    post = WebhookRequest(
        "POST", "/mailgate/demo", sample.headers, sample.body, "192.0.2.1", NOW
    )
    ADAPTER.verify(post, ACCOUNT)
    assert ADAPTER.parse(post, {}, ACCOUNT) == [EVENT]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipient", ""),
        ("recipient", None),
        ("occurred_at", "yesterday"),
        ("occurred_at", 17),
        ("occurred_at", "0001-01-01T00:00:00+14:00"),
        ("bounce_class", "worst"),
        ("bounce_class", ["hard"]),
        ("reply", "no"),
        ("reply", {"stage": "moon"}),
        ("reply", {"stage": "data", "code": "250"}),
        ("reply", {"stage": "data", "code": 10**9}),
        ("url", {}),
    ],
)
def test_an_event_that_makes_no_sense_is_refused(name, value):
    good = json.loads(ADAPTER.compose_events([EVENT], ACCOUNT, NOW).body)["events"][0]
    with pytest.raises(PayloadError):
        ADAPTER.parse(request({"events": [{**good, name: value}]}), {}, ACCOUNT)


@pytest.mark.parametrize("events", [[], {}, None, "x", [17], [{}] * 1001])
def test_what_is_no_list_of_events_is_refused(events):
    with pytest.raises(PayloadError):
        ADAPTER.parse(request({"events": events}), {}, ACCOUNT)


def test_an_unknown_type_is_kept_as_such():
    good = json.loads(ADAPTER.compose_events([EVENT], ACCOUNT, NOW).body)["events"][0]
    [event] = ADAPTER.parse(request({"events": [good | {"type": "x"}]}), {}, ACCOUNT)
    assert event.type == "unknown"
