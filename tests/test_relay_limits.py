# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who may send now: limits at the server, several dispatchers, priorities, fairness."""

import itertools
import secrets
import statistics
import time

import pytest

from tests.support.bridge import wait_for
from tests.support.relay import Relay
from tests.support.smtp_sink import SmtpSink


@pytest.fixture
def relay(bridge, shell):
    made = Relay(bridge, shell)
    yield made
    bridge.sql("UPDATE mail_relay_message SET state = 'cancelled'")
    bridge.sql("UPDATE mail_bridge_account SET state = 'disabled' WHERE code = 'smtp'")


@pytest.fixture
def four_dispatchers(relay):
    """As many dispatchers as there are cron workers."""
    relay.set_dispatchers(4)
    yield
    relay.bridge.sql(
        """UPDATE ir_cron SET active = false
            WHERE cron_name LIKE 'Mail Relay: dispatch%%'
              AND cron_name NOT IN ('Mail Relay: dispatch', 'Mail Relay: dispatch (2)')
        """
    )


@pytest.fixture
def sink():
    with SmtpSink() as server:
        yield server
        assert server.violations == []


def mails(count: int, domain: str = "customer.example") -> list[dict]:
    word = secrets.token_hex(3)
    return [{"to": [f"r{n}-{word}@{domain}"]} for n in range(count)]


def assert_holds(sink: SmtpSink, count: int, seconds: float) -> list[float]:
    """No window of arrivals has more than the count; the pauses between them."""
    arrivals = sorted(mail.moment for mail in sink.taken)
    for first, last in zip(arrivals, arrivals[count:], strict=False):
        assert last - first >= seconds
    return [last - first for first, last in itertools.pairwise(arrivals)]


def test_several_dispatchers_send_each_mail_exactly_once(relay, sink, four_dispatchers):
    # Twice as many accounts as dispatchers, so that each of them finds work.
    accounts = [relay.account(sink, relay_threads=2) for _ in range(8)]
    specs = [
        {**spec, "account_id": accounts[n % 8]} for n, spec in enumerate(mails(1000))
    ]
    ids = relay.send(specs, suspended=True)
    # An account after the other has work, and whoever comes first begins with it.
    for account in accounts:
        relay.bridge.sql(
            """UPDATE mail_relay_message SET state = 'queued', hold_reason = NULL
                WHERE state = 'held' AND account_id = %s""",
            account,
        )
        relay.call()
        time.sleep(0.3)
    assert relay.rested(ids, 120) == {"done": 1000}
    counts = sink.count()
    assert (len(counts), set(counts.values())) == (1000, {1})
    [(attempts,)] = relay.bridge.sql(
        "SELECT count(*) FROM mail_relay_attempt WHERE relay_message_id = ANY(%s)", ids
    )
    assert attempts == 1000
    [(workers,)] = relay.bridge.sql(
        """SELECT count(DISTINCT worker) FROM mail_relay_attempt
            WHERE relay_message_id = ANY(%s)""",
        ids,
    )
    assert workers > 1


def test_limits_hold_at_the_server_through_a_restart(
    relay, server, server_log, sink, four_dispatchers
):
    """Four dispatchers, ended in the middle: no window ever has more than its count."""
    with SmtpSink() as other:
        by_minute, by_second = relay.account(sink), relay.account(other)
        relay.limit(by_minute, 50, "minute")
        relay.limit(by_second, 5, "second")
        relay.send(
            [
                *({**spec, "account_id": by_minute} for spec in mails(75)),
                *({**spec, "account_id": by_second} for spec in mails(200)),
            ]
        )
        start = time.monotonic()
        while time.monotonic() < start + 20:
            relay.call()  # all four, again and again
            time.sleep(0.5)
        server.restart()
        down = time.monotonic()
        while time.monotonic() < start + 75:
            relay.call()
            time.sleep(0.5)
        pauses = assert_holds(sink, 50, 60)
        assert 1.15 <= statistics.median(pauses) <= 1.35
        assert min(pauses) > 0.6
        # All but what the restart took.
        assert len(sink.taken) >= 0.8 * (75 - (down - start - 20)) / 1.27
        pauses = assert_holds(other, 5, 1)
        assert 0.2 <= statistics.median(pauses) <= 0.3
        assert max(other.count().values()) == max(sink.count().values()) == 1


def test_at_the_limit_a_refusing_account_refuses(relay, sink):
    account = relay.account(sink, relay_limit_behavior="reject")
    relay.limit(account, 5, "minute")
    ids = relay.send(mails(12), account_id=account)
    assert relay.rested(ids) == {"done": 5, "dead": 7}
    assert len(sink.taken) == 5
    texts = relay.bridge.sql(
        """SELECT DISTINCT failure_text FROM mail_relay_recipient
            WHERE relay_message_id = ANY(%s) AND state = 'failed'""",
        ids,
    )
    assert texts == [("rate_limit_exceeded",)]


def test_at_the_limit_the_next_account_of_the_route_takes_over(relay, sink):
    with SmtpSink() as narrow:
        first = relay.account(narrow, relay_limit_behavior="reject")
        relay.limit(first, 5, "minute")
        domain = relay.route(first, relay.account(sink))
        ids = relay.send(mails(12), from_domain=domain)
        assert relay.rested(ids) == {"done": 12}
        assert (len(narrow.taken), len(sink.taken)) == (5, 7)


def test_what_had_no_connection_counts_towards_no_limit(relay):
    """Sends count, and never attempts."""
    with SmtpSink() as sink:
        account = relay.account(sink, relay_breaker_failures=0)
        relay.limit(account, 1, "hour")
        sink.fail("banner", "554 5.3.2 closed", then="hang up", times=1)
        [mail] = relay.send(mails(1), account_id=account)
        assert relay.tried(mail).state == "queued"
        relay.pass_time(mail)
        assert relay.rested([mail]) == {"done": 1}


def test_mails_to_a_slow_domain_stand_in_nobodys_way(relay, sink):
    account = relay.account(sink)
    relay.limit(account, 2, "minute", "busy.example")
    busy = relay.send(mails(300, "busy.example"), account_id=account)
    free = relay.send(mails(50, "free.example"), account_id=account)
    assert relay.rested(free, 30) == {"done": 50}
    assert relay.states(busy)["queued"] >= 298
    # They stand in line, and do not all come again at the same moment.
    [(moments,)] = relay.bridge.sql(
        """SELECT count(DISTINCT next_attempt) FROM mail_relay_message
            WHERE id = ANY(%s) AND state = 'queued'""",
        busy,
    )
    assert moments >= 290


def test_each_domain_has_its_own_count(relay, sink):
    account = relay.account(sink)
    relay.limit(account, 1, "minute", "*")
    specs = [spec for n in range(8) for spec in mails(3, f"d{n}.example")]
    relay.send(specs, account_id=account)
    wait_for(lambda: len(sink.taken) >= 8)
    time.sleep(3)
    domains = [mail.recipients[0].partition("@")[2] for mail in sink.taken]
    assert sorted(domains) == [f"d{n}.example" for n in range(8)]


def test_who_is_urgent_overtakes_a_mass_mailing(relay):
    with SmtpSink(latency=0.01) as sink:
        account = relay.account(sink, relay_threads=2)
        mass = relay.send(mails(1500), account_id=account, priority=3)
        wait_for(lambda: len(sink.taken) >= 20)
        [urgent] = relay.send(
            mails(1, "urgent.example"), account_id=account, priority=0
        )
        queued = time.monotonic()
        assert relay.rested([urgent], 10) == {"done": 1}
        assert time.monotonic() - queued < 7
        assert relay.states(mass)["queued"] > 0


def test_nobody_waits_behind_the_mails_of_another(relay, sink):
    """Of one account that two applications share, each has its turn."""
    clients = [
        relay.bridge.client.create(
            "mail.relay.client", name=f"App {n}", identifier=f"app-{n}"
        )
        for n in range(2)
    ]
    account = relay.account(sink, relay_threads=1)
    many = [{**spec, "client_id": clients[0]} for spec in mails(400)]
    few = [{**spec, "client_id": clients[1]} for spec in mails(5, "few.example")]
    ids = relay.send([*many, *few], account_id=account)
    assert relay.rested(ids) == {"done": 405}
    order = [mail.recipients[0].partition("@")[2] for mail in sink.taken]
    places = [n for n, domain in enumerate(order) if domain == "few.example"]
    assert max(places) < 20
