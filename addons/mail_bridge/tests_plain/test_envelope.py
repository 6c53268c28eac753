# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Envelope addresses: bare, once, and never two lines."""

import time
from contextlib import suppress

import pytest
from hypothesis import given

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.tests_plain.test_headers import anything


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["a@b.example"], ("a@b.example",)),
        (["a@b.example, c@d.example ,a@b.example"], ("a@b.example", "c@d.example")),
        (["a@b.example", "c@d.example"], ("a@b.example", "c@d.example")),
        (["<a@b.example>", "Name <c@d.example>"], ("a@b.example", "c@d.example")),
        (['"a, b"@c.example,d@e.example'], ('"a, b"@c.example', "d@e.example")),
        (["jörg@bücher.example"], ("jörg@bücher.example",)),
        (["bounce+a=b/c&d@[192.0.2.1]"], ("bounce+a=b/c&d@[192.0.2.1]",)),
        (["postmaster"], ("postmaster",)),
        ([",a@b.example,,"], ("a@b.example",)),
    ],
)
def test_recipients(values, found):
    assert envelope.recipients(values) == found


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ",", "a b@c.example", "a@b.example\r\nBcc: c@d.example", "a@b\0"),
        *("a@@b.example", "a@b.example>", "<a@b.example", '"a@b.example', "a\ud800@b"),
        *("a\u202eb@c.example", "a\u200b@b.example", "a;b@c.example", "x" * 400),
        *('"a\nb"@c.example', "a@b\n.example", "\ufeffa@b.example", "a@b:c"),
    ],
)
def test_what_is_no_recipient(value):
    with pytest.raises(PayloadError):
        envelope.recipients([value])


@pytest.mark.parametrize("value", ["", "<>", " ", " <> "])
def test_the_null_sender(value):
    assert envelope.sender(value) == ""


def test_a_sender_is_one_address():
    assert envelope.sender(" <a@b.example> ") == "a@b.example"
    with pytest.raises(PayloadError):
        envelope.sender("a@b.example, c@d.example")


def test_five_thousand_recipients():
    many = ",".join(f"user{n}@b.example" for n in range(5000))
    assert len(envelope.recipients([many])) == 5000


@given(anything)
def test_any_text_is_an_address_or_an_error(value):
    try:
        found = [envelope.sender(value), *envelope.recipients([value])]
    except PayloadError:
        return
    for address in found:
        assert address == address.strip()
        assert not set(address) & set("\r\n\0<>\u202e\u2028")
        address.encode()


@pytest.mark.parametrize("value", ['"\\' * 100_000, '"' * 100_001, '"a",' * 100_000])
def test_hostile_lists_cost_little(value):
    start = time.process_time()
    with suppress(PayloadError):
        envelope.recipients([value])
    assert time.process_time() - start < 1
