# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import pytest

from odoo.addons.mail_relay.providers.unsubscribe import (
    Leave,
    make_leave_token,
    read_leave_token,
)

KEY, OTHER = b"k" * 32, b"o" * 32
LEAVE = Leave("ab" * 16, 3, "jürgen@example.com", "mailing.list,7")


def test_a_token_says_who_leaves_what():
    token = make_leave_token(KEY, LEAVE)
    assert read_leave_token([KEY], token) == LEAVE
    assert read_leave_token([OTHER, KEY], token) == LEAVE


def test_it_goes_into_a_url_and_a_header_line():
    token = make_leave_token(KEY, LEAVE)
    assert token.isascii()
    assert set(token) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    )


@pytest.mark.parametrize("keys", [[], [OTHER]])
def test_nobody_elses_token_counts(keys):
    assert read_leave_token(keys, make_leave_token(KEY, LEAVE)) is None


def test_a_changed_token_says_nothing():
    token = make_leave_token(KEY, LEAVE)
    payload, _, mac = token.partition(".")
    other = make_leave_token(KEY, LEAVE._replace(address="bob@example.com"))
    for bad in (f"{other.partition('.')[0]}.{mac}", payload, f"{payload}.", f".{mac}"):
        assert read_leave_token([KEY], bad) is None


@pytest.mark.parametrize("bad", ["", ".", "a", "é.é", "%00.%00", "x" * 5000, "a.b.c"])
def test_rubbish_says_nothing(bad):
    assert read_leave_token([KEY], bad) is None
