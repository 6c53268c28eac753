# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.summary import (
    SHOWN_CHARACTERS,
    Summary,
    read_date,
    summarize,
)


def test_fields_are_decoded_and_unfolded():
    mime = (
        b"From: =?utf-8?q?J=C3=BCrgen?= <j@a.example>\r\nTo: a@b.example,\r\n c@d.ex"
        b"ample\r\nCc: e@f.example\r\nSubject: =?utf-8?b?w4RwZmVs?=\r\n und Birnen\r\n"
        b"Message-ID: <1@a.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\n\r\n"
    )
    assert summarize(mime) == Summary(
        subject="Äpfel und Birnen",
        author="Jürgen <j@a.example>",
        to="a@b.example, c@d.example",
        cc="e@f.example",
        message_id="<1@a.example>",
        date=datetime(2026, 11, 20, 9),
    )


def test_mail_without_any_field():
    assert summarize(b"\r\nText") == Summary("", "", "", "", "", None)


def test_long_text_is_cut():
    assert len(summarize(b"Subject: " + b"x" * 9000).subject) == SHOWN_CHARACTERS


@pytest.mark.parametrize("text", ["", "yesterday", "Fri, 99 Nov 2026 10:00:00 +0000"])
def test_date_that_makes_no_sense(text):
    assert read_date(text) is None


@pytest.mark.parametrize("zone", ["-0000", "+0000", "GMT"])
def test_date_in_utc(zone, monkeypatch):
    """Whatever the time zone of the machine."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = read_date(f"Fri, 20 Nov 2026 10:00:00 {zone}")
        assert found == datetime(2026, 11, 20, 10)
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.binary(max_size=400))
def test_any_bytes_have_a_summary(mime):
    summary = summarize(mime)
    assert "\0" not in summary.subject + summary.author + summary.message_id
