# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Connections that a dead IPv6 does not hold up: ours, and Python's own classes."""

import smtplib
import ssl
import time

import pytest

from odoo.addons.mail_bridge.providers import connect as connecting
from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed
from odoo.addons.mail_relay.providers.smtp import SmtpSession
from odoo.addons.mail_relay.providers.smtp_link import SmtpSettings
from odoo.addons.mail_relay.providers.smtplib_racing import RacingSMTP, RacingSMTPS

from tests.support.black_hole import black_hole
from tests.support.smtp_sink import SmtpSink

RELAY = "relay.example"


@pytest.fixture(autouse=True)
def dead_ipv6_first(monkeypatch):
    monkeypatch.setattr(connecting, "resolve", lambda *_: ["::1", "127.0.0.1"])
    monkeypatch.setattr(connecting, "_memory", connecting._Memory())


@pytest.fixture
def sink():
    with SmtpSink() as server, black_hole("::1", server.port):
        yield server


def test_a_session(sink):
    mail = OutgoingMail(b"a: b\r\n\r\n", "a@b.example", ("c@d.example",), "r", "<m>")
    start = time.monotonic()
    with SmtpSession(SmtpSettings(RELAY, sink.port)) as session:
        (result,) = session.send(mail).results
    assert result.outcome is Outcome.ACCEPTED
    assert 0.24 < time.monotonic() - start < 3


def test_a_probe_names_each_address(sink):
    found = SmtpSession(SmtpSettings(RELAY, sink.port)).probe()
    assert found.failure is None
    assert [item.address for item in found.attempts] == ["127.0.0.1", "::1"]
    found = SmtpSession(
        SmtpSettings(RELAY, sink.port, family="ipv6", connect_timeout=0.4)
    ).probe()
    assert found.failure.stage == "connect"
    assert "::1: timed out" in found.failure.text


def test_smtplib(sink):
    start = time.monotonic()
    with RacingSMTP(RELAY, sink.port, timeout=30) as client:
        assert time.monotonic() - start < 3
        assert client.sock.gettimeout() == 30
        client.sendmail("a@b.example", ["c@d.example"], b"a: b\r\n\r\nHello\r\n")
    assert sink.wait()[0].recipients == ("c@d.example",)


def test_smtplib_without_a_timeout(sink):
    with RacingSMTP(RELAY, sink.port) as client:
        assert client.sock.gettimeout() is None
    with pytest.raises(ValueError):
        RacingSMTP(RELAY, sink.port, timeout=0)


def test_smtplib_under_tls(tmp_path):
    certificate = self_signed(tmp_path / "relay.pem", RELAY)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    with (
        SmtpSink(tls=served, implicit=True) as sink,
        black_hole("::1", sink.port),
    ):
        with RacingSMTPS(RELAY, sink.port, timeout=5, context=trusting) as client:
            client.sendmail("a@b.example", ["c@d.example"], b"a: b\r\n\r\nHello\r\n")
        assert sink.wait()[0].tls
        with pytest.raises(ssl.SSLCertVerificationError):
            RacingSMTPS("other.example", sink.port, timeout=5, context=trusting)


def test_smtplib_and_starttls(tmp_path):
    certificate = self_signed(tmp_path / "relay.pem", RELAY)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    with (
        SmtpSink(tls=served) as sink,
        RacingSMTP(RELAY, sink.port, timeout=5) as client,
    ):
        client.starttls(context=ssl.create_default_context(cafile=certificate))
        client.sendmail("a@b.example", ["c@d.example"], b"a: b\r\n\r\nHello\r\n")
        assert sink.wait()[0].tls


def test_an_error_that_callers_of_smtplib_know(sink):
    sink.close()
    with pytest.raises(OSError, match=r"127\.0\.0\.1: Connection refused"):
        RacingSMTP(RELAY, sink.port, timeout=0.5)


def test_the_family_and_source_of_a_subclass():
    class OnlyV4(RacingSMTP):
        family = "ipv4"

    with (
        SmtpSink() as sink,
        OnlyV4(RELAY, sink.port, source_address=("127.0.0.5", 0)) as client,
    ):
        assert client.sock.getsockname()[0] == "127.0.0.5"


def test_stock_smtplib_would_have_waited(sink, monkeypatch):
    """What this is for: with the names as they are here, the whole timeout goes."""
    addresses = [(10, 1, 6, "", ("::1", sink.port, 0, 0))]
    addresses += [(2, 1, 6, "", ("127.0.0.1", sink.port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: addresses)
    start = time.monotonic()
    smtplib.SMTP(RELAY, sink.port, timeout=0.7).close()
    assert time.monotonic() - start >= 0.7
