# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The sign on our mail: nobody makes one without the key, no server breaks it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.providers.tokens import (
    make_bounce_token,
    make_return_path,
    read_bounce_token,
    read_return_path,
)

KEY, OLD, OTHER = b"k" * 32, b"o" * 32, b"x" * 32
references = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)


@given(references)
def test_a_token_comes_back(reference):
    token = make_bounce_token(KEY, reference)
    assert read_bounce_token([KEY], token) == reference
    assert re.fullmatch(r"[a-z0-9_-]+", token)


@given(references, st.integers(0, 200), st.sampled_from("abcz2370-_"))
def test_one_other_letter_is_enough(reference, place, letter):
    token = make_bounce_token(KEY, reference)
    place %= len(token)
    forged = token[:place] + letter + token[place + 1 :]
    assert read_bounce_token([KEY], forged) == (reference if forged == token else None)


def test_a_server_may_fold_the_case():
    token = make_bounce_token(KEY, "m-17")
    assert read_bounce_token([KEY], f" {token.upper()} ") == "m-17"


def test_a_rotated_key_still_reads():
    token = make_bounce_token(OLD, "m-17")
    assert read_bounce_token([KEY, OLD], token) == "m-17"
    assert read_bounce_token([KEY, OTHER], token) is None


@pytest.mark.parametrize("keys", [[], [b""], [b"short"]])
def test_without_a_key_nothing_is_believed(keys):
    assert read_bounce_token(keys, make_bounce_token(KEY, "m-17")) is None


@pytest.mark.parametrize("reference", ["", "A", "a b", "a+b", "a@b", "ä", "x" * 65])
def test_other_references_are_refused(reference):
    with pytest.raises(ValueError, match="reference"):
        make_bounce_token(KEY, reference)


@pytest.mark.parametrize("key", [b"", b"k" * 15])
def test_a_weak_key_is_refused_and_not_told(key):
    with pytest.raises(ValueError, match=r"too short$"):
        make_bounce_token(key, "m-17")


@given(st.text(max_size=100))
def test_anything_else_is_no_token(text):
    assert read_bounce_token([KEY], text) is None
    assert read_return_path([KEY], text) is None


class TestReturnPath:
    def test_it_brings_the_token_home(self):
        path = make_return_path(KEY, "0" * 32, "bounce", "my.example")
        assert path.startswith("bounce+")
        assert path.endswith("@my.example")
        assert len(path.partition("@")[0]) <= 64
        for written in (path, f"<{path}>", path.upper(), f" {path} "):
            assert read_return_path([KEY], written) == "0" * 32

    def test_a_local_part_has_64_characters(self):
        make_return_path(KEY, "0" * 36, "bounce", "my.example")
        with pytest.raises(ValueError, match="longer"):
            make_return_path(KEY, "0" * 37, "bounce", "my.example")

    @pytest.mark.parametrize(
        "address", ["", "@", "bounce@my.example", "bounce+1@my.example", "<>", "+@x"]
    )
    def test_an_ordinary_address_has_none(self, address):
        assert read_return_path([KEY], address) is None

    def test_a_plus_in_the_mailbox_harms_nothing(self):
        path = make_return_path(KEY, "m-17", "a+b", "my.example")
        assert read_return_path([KEY], path) == "m-17"
