# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is got from the network, and when the mail goes on without it."""

import time

import pytest

from odoo.addons.mail_bridge import const
from odoo.addons.mail_bridge.exceptions import TemporaryError
from odoo.addons.mail_bridge.providers import errand, http
from odoo.addons.mail_bridge.providers.authentication import DKIM_SOURCE
from odoo.addons.mail_bridge.providers.base import AuthenticationVerdicts, FetchRequest
from odoo.addons.mail_bridge.providers.errand import Errand
from odoo.addons.mail_bridge.tests_plain.test_authentication import Signer
from odoo.addons.mail_bridge.tests_plain.test_http import BODY, at, serving

MAIL = b"From: a@a.example\r\n\r\nText\r\n"


@pytest.fixture(scope="module")
def peer():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def asked(peer, monkeypatch):
    monkeypatch.setenv(http.LOOPBACK_VARIABLE, "1")
    peer.asked.clear()
    return peer.asked


def wanted(peer, path, tries=3, name="mail"):
    return FetchRequest(name, at(peer, path), ("127.0.0.1",), tries=tries)


def no_answer(_name):
    raise TemporaryError("nobody answers")


def test_what_is_there_is_got(peer):
    assert Errand(1, [wanted(peer, "mail")]).run() == ({"mail": BODY}, None)


@pytest.mark.parametrize("path", ["broken", "gone", "denied", "garbage", "short"])
def test_what_may_come_later_is_waited_for_and_then_done_without(peer, path):
    for attempt in (1, 2):
        got, trouble = Errand(attempt, [wanted(peer, path)]).run()
        assert got == {}
        assert isinstance(trouble, TemporaryError)
    assert Errand(3, [wanted(peer, path)]).run() == ({"mail": b""}, None)


@pytest.mark.parametrize("path", ["redirect", "packed"])
def test_what_never_comes_is_done_without_at_once(peer, path):
    assert Errand(1, [wanted(peer, path)]).run() == ({"mail": b""}, None)


def test_what_came_before_a_failure_is_kept(peer):
    requests = [wanted(peer, "mail", name="a"), wanted(peer, "broken", name="b")]
    got, trouble = Errand(1, requests).run()
    assert got == {"a": BODY}
    assert trouble is not None


def test_a_slow_peer_is_given_more_time_at_each_try(peer, monkeypatch):
    monkeypatch.setattr(errand, "PATIENCE", 0.4)
    spent = []
    for attempt in (1, 3):
        start = time.monotonic()
        _got, trouble = Errand(attempt, [wanted(peer, "dripping", tries=9)]).run()
        spent.append(time.monotonic() - start)
        assert trouble is not None
    assert spent[0] < 1 < spent[1]


def test_an_errand_ends_in_the_time_it_is_given(peer):
    start = time.monotonic()
    request = wanted(peer, "dripping", tries=9)
    got, trouble = Errand(3, [request], seconds=0.4).run()
    assert (got, time.monotonic() - start < 1) == ({}, True)
    assert isinstance(trouble, TemporaryError)


def test_no_errand_outlasts_the_first_backoff():
    """Or another worker would claim the post again meanwhile, and fetch it twice."""
    longest = http.TOTAL_TIMEOUT + 5  # one request, and DNS
    assert longest < const.BACKOFF_MINUTES[0] * 60


def test_verdicts_survive_being_stored():
    signer = Signer("ed25519")
    mails, lookup = [signer.sign(MAIL), MAIL], lambda _name: [signer.record]
    got, trouble = Errand(1, mails=mails, lookup=lookup).run()
    assert trouble is None
    assert errand.read_verdicts(got[errand.VERDICTS]) == [
        AuthenticationVerdicts(
            dkim="pass", dkim_domains=("sender.example",), source=DKIM_SOURCE
        ),
        AuthenticationVerdicts(dkim="none", source=DKIM_SOURCE),
    ]


def test_a_name_server_that_says_nothing_is_asked_again():
    good_signature = Signer("ed25519").sign(MAIL)
    for attempt in (1, 2):
        got, trouble = Errand(attempt, mails=[good_signature], lookup=no_answer).run()
        assert got == {}
        assert isinstance(trouble, TemporaryError)
    got, trouble = Errand(3, mails=[good_signature], lookup=no_answer).run()
    assert trouble is None
    [verdict] = errand.read_verdicts(got[errand.VERDICTS])
    assert verdict.dkim == "temperror"
