# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Failures of accounts, made with real servers, and what they ask one to do."""

import socket
import ssl
from typing import get_args

import pytest

from odoo.addons.mail_bridge.providers import connect as connecting
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.delivery import Reply, Stage
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed
from odoo.addons.mail_relay.adapter import SmtpAdapter
from odoo.addons.mail_relay.providers.advice import Advice, advice_on

from tests.support.black_hole import black_hole
from tests.support.smtp_sink import SmtpSink

RELAY = "relay.example"


@pytest.fixture(autouse=True)
def names(monkeypatch):
    monkeypatch.setattr(connecting, "resolve", lambda *_: ["127.0.0.1"])
    monkeypatch.setattr(connecting, "_memory", connecting._Memory())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls") / "relay.pem", RELAY)


@pytest.fixture(scope="session")
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def advice(sink=None, password="", **options):
    """Return what the check of an account ends in."""
    defaults = {"host": RELAY, "port": sink and sink.port, "command_timeout": 1.0}
    account = AccountFacts({"password": (password,)}, defaults | options)
    found = SmtpAdapter().check(account)
    return found.failure and advice_on(found.failure)


def test_good(tls, certificate):
    with SmtpSink(tls=tls, credentials={"a": "b"}) as sink:
        authorities = str(certificate)
        assert not advice(sink, "b", login="a", authorities=authorities)


def test_no_such_name(monkeypatch):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connecting, "resolve", unknown)
    assert advice(port=25) == "name"


def test_no_address_of_the_family(monkeypatch):
    assert advice(port=25, family="ipv6") == "family"


def test_black_hole():
    with SmtpSink() as sink, black_hole("::1", sink.port):
        host = {"host": "::1", "connect_timeout": 0.3}
        assert advice(sink, **host) == "firewall"


def test_nobody_listens():
    with SmtpSink() as sink:
        pass
    assert advice(sink) == "refused"


def test_tls_at_a_port_that_is_plain_and_the_reverse(tls):
    with SmtpSink() as sink:
        assert advice(sink, tls="implicit") == "not_tls"
    with SmtpSink(tls=tls, implicit=True) as sink:
        assert advice(sink, tls="none") == "implicit"


def test_turned_away():
    with SmtpSink() as sink:
        sink.fail("banner", "554 5.7.1 we do not know you", then="hang up")
        assert advice(sink) == "greeting"


def test_certificates(tls, certificate, tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with SmtpSink(tls=tls) as sink:
        assert advice(sink) == "certificate"
        assert advice(sink, verify_certificate=False) is None
        assert advice(sink, authorities=str(certificate)) is None
        other = {"host": "other.example", "authorities": str(certificate)}
        assert advice(sink, **other) == "certificate"
        for path in (wrong, tmp_path / "missing.pem"):
            assert advice(sink, authorities=str(path)) == "authorities"


def test_no_starttls():
    with SmtpSink() as sink:
        assert advice(sink, tls="starttls") == "no_starttls"


def test_login_in_clear_text():
    with SmtpSink(credentials={"a": "b"}, auth_in_clear=True) as sink:
        assert advice(sink, "b", login="a") == "clear_text"
        assert advice(sink, "b", login="a", allow_clear_text_login=True) is None
        assert advice(sink, "b", login="a", host="127.0.0.1") is None


def test_logins():
    clear = {"login": "a", "allow_clear_text_login": True}
    with SmtpSink(credentials={"a": "b"}, auth_in_clear=True) as sink:
        assert advice(sink, "wrong", **clear) == "credentials"
    with SmtpSink() as sink:
        assert advice(sink, "b", **clear) == "mechanism"


@pytest.mark.parametrize("stage", get_args(Stage))
@pytest.mark.parametrize("code", [0, 550])
def test_there_is_advice_for_everything(stage, code):
    assert advice_on(Reply(stage, code, "", "whatever")) in get_args(Advice)
