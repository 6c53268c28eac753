# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Routes: which mail is whose, and why an account was passed over."""

import pytest

from odoo.addons.mail_relay.routing import Choice, RouteFacts, choose, domains_in
from odoo.addons.mail_relay.submission import HIGH, IMMEDIATE, LOW, MEDIUM

MAIL = ("shop.example", {"customer.example"}, "sale.order", False, MEDIUM)


def route(**values):
    given = {
        "id": 1,
        "name": "Route",
        "from_domains": "",
        "recipient_domains": "",
        "models": (),
        "kind": "any",
        "level": LOW,
        "account_ids": (3, 4),
    }
    return RouteFacts.of(**{**given, **values})


@pytest.mark.parametrize(
    ("values", "matches"),
    [
        ({}, True),
        ({"from_domains": "shop.example"}, True),
        ({"from_domains": "@Shop.Example, other.example"}, True),
        ({"from_domains": "other.example"}, False),
        ({"from_domains": "example"}, False),
        ({"recipient_domains": "customer.example"}, True),
        ({"recipient_domains": "other.example"}, False),
        ({"models": ["sale.order"]}, True),
        ({"models": ["crm.lead"]}, False),
        ({"kind": "transactional"}, True),
        ({"kind": "marketing"}, False),
        ({"level": MEDIUM}, True),
        ({"level": HIGH}, False),
        ({"level": IMMEDIATE}, False),
        ({"from_domains": "shop.example", "models": ["crm.lead"]}, False),
    ],
)
def test_each_condition(values, matches):
    assert route(**values).matches(*MAIL) is matches


def test_mass_mailing_has_routes_of_its_own():
    mass = (*MAIL[:3], True, LOW)
    assert route(kind="marketing").matches(*mass)
    assert not route(kind="transactional").matches(*mass)


def test_all_recipients_must_be_of_the_routes_domains():
    two = (MAIL[0], {"customer.example", "other.example"}, *MAIL[2:])
    assert not route(recipient_domains="customer.example").matches(*two)
    assert route(recipient_domains="customer.example other.example").matches(*two)


def test_domains_are_written_as_one_likes():
    text = "@A.example, b.example;c.example\nmüller.example"
    ascii_name = "xn--mller-kva.example"
    assert domains_in(text) == {"a.example", "b.example", "c.example", ascii_name}
    assert domains_in(None) == frozenset()


def test_the_first_that_can_is_chosen_and_the_others_have_their_reason():
    assert choose([3, 4, 5], "why", {3: "off", 5: "archived"}, 9) == Choice(
        (4,), 9, ((3, "off"), (5, "archived"), (4, "why"))
    )


def test_an_account_stands_in_the_chain_once():
    assert choose([3, 4, 3], "why", {}).account_ids == (3, 4)


def test_where_none_can_that_is_the_reason():
    found = choose([3], "why", {3: "off"})
    assert found == Choice((), 0, ((3, "off"), (0, "no account can send it")))
