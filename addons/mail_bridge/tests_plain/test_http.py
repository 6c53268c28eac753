# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The one way out, against real servers on this machine."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers import http
from odoo.addons.mail_bridge.providers.base import FetchRequest
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed

BODY = bytes(range(256)) * 400
SECRET = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
SHORT = (2.0, 0.5)


class Peer(BaseHTTPRequestHandler):
    """Answers by path; notes what it was asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        getattr(self, "answer_" + self.path.strip("/").partition("?")[0])()

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_mail(self):
        self.reply(200, BODY)

    def answer_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY), 10_000):
            piece = BODY[start : start + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def answer_until_close(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
        self.close_connection = True

    def answer_endless(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * 65536)

    def answer_redirect(self):
        self.reply(302, Location="http://169.254.169.254/latest/meta-data/")

    def answer_busy(self):
        self.reply(429, Retry_After="17")

    def answer_busy_until(self):
        moment = datetime.datetime.now(datetime.timezone.utc)
        moment += datetime.timedelta(seconds=90)
        self.reply(503, Retry_After=format_datetime(moment, usegmt=True))

    def answer_busy_somehow(self):
        self.reply(503, Retry_After="soon")

    def answer_broken(self):
        self.reply(500, f"no such {SECRET}".encode())

    def answer_gone(self):
        self.reply(404)

    def answer_denied(self):
        self.reply(401)

    def answer_empty(self):
        self.reply(204)

    def answer_short(self):
        self.reply(200, b"half", Content_Length="1000")
        self.close_connection = True

    def answer_packed(self):
        self.reply(200, b"\x1f\x8b", Content_Encoding="gzip")

    def answer_silent(self):
        time.sleep(1.5)

    def answer_dripping(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(b".")
                time.sleep(0.05)

    def answer_garbage(self):
        self.wfile.write(b"\x00\x01 no http at all\r\n\r\n")
        self.close_connection = True


@contextlib.contextmanager
def serving(tls=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    server.daemon_threads = True
    server.handle_error = lambda *args: None
    server.asked = []
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def peer():
    with serving() as server:
        yield server


@pytest.fixture
def asked(peer):
    peer.asked.clear()
    return peer.asked


@pytest.fixture
def loopback(monkeypatch):
    monkeypatch.setenv(http.LOOPBACK_VARIABLE, "1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, in a file that is its own authority."""
    return self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost")


@pytest.fixture
def tls_peer(certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    greeted = []
    context.sni_callback = lambda _sock, name, _context: greeted.append(name)
    with serving(context) as server:
        server.greeted = greeted
        yield server


def to(url, hosts=("127.0.0.1",), **more):
    return FetchRequest("mail", url, hosts, **more)


def at(server, path, scheme="http", host="127.0.0.1"):
    return f"{scheme}://{host}:{server.server_port}/{path}"


class TestBodies:
    @pytest.mark.parametrize("path", ["mail", "chunked", "until_close"])
    def test_every_byte_arrives(self, peer, loopback, path):
        assert http.fetch(to(at(peer, path))) == BODY

    def test_as_large_as_allowed(self, peer, loopback):
        assert http.fetch(to(at(peer, "mail"), max_bytes=len(BODY))) == BODY

    @pytest.mark.parametrize("path", ["mail", "chunked", "until_close", "endless"])
    def test_one_byte_more_is_refused(self, peer, loopback, path):
        with pytest.raises(PermanentError, match="more than"):
            http.fetch(to(at(peer, path), max_bytes=len(BODY) - 1))


class TestAnswers:
    @pytest.mark.parametrize(
        ("path", "error", "wait"),
        [
            ("busy", TemporaryError, 17),
            ("busy_somehow", TemporaryError, None),
            ("broken", TemporaryError, None),
            ("short", TemporaryError, None),
            ("garbage", TemporaryError, None),
            ("gone", TemporaryError, None),
            ("denied", TemporaryError, None),
            ("empty", PermanentError, None),
            ("redirect", PermanentError, None),
            ("packed", PermanentError, None),
        ],
    )
    def test_class_of_error(self, peer, loopback, asked, path, error, wait):
        with pytest.raises(error) as caught:
            http.fetch(to(at(peer, path)))
        assert getattr(caught.value, "retry_after", None) == wait
        assert [item[0] for item in asked] == [f"/{path}"], "no second request"

    def test_retry_after_as_a_date(self, peer, loopback):
        with pytest.raises(TemporaryError) as caught:
            http.fetch(to(at(peer, "busy_until")))
        assert 80 < caught.value.retry_after <= 90

    def test_silence(self, peer, loopback):
        start = time.monotonic()
        with pytest.raises(TemporaryError):
            http.fetch(to(at(peer, "silent")), timeout=SHORT)
        assert time.monotonic() - start < 1.4

    def test_a_byte_now_and_then_does_not_hold_us_for_ever(self, peer, loopback):
        start = time.monotonic()
        with pytest.raises(TemporaryError):
            http.fetch(to(at(peer, "dripping")), total=0.5)
        assert time.monotonic() - start < 2

    def test_nobody_there(self, loopback):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with pytest.raises(TemporaryError, match="no connection"):
            http.fetch(to(f"http://127.0.0.1:{port}/mail"))

    def test_no_such_name(self):
        def unknown(host, port):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        request = to("https://mail.provider.example/", ("mail.provider.example",))
        with pytest.raises(TemporaryError):
            http.fetch(request, resolver=unknown)

    def test_a_resolver_that_says_nothing(self):
        answered = threading.Event()

        def silent(host, port):
            answered.wait(10)
            return []

        request = to("https://mail.provider.example/", ("mail.provider.example",))
        start = time.monotonic()
        with pytest.raises(TemporaryError, match="could not be resolved"):
            http.fetch(request, resolver=silent, total=0.2)
        assert time.monotonic() - start < 2
        answered.set()


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "mail",
            "https://",
            "ftp://127.0.0.1/mail",
            "file:///etc/passwd",
            "https://other.example/mail",
            "https://127.0.0.1.other.example/mail",
            "https://127.0.0.1@other.example/mail",
            "https://other.example#@127.0.0.1/",
            "https://other.example\\@127.0.0.1/",
            "https://user:pass@127.0.0.1/mail",
            "https://@127.0.0.1/mail",
            "https://127.0.0.1:99999/mail",
            "https://127.0.0.1/a b",
            "https://127.0.0.1/a\r\nX-Injected: yes",
            "https://127.0.0.1/ä",
            "https://127.0.0.1/" + "a" * 5000,
        ],
    )
    def test_refused_without_a_request(self, peer, loopback, asked, url):
        with pytest.raises(PermanentError):
            http.fetch(to(url))
        assert not asked

    @pytest.mark.parametrize(
        ("host", "allowed", "expected"),
        [
            ("api.p.example", ("api.p.example",), True),
            ("API.p.example", ("api.P.example",), True),
            ("x.api.p.example", ("api.p.example",), False),
            ("se.api.p.example", (".api.p.example",), True),
            ("api.p.example", (".api.p.example",), False),
            ("evilp.example", (".p.example", "p.example"), False),
            ("p.example.evil", ("p.example",), False),
            ("p.example", (), False),
        ],
    )
    def test_hosts(self, host, allowed, expected):
        assert http.host_matches(host, allowed) is expected

    @given(st.text(max_size=80))
    def test_any_text_is_refused_or_not_found(self, url):
        with pytest.raises((PermanentError, TemporaryError)):
            http.fetch(to(url, ("p.example",)), resolver=lambda host, port: [])


class TestAddresses:
    HOST = "mail.provider.example"

    def attempt(self, *addresses, url="https://mail.provider.example/m"):
        http.fetch(
            to(url, (self.HOST,)),
            resolver=lambda host, port: list(addresses),
            timeout=(0.01, 0.01),
        )

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "2001:0:1::",
            "ff02::1",
        ],
    )
    def test_an_inside_address_is_refused(self, address):
        with pytest.raises(PermanentError, match="not a public one"):
            self.attempt(address)

    def test_one_inside_address_among_public_ones_is_enough(self):
        with pytest.raises(PermanentError):
            self.attempt("8.8.8.8", "127.0.0.1")

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_a_public_name_never_leads_inside_on_the_own_port(self, loopback, address):
        """Loopback is admitted for tests, but not together with other addresses."""
        with pytest.raises(PermanentError):
            self.attempt(address, "8.8.8.8")

    @pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254"])
    def test_the_test_switch_admits_loopback_only(self, loopback, address):
        for url in (f"http://{self.HOST}/", f"https://{self.HOST}/"):
            with pytest.raises(PermanentError):
                self.attempt(address, url=url)

    def test_plain_http_is_refused_without_the_switch(self, peer, asked):
        with pytest.raises(PermanentError, match="only https"):
            http.fetch(to(at(peer, "mail")))
        assert not asked

    def test_the_name_is_resolved_once_and_that_address_is_used(
        self, peer, loopback, asked
    ):
        questions = []

        def rebinding(host, port):
            questions.append(host)
            return ["127.0.0.1" if len(questions) == 1 else "10.0.0.1"]

        url = at(peer, "mail", host=self.HOST)
        assert http.fetch(to(url, (self.HOST,)), resolver=rebinding) == BODY
        assert questions == [self.HOST]
        assert asked[0][1]["Host"] == f"{self.HOST}:{peer.server_port}"

    def test_the_system_resolver(self):
        assert ipaddress.ip_address(http.resolve("localhost", 443)[0]).is_loopback


class TestTls:
    def test_the_name_is_greeted_and_checked(
        self, tls_peer, certificate, loopback, monkeypatch
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        url = at(tls_peer, "mail", "https", "localhost")
        assert http.fetch(to(url, ("localhost",))) == BODY
        assert tls_peer.greeted == ["localhost"]
        expected = f"localhost:{tls_peer.server_port}"
        assert tls_peer.asked[0][1]["Host"] == expected

    def test_a_certificate_for_another_name_is_refused(
        self, tls_peer, certificate, loopback, monkeypatch
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        url = at(tls_peer, "mail", "https", "mail.provider.example")
        with pytest.raises(TemporaryError):
            http.fetch(
                to(url, ("mail.provider.example",)),
                resolver=lambda host, port: ["127.0.0.1"],
            )
        assert not tls_peer.asked

    def test_an_unknown_authority_is_refused(self, tls_peer, loopback):
        with pytest.raises(TemporaryError):
            http.fetch(to(at(tls_peer, "mail", "https", "localhost"), ("localhost",)))
        assert not tls_peer.asked


class TestCredentials:
    def test_they_are_sent(self, peer, loopback, asked):
        request = to(
            at(peer, "mail?q=1"),
            auth=("api", SECRET),
            headers=(("Accept", "message/rfc2822"),),
        )
        http.fetch(request)
        path, headers = asked[0]
        assert path == "/mail?q=1"
        assert headers["Authorization"].startswith("Basic YXBpOmtleS0")
        assert headers["Accept"] == "message/rfc2822"

    @pytest.mark.parametrize(
        "path", ["broken", "gone", "garbage", "silent", "redirect", "short"]
    )
    def test_no_error_tells_them(self, peer, loopback, path):
        request = to(at(peer, f"{path}?key={SECRET}"), auth=("api", SECRET))
        with pytest.raises((PermanentError, TemporaryError)) as caught:
            http.fetch(request, timeout=SHORT)
        shown = [str(caught.value), repr(request), str(caught.value.__cause__)]
        assert not any(SECRET in text.replace(request.url, "") for text in shown)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__ or not caught.value.__context__

    def test_a_header_cannot_be_smuggled(self, peer, loopback, asked):
        request = to(at(peer, "mail"), headers=(("X-A", "b\r\nX-C: d"),))
        with pytest.raises(PermanentError):
            http.fetch(request)
        assert not asked
