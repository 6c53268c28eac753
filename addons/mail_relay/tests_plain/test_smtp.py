# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP sessions against servers on this machine that behave, and that do not."""

import contextlib
import email
import socket
import ssl
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers import connect as connecting
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    Reply,
)
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed
from odoo.addons.mail_relay.providers import smtp_link
from odoo.addons.mail_relay.providers.smtp import SmtpSession, outcome_of
from odoo.addons.mail_relay.providers.smtp_link import SmtpSettings

from tests.support.smtp_sink import SmtpSink

ACCEPTED, DEFERRED = Outcome.ACCEPTED, Outcome.DEFERRED
REJECTED, IN_DOUBT = Outcome.REJECTED, Outcome.IN_DOUBT
ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"
RELAY = "relay.example"
PASSWORD = "pass-canary-4411"
MIME = b"Message-ID: <1@example.com>\r\nSubject: one\r\n\r\nHello.\r\n"
LARGE = MIME + b"0123456789abcdef\r\n" * 1_500_000
#: With the commands of an envelope in one go, and in turn.
GROUPS = pytest.mark.parametrize("pipelining", [True, False])


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Every name leads to this machine; nothing is remembered of earlier tests."""
    monkeypatch.setattr(connecting, "resolve", lambda *_: ["127.0.0.1"])
    monkeypatch.setattr(connecting, "_memory", connecting._Memory())


@pytest.fixture
def sink():
    with SmtpSink() as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls") / "relay.pem", RELAY)


@pytest.fixture(scope="session")
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def settings(sink, **more):
    more.setdefault("host", "127.0.0.1")
    more.setdefault("command_timeout", 5.0)
    more.setdefault("data_timeout", 5.0)
    return SmtpSettings(port=sink.port, **more)


@pytest.fixture
def session(sink):
    with SmtpSession(settings(sink)) as opened:
        yield opened


def mail(*recipients, sender="sender@example.com", mime=MIME):
    return OutgoingMail(
        mime=mime,
        envelope_sender=sender,
        recipients=recipients or (ANN,),
        reference="r1",
        message_id="<1@example.com>",
    )


def outcomes(receipt):
    return [item.outcome for item in receipt.results]


def send(sink, *recipients, sender="sender@example.com", mime=MIME, **more):
    with SmtpSession(settings(sink, **more)) as opened:
        return opened.send(mail(*recipients, sender=sender, mime=mime))


class TestDelivery:
    @GROUPS
    def test_one_mail(self, sink, pipelining):
        receipt = send(sink, ANN, BOB, pipelining=pipelining)
        (taken,) = sink.wait()
        assert taken.sender == "sender@example.com"
        assert taken.recipients == (ANN, BOB)
        assert taken.data == MIME
        assert [item.address for item in receipt.results] == [ANN, BOB]
        for result in receipt.results:
            assert result.outcome is ACCEPTED
            expected = Reply("data", 250, "2.0.0", "Ok: queued as SINK1")
            assert result.reply == expected
        assert receipt.provider_reference == "SINK1"
        assert not sink.violations

    def test_leave_is_taken(self, sink):
        send(sink)
        deadline = time.monotonic() + 5
        while sink.verbs()[-1] != "QUIT" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sink.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]

    def test_the_null_sender(self, sink):
        assert outcomes(send(sink, sender="")) == [ACCEPTED]
        assert sink.wait()[0].sender == ""

    def test_no_recipient(self, sink, session):
        nobody = OutgoingMail(MIME, "a@example.com", (), "r", "<1@example.com>")
        assert session.send(nobody).results == ()
        assert not sink.sessions

    def test_a_recipient_named_twice_gets_it_once(self, sink):
        receipt = send(sink, ANN, BOB, ANN)
        assert outcomes(receipt) == [ACCEPTED] * 3
        assert sink.wait()[0].recipients == (ANN, BOB)

    @GROUPS
    def test_more_recipients_than_a_server_must_take(self, sink, pipelining):
        recipients = [f"r{number}@example.com" for number in range(250)]
        receipt = send(sink, *recipients, pipelining=pipelining)
        assert outcomes(receipt) == [ACCEPTED] * 250
        sizes = [len(taken.recipients) for taken in sink.wait(3)]
        assert (sizes, sink.sessions) == ([100, 100, 50], 1)

    def test_ten_thousand_recipients_and_nobody_there(self, sink):
        sink.close()
        recipients = [f"r{number}@example.com" for number in range(10_000)]
        start = time.monotonic()
        receipt = send(sink, *recipients)
        assert time.monotonic() - start < 2
        assert set(outcomes(receipt)) == {DEFERRED}
        assert len(receipt.results) == 10_000

    def test_many_megabytes(self, sink):
        assert outcomes(send(sink, mime=LARGE)) == [ACCEPTED]
        assert sink.wait()[0].data == LARGE

    def test_a_name_in_ascii(self, sink, monkeypatch):
        asked = []
        monkeypatch.setattr(
            connecting, "resolve", lambda host, *_: asked.append(host) or ["127.0.0.1"]
        )
        assert outcomes(send(sink, host="smtp.bücher.example")) == [ACCEPTED]
        assert asked == ["smtp.xn--bcher-kva.example"]

    @pytest.mark.parametrize(
        ("name", "said"),
        [("mx.example.org", "mx.example.org"), ("x\r\nRSET", "[127.0.0.1]")],
    )
    def test_our_name(self, sink, name, said):
        send(sink, local_name=name)
        assert sink.commands[0] == (1, f"EHLO {said}")


class TestContent:
    @pytest.mark.parametrize(
        ("mime", "arrives"),
        [
            (b".\r\n", b".\r\n"),
            (b"..a\r\n.\r\n..\r\n", b"..a\r\n.\r\n..\r\n"),
            (b"a: 1\n\nb\n", b"a: 1\r\n\r\nb\r\n"),
            (b"a: 1\r\n\r\nno end", b"a: 1\r\n\r\nno end\r\n"),
            (b"", b"\r\n"),
            # "SMTP smuggling": one server's end of a mail is another one's text.
            (b"a\n.\nMAIL FROM:<x@y>\n", b"a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
            (b"a\n.\r\nRSET\r\n", b"a\r\n.\r\nRSET\r\n"),
            (b"a\r.\r\nRSET\r\n", b"a\r\n.\r\nRSET\r\n"),
            (b"a\r\n.\rRSET", b"a\r\n.\r\nRSET\r\n"),
        ],
    )
    def test_dots_and_line_ends(self, sink, mime, arrives):
        assert outcomes(send(sink, mime=mime)) == [ACCEPTED]
        assert sink.wait()[0].data == arrives
        assert sink.verbs() in (
            ["EHLO", "MAIL", "RCPT", "DATA"],
            ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"],
        )

    def test_any_content_arrives_as_it_is(self):
        alphabet = st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b"\0", b"\xff"])
        with SmtpSink() as sink, SmtpSession(settings(sink)) as session:

            @given(st.lists(alphabet, max_size=40).map(b"".join))
            def arrives(mime):
                assert outcomes(session.send(mail(mime=mime))) == [ACCEPTED]
                expected = mime.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                expected = expected.replace(b"\n", b"\r\n")
                if not expected.endswith(b"\r\n"):
                    expected += b"\r\n"
                assert sink.taken[-1].data == expected

            arrives()
            assert len(sink.taken) >= 200 and sink.violations == []


class TestGroups:
    """RFC 2920: the envelope in one go, and only where the server offers it."""

    def test_one_flight(self, sink):
        send(sink, ANN, BOB)
        flights = [data.split(b"\r\n")[:-1] for _, data in sink.flights]
        assert [len(lines) for lines in flights[:2]] == [1, 4]

    @pytest.mark.parametrize("how", ["not offered", "switched off"])
    def test_in_turn(self, how):
        without = ["PIPELINING"] if how == "not offered" else []
        with SmtpSink(without=without) as sink:
            assert outcomes(
                send(sink, ANN, BOB, pipelining=how == "not offered")
            ) == [ACCEPTED] * 2  # fmt: skip
            assert not sink.violations
            assert all(data.count(b"\r\n") == 1 for _, data in sink.flights[:5])

    def test_round_trips(self):
        took = {}
        for pipelining in (True, False):
            with SmtpSink(latency=0.05) as sink:
                wanted = settings(sink, pipelining=pipelining)
                with SmtpSession(wanted) as session:
                    session.send(mail())
                    start = time.monotonic()
                    session.send(mail())
                    took[pipelining] = (time.monotonic() - start) / 0.05
        assert 2 <= took[True] < 3.9
        assert took[False] >= 4

    @GROUPS
    @pytest.mark.parametrize("stage", ["mail", "rcpt"])
    def test_a_server_that_wants_content_for_nobody(self, stage, pipelining):
        """It says 354 all the same, and must get a lone dot."""
        with SmtpSink(hasty=True) as sink:
            sink.fail(stage, "550 5.1.1 no", times=1)
            with SmtpSession(settings(sink, pipelining=pipelining)) as session:
                assert outcomes(session.send(mail())) == [REJECTED]
                assert outcomes(session.send(mail())) == [ACCEPTED]
            assert (len(sink.taken), sink.sessions) == (1, 1)


#: Stage and reply of the server; outcome, stage and enhanced code in the receipt.
REFUSALS = [
    ("banner", "421 4.3.2 busy", DEFERRED, "connect", "4.3.2"),
    ("banner", "554 5.7.1 your address is listed", DEFERRED, "connect", "5.7.1"),
    ("ehlo", "421 4.3.2 busy", DEFERRED, "connect", "4.3.2"),
    ("mail", "421 4.7.0 slow down", DEFERRED, "mail", "4.7.0"),
    ("mail", "451 4.3.0 later", DEFERRED, "mail", "4.3.0"),
    ("mail", "503 5.5.1 out of step", DEFERRED, "mail", "5.5.1"),
    ("mail", "530 5.7.0 log in first", DEFERRED, "mail", "5.7.0"),
    ("mail", "550 5.1.8 not your domain", REJECTED, "mail", "5.1.8"),
    ("rcpt", "421 4.7.28 too fast", DEFERRED, "rcpt", "4.7.28"),
    ("rcpt", "450 4.2.0 greylisted", DEFERRED, "rcpt", "4.2.0"),
    ("rcpt", "452 4.5.3 too many recipients", DEFERRED, "rcpt", "4.5.3"),
    ("rcpt", "552 5.2.2 mailbox full", DEFERRED, "rcpt", "5.2.2"),
    ("rcpt", "550 no such user", REJECTED, "rcpt", ""),
    ("rcpt", "553-5.1.3 in two\n553 5.1.3 lines", REJECTED, "rcpt", "5.1.3"),
    ("data", "421 4.3.2 going down", DEFERRED, "data", "4.3.2"),
    ("data", "451 4.3.1 no disk", DEFERRED, "data", "4.3.1"),
    ("data", "554 5.7.1 no", REJECTED, "data", "5.7.1"),
    ("dot", "421 4.3.2 going down", DEFERRED, "data", "4.3.2"),
    ("dot", "451 4.7.1 greylisted", DEFERRED, "data", "4.7.1"),
    ("dot", "552 5.3.4 too big", REJECTED, "data", "5.3.4"),
    ("dot", "554 5.7.1 spam", REJECTED, "data", "5.7.1"),
]


class TestRefusals:
    @GROUPS
    @pytest.mark.parametrize(
        ("stage", "reply", "outcome", "told", "enhanced"), REFUSALS
    )
    def test_each_stage(self, sink, pipelining, stage, reply, outcome, told, enhanced):
        sink.fail(stage, reply)
        receipt = send(sink, ANN, BOB, pipelining=pipelining)
        assert outcomes(receipt) == [outcome] * 2
        for result in receipt.results:
            assert result.reply.stage == told
            assert result.reply.code == int(reply[:3])
            assert result.reply.enhanced == enhanced
        assert sink.sessions == 1, "a new connection is for reused ones only"
        assert not sink.taken and not sink.violations

    def test_the_text(self, sink):
        sink.fail("rcpt", "550-5.1.1 one\tline\n550-5.1.1 \x07or\n550 5.1.1 another")
        (result,) = send(sink).results
        assert result.reply.text == "one line  or another"

    def test_a_long_text(self, sink):
        sink.fail("rcpt", "550 " + "x" * 3000)
        (result,) = send(sink).results
        assert result.reply.text == "x" * 1000

    @GROUPS
    def test_each_recipient_on_its_own(self, sink, pipelining):
        sink.fail("rcpt", "550 5.1.1 unknown", match="bob@")
        sink.fail("rcpt", "451 4.2.0 later", match="eve@")
        with SmtpSession(settings(sink, pipelining=pipelining)) as session:
            receipt = session.send(mail(BOB, ANN, EVE))
            assert outcomes(receipt) == [REJECTED, ACCEPTED, DEFERRED]
            assert [item.reply.code for item in receipt.results] == [550, 250, 451]
            assert sink.wait()[0].recipients == (ANN,)
            assert outcomes(session.send(mail(ANN))) == [ACCEPTED]
        assert sink.sessions == 1

    @GROUPS
    def test_what_was_said_before_the_end_is_kept(self, sink, pipelining):
        sink.fail("rcpt", "550 5.1.1 unknown", match="bob@")
        sink.fail("rcpt", "421 4.7.0 too many", match="eve@", then="hang up")
        receipt = send(sink, BOB, ANN, EVE, pipelining=pipelining)
        assert outcomes(receipt) == [REJECTED, DEFERRED, DEFERRED]
        assert [item.reply.code for item in receipt.results] == [550, 421, 421]

    @pytest.mark.parametrize("stage", ["banner", "mail", "rcpt", "data", "dot"])
    @pytest.mark.parametrize(
        ("reply", "seconds"),
        [
            ("421 4.7.0 try again in 5 minutes", 300.0),
            ("421 4.7.0 too many connections", None),
            ("451 4.7.1 try again in 5 minutes", None),
        ],
    )
    def test_how_long_the_server_wants_peace(self, sink, stage, reply, seconds):
        sink.fail(stage, reply)
        assert send(sink).retry_after == seconds

    @GROUPS
    @pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data"])
    @pytest.mark.parametrize("then", ["hang up", "reset"])
    def test_the_end_before_the_dot(self, sink, pipelining, stage, then):
        sink.fail(stage, then=then)
        (result,) = send(sink, pipelining=pipelining).results
        assert result.outcome is DEFERRED
        assert result.reply.code == 0 and result.reply.text
        assert sink.sessions == 1 and not sink.taken

    def test_a_slow_banner(self, sink):
        sink.fail("banner", delay=0.3)
        assert outcomes(send(sink, command_timeout=2)) == [ACCEPTED]

    @pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data"])
    def test_silence_before_the_dot(self, sink, stage):
        sink.fail(stage, delay=2)
        start = time.monotonic()
        (result,) = send(sink, command_timeout=0.3).results
        assert time.monotonic() - start < 1.5
        assert result.outcome is DEFERRED
        assert result.reply.text == "no answer in time"
        assert not sink.taken

    def test_an_old_server(self, sink):
        sink.fail("ehlo", "502 5.5.2 what?")
        assert outcomes(send(sink)) == [ACCEPTED]
        assert sink.verbs()[:2] == ["EHLO", "HELO"]
        assert sink.taken[0].options == ()

    @given(st.integers(200, 599), st.sampled_from(["mail", "rcpt", "data", "auth"]))
    def test_no_code_is_unknown(self, code, stage):
        outcome = outcome_of(Reply(stage, code))
        assert outcome is not IN_DOUBT
        assert (outcome is ACCEPTED) == (code < 300)
        if stage == "auth" or code < 500:
            assert outcome is not REJECTED


class TestReuse:
    def test_one_connection_for_many_mails(self, sink, session):
        for _ in range(20):
            assert outcomes(session.send(mail())) == [ACCEPTED]
        assert (sink.sessions, len(sink.taken)) == (1, 20)
        assert "RSET" not in sink.verbs() and "NOOP" not in sink.verbs()

    def test_so_many_mails(self, sink):
        with SmtpSession(settings(sink, max_messages=3)) as session:
            for _ in range(7):
                session.send(mail())
        assert [taken.session for taken in sink.taken] == [1, 1, 1, 2, 2, 2, 3]

    def test_so_long(self, sink):
        with SmtpSession(settings(sink, max_age=0.2)) as session:
            session.send(mail())
            session.send(mail())
            time.sleep(0.25)
            session.send(mail())
        assert [taken.session for taken in sink.taken] == [1, 1, 2]

    @pytest.mark.parametrize("fault", [{}, {"reply": "421 4.4.2 idle"}, "gone"])
    def test_idle(self, sink, session, monkeypatch, fault):
        monkeypatch.setattr(smtp_link, "IDLE", 0.0)
        session.send(mail())
        if fault == "gone":
            sink.hang_up()
        elif fault:
            sink.fail("noop", **fault)
        assert outcomes(session.send(mail())) == [ACCEPTED]
        assert sink.sessions == (2 if fault else 1)
        assert sink.verbs(1).count("NOOP") == (0 if fault == "gone" else 1)

    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
    def test_a_refused_mail_leaves_nothing_behind(self, sink, session, stage):
        sink.fail(stage, "554 5.0.0 no", times=1)
        assert outcomes(session.send(mail(ANN))) == [REJECTED]
        assert outcomes(session.send(mail(BOB))) == [ACCEPTED]
        assert sink.taken[-1].recipients == (BOB,)
        assert sink.sessions == 1

    def test_a_server_that_cannot_forget(self, sink, session):
        sink.fail("rset", "451 4.0.0 no")
        sink.fail("rcpt", "550 5.1.1 no", times=1)
        session.send(mail())
        assert outcomes(session.send(mail())) == [ACCEPTED]
        assert sink.sessions == 2

    @GROUPS
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    @pytest.mark.parametrize(
        "fault",
        [
            {"reply": "421 4.4.2 idle", "then": "hang up"},
            {"reply": "421 4.4.2 idle"},
            {"reply": "503 5.5.1 out of step"},
            {"then": "hang up"},
            {"then": "reset"},
        ],
    )
    def test_a_stale_connection_is_replaced(self, sink, pipelining, stage, fault):
        """No attempt is charged: the receipt knows nothing of it."""
        with SmtpSession(settings(sink, pipelining=pipelining)) as session:
            session.send(mail())
            sink.fail(stage, times=1, **fault)
            receipt = session.send(mail(ANN, BOB))
        assert outcomes(receipt) == [ACCEPTED] * 2
        assert receipt.results[0].reply.code == 250
        assert [taken.session for taken in sink.taken] == [1, 2]

    def test_a_server_that_was_restarted(self, sink, session):
        session.send(mail())
        sink.hang_up()
        assert outcomes(session.send(mail())) == [ACCEPTED]
        assert sink.sessions == 2

    @pytest.mark.parametrize(
        "fault", [{"reply": "421 4.7.0 no"}, {"then": "hang up"}, {"reply": "503 no"}]
    )
    def test_once_and_not_again(self, sink, session, fault):
        session.send(mail())
        sink.fail("mail", **fault)
        assert outcomes(session.send(mail())) == [DEFERRED]
        assert sink.sessions == 2 and len(sink.taken) == 1

    def test_nobody_there_any_more(self, sink, session):
        session.send(mail())
        sink.close()
        (result,) = session.send(mail()).results
        assert (result.outcome, result.reply.stage) == (DEFERRED, "connect")

    def test_silence_is_not_waited_for_twice(self, sink):
        with SmtpSession(settings(sink, command_timeout=0.3)) as session:
            session.send(mail())
            sink.fail("mail", delay=1)
            assert outcomes(session.send(mail())) == [DEFERRED]
        assert sink.sessions == 1

    @pytest.mark.parametrize("refusal", ["550 5.1.1 no", "451 4.2.0 later"])
    def test_a_refusal_is_no_reason_to_connect_again(self, sink, session, refusal):
        session.send(mail())
        sink.fail("rcpt", refusal)
        session.send(mail())
        assert sink.sessions == 1


DOUBTS = [
    {"then": "hang up"},
    {"then": "hang up", "taken": False},
    {"then": "reset"},
    {"delay": 1.0},
    {"reply": "354 more"},
    {"reply": "hello there"},
    {"reply": "250-but", "then": "hang up"},
]


class TestDoubt:
    @GROUPS
    @pytest.mark.parametrize("fault", DOUBTS)
    @pytest.mark.parametrize("reused", [False, True])
    def test_after_the_dot(self, sink, pipelining, fault, reused):
        wanted = settings(sink, pipelining=pipelining, data_timeout=0.4)
        with SmtpSession(wanted) as session:
            if reused:
                session.send(mail())
            before = len(sink.taken)
            sink.fail("rcpt", "550 5.1.1 unknown", match="bob@")
            sink.fail("dot", times=1, **fault)
            receipt = session.send(mail(ANN, BOB, EVE))
            assert outcomes(receipt) == [IN_DOUBT, REJECTED, IN_DOUBT]
            doubt = receipt.results[0].reply
            assert (doubt.stage, doubt.code) == ("data", 0)
            assert "after the mail was sent" in doubt.text
            assert sink.sessions == 1, "it is never sent again"
            assert outcomes(session.send(mail(ANN))) == [ACCEPTED]
        assert sink.sessions == 2
        assert len(sink.taken) - before <= 2

    def test_under_tls(self, certificate, tls):
        with SmtpSink(tls=tls) as sink:
            sink.fail("dot", then="reset")
            trusting = {"host": RELAY, "authorities": str(certificate)}
            assert outcomes(send(sink, **trusting)) == [IN_DOUBT]

    def test_later_groups_of_recipients_are_in_no_doubt(self, sink):
        sink.fail("dot", then="hang up", skip=1)
        recipients = [f"r{number}@example.com" for number in range(250)]
        found = outcomes(send(sink, *recipients))
        assert found == [ACCEPTED] * 100 + [IN_DOUBT] * 100 + [DEFERRED] * 50

    def test_a_slow_answer_is_an_answer(self, sink):
        sink.fail("dot", delay=0.5)
        assert outcomes(send(sink, command_timeout=0.2, data_timeout=2)) == [ACCEPTED]

    @pytest.mark.parametrize("secure", [False, True])
    @pytest.mark.parametrize("then", ["hang up", "reset"])
    def test_the_end_within_the_content(self, certificate, tls, secure, then):
        """The dot was not sent, and everybody knows."""
        with SmtpSink(tls=tls if secure else None) as sink:
            sink.fail("body", then=then)
            trusting = {"host": RELAY, "authorities": str(certificate)}
            (result,) = send(sink, mime=LARGE, **trusting).results
            assert (result.outcome, result.reply.stage) == (DEFERRED, "data")
            assert sink.sessions == 1 and not sink.taken

    def test_the_end_within_the_content_of_a_reused_connection(self, sink, session):
        session.send(mail())
        sink.fail("body", then="hang up", times=1)
        assert outcomes(session.send(mail(mime=LARGE))) == [ACCEPTED]
        assert [taken.session for taken in sink.taken] == [1, 2]

    @pytest.mark.parametrize(
        ("reply", "outcome"),
        [("552 5.3.4 too big", REJECTED), ("451 4.3.1 no disk", DEFERRED)],
    )
    def test_a_refusal_within_the_content(self, sink, session, reply, outcome):
        session.send(mail())
        sink.fail("body", reply, then="hang up")
        (result,) = session.send(mail(mime=LARGE)).results
        assert (result.outcome, result.reply.code) == (outcome, int(reply[:3]))
        assert sink.sessions == 1

    def test_a_server_that_reads_no_more(self, sink):
        sink.fail("body", delay=2)
        start = time.monotonic()
        (result,) = send(sink, mime=LARGE, command_timeout=0.4).results
        assert result.outcome is DEFERRED
        assert time.monotonic() - start < 1.9


class TestTls:
    @pytest.fixture
    def trusting(self, certificate):
        return {"host": RELAY, "authorities": str(certificate)}

    @pytest.mark.parametrize("how", ["auto", "starttls"])
    def test_whenever_it_is_offered(self, tls, trusting, how):
        with SmtpSink(tls=tls) as sink:
            assert outcomes(send(sink, tls=how, **trusting)) == [ACCEPTED]
            assert sink.wait()[0].tls
            assert sink.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]
            assert not sink.violations

    def test_from_the_start(self, tls, trusting):
        with SmtpSink(tls=tls, implicit=True) as sink:
            assert outcomes(send(sink, tls="implicit", **trusting)) == [ACCEPTED]
            assert sink.wait()[0].tls

    def test_from_the_start_by_the_port(self, tls, trusting, monkeypatch):
        with SmtpSink(tls=tls, implicit=True) as sink:
            monkeypatch.setattr(smtp_link, "IMPLICIT_PORT", sink.port)
            assert outcomes(send(sink, **trusting)) == [ACCEPTED]

    def test_without(self, tls):
        with SmtpSink(tls=tls) as sink:
            assert outcomes(send(sink, tls="none")) == [ACCEPTED]
            assert not sink.wait()[0].tls

    def test_nothing_is_sent_without_it_where_it_is_demanded(self, sink):
        (result,) = send(sink, tls="starttls").results
        assert (result.outcome, result.reply.stage) == (DEFERRED, "tls")
        assert "MAIL" not in sink.verbs()

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ({"stage": "starttls", "reply": "454 4.7.0 not now"}, 454),
            ({"stage": "starttls", "then": "hang up"}, 0),
            ({"stage": "starttls", "reply": "220 go\n250 injected"}, 0),
            ({"stage": "handshake", "then": "hang up"}, 0),
            ({"stage": "handshake", "delay": 1.0}, 0),
        ],
    )
    def test_one_that_fails_is_not_done_without(self, tls, trusting, fault, code):
        with SmtpSink(tls=tls) as sink:
            sink.fail(**fault)
            (result,) = send(sink, command_timeout=0.5, **trusting).results
            assert (result.outcome, result.reply.stage) == (DEFERRED, "tls")
            assert result.reply.code == code and result.reply.text
            assert "MAIL" not in sink.verbs()

    @pytest.mark.parametrize(
        ("host", "trusted", "why"),
        [("other.example", True, "ostname mismatch"), (RELAY, False, "self")],
    )
    def test_a_bad_certificate(self, tls, certificate, host, trusted, why):
        authorities = str(certificate) if trusted else ""
        with SmtpSink(tls=tls) as sink:
            (result,) = send(sink, host=host, authorities=authorities).results
            assert (result.outcome, result.reply.stage) == (DEFERRED, "tls")
            assert result.reply.text.startswith("certificate: ")
            assert why in result.reply.text
            assert not sink.taken

    def test_a_bad_certificate_that_the_account_takes(self, tls):
        with SmtpSink(tls=tls) as sink:
            found = send(sink, host="other.example", verify_certificate=False)
            assert outcomes(found) == [ACCEPTED]
            assert sink.wait()[0].tls


class TestLogin:
    def server(self, **more):
        return SmtpSink(credentials={"jö": PASSWORD + "ü"}, **more)

    LOGIN = {"login": "jö", "password": PASSWORD + "ü"}

    @pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN PLAIN", "LOGIN"])
    def test_under_tls(self, tls, certificate, mechanisms):
        trusting = {"host": RELAY, "authorities": str(certificate)}
        with self.server(tls=tls, mechanisms=mechanisms) as sink:
            assert outcomes(send(sink, **trusting, **self.LOGIN)) == [ACCEPTED]
            (taken,) = sink.wait()
            assert (taken.login, taken.tls) == ("jö", True)

    @pytest.mark.parametrize(
        ("host", "allowed", "sent"),
        [
            (RELAY, False, False),
            (RELAY, True, True),
            ("127.0.0.1", False, True),
            ("localhost", False, True),
        ],
    )
    @pytest.mark.parametrize("how", ["auto", "none"])
    def test_in_clear(self, host, allowed, sent, how):
        with self.server(auth_in_clear=True) as sink:
            (result,) = send(
                sink, host=host, allow_clear_text_login=allowed, tls=how, **self.LOGIN
            ).results
            assert ("AUTH" in sink.verbs()) is sent
            if sent:
                assert result.outcome is ACCEPTED
            else:
                assert (result.outcome, result.reply.stage) == (DEFERRED, "tls")

    def test_a_server_that_hides_starttls(self, tls, certificate):
        """As somebody in between would, to be shown the login."""
        with self.server(tls=tls, auth_in_clear=True, without=["STARTTLS"]) as sink:
            send(sink, host=RELAY, authorities=str(certificate), **self.LOGIN)
            assert sink.verbs()[:1] == ["EHLO"] and "AUTH" not in sink.verbs()

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"password": "wrong"}, 535),
            ({"login": "nobody"}, 535),
            ({"login": "a\0b"}, 0),
        ],
    )
    def test_a_wrong_one(self, more, code):
        with self.server(auth_in_clear=True) as sink:
            (result,) = send(sink, **(self.LOGIN | more)).results
            assert (result.outcome, result.reply.stage) == (DEFERRED, "auth")
            assert result.reply.code == code
            assert "MAIL" not in sink.verbs()

    def test_for_now(self):
        with self.server(auth_in_clear=True) as sink:
            sink.fail("auth", "454 4.7.0 later")
            (result,) = send(sink, **self.LOGIN).results
            assert (result.reply.stage, result.reply.code) == ("auth", 454)

    @pytest.mark.parametrize("mechanisms", ["CRAM-MD5 GSSAPI", ""])
    def test_none_that_we_know(self, mechanisms):
        with self.server(auth_in_clear=True, mechanisms=mechanisms) as sink:
            (result,) = send(sink, **self.LOGIN).results
            assert (result.outcome, result.reply.stage) == (DEFERRED, "auth")

    def test_another_way_when_one_is_refused(self):
        with self.server(auth_in_clear=True, mechanisms="LOGIN") as sink:
            with_plain = "250-sink\n250-AUTH PLAIN\n250 AUTH=LOGIN"
            sink.fail("ehlo", with_plain)
            assert outcomes(send(sink, **self.LOGIN)) == [ACCEPTED]

    def test_no_secret_is_told(self):
        with self.server(auth_in_clear=True) as sink:
            sink.fail("auth", f"535 5.7.8 wrong password {PASSWORD}ü")
            wanted = settings(sink, **self.LOGIN)
            with SmtpSession(wanted) as session:
                receipt = session.send(mail())
            assert outcomes(receipt) == [DEFERRED]
            assert PASSWORD not in repr(receipt) + repr(wanted)


class TestExtensions:
    def test_what_is_declared(self, sink):
        send(sink)
        assert sink.wait()[0].options == (f"SIZE={len(MIME)}",)

    def test_eight_bits(self, sink):
        mime = MIME + "Grüße\r\n".encode()
        send(sink, mime=mime)
        (taken,) = sink.wait()
        assert taken.options == (f"SIZE={len(mime)}", "BODY=8BITMIME")
        assert taken.data == mime

    def test_a_server_for_seven_bits(self):
        head = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n"
        head += b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
        with SmtpSink(without=["8BITMIME"]) as sink:
            send(sink, mime=head + "Grüße.\r\n.\r\n".encode())
            (taken,) = sink.wait()
        assert taken.data.isascii()
        parsed = email.message_from_bytes(taken.data)
        text = parsed.get_payload(decode=True).decode()
        assert text.splitlines() == ["Grüße.", "."]

    @pytest.mark.parametrize(("size", "fits"), [(len(MIME), True), (20, False)])
    def test_size(self, size, fits):
        with SmtpSink(size=size) as sink:
            (result,) = send(sink).results
            assert ("MAIL" in sink.verbs()) is fits
        if not fits:
            assert result.outcome is REJECTED
            assert (result.reply.stage, result.reply.enhanced) == ("mail", "5.3.4")

    @pytest.mark.parametrize(
        "limit", ["SIZE", "SIZE 0", "SIZE x", "SIZE " + "9" * 5000]
    )
    def test_a_size_that_limits_nothing(self, sink, limit):
        sink.fail("ehlo", f"250-sink\n250 {limit}")
        assert outcomes(send(sink)) == [ACCEPTED]

    @pytest.mark.parametrize(
        ("address", "on_the_wire", "utf8"),
        [
            ("info@bücher.example", "info@xn--bcher-kva.example", False),
            ("jörg@example.com", "jörg@example.com", True),
            ("用户@例子.example", "用户@xn--fsqu00a.example", True),
        ],
    )
    def test_internationalised(self, sink, address, on_the_wire, utf8):
        for more in ({"sender": address}, {}):
            assert outcomes(send(sink, address, **more)) == [ACCEPTED]
            taken = sink.taken[-1]
            assert taken.recipients == (on_the_wire,)
            assert ("SMTPUTF8" in taken.options) is utf8

    def test_internationalised_headers(self, sink):
        send(sink, mime="Subject: Grüße\n\nHello\n".encode())
        assert "SMTPUTF8" in sink.wait()[0].options

    def test_a_server_that_does_not_know(self):
        with SmtpSink(without=["SMTPUTF8"]) as sink:
            receipt = send(sink, "jörg@example.com", ANN, "info@bücher.example")
            assert outcomes(receipt) == [REJECTED, ACCEPTED, ACCEPTED]
            assert receipt.results[0].reply.enhanced == "5.6.7"
            assert len(sink.wait()[0].recipients) == 2
            (result,) = send(sink, sender="jörg@example.com").results
            assert (result.outcome, result.reply.stage) == (REJECTED, "mail")


HOSTILE = [
    "a@b.example>\r\nRCPT TO:<eve@example.com",
    "a@b.example\r\nDATA",
    "a@b.example\nDATA",
    "a@b.example\rDATA",
    "a@b.example\0",
    "a\r\nRSET@b.example",
    '"a\r\nRSET"@b.example',
    "a@b.example> SIZE=1",
    "a@b.example SIZE=1",
    "<a@b.example>",
    "a@b.example>,<eve@example.com",
    "a b@c.example",
    "a@b@c.example",
    "a,b@c.example",
    "a@b.example\u2028RSET",
    "a@b.example\x85RSET",
    "a@\u200b",
    "\udcff@b.example",
    "a@[127.0.0.1\r\n]",
    "no-at-sign",
    "@b.example",
    "a@",
    "",
    "a" * 300 + "@b.example",
    "a@" + "b" * 300,
]


class TestInjection:
    @pytest.mark.parametrize("address", HOSTILE)
    def test_a_recipient(self, sink, address):
        receipt = send(sink, address, ANN)
        assert outcomes(receipt) == [REJECTED, ACCEPTED]
        assert receipt.results[0].reply.enhanced == "5.1.3"
        lines = [line for _, line in sink.commands if not line.startswith("EHLO")]
        size = len(MIME)
        assert lines[:3] == [
            f"MAIL FROM:<sender@example.com> SIZE={size}",
            f"RCPT TO:<{ANN}>",
            "DATA",
        ]
        assert sink.wait()[0].recipients == (ANN,)

    @pytest.mark.parametrize("address", [item for item in HOSTILE if item])
    def test_a_sender(self, sink, address):
        receipt = send(sink, ANN, sender=address)
        assert outcomes(receipt) == [REJECTED]
        assert receipt.results[0].reply.stage == "mail"
        assert not sink.commands and not sink.taken

    @pytest.mark.parametrize(
        "address",
        [
            "a.b+c_d=e%f@sub.example.com",
            "bounce+abc-1=2@example.com",
            '"a b"@example.com',
            '"a>b\\"c"@example.com',
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "a@host_name.example",
            "o'neil@example.com",
        ],
    )
    def test_odd_and_allowed(self, sink, address):
        assert outcomes(send(sink, address)) == [ACCEPTED]
        assert f"RCPT TO:<{address}>" in [line for _, line in sink.commands]

    def test_any_text_is_one_command_or_none(self):
        text = st.text(max_size=60) | st.from_regex(r"[^@]{1,20}@[^@]{1,20}")
        with SmtpSink() as sink, SmtpSession(settings(sink)) as session:

            @given(text, text)
            def harmless(sender, recipient):
                del sink.commands[:]
                receipt = session.send(mail(recipient, sender=sender))
                assert len(receipt.results) == 1
                verbs = [item for item in sink.verbs() if item != "EHLO"]
                assert verbs in ([], ["MAIL", "RCPT", "DATA"])

            harmless()
            assert not sink.violations


class TestHostileServers:
    """Whatever a server says: an answer in time, and never an exception."""

    @contextlib.contextmanager
    def saying(self, *pieces, forever=False):
        listener = socket.create_server(("127.0.0.1", 0))

        def talk():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, contextlib.suppress(OSError):
                        for piece in pieces:
                            sock.sendall(piece)
                            sock.settimeout(0.2)
                            with contextlib.suppress(TimeoutError):
                                sock.recv(65536)
                        while forever:
                            sock.sendall(pieces[-1])

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        try:
            yield SmtpSettings(
                "127.0.0.1",
                listener.getsockname()[1],
                command_timeout=1.0,
                data_timeout=1.0,
            )
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)

    @pytest.mark.parametrize(
        ("piece", "forever"),
        [
            (b"x" * 5000, True),
            (b"220-more\r\n", True),
            (b"220 " + b"a" * 9000, False),
            (b"\0\xff\r\n", False),
            (b"\r\n", False),
            (b"220\r\n", False),
            (b"220 hi\n", False),
            (b"99 hi\r\n", False),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
            (b"354 go on\r\n", False),
        ],
    )
    def test_a_banner(self, piece, forever):
        start = time.monotonic()
        with self.saying(piece, forever=forever) as wanted:
            (result,) = SmtpSession(wanted).send(mail()).results
        assert (result.outcome, result.reply.stage) == (DEFERRED, "connect")
        assert len(result.reply.text) <= 1000
        assert time.monotonic() - start < 4

    def test_any_words(self):
        words = st.binary(max_size=30) | st.sampled_from(
            [b"220 a\r\n", b"250 a\r\n", b"250-A\r\n250 SIZE\r\n", b"354 a\r\n"]
        )

        @given(st.lists(words, min_size=1, max_size=12))
        def survives(pieces):
            with self.saying(b"".join(pieces)) as wanted:
                (result,) = SmtpSession(wanted).send(mail()).results
            assert isinstance(result.outcome, Outcome)

        survives()


class TestProbe:
    def test_what_it_finds(self, tls, certificate):
        with SmtpSink(tls=tls, credentials={"joe": PASSWORD}) as sink:
            wanted = settings(
                sink,
                host=RELAY,
                authorities=str(certificate),
                login="joe",
                password=PASSWORD,
            )
            found = SmtpSession(wanted).probe()
            assert found.failure is None
            assert found.address == "127.0.0.1"
            assert [item.error for item in found.attempts] == [""]
            assert [stage for stage, _ in found.steps] == ["connect", "tls", "auth"]
            assert all(0 <= seconds < 5 for _, seconds in found.steps)
            assert found.tls.startswith("TLS")
            assert "PIPELINING" in found.extensions
            assert "MAIL" not in sink.verbs()

    def test_what_went_wrong(self, sink):
        sink.close()
        found = SmtpSession(settings(sink)).probe()
        assert found.failure.stage == "connect"
        assert "127.0.0.1: Connection refused" in found.failure.text
        (attempt,) = found.attempts
        assert attempt.error == "Connection refused"

    def test_a_wrong_login(self):
        with SmtpSink(credentials={"joe": "x"}, auth_in_clear=True) as sink:
            wanted = settings(sink, login="joe", password=PASSWORD)
            found = SmtpSession(wanted).probe()
        assert (found.failure.stage, found.failure.code) == ("auth", 535)
        assert [stage for stage, _ in found.steps] == ["connect"]


def test_no_such_name(monkeypatch):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connecting, "resolve", unknown)
    (result,) = SmtpSession(SmtpSettings("no.example")).send(mail()).results
    assert (result.outcome, result.reply.stage) == (DEFERRED, "connect")
    assert "Name or service not known" in result.reply.text
