# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Connecting, against addresses of this machine that answer, refuse or say nothing."""

import contextlib
import errno
import ipaddress
import os
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import NoAnswerError, NotSentError
from odoo.addons.mail_bridge.providers import connect as module
from odoo.addons.mail_bridge.providers import http
from odoo.addons.mail_bridge.providers.connect import ConnectError, connect, resolve
from odoo.addons.mail_bridge.providers.http import CallRequest, call

from tests.support.black_hole import black_hole, listening

V4, V6 = "127.0.0.1", "::1"
BOTH = (V6, V4)
HOST = "smtp.provider.example"
#: Seconds: much less than the timeouts here, and enough on a busy machine.
SOON = 3.0


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(module, "_memory", module._Memory())


@pytest.fixture
def alive():
    """The port of an IPv4 address that answers."""
    with listening(V4) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def dead_ipv6(alive):
    with black_hole(V6, alive):
        yield alive


@contextlib.contextmanager
def taking(least, most):
    start = time.monotonic()
    yield
    assert least <= time.monotonic() - start <= most


class TestBlackHole:
    """Facts/relay.md §6: the measurements, as a table."""

    @pytest.mark.parametrize(
        ("family", "least", "tried"),
        [
            ("auto", 0.24, [V4, V6]),
            ("prefer_ipv6", 0.24, [V4, V6]),
            ("prefer_ipv4", 0.0, [V4]),
            ("ipv4", 0.0, [V4]),
        ],
    )
    def test_the_other_family_answers(self, dead_ipv6, family, least, tried):
        with taking(least, SOON):
            done = connect(HOST, dead_ipv6, family, 5.0, addresses=BOTH)
        with done.socket as sock:
            assert sock.getpeername() == (V4, dead_ipv6)
        assert done.address == V4
        assert [item.address for item in done.attempts] == tried

    def test_nobody_else_to_ask(self, dead_ipv6):
        with taking(0.7, SOON), pytest.raises(ConnectError) as caught:
            connect(HOST, dead_ipv6, "ipv6", 0.7, addresses=BOTH)
        assert "::1: timed out" in str(caught.value)
        assert V4 not in str(caught.value)
        (attempt,) = caught.value.attempts
        assert attempt.seconds == pytest.approx(0.7, abs=0.5)

    def test_one_deadline_for_many_addresses(self, dead_ipv6):
        addresses = [V6] * 6
        with taking(0.6, SOON), pytest.raises(ConnectError) as caught:
            connect(HOST, dead_ipv6, timeout=0.6, addresses=addresses)
        errors = [item.error for item in caught.value.attempts]
        assert len(errors) == 6
        assert set(errors) == {"timed out", "no time was left"}

    def test_timing_of_each_address(self, dead_ipv6):
        done = connect(HOST, dead_ipv6, timeout=5.0, addresses=BOTH)
        done.socket.close()
        first, second = done.attempts
        assert (first.address, first.error) == (V4, "")
        assert first.seconds < second.seconds
        assert (second.address, second.error) == (V6, "another was faster")
        assert 0.24 < second.seconds < SOON

    def test_the_winner_is_asked_first_for_a_while(self, dead_ipv6, monkeypatch):
        connect(HOST, dead_ipv6, timeout=5.0, addresses=BOTH).socket.close()
        done = connect(HOST.upper(), dead_ipv6, addresses=BOTH)
        done.socket.close()
        assert [item.address for item in done.attempts] == [V4]
        with taking(0.24, SOON):
            connect("other.example", dead_ipv6, addresses=BOTH).socket.close()
        later = time.monotonic() + 601
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert module._ordered(HOST, BOTH, "auto", "") == [V6, V4]

    def test_a_winner_that_died_is_forgotten(self, alive):
        connect(HOST, alive, addresses=BOTH).socket.close()
        assert module._ordered(HOST, BOTH, "auto", "") == [V4, V6]
        with pytest.raises(ConnectError):
            connect(HOST, alive, "ipv6", addresses=BOTH)
        assert module._ordered(HOST, BOTH, "auto", "") == [V6, V4]

    def test_a_call_to_a_provider_does_not_wait_either(self, dead_ipv6, monkeypatch):
        monkeypatch.setenv(http.LOOPBACK_VARIABLE, "1")
        request = CallRequest("GET", f"http://{HOST}:{dead_ipv6}/", (HOST,), timeout=1)
        with taking(1.0, SOON), pytest.raises(NoAnswerError):
            call(request, resolver=lambda host, port: list(BOTH))


class TestRefusals:
    def test_the_next_address_at_once(self, alive):
        """Nobody listens on ::1, and the system says so."""
        with taking(0, 0.24):
            done = connect(HOST, alive, addresses=BOTH)
        done.socket.close()
        refused = os.strerror(errno.ECONNREFUSED)
        assert [(item.address, item.error) for item in done.attempts] == [
            (V6, refused),
            (V4, ""),
        ]

    def test_every_address_is_named(self):
        with listening(V4) as taken:
            port = taken.getsockname()[1]
        with taking(0, SOON), pytest.raises(ConnectError) as caught:
            connect(HOST, port, addresses=("127.0.0.1", "127.0.0.2", "::1"))
        refused = os.strerror(errno.ECONNREFUSED)
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            assert f"{address}: {refused}" in str(caught.value)
        assert str(caught.value).startswith(HOST)
        assert isinstance(caught.value, NotSentError)

    @pytest.mark.parametrize(
        ("family", "addresses"), [("ipv6", (V4,)), ("ipv4", (V6,)), ("auto", ())]
    )
    def test_no_address_left(self, family, addresses):
        with pytest.raises(ConnectError, match="no suitable address") as caught:
            connect(HOST, 25, family, addresses=addresses)
        assert caught.value.attempts == ()


class TestSource:
    def test_it_is_used(self):
        with listening(V4) as listener:
            port = listener.getsockname()[1]
            done = connect(HOST, port, source_address="127.0.0.3", addresses=BOTH)
            with done.socket:
                assert listener.accept()[1][0] == "127.0.0.3"
        assert len(done.attempts) == 1, "the other family cannot be reached from it"

    def test_one_that_is_not_ours(self, alive):
        with pytest.raises(ConnectError, match="127.0.0.1: Cannot assign"):
            connect(HOST, alive, source_address="192.0.2.77", addresses=(V4,))


class TestNames:
    def test_an_address_needs_no_name_server(self, alive, monkeypatch):
        monkeypatch.setattr(module, "resolve", None)
        with connect(V4, alive).socket as sock:
            assert sock.getpeername()[0] == V4

    def test_the_system_is_asked(self, alive):
        with connect("localhost", alive).socket as sock:
            assert sock.getpeername() == (V4, alive)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    @pytest.mark.parametrize("name", ["no-such-name.invalid", "a" * 300, "a..b", "\0"])
    def test_no_such_name(self, name):
        with pytest.raises(ConnectError, match="could not be resolved") as caught:
            connect(name, 25, timeout=5)
        assert caught.value.attempts == ()

    def test_a_name_server_that_says_nothing(self, monkeypatch):
        silent = threading.Event()
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [silent.wait(5)][:0]
        )
        with taking(0.3, SOON), pytest.raises(ConnectError, match="resolved"):
            connect(HOST, 25, timeout=0.3)
        silent.set()

    def test_each_address_once(self):
        found = resolve("localhost", 25)
        assert len(found) == len(set(found))
        assert all(ipaddress.ip_address(item).is_loopback for item in found)


class TestOrder:
    @pytest.mark.parametrize(
        ("family", "expected"),
        [
            ("auto", "6a 4a 6b 4b 4c"),
            ("prefer_ipv6", "6a 4a 6b 4b 4c"),
            ("prefer_ipv4", "4a 6a 4b 6b 4c"),
            ("ipv4", "4a 4b 4c"),
            ("ipv6", "6a 6b"),
        ],
    )
    def test_families_in_turn(self, family, expected):
        names = {"6a": "2001:db8::a", "6b": "2001:db8::b"}
        names |= {f"4{x}": f"192.0.2.{n}" for n, x in enumerate("abc")}
        given_order = [names[item] for item in ("6a", "6b", "4a", "4b", "4c")]
        found = module._ordered(HOST, given_order, family, "")
        assert found == [names[item] for item in expected.split()]

    @given(
        st.lists(st.ip_addresses().map(str), unique=True, max_size=20),
        st.sampled_from(["auto", "prefer_ipv4", "prefer_ipv6", "ipv4", "ipv6"]),
    )
    def test_nothing_is_made_up_and_nothing_is_tried_twice(self, addresses, family):
        found = module._ordered(HOST, addresses, family, "")
        assert len(found) == len(set(found)) <= module.MAX_ADDRESSES
        assert set(found) <= set(addresses)
        both = {":" in item for item in addresses}
        if len(both) == 2 and not family.startswith("ipv"):
            assert {":" in item for item in found[:2]} == both

    def test_memory_is_bounded(self):
        for number in range(module.MAX_REMEMBERED + 50):
            module._memory.note(f"h{number}.example", socket.AF_INET)
        assert len(module._memory._winners) == module.MAX_REMEMBERED


def test_no_socket_is_left_open(alive):
    """The losers are closed, too."""

    def sockets():
        folder = "/proc/self/fd"
        links = [os.path.join(folder, name) for name in os.listdir(folder)]
        return sum(
            os.readlink(item).startswith("socket:")
            for item in links
            if os.path.islink(item)
        )

    with black_hole(V6, alive):
        before = sockets()
        connect(HOST, alive, addresses=BOTH).socket.close()
        with pytest.raises(ConnectError):
            connect(HOST, alive, "ipv6", 0.1, addresses=BOTH)
        assert sockets() == before
