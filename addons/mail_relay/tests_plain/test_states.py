# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Work goes back and forth along known moves; truth only forward, in any order."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.delivery import EventType, Outcome
from odoo.addons.mail_relay.providers.classify import Verdict, parse_reply
from odoo.addons.mail_relay.providers.classify import classify as judge
from odoo.addons.mail_relay.providers.states import (
    ENDS_DOUBT,
    EVENT_TRUTHS,
    IMPLIES,
    MAY_FOLLOW,
    OPEN,
    ORDER,
    RANKS,
    START,
    WORK_MOVES,
    Truth,
    TruthState,
    WorkState,
    advance,
    advance_all,
    is_open,
    may_move,
    truth_of_attempt,
    truth_of_event,
)

HARD, SOFT, BLOCK = (Truth("bounced", name) for name in ("hard", "soft", "block"))
truths = st.sampled_from(ORDER)
events = st.tuples(
    st.sampled_from(get_args(EventType)), st.sampled_from(["", "hard", "soft", "block"])
)


class TestWork:
    def test_every_state_has_its_moves(self):
        assert set(WORK_MOVES) == set(get_args(WorkState))
        assert set().union(*WORK_MOVES.values()) <= set(WORK_MOVES)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("queued", "sending"),
            ("queued", "cancelled"),
            ("queued", "dead"),
            ("queued", "held"),
            ("sending", "queued"),
            ("sending", "done"),
            ("sending", "in_doubt"),
            ("sending", "dead"),
            ("in_doubt", "held"),
            ("in_doubt", "done"),
            ("in_doubt", "queued"),
            ("held", "queued"),
            ("held", "done"),
            ("held", "cancelled"),
            ("dead", "queued"),
            ("dead", "cancelled"),
        ],
    )
    def test_what_must_be_possible(self, before, after):
        assert may_move(before, after)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("done", "queued"),
            ("done", "sending"),
            ("cancelled", "queued"),
            ("cancelled", "sending"),
            ("sending", "cancelled"),
            ("in_doubt", "cancelled"),
            ("in_doubt", "sending"),
            ("held", "sending"),
            ("dead", "sending"),
            ("queued", "in_doubt"),
            *((state, state) for state in WORK_MOVES),
        ],
    )
    def test_what_must_not_happen(self, before, after):
        assert not may_move(before, after)

    def test_only_a_queued_mail_is_sent(self):
        senders = [state for state in WORK_MOVES if may_move(state, "sending")]
        assert senders == ["queued"]


class TestTruth:
    def test_every_state_has_a_rank(self):
        assert {truth.state for truth in ORDER} == set(get_args(TruthState))
        assert {truth.state for truth in ORDER} == set(IMPLIES)
        assert len(RANKS) == len(ORDER)
        assert RANKS[START] == 0

    def test_the_line_of_the_issue(self):
        line = ("pending", "deferred", "sent", "delivered", "opened", "clicked")
        ranks = [RANKS[Truth(state)] for state in line]
        assert ranks == sorted(ranks)

    @pytest.mark.parametrize(
        ("before", "news", "after"),
        [
            (Truth("delivered"), Truth("complained"), Truth("complained")),
            (Truth("clicked"), Truth("complained"), Truth("complained")),
            (HARD, Truth("delivered"), HARD),
            (HARD, Truth("opened"), HARD),
            (Truth("delivered"), HARD, HARD),
            (Truth("delivered"), BLOCK, BLOCK),
            (SOFT, Truth("delivered"), Truth("delivered")),
            (Truth("delivered"), SOFT, Truth("delivered")),
            (SOFT, HARD, HARD),
            (HARD, SOFT, HARD),
            (Truth("pending"), Truth("opened"), Truth("opened")),
            (Truth("opened"), Truth("delivered"), Truth("opened")),
            (Truth("clicked"), Truth("opened"), Truth("clicked")),
            (Truth("clicked"), Truth("unsubscribed"), Truth("unsubscribed")),
            (Truth("sent"), Truth("deferred"), Truth("sent")),
            (Truth("sent"), Truth("rejected"), Truth("rejected")),
            (Truth("sent"), Truth("failed"), Truth("failed")),
            (Truth("failed"), Truth("delivered"), Truth("delivered")),
            (Truth("deferred"), Truth("cancelled"), Truth("cancelled")),
            (Truth("cancelled"), Truth("sent"), Truth("sent")),
            (Truth("delivered"), Truth("cancelled"), Truth("delivered")),
        ],
    )
    def test_which_may_follow_which(self, before, news, after):
        assert advance(before, news) == after
        assert (news in MAY_FOLLOW[before]) == (after != before)

    @given(st.lists(truths | st.none(), max_size=12), st.randoms())
    def test_any_order_of_the_same_news_ends_the_same(self, news, random):
        expected = advance_all(START, news)
        shuffled = news * 2
        random.shuffle(shuffled)
        assert advance_all(START, shuffled) == expected

    @given(st.lists(events, max_size=12), st.randoms())
    def test_any_order_of_the_same_events_ends_the_same(self, told, random):
        expected = advance_all(START, [truth_of_event(*event) for event in told])
        shuffled = told * 2
        random.shuffle(shuffled)
        found = advance_all(START, [truth_of_event(*event) for event in shuffled])
        assert found == expected

    @given(truths, truths, truths)
    def test_it_is_a_join(self, one, two, three):
        assert advance(one, one) == one
        assert advance(one, two) == advance(two, one)
        left = advance(advance(one, two), three)
        assert left == advance(one, advance(two, three))

    @given(truths, st.lists(truths | st.none(), max_size=8))
    def test_it_never_goes_back(self, before, news):
        for item in news:
            after = advance(before, item)
            assert RANKS[after] >= RANKS[before]
            before = after


class TestEvents:
    def test_every_type_has_its_meaning(self):
        assert set(EVENT_TRUTHS) == set(get_args(EventType))
        assert all(truth is None or truth in RANKS for truth in EVENT_TRUTHS.values())

    def test_a_provider_that_defers_has_the_mail(self):
        """It must not be sent once more, or the recipient gets two."""
        for kind in ENDS_DOUBT:
            assert not is_open(truth_of_event(kind).state)

    @pytest.mark.parametrize("kind", ["subscribed", "autoresponded", "unknown"])
    def test_what_says_nothing_changes_nothing(self, kind):
        assert truth_of_event(kind) is None
        assert kind not in ENDS_DOUBT

    @pytest.mark.parametrize("name", ["hard", "soft", "block"])
    def test_a_bounce_keeps_its_class(self, name):
        assert truth_of_event("bounced", name) == Truth("bounced", name)

    def test_a_bounce_without_a_class_claims_little(self):
        assert truth_of_event("bounced") == SOFT
        assert truth_of_event("delivered", "hard") == Truth("delivered")

    def test_opened_implies_delivered(self):
        assert "delivered" in IMPLIES["opened"]
        assert {"opened", "delivered"} <= IMPLIES["clicked"]
        assert "delivered" in IMPLIES["complained"]
        assert "delivered" not in IMPLIES["bounced"]
        for state, implied in IMPLIES.items():
            assert all(IMPLIES[other] <= implied for other in implied), state


class TestAttempts:
    @pytest.mark.parametrize(
        ("stage", "text", "truth"),
        [
            ("rcpt", "250 ok", Truth("sent")),
            ("rcpt", "451 later", Truth("deferred")),
            ("rcpt", "550 5.1.1 user unknown", HARD),
            ("data", "550 5.7.1 spam", BLOCK),
            ("data", "552 5.3.4 too large", Truth("failed")),
            ("auth", "535 no", Truth("deferred")),
            ("connect", "", Truth("deferred")),
        ],
    )
    def test_what_a_reply_makes_of_a_recipient(self, stage, text, truth):
        assert truth_of_attempt(judge(parse_reply(stage, text))) == truth

    def test_a_provider_that_refuses_an_address_rejects(self):
        verdict = Verdict(Outcome.REJECTED, reason="suppressed")
        assert truth_of_attempt(verdict) == Truth("rejected")

    def test_doubt_says_nothing(self):
        assert truth_of_attempt(Verdict(Outcome.IN_DOUBT)) is None

    def test_a_retry_goes_to_who_has_nothing_yet(self):
        assert {"pending", "deferred"} == OPEN
        assert is_open("deferred")
        assert not is_open("sent")
