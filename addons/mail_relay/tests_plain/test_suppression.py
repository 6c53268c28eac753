# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who gets no more mail, of which kind and until when."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.providers.rules import RULES
from odoo.addons.mail_relay.providers.suppression import (
    SUPPRESSION_RULES,
    Suppression,
    holds_back,
    wanted,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def ago(*days):
    return [NOW - day * DAY for day in days]


@pytest.mark.parametrize("reason", ["invalid", "bad_domain", "inactive"])
def test_a_dead_address_gets_nothing_for_thirty_days(reason):
    assert wanted(reason, ago(0)) == Suppression("all", NOW, NOW + 30 * DAY)


def test_a_new_proof_renews():
    assert wanted("invalid", ago(0, 20)).until == NOW + 30 * DAY


@pytest.mark.parametrize("reason", ["complained", "unsubscribed"])
def test_a_wish_is_about_marketing_and_has_no_end(reason):
    assert wanted(reason, ago(0)) == Suppression("marketing", NOW, None)


@pytest.mark.parametrize(
    ("reason", "days", "expected"),
    [
        ("unknown", (0,), False),
        ("unknown", (0, 6), True),
        ("unknown", (6, 0), True),
        ("unknown", (0, 8), False),
        ("quota", (0,), False),
        ("quota", (0, 1, 2), False),
        ("quota", (0, 5, 15), True),
        ("quota", (0, 15), False),
        ("quota", (0, 70, 80), False),
    ],
)
def test_weak_proofs_must_repeat(reason, days, expected):
    assert (wanted(reason, ago(*days)) is not None) is expected


@pytest.mark.parametrize("reason", ["content", "reputation", "throttle", "", "sent"])
def test_what_is_not_the_addresss_fault_never_suppresses(reason):
    assert wanted(reason, ago(*range(100))) is None


def test_every_rule_that_suppresses_has_a_row():
    for rule in RULES:
        assert not rule.suppress or SUPPRESSION_RULES[rule.reason].proofs == 1


def test_no_proof_no_entry():
    assert wanted("invalid", []) is None


@pytest.mark.parametrize(
    ("scope", "options", "held"),
    [
        ("all", {"marketing": False}, True),
        ("all", {"marketing": True}, True),
        ("marketing", {"marketing": True}, True),
        ("marketing", {"marketing": False}, False),
        ("marketing", {"marketing": False, "strict": True}, True),
        ("list", {"marketing": True}, False),
        ("list", {"marketing": True, "same_list": True}, True),
        ("all", {"marketing": True, "until": NOW, "now": NOW}, False),
        ("all", {"marketing": True, "until": NOW + DAY, "now": NOW}, True),
    ],
)
def test_what_an_entry_holds_back(scope, options, held):
    assert holds_back(scope, **options) is held


@given(
    st.sampled_from(sorted(SUPPRESSION_RULES)),
    st.lists(st.integers(0, 90), min_size=1, max_size=6),
    st.randoms(),
)
def test_the_order_of_the_proofs_does_not_matter(reason, days, random):
    shuffled = list(days)
    random.shuffle(shuffled)
    assert wanted(reason, ago(*days)) == wanted(reason, ago(*shuffled))
