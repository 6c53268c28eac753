# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Sessions shared by the threads of a process."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail
from odoo.addons.mail_relay.providers import smtp_pool
from odoo.addons.mail_relay.providers.smtp_link import SmtpSettings
from odoo.addons.mail_relay.providers.smtp_pool import SmtpPool

from tests.support.smtp_sink import SmtpSink


@pytest.fixture
def sink():
    with SmtpSink() as server:
        yield server


@pytest.fixture
def settings(sink):
    return SmtpSettings("127.0.0.1", sink.port)


@pytest.fixture
def pool():
    made = SmtpPool()
    yield made
    made.close()


def mail(number):
    mime = b"Message-ID: <%d@example.com>\r\n\r\nHello.\r\n" % number
    name = f"<{number}@example.com>"
    return OutgoingMail(mime, "a@example.com", ("b@example.com",), "r", name)


def wait_for_quits(sink, count):
    deadline = time.monotonic() + 5
    while sink.verbs().count("QUIT") < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sink.verbs().count("QUIT") == count


def test_one_thread_one_connection(sink, settings, pool):
    for number in range(10):
        receipt = pool.send(settings, mail(number))
        assert receipt.results[0].outcome is Outcome.ACCEPTED
    assert sink.sessions == 1


def test_many_threads(sink, settings, pool):
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda number: pool.send(settings, mail(number)), range(300)))
    assert 1 <= sink.sessions <= 6
    assert set(sink.count().values()) == {1} and len(sink.count()) == 300
    assert not sink.violations


def test_as_many_as_there_are_threads(settings, pool, sink):
    sink.fail("dot", delay=0.2)
    together = threading.Barrier(3)

    def send(number):
        together.wait()
        pool.send(settings, mail(number))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(send, range(3)))
    assert sink.sessions == 3


def test_another_account_another_connection(sink, settings, pool):
    pool.send(settings, mail(1))
    pool.send(replace(settings, pipelining=False), mail(2))
    pool.send(settings, mail(3))
    assert [taken.session for taken in sink.taken] == [1, 2, 1]


def test_few_stay_open(sink, settings, pool, monkeypatch):
    monkeypatch.setattr(smtp_pool, "MAX_IDLE", 1)
    sink.fail("dot", delay=0.2)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda number: pool.send(settings, mail(number)), range(3)))
    wait_for_quits(sink, sink.sessions - 1)


def test_few_of_many_accounts_stay_open(sink, settings, pool, monkeypatch):
    monkeypatch.setattr(smtp_pool, "MAX_IDLE_TOTAL", 2)
    for number in range(5):
        pool.send(replace(settings, command_timeout=10.0 + number), mail(number))
    wait_for_quits(sink, 3)


def test_a_session_that_ended_is_not_kept(sink, settings, pool):
    sink.fail("dot", then="hang up", times=1)
    (result,) = pool.send(settings, mail(1)).results
    assert result.outcome is Outcome.IN_DOUBT
    (result,) = pool.send(settings, mail(2)).results
    assert result.outcome is Outcome.ACCEPTED
    assert sink.sessions == 2


def test_idle_ones_are_closed(sink, settings, pool):
    pool.send(settings, mail(1))
    pool.close_idle(60)
    pool.send(settings, mail(2))
    assert sink.sessions == 1
    pool.close_idle(0)
    wait_for_quits(sink, 1)


def test_what_nobody_uses_is_closed_by_itself(sink, settings, pool, monkeypatch):
    monkeypatch.setattr(smtp_pool, "KEEP", 0.2)
    for round_ in (1, 2):
        with ThreadPoolExecutor(2) as threads:
            list(
                threads.map(lambda number: pool.send(settings, mail(number)), range(4))
            )
        wait_for_quits(sink, sink.sessions)
        assert sink.sessions <= 2 * round_


def test_a_child_leaves_the_connections_to_its_parent(sink, settings, pool):
    pool.send(settings, mail(1))
    child = os.fork()
    if not child:
        try:
            pool.send(settings, mail(2))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    pool.send(settings, mail(3))
    assert sorted(taken.session for taken in sink.wait(3)) == [1, 1, 2]


def test_an_interruption_leaves_nothing_half_done(sink, settings, pool, monkeypatch):
    """A thread that is stopped in the middle of a mail does not lend its connection."""

    class Stopped(BaseException):
        pass

    pool.send(settings, mail(1))

    def stop(*_args):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("socket.socket.send", stop)
        with pytest.raises(Stopped):
            pool.send(settings, mail(2))
    pool.send(settings, mail(3))
    assert [taken.session for taken in sink.taken] == [1, 2]
