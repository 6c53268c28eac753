# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""When a recipient is tried again: the profiles, the server's word, and the end."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.delivery import Outcome
from odoo.addons.mail_relay.providers.classify import Verdict
from odoo.addons.mail_relay.providers.retry import PROFILES, Profile, next_try

START = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
SOFT = Verdict(Outcome.DEFERRED, "soft", "unknown", "recipient")
AWAY = Verdict(
    Outcome.DEFERRED, reason="transport", blame="account", charges_attempt=False
)
GENRO, RFC = PROFILES["genro"], PROFILES["rfc5321"]
MIDDLE = 0.5

deferrals = st.builds(
    Verdict,
    st.just(Outcome.DEFERRED),
    reason=st.sampled_from(["unknown", "greylist", "throttle"]),
    charges_attempt=st.booleans(),
    retry_after=st.none() | st.floats(0, 86400),
)
profiles = st.sampled_from(sorted(PROFILES)).map(PROFILES.get)


def waits(profile, verdict=SOFT, random=MIDDLE):
    """Return the seconds between the attempts until the end."""
    now, attempts, found = START, 0, []
    while True:
        attempts += verdict.charges_attempt
        then = next_try(profile, attempts, START, now, verdict, random)
        if then is None:
            return found
        found.append((then - now).total_seconds())
        now = then


def test_genro_gives_up_after_its_last_wait():
    assert waits(GENRO) == [60, 300, 900, 3600, 7200]


def test_rfc5321_goes_on_for_four_days():
    found = waits(RFC)
    assert sum(found) <= 4 * 86400
    assert sum(found) > 4 * 86400 - 10800
    # RFC 1123 §5.3.1.1: two tries in the first hour or so, then every two or three.
    assert sum(found[:2]) <= 4000
    assert all(7200 <= wait <= 10800 for wait in found[2:])


@pytest.mark.parametrize("random", [0.0, 0.25, 0.999])
def test_rfc5321_is_never_under_half_an_hour(random):
    assert min(waits(RFC, random=random)) >= 1800 - 1e-3


def test_jitter_is_a_tenth_both_ways():
    assert waits(GENRO, random=0.0)[0] == pytest.approx(54)
    assert waits(GENRO, random=0.9999999)[0] == pytest.approx(66, abs=0.01)


def test_what_charges_nothing_still_ends():
    found = waits(GENRO, AWAY)
    assert found[0] == 60
    assert max(found) <= 3600
    assert 4 * 86400 - 3600 <= sum(found) <= 4 * 86400
    assert 90 <= len(found) <= 140
    assert found == sorted(found)


@pytest.mark.parametrize(
    "outcome", [Outcome.REJECTED, Outcome.ACCEPTED, Outcome.IN_DOUBT]
)
def test_only_what_was_deferred_is_tried_again(outcome):
    assert next_try(GENRO, 1, START, START, Verdict(outcome), MIDDLE) is None


def test_greylisting_waits_even_under_a_rule_that_forgot_to_say_so():
    verdict = Verdict(Outcome.DEFERRED, "soft", "greylist", "destination")
    then = next_try(GENRO, 1, START, START, verdict, 0.0)
    assert then - START >= timedelta(minutes=5)


def test_the_first_attempt_needs_no_past():
    then = next_try(GENRO, 1, None, START, SOFT, MIDDLE)
    assert then == START + timedelta(minutes=1)


def test_a_clock_that_went_back_harms_nothing():
    late = START + timedelta(days=30)
    assert next_try(GENRO, 1, late, START, SOFT, MIDDLE) is not None


def test_beyond_its_age_a_mail_is_given_up():
    now = START + timedelta(days=4, seconds=1)
    for verdict in (SOFT, AWAY):
        for profile in PROFILES.values():
            assert next_try(profile, 1, START, now, verdict, MIDDLE) is None


@given(
    profiles,
    st.integers(0, 100),
    st.timedeltas(timedelta(0), timedelta(days=6)),
    deferrals,
    st.floats(0, 1, exclude_max=True),
)
def test_never_before_the_servers_word_nor_after_the_end(
    profile, attempts, age, verdict, random
):
    now = START + age
    then = next_try(profile, attempts, START, now, verdict, random)
    if then is None:
        return
    wait = (then - now).total_seconds()
    assert wait >= min(profile.delays) * (1 - profile.jitter) - 1e-3
    assert wait >= (verdict.retry_after or 0) - 1e-3
    assert wait >= 300 - 1e-3 or verdict.reason != "greylist"
    assert then <= START + timedelta(seconds=profile.max_age, milliseconds=1)
    # Pure: the same question, the same answer.
    assert then == next_try(profile, attempts, START, now, verdict, random)


@given(
    st.datetimes(timezones=st.just(timezone.utc), max_value=datetime(2200, 1, 1)),
    st.floats(0, 1, exclude_max=True),
)
def test_the_hint_is_kept_in_any_season(now, random):
    verdict = Verdict(Outcome.DEFERRED, reason="throttle", retry_after=7200.0)
    then = next_try(GENRO, 1, now, now, verdict, random)
    assert timedelta(hours=2) <= then - now <= timedelta(hours=2.2)


@pytest.mark.parametrize(
    "bad",
    [
        {"delays": ()},
        {"delays": (0.0,)},
        {"delays": (60.0, -1.0)},
        {"max_age": 0.0},
        {"jitter": 0.9},
        {"jitter": -0.1},
    ],
)
def test_a_profile_that_would_spin_is_refused(bad):
    values = {"delays": (60.0,), "max_age": 3600.0, **bad}
    with pytest.raises(ValueError, match="retry profile|jitter"):
        Profile("x", "X", "test", **values)
