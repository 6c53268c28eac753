# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How long servers ask us to wait, in the words that they use."""

import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.providers.hints import MAX_HINT, retry_after, retry_hint

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("450 4.2.0 Greylisted, please try again in 300 seconds", 300),
        ("451 Try again in 5 minutes", 300),
        ("450 try again in 1 hour", 3600),
        ("450 Please retry in 90s", 90),
        ("450 retry after 2 mins", 120),
        ("450 greylisted for 10 minutes", 600),
        ("451 4.7.1 Greylisting in action, please come back in 00:05:00", 300),
        ("450 come back in 1:02:03", 3723),
        ("421 too many, wait 15 minutes", 900),
        ("450 wait 5-10 minutes", 600),
        ("450 wait 5 to 10 minutes", 600),
        ("450 try again in 1 hour and 30 minutes", 5400),
        ("450 try again in 1 hour 30 min", 5400),
        ("450 please try again later, in about 10 minutes.", 600),
        ("450 Try again in one hour", 3600),
        ("450 try again in an hour", 3600),
        ("450 try again in a few minutes", 300),
        ("450 wait at least five minutes before retrying", 300),
        ("450 deferred for 60 sec", 60),
        ("450 blocked for 2 hours", 7200),
        ("450 Greylist: TRY   AGAIN\r\n in  7 MINUTES", 420),
        ("429 slow; Retry-After: 120", 120),
        ("429 retry_after=30", 30),
        ('429 {"retry_after": 1.5}', 1.5),
        ("429 Retry-After: 2 minutes", 120),
        ("429 Retry-After: Sat, 21 Nov 2026 12:10:00 GMT", 600),
        ("450 try again in 3 days", MAX_HINT),
        ("450 try again in 9999999 hours", MAX_HINT),
        ("450 try again in 0 seconds", 0),
    ],
)
def test_hints_are_understood(text, seconds):
    assert retry_hint(text, NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "451 try again later",
        "450 try again. 5 mailboxes tried",
        "450 retry 3 times",
        "550 5.1.1 No such user",
        "421 5 minutes idle, closing",
        "450 seen 10 minutes ago",
        "450 we will retry this for you; 5 messages queued",
        "450 Retry-After: soon",
        "450 try again in minutes",
        "450 try again in 5 minuets",
    ],
)
def test_no_hint_is_made_up(text):
    assert retry_hint(text, NOW) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("99999999", MAX_HINT),
        ("Sat, 21 Nov 2026 13:00:00 GMT", 3600),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Saturday, 21-Nov-26 12:01:00 GMT", 60),
        ("", None),
        ("-5", None),
        ("1e9", None),
        ("tomorrow", None),
        ("١٢٣", None),
        ("Sat, 99 Nov 2026 13:00:00 GMT", None),
    ],
)
def test_the_header_has_two_forms(value, seconds):
    assert retry_after(value, NOW) == seconds


def test_a_date_counts_from_the_present():
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    wait = retry_after(moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert 590 < wait <= 600


@given(st.text(max_size=200))
def test_anything_is_a_bounded_number_or_none(text):
    for reader in (retry_hint, retry_after):
        wait = reader(text, NOW)
        assert wait is None or 0 <= wait <= MAX_HINT


@given(st.integers(0, 10**6), st.sampled_from(["second", "minute", "hour"]))
def test_any_number_is_read(number, unit):
    seconds = number * {"second": 1, "minute": 60, "hour": 3600}[unit]
    text = f"451 4.7.1 Please try again in {number} {unit}s."
    assert retry_hint(text) == min(seconds, MAX_HINT)


@pytest.mark.parametrize(
    "piece",
    ["try again in ", "retry ", "again in in in ", "1", "1-", "wait 1 or ", "in ",
     "retry-after", "Retry-After: ", " ", "00:", "back,", "greylisted for a "],
)  # fmt: skip
def test_hostile_text_is_cheap(piece):
    started = time.process_time()
    for _ in range(20):
        retry_hint("450 " + piece * (500_000 // len(piece)))
        retry_after(piece * (500_000 // len(piece)))
    assert time.process_time() - started < 2
