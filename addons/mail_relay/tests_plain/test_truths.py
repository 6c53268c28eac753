# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""News of recipients are gathered to one row each, whatever their order."""

from datetime import datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.delivery import EventType, Reply
from odoo.addons.mail_relay.engine.truths import HARD, MOMENTS, Told, gather, judge
from odoo.addons.mail_relay.providers.states import (
    IMPLIES,
    ORDER,
    RANKS,
    START,
    Truth,
    advance_all,
    truth_of_event,
)

START_AT = datetime(2026, 11, 20, 10)
GONE = Reply("remote", 550, "5.1.1", "user unknown")
news = st.lists(
    st.builds(
        Told,
        recipient_id=st.integers(1, 3),
        truth=st.sampled_from([*ORDER, None]),
        reason=st.sampled_from(["", "quota"]),
        reply=st.sampled_from([None, GONE]),
        provider_reference=st.sampled_from(["", "theirs", "another"]),
        at=st.integers(0, 9).map(lambda minutes: START_AT + minutes * timedelta(0, 60)),
    ),
    max_size=12,
)


@given(news, st.randoms())
def test_the_order_of_news_and_their_repetition_change_nothing(items, chance):
    again = items + items[:4]
    chance.shuffle(again)
    for one, other in zip(gather(items), gather(again), strict=True):
        assert one == other


@given(news)
def test_each_recipient_comes_to_the_strongest_truth(items):
    rows = gather(items)
    assert [row["id"] for row in rows] == sorted({item.recipient_id for item in items})
    for row in rows:
        own = [item for item in items if item.recipient_id == row["id"]]
        truth = advance_all(START, [item.truth for item in own])
        assert (row["state"], row["rank"]) == (truth.state, RANKS[truth])
        assert row.get("bounce_class") == (truth.bounce_class or None)
        assert row["last_event_at"] == max(item.at for item in own)


@given(news)
def test_a_moment_is_the_first_at_which_it_was_true(items):
    for row in gather(items):
        for state, column in MOMENTS.items():
            moments = [
                item.at
                for item in items
                if item.recipient_id == row["id"]
                and item.truth
                and state in (item.truth.state, *IMPLIES[item.truth.state])
            ]
            assert row.get(column) == min(moments, default=None)


def test_words_stand_only_beside_trouble():
    good = Told(1, Truth("delivered"), START_AT, "", Reply("remote", 250, "", "ok"))
    bad = Told(1, HARD, START_AT, "invalid", GONE)
    [row] = gather([good])
    assert (row["failure_text"], row["smtp_code"]) == (None, None)
    [row] = gather([bad, good])
    assert (row["failure_text"], row["reason"]) == ("user unknown", "invalid")


@pytest.mark.parametrize("kind", get_args(EventType))
@pytest.mark.parametrize("bounce_class", ["", "hard", "soft", "block"])
@pytest.mark.parametrize("reply", [None, GONE, Reply("api", 605, "", "suppressed")])
def test_only_a_bounce_without_a_class_is_judged_anew(kind, bounce_class, reply):
    truth, reason = judge(kind, bounce_class, reply)
    told = truth_of_event(kind, bounce_class)
    if kind == "bounced" and not bounce_class:
        assert truth.state == "bounced"
    else:
        assert truth == told
    troubled = truth is not None and truth.state in ("bounced", "rejected", "failed")
    assert bool(reason) == troubled


@pytest.mark.parametrize(
    ("bounce_class", "reply", "expected"),
    [
        ("", GONE, (HARD, "invalid")),
        ("", None, (Truth("bounced", "soft"), "unknown")),
        ("hard", Reply("remote", 550, "", "no"), (HARD, "invalid")),
        ("hard", Reply("remote", 552, "5.2.2", "full"), (HARD, "quota")),
        ("soft", GONE, (Truth("bounced", "soft"), "invalid")),
    ],
)
def test_a_provider_that_says_whose_fault_it_is_is_believed(
    bounce_class, reply, expected
):
    assert judge("bounced", bounce_class, reply) == expected
