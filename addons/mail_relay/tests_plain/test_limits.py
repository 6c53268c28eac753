# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Limits hold over any rolling window, at the server, whatever came between."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.engine.limits import (
    PERIODS,
    Limit,
    Usage,
    available,
    give_back,
    next_slot,
    take,
)

NOW = 1_795_000_000.0
seconds = st.sampled_from(sorted(PERIODS.values()))
limits = st.builds(Limit, st.just(1), seconds, st.integers(1, 60))
#: Parts of the window until the next claim, mails wanted, what chance decides, whether
#: the dispatcher is another one that reads all from the database.
steps = st.lists(
    st.tuples(st.floats(0, 0.4), st.integers(0, 80), st.floats(0, 1), st.booleans()),
    max_size=60,
)


def restarted(usage: Usage) -> Usage:
    """What another process reads of a usage."""
    buckets = json.loads(json.dumps(dict(usage.buckets or {})))
    return Usage(usage.next_at, {int(at): mails for at, mails in buckets.items()})


def assert_holds(limit: Limit, arrivals: list[float]) -> None:
    """No window of the limit's seconds, wherever it begins, has more than its count."""
    arrivals = sorted(arrivals)
    for first, last in zip(arrivals, arrivals[limit.count :], strict=False):
        assert last - first >= limit.seconds - 1e-6


@given(limits, steps, st.booleans())
def test_no_window_ever_sees_more_than_the_count(limit, plan, evenly):
    now, usage, arrivals = NOW, Usage(), []
    for pause, wanted, chance, restarts in plan:
        now += pause * limit.window
        usage = restarted(usage) if restarts else usage
        mails = min(wanted, available(limit, usage, now, evenly))
        usage = take(limit, usage, now, mails)
        if chance < 0.2:  # no connection: nobody heard of the last of them
            usage = give_back(limit, usage, now, 1) if mails else usage
            mails -= bool(mails)
        arrivals += [now + limit.slack * (chance if n % 2 else 0) for n in range(mails)]
    assert_holds(limit, arrivals)


@given(st.lists(limits, min_size=1, max_size=4), steps)
def test_several_limits_hold_together(kinds, plan):
    now, usages, arrivals = NOW, [Usage() for _ in kinds], []
    for pause, wanted, _chance, _restarts in plan:
        now += pause * min(limit.window for limit in kinds)
        mails = min(
            wanted,
            *(available(*pair, now) for pair in zip(kinds, usages, strict=True)),
        )
        usages = [
            take(limit, usage, now, mails)
            for limit, usage in zip(kinds, usages, strict=True)
        ]
        arrivals += [now] * mails
    for limit in kinds:
        assert_holds(limit, arrivals)


@given(limits, steps, st.booleans())
def test_the_next_slot_is_one(limit, plan, evenly):
    """Who comes at the moment that he was told is not sent away again."""
    now, usage = NOW, Usage()
    for pause, wanted, _chance, _restarts in plan:
        now += pause * limit.window
        mails = min(wanted, available(limit, usage, now, evenly))
        usage = take(limit, usage, now, mails)
        slot = next_slot(limit, usage, now, evenly)
        assert slot <= now + limit.window * 1.05 + 0.01
        assert available(limit, usage, slot + 1e-5, evenly) >= 1


def drained(limit: Limit, mails: int) -> list[float]:
    """When the mails of a full queue go."""
    now, usage, moments = NOW, Usage(), []
    while len(moments) < mails:
        if given_now := available(limit, usage, now):
            usage = take(limit, usage, now, given_now)
            moments += [now] * given_now
        now = max(now + 1e-4, next_slot(limit, usage, now))
    return moments


@pytest.mark.parametrize(("period", "count"), [("second", 5), ("minute", 50)])
def test_a_full_queue_is_sent_evenly(period, count):
    limit = Limit(1, PERIODS[period], count)
    moments = drained(limit, 3 * count)
    pauses = [b - a for a, b in itertools.pairwise(moments)]
    assert max(pauses) <= 1.1 * limit.pause
    assert min(pauses) >= 0.9 * limit.pause
    # What the slack costs is little more than a fifth of the rate at most.
    assert limit.pause <= 1.23 * limit.seconds / count


@pytest.mark.parametrize("period", ["hour", "day"])
def test_of_a_long_limit_some_may_go_at_once(period):
    limit = Limit(1, PERIODS[period], 1000)
    assert available(limit, Usage(), NOW) == 100
    assert drained(limit, 101)[:100] == [NOW] * 100


def test_refusing_accounts_give_all_that_is_left():
    limit = Limit(1, 60, 50)
    assert available(limit, Usage(), NOW, evenly=False) == 50


def test_what_did_not_get_through_counts_no_more():
    limit = Limit(1, 60, 1)
    usage = take(limit, Usage(), NOW, 1)
    assert available(limit, usage, NOW) == 0
    assert available(limit, give_back(limit, usage, NOW, 1), NOW) == 1


def test_what_was_given_cannot_be_given_back_twice():
    limit = Limit(1, 60, 2)
    usage = take(limit, Usage(), NOW, 1)
    for _ in range(3):
        usage = give_back(limit, usage, NOW, 1)
    assert available(limit, usage, NOW, evenly=False) == 2
    assert usage.next_at == pytest.approx(NOW)


@pytest.mark.parametrize("old", sorted(PERIODS.values()))
@pytest.mark.parametrize("new", sorted(PERIODS.values()))
def test_another_period_neither_forgets_nor_blocks_for_ever(old, new):
    usage = take(Limit(1, old, 1), Usage(), NOW, 1)
    limit = Limit(1, new, 1)
    assert available(limit, usage, NOW, evenly=False) == 0
    over = NOW + limit.window + Limit(1, old, 1).window / 60 + 0.01
    assert available(limit, usage, over) == 1


@pytest.mark.parametrize("years", [1, 20])
def test_a_clock_that_was_years_ahead_blocks_nothing(years):
    limit = Limit(1, 60, 1)
    usage = take(limit, Usage(), NOW + years * 365 * 86400, 1)
    assert available(limit, usage, NOW) == 1


def test_a_clock_that_goes_back_a_little_gives_nothing_twice():
    limit = Limit(1, 60, 1)
    usage = take(limit, Usage(), NOW, 1)
    assert available(limit, usage, NOW - 30) == 0
