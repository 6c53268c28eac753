# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Each telling of one event has one key, and two events never share one."""

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone

import pytest

from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, Reply
from odoo.addons.mail_bridge.providers.eventkey import event_key

MOMENT = datetime(2026, 11, 20, 10, 0, tzinfo=timezone.utc)
NAMED = DeliveryEvent("delivered", "vera@customer.example", MOMENT, event_reference="7")
UNNAMED = replace(NAMED, event_reference="", reference="ref")
#: Another value of each field.
OTHERS = {
    "type": "opened",
    "recipient": "erik@customer.example",
    "occurred_at": MOMENT + timedelta(microseconds=1),
    "reference": "other",
    "provider_reference": "other",
    "event_reference": "8",
    "message_id": "<other@x>",
    "bounce_class": "soft",
    "reply": Reply("remote", 250),
    "url": "https://x.example/",
    "user_agent": "Reader",
    "ip": "192.0.2.1",
    "metadata": {"city": "Graz"},
}


def test_all_fields_are_looked_at():
    assert set(OTHERS) == {field.name for field in fields(DeliveryEvent)}


@pytest.mark.parametrize("name", OTHERS)
def test_without_an_id_each_part_of_the_content_counts(name):
    assert event_key(replace(UNNAMED, **{name: OTHERS[name]})) != event_key(UNNAMED)


@pytest.mark.parametrize("name", OTHERS)
def test_with_an_id_only_it_the_recipient_and_the_type_count(name):
    changed = event_key(replace(NAMED, **{name: OTHERS[name]})) != event_key(NAMED)
    assert changed == (name in ("type", "recipient", "event_reference"))


def test_the_case_of_an_address_does_not_count():
    other = replace(NAMED, recipient=" Vera@Customer.Example")
    assert event_key(other) == event_key(NAMED)


def test_an_id_and_a_content_never_meet():
    content = '{"x": 1}'
    assert event_key(replace(NAMED, event_reference=content)) != event_key(UNNAMED)


def test_the_borders_of_the_parts_count():
    one = replace(NAMED, event_reference="7a", recipient="b@x")
    two = replace(NAMED, event_reference="7", recipient="ab@x")
    assert event_key(one) != event_key(two)


def test_the_time_of_the_post_is_not_the_event_s():
    later = replace(UNNAMED, occurred_at=MOMENT + timedelta(hours=1))
    assert event_key(UNNAMED, MOMENT) == event_key(later, later.occurred_at)
    assert event_key(UNNAMED, MOMENT) != event_key(UNNAMED)


def test_what_no_database_keeps_has_a_key_too():
    odd = replace(NAMED, event_reference="\ud800\0", recipient="\udfff@x")
    assert len(event_key(odd)) == 64
