# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What follows from an attempt: tables over outcome, stage, blame and chain."""

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    RecipientResult,
    Reply,
    SendReceipt,
)
from odoo.addons.mail_relay.engine.attempt import send, whole
from odoo.addons.mail_relay.engine.decide import decide
from odoo.addons.mail_relay.engine.values import Claimed, SendAccount
from odoo.addons.mail_relay.providers.retry import PROFILES

NOW = datetime(2026, 11, 21, 4, tzinfo=timezone.utc)
ANN, BOB = "ann@customer.example", "bob@elsewhere.example"
OK = Reply("data", 250, "2.0.0", "queued")
MIDDLE = 0.5


def account(adapter=None, **values):
    given = {"threads": 1, "batch": 1, "profile": PROFILES["genro"]}
    return SendAccount(7, "Relay", 1, adapter, None, **{**given, **values})


def mail(*addresses, chain="[]", **values):
    people = {address: 100 + n for n, address in enumerate(addresses or (ANN, BOB))}
    domains = sorted({address.rpartition("@")[2] for address in people})
    given = {
        "id": 1,
        "reference": "a" * 32,
        "envelope_sender": "sales@shop.example",
        "message_id": "<1@shop.example>",
        "level": 2,
        "attempts": 0,
        "tries": 0,
        "generation": 0,
        "first_attempt_at": NOW.replace(tzinfo=None),
        "due_at": NOW.replace(tzinfo=None),
        "account_chain": chain,
        "track_opens": False,
        "track_clicks": False,
        "is_marketing": False,
        "list_reference": "",
        "size": 100,
        "domains": domains,
        "recipients": people,
        "mime": b"x",
    }
    return Claimed(**{**given, **values})


def receipt(**said):
    """A receipt; ``ann=…`` and ``bob=…`` are (outcome, reply)."""
    names = {"ann": ANN, "bob": BOB}
    return SendReceipt(
        tuple(RecipientResult(names[name], *result) for name, result in said.items())
    )


def both(outcome, reply, **values):
    found = receipt(ann=(outcome, reply), bob=(outcome, reply))
    return SendReceipt(found.results, **values)


def decided(told, letter=None, now=NOW, **values):
    return decide(account(**values), letter or mail(), told, now, MIDDLE)


def states(decision):
    return {news.recipient_id: news.truth.state for news in decision.news}


REFUSED = Reply("connect", 0, "", "Connection refused")
LOGIN = Reply("auth", 535, "5.7.8", "wrong login or password")
TLS = Reply("tls", 0, "", "certificate verify failed")
SENDER = Reply("mail", 550, "5.7.1", "sender rejected")
UNKNOWN = Reply("rcpt", 550, "5.1.1", "no such user")
LATER = Reply("rcpt", 451, "4.3.0", "try later")
CONTENT = Reply("data", 554, "5.6.0", "malformed")
SPACE = Reply("data", 452, "4.3.1", "no space")
THROTTLE = Reply("mail", 421, "4.7.0", "too many connections, try again in 30 seconds")
LOST = Reply("data", 0, "", "connection lost (after the mail was sent)")
DEFERRED, REJECTED = Outcome.DEFERRED, Outcome.REJECTED
ACCEPTED, DOUBT = Outcome.ACCEPTED, Outcome.IN_DOUBT

# outcome, reply → alone, with another account: (state, outcome of the attempt)
ALL_THE_SAME = [
    (ACCEPTED, OK, ("done", "accepted"), ("done", "accepted")),
    (DOUBT, LOST, ("in_doubt", "in_doubt"), ("in_doubt", "in_doubt")),
    (DOUBT, REFUSED, ("in_doubt", "in_doubt"), ("in_doubt", "in_doubt")),
    (DEFERRED, REFUSED, ("queued", "deferred"), ("queued", "not_sent")),
    (DEFERRED, LOGIN, ("queued", "deferred"), ("queued", "not_sent")),
    (DEFERRED, TLS, ("queued", "deferred"), ("queued", "not_sent")),
    (REJECTED, SENDER, ("done", "rejected"), ("queued", "not_sent")),
    (REJECTED, UNKNOWN, ("done", "rejected"), ("done", "rejected")),
    (DEFERRED, LATER, ("queued", "deferred"), ("queued", "deferred")),
    (REJECTED, CONTENT, ("dead", "rejected"), ("dead", "rejected")),
    (DEFERRED, SPACE, ("queued", "deferred"), ("queued", "deferred")),
    (DEFERRED, THROTTLE, ("queued", "deferred"), ("queued", "deferred")),
]


@pytest.mark.parametrize(("outcome", "reply", "alone", "in_route"), ALL_THE_SAME)
def test_what_all_recipients_are_told(outcome, reply, alone, in_route):
    told = both(outcome, reply)
    for chain, expected in (("[]", alone), ("[8, 9]", in_route)):
        found = decided(told, mail(chain=chain))
        assert (found.state, found.outcome) == expected, chain
        moved = expected[1] == "not_sent"
        assert (found.next_account_id, found.account_chain) == (
            (8, "[9]") if moved else (0, "")
        )
        if moved:
            # The next account tries at once, and nothing is said of anybody.
            assert (found.next_attempt, found.news, found.charged) == (NOW, (), False)


replies = st.sampled_from([reply for _o, reply, *_rest in ALL_THE_SAME])
outcomes = st.sampled_from(list(Outcome))


@given(outcomes, replies, outcomes, replies)
def test_no_other_account_after_an_ambiguous_result_or_a_partial_one(o1, r1, o2, r2):
    found = decided(receipt(ann=(o1, r1), bob=(o2, r2)), mail(chain="[8]"))
    if {o1, o2} & {ACCEPTED, DOUBT}:
        assert not found.next_account_id
        assert found.outcome != "not_sent"
    if DOUBT in (o1, o2):
        assert found.state == "in_doubt"
    # Whoever has the mail is closed, whoever may have it is not spoken of.
    for recipient, outcome in ((100, o1), (101, o2)):
        if outcome is ACCEPTED:
            assert states(found)[recipient] == "sent"
        if outcome is DOUBT:
            assert recipient not in states(found)


def test_a_part_that_was_refused_for_now_is_tried_again_alone():
    found = decided(receipt(ann=(ACCEPTED, OK), bob=(DEFERRED, LATER)))
    assert (found.state, found.outcome) == ("queued", "partial")
    assert states(found) == {100: "sent", 101: "deferred"}
    assert found.next_attempt == NOW + timedelta(minutes=1)
    assert found.narrows  # another sending has another idempotency key


def test_the_same_recipients_again_are_the_same_sending():
    assert not decided(both(DEFERRED, LATER)).narrows


def test_the_first_wait_over_is_when_a_mail_is_tried_again():
    slow = Reply("rcpt", 450, "4.7.1", "greylisted, come back in 600 seconds")
    found = decided(receipt(ann=(DEFERRED, LATER), bob=(DEFERRED, slow)))
    assert found.next_attempt == NOW + timedelta(minutes=1)


@pytest.mark.parametrize("attempts", range(7))
def test_tries_end_with_the_profile_and_say_so(attempts):
    """From the second attempt on, the first one's time comes from the database."""
    found = decided(both(DEFERRED, LATER), mail(attempts=attempts))
    waits = PROFILES["genro"].delays
    if attempts < len(waits):
        assert found.next_attempt == NOW + timedelta(seconds=waits[attempts])
        assert set(states(found).values()) == {"deferred"}
        assert found.charged
    else:
        assert (found.state, found.next_attempt) == ("dead", None)
        text = f"Max retries ({attempts}) exceeded: try later"
        assert {news.reply.text for news in found.news} == {text}
        assert set(states(found).values()) == {"failed"}


def test_a_mail_that_is_too_old_is_given_up():
    old = (NOW - timedelta(days=5)).replace(tzinfo=None)
    found = decided(both(DEFERRED, REFUSED), mail(first_attempt_at=old, attempts=1))
    assert (found.state, set(states(found).values())) == ("dead", {"failed"})


@pytest.mark.parametrize("reply", [THROTTLE, Reply("rcpt", 450, "4.7.1", "greylisted")])
def test_who_wants_peace_charges_no_attempt(reply):
    assert not decided(both(DEFERRED, reply)).charged


def test_a_server_that_wants_peace_gets_it():
    found = decided(both(DEFERRED, THROTTLE))
    assert [(gate.domain, gate.seconds) for gate in found.gates] == [("", 300.0)]


def test_a_destination_that_wants_peace_closes_only_its_own_way():
    busy = Reply("rcpt", 450, "4.7.28", "rate limit exceeded for this domain")
    found = decided(receipt(ann=(ACCEPTED, OK), bob=(DEFERRED, busy)))
    assert [gate.domain for gate in found.gates] == ["elsewhere.example"]


def test_the_way_to_a_domain_has_its_ascii_name():
    busy = Reply("rcpt", 450, "4.7.28", "rate limit exceeded for this domain")
    address = "jörg@müller.example"
    letter = mail(address, ANN, domains=["customer.example", "xn--mller-kva.example"])
    told = SendReceipt(
        (
            RecipientResult(address, DEFERRED, busy),
            RecipientResult(ANN, ACCEPTED, OK),
        )
    )
    [gate] = decided(told, letter).gates
    assert gate.domain == "xn--mller-kva.example"


@pytest.mark.parametrize("reply", [REFUSED, LOGIN, TLS])
def test_trouble_of_the_account_counts_towards_its_break(reply):
    found = decided(both(DEFERRED, reply))
    assert (found.account_failed, found.account_works) == (True, False)
    assert not found.arrived


@pytest.mark.parametrize("reply", [UNKNOWN, LATER, SENDER, CONTENT])
def test_a_server_that_talks_of_mail_works(reply):
    outcome = REJECTED if reply.code >= 500 else DEFERRED
    found = decided(both(outcome, reply))
    assert (found.account_failed, found.account_works) == (False, True)
    assert found.arrived


def test_doubt_is_no_failure_of_the_account_and_counts_as_sent():
    found = decided(both(DOUBT, LOST))
    assert not found.account_failed
    assert found.arrived


# --- What the thread makes of an adapter ---


def adapter(answer):
    def send_it(outgoing, facts):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(send=send_it)


def test_an_adapter_that_breaks_leaves_doubt():
    found = send(account(adapter(RuntimeError("boom"))), mail())
    assert {item.outcome for item in found.results} == {DOUBT}
    assert "boom" not in found.results[0].reply.text


def test_of_whom_an_adapter_says_nothing_is_in_doubt():
    found = send(account(adapter(receipt(ann=(ACCEPTED, OK)))), mail())
    assert {item.address: item.outcome for item in found.results} == {
        ANN: ACCEPTED,
        BOB: DOUBT,
    }


def test_words_that_a_database_cannot_keep_are_mended():
    odd = Reply("data", 250, "2.0.0", "ok\0 \udcff")
    told = SendReceipt((RecipientResult(ANN, ACCEPTED, odd),), "id\0", "<\udc80>")
    found = whole(mail(ANN), told)
    kept = found.results[0].reply.text + found.provider_reference + found.message_id
    assert "\0" not in kept
    kept.encode()


def test_a_mail_whose_content_is_gone_is_dead_and_blames_no_account():
    letter = mail(mime=None, chain="[8]")
    found = decided(send(account(adapter(receipt())), letter), letter)
    assert (found.state, found.account_failed, found.next_account_id) == (
        "dead",
        False,
        0,
    )
