# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The dispatchers of a real server against an SMTP server that fails on demand."""

import secrets
import ssl

import pytest

from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed

from tests.support.bridge import wait_for
from tests.support.relay import Relay
from tests.support.smtp_sink import SmtpSink
from tools.ports import free_port


@pytest.fixture
def people():
    """Two addresses that no other test has; a bounce is remembered."""
    word = secrets.token_hex(4)
    return f"ann-{word}@customer.example", f"bob-{word}@elsewhere.example"


@pytest.fixture
def relay(bridge, shell):
    made = Relay(bridge, shell)
    yield made
    # What a test leaves waits for nobody.
    bridge.sql("UPDATE mail_relay_message SET state = 'cancelled'")
    bridge.sql("UPDATE mail_bridge_account SET state = 'disabled' WHERE code = 'smtp'")


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate that nobody has reason to trust."""
    path = self_signed(tmp_path_factory.mktemp("tls") / "relay.pem", "relay.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def sink():
    with SmtpSink() as server:
        yield server
        assert server.violations == []


def test_a_mail_goes_out_and_everything_of_it_is_written_down(relay, sink, people):
    account = relay.account(sink)
    mail = relay.send_one(*people, account_id=account)
    fate = relay.tried(mail)
    [taken] = sink.wait(1)
    assert taken.recipients == people
    assert (fate.state, fate.people) == ("done", dict.fromkeys(people, "sent"))
    assert fate.log == [("accepted", "data", 250)]
    assert fate.account_id == account


# stage, reply, more → mail, Ann, Bob, charged, (outcome, stage, code)
FAULTS = {
    "one recipient 5xx": (
        {"stage": "rcpt", "reply": "550 5.1.1 no such user", "match": "ann-"},
        ("done", "bounced", "sent", 1, ("partial", "rcpt", 550)),
    ),
    "one recipient 4xx": (
        {"stage": "rcpt", "reply": "451 4.3.0 try later", "match": "ann-"},
        ("queued", "deferred", "sent", 1, ("partial", "rcpt", 451)),
    ),
    "all 4xx at the content": (
        {"stage": "dot", "reply": "452 4.3.1 no space"},
        ("queued", "deferred", "deferred", 1, ("deferred", "data", 452)),
    ),
    "all 5xx at the content": (
        {"stage": "dot", "reply": "554 5.6.0 malformed"},
        ("dead", "failed", "failed", 1, ("rejected", "data", 554)),
    ),
    "421 at once": (
        {"stage": "mail", "reply": "421 4.3.2 closing", "then": "hang up"},
        ("queued", "deferred", "deferred", 0, ("deferred", "mail", 421)),
    ),
    "greylisted": (
        {"stage": "rcpt", "reply": "450 4.7.1 greylisted, come back in 300 seconds"},
        ("queued", "deferred", "deferred", 0, ("deferred", "rcpt", 450)),
    ),
    "hangs up after the dot": (
        {"stage": "dot", "then": "hang up"},
        ("held", "pending", "pending", 1, ("in_doubt", "data", 0)),
    ),
    "resets after the dot": (
        {"stage": "dot", "then": "reset"},
        ("held", "pending", "pending", 1, ("in_doubt", "data", 0)),
    ),
    "refused at the door": (
        {"stage": "banner", "reply": "554 5.7.1 not you", "then": "hang up"},
        ("queued", "deferred", "deferred", 0, ("deferred", "connect", 554)),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_consequence(relay, sink, people, name):
    fault, (state, ann, bob, charged, line) = FAULTS[name]
    fault = dict(fault)
    sink.fail(fault.pop("stage"), fault.pop("reply", ""), **fault)
    mail = relay.send_one(*people, account_id=relay.account(sink))
    relay.tried(mail)
    fate = wait_for(
        lambda: found if (found := relay.fate(mail)).state != "in_doubt" else None
    )
    assert fate.log == [line]
    assert (fate.state, fate.people) == (
        state,
        dict(zip(people, (ann, bob), strict=True)),
    )
    assert fate.attempts == charged


def test_a_connection_that_breaks_before_the_dot_leaves_no_doubt(relay, sink, people):
    sink.fail("body", then="reset", times=1)
    account = relay.account(sink)
    [mail] = relay.send([{"to": people, "lines": 400_000}], account_id=account)
    fate = relay.tried(mail)
    assert fate.log == [("deferred", "data", 0)]
    assert (fate.state, fate.attempts) == ("queued", 1)
    relay.pass_time(mail)
    assert relay.rested([mail]) == {"done": 1}
    assert len(sink.taken) == 1


def test_what_is_still_due_after_a_partial_acceptance_goes_to_the_rest_alone(
    relay, sink, people
):
    sink.fail("rcpt", "451 4.3.0 try later", match="ann-", times=1)
    mail = relay.send_one(*people, account_id=relay.account(sink))
    relay.tried(mail)
    relay.pass_time(mail)
    fate = relay.tried(mail, 2)
    assert (fate.state, set(fate.people.values())) == ("done", {"sent"})
    assert [taken.recipients for taken in sink.taken] == [people[1:], people[:1]]


def slow_banner(sink):
    sink.fail("banner", delay=6)
    return {"smtp_command_timeout": 2, "smtp_tls": "none"}


def refused_tls(sink):
    sink.fail("starttls", "454 4.7.0 TLS not available")
    return {"smtp_tls": "starttls"}


def broken_handshake(sink):
    sink.fail("handshake", then="hang up")
    return {"smtp_tls": "starttls"}


def bad_certificate(sink):
    return {"smtp_tls": "starttls"}


def wrong_login(sink):
    return {"smtp_user": "shop", "smtp_password": "wrong", "smtp_tls": "none"}


SESSION_FAULTS = {
    "slow banner": (slow_banner, "connect", 0),
    "TLS refused": (refused_tls, "tls", 454),
    "broken handshake": (broken_handshake, "tls", 0),
    "bad certificate": (bad_certificate, "tls", 0),
    "wrong login": (wrong_login, "auth", 535),
}


@pytest.mark.parametrize("name", SESSION_FAULTS)
def test_trouble_with_the_session_is_the_accounts_and_another_sends(
    relay, sink, people, tls, name
):
    make, stage, code = SESSION_FAULTS[name]
    credentials = {"shop": "right"} if name == "wrong login" else None
    options = {"credentials": credentials, "auth_in_clear": True}
    with SmtpSink(tls=tls, **options) as broken:
        first = relay.account(broken, **make(broken))
        second = relay.account(sink)
        domain = relay.route(first, second)
        mail = relay.send_one(*people, from_domain=domain)
        fate = relay.tried(mail, 2)
        assert fate.log == [("not_sent", stage, code), ("accepted", "data", 250)]
        assert (fate.state, fate.account_id, fate.attempts) == ("done", second, 1)
        assert [taken.recipients for taken in sink.wait(1)] == [people]
        assert broken.taken == []
        assert relay.door(first) == (0.0, 1)  # one of five failures
        # Without another account it waits for this one, and no attempt is charged.
        alone = relay.send_one(*people, account_id=first)
        fate = relay.tried(alone)
        assert fate.log == [("deferred", stage, code)]
        assert (fate.state, fate.attempts) == ("queued", 0)


@pytest.mark.parametrize("then", ["hang up", "reset"])
def test_no_other_account_sends_what_one_may_have_sent(relay, sink, people, then):
    with SmtpSink() as broken:
        broken.fail("dot", then=then)
        domain = relay.route(relay.account(broken), relay.account(sink))
        mail = relay.send_one(*people, from_domain=domain)
        assert relay.rested([mail]) == {"held": 1}
        relay.pass_time()
        assert relay.fate(mail).log == [("in_doubt", "data", 0)]
        assert len(broken.taken) == 1
    assert sink.taken == []


def test_after_five_failures_an_account_rests_and_the_next_one_takes_all(relay, sink):
    first = relay.account(free_port(), relay_threads=1)
    second = relay.account(sink)
    domain = relay.route(first, second)
    mails = relay.send(
        [{"to": [f"r{n}@customer.example"]} for n in range(30)], from_domain=domain
    )
    assert relay.rested(mails) == {"done": 30}
    assert max(sink.count().values()) == 1
    opens_in, failures = relay.door(first)
    assert failures == 5  # the rest was handed on without another try
    assert 30 < opens_in <= 60


def test_after_its_rest_one_mail_tries_the_account_and_ends_the_break(relay, sink):
    port = free_port()
    account = relay.account(port, relay_threads=1, relay_breaker_failures=1)
    mails = relay.send(
        [{"to": [f"r{n}@customer.example"]} for n in range(3)], account_id=account
    )
    wait_for(lambda: relay.door(account)[1] == 1)
    relay.bridge.sql("UPDATE mail_relay_gate SET opens_at = now() AT TIME ZONE 'UTC'")
    with SmtpSink(port=port) as server:
        relay.pass_time(*mails)
        assert relay.rested(mails) == {"done": 3}
        assert len(server.taken) == 3
    assert relay.door(account)[1] == 0


def test_a_server_that_wants_peace_gets_it(relay, sink, people):
    sink.fail("mail", "421 4.3.2 come back in 300 seconds", then="hang up", times=1)
    account = relay.account(sink, relay_threads=1)
    mails = [relay.send_one(one, account_id=account) for one in people]
    relay.tried(mails[0])
    opens_in, failures = relay.door(account)
    assert 200 < opens_in <= 330
    assert failures == 0
    assert relay.states(mails) == {"queued": 2}
    assert sink.taken == []


def test_a_server_that_takes_its_time_holds_up_no_other_account(relay, sink):
    """Not even where nobody else dispatches."""
    relay.bridge.sql(
        "UPDATE ir_cron SET active = false WHERE cron_name = 'Mail Relay: dispatch (2)'"
    )
    with SmtpSink() as slow:
        slow.fail("dot", "250 2.0.0 ok", delay=25)
        held_up, account = relay.account(slow), relay.account(sink)
        mail = relay.send_one(account_id=held_up)
        wait_for(lambda: relay.fate(mail).state == "sending")
        others = relay.send(
            [{"to": [f"r{n}@customer.example"]} for n in range(4)], account_id=account
        )
        assert relay.rested(others, 10) == {"done": 4}
        assert relay.states([mail]) == {"sending": 1}
        assert relay.rested([mail]) == {"done": 1}
    relay.bridge.sql(
        "UPDATE ir_cron SET active = true WHERE cron_name = 'Mail Relay: dispatch (2)'"
    )
