# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A call of a provider's interface: every answer, and how much is known without one."""

import contextlib
import socket
import ssl
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import (
    NoAnswerError,
    NotSentError,
    PermanentError,
    TemporaryError,
)
from odoo.addons.mail_bridge.providers import http
from odoo.addons.mail_bridge.providers.http import CallAnswer, CallRequest, call
from odoo.addons.mail_bridge.tests_plain.tls_of import self_signed

SECRET = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    monkeypatch.setenv(http.LOOPBACK_VARIABLE, "1")


class Peer:
    """Takes one connection after the other, each handled by `handle(sock)`.

    `handle` is what the peer does; what it read of each request stands in `asked`.
    """

    def __init__(self, handle, tls=None):
        self.asked = []
        self._handle = handle
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                if self._tls:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                self._handle(self, sock)

    def read(self, sock):
        """One whole request: head and as much of a body as its length says."""
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += received(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length:
            body += received(sock)
        self.asked.append((bytes(head), bytes(body)))


def received(sock):
    data = sock.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


@contextlib.contextmanager
def peer_that(handle, tls=None):
    peer = Peer(handle, tls)
    try:
        yield peer
    finally:
        peer.close()


def answering(answer):
    def handle(peer, sock):
        peer.read(sock)
        sock.sendall(answer)

    return handle


def to(peer, **more):
    more.setdefault("timeout", 5.0)
    more.setdefault("url", f"http://127.0.0.1:{peer.port}/v3/messages.mime?a=1")
    return CallRequest(more.pop("method", "POST"), more.pop("url"), HOSTS, **more)


HOSTS = ("127.0.0.1", "localhost", "api.provider.example")


class TestAnswers:
    @pytest.mark.parametrize(
        "status", [200, 201, 202, 302, 400, 401, 403, 404, 413, 422, 429, 500, 503]
    )
    def test_any_status_is_an_answer(self, status):
        answer = b"HTTP/1.1 %d X\r\nContent-Length: 4\r\nX-A: 1\r\nX-A: 2\r\n" % status
        answer += b"Location: http://127.0.0.1:1/\r\n\r\nbody"
        with peer_that(answering(answer)) as peer:
            got = call(to(peer, body=b"payload"))
        assert (got.status, got.body) == (status, b"body")
        assert got.headers[1:3] == (("X-A", "1"), ("X-A", "2"))
        assert got.header("x-a") == "2"
        assert len(peer.asked) == 1, "no redirect is followed"

    def test_no_content(self):
        with peer_that(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as peer:
            assert call(to(peer, method="DELETE")) == CallAnswer(204, (), b"")

    def test_until_the_connection_ends(self):
        with peer_that(answering(b"HTTP/1.0 200 OK\r\n\r\nall of it")) as peer:
            assert call(to(peer)).body == b"all of it"

    def test_chunks(self):
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer += b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        with peer_that(answering(answer)) as peer:
            assert call(to(peer)).body == b"abcde"

    @pytest.mark.parametrize(
        ("value", "seconds"), [("17", 17.0), ("", None), ("soon", None)]
    )
    def test_retry_after(self, value, seconds):
        answer = CallAnswer(429, (("retry-after", value),), b"")
        assert answer.retry_after == seconds

    def test_what_is_asked(self):
        body = bytes(range(256)) * 5000
        with peer_that(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as p:
            headers = (("Content-Type", "multipart/form-data; boundary=x"),)
            call(to(p, body=body, headers=headers, auth=("api", SECRET)))
        head, sent = p.asked[0]
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v3/messages.mime?a=1 HTTP/1.1"
        assert f"Host: 127.0.0.1:{p.port}".encode() in lines
        assert f"Content-Length: {len(body)}".encode() in lines
        assert b"Content-Type: multipart/form-data; boundary=x" in lines
        assert any(line.startswith(b"Authorization: Basic YXBp") for line in lines)
        assert sent == body

    def test_a_refusal_before_all_was_sent_is_read(self):
        """A peer refuses a large body by its announced length, and hangs up."""

        def refuse(peer, sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.3)

        with peer_that(refuse) as peer:
            assert call(to(peer, body=b"x" * 20_000_000)).status == 413


def reset(peer, sock):
    peer.read(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def hang_up(peer, sock):
    peer.read(sock)


def hang_up_at_once(peer, sock):
    sock.recv(1)


def be_silent(peer, sock):
    peer.read(sock)
    sock.recv(1)


def never_read(peer, sock):
    time.sleep(0.8)


def drip(peer, sock):
    peer.read(sock)
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        sock.sendall(b".")
        time.sleep(0.05)


def drip_headers(peer, sock):
    peer.read(sock)
    sock.sendall(b"HTTP/1.0 200 OK\r\nX: ")
    while True:
        sock.sendall(b".")
        time.sleep(0.05)


def flood(peer, sock):
    peer.read(sock)
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 5000)


IN_DOUBT = [
    reset,
    hang_up,
    hang_up_at_once,
    be_silent,
    never_read,
    drip,
    drip_headers,
    flood,
    answering(b"\0\1 no http at all\r\n\r\n"),
    answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"),
    answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000),
    answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"),
    answering(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500 + b"\r\n"),
]


class TestInDoubt:
    @pytest.mark.parametrize("handle", IN_DOUBT)
    def test_what_was_written_may_have_been_taken(self, handle):
        with peer_that(handle) as peer:
            request = to(
                peer, body=b"x" * 30_000_000, auth=("a", SECRET), timeout=0.6,
                max_bytes=1000,
            )  # fmt: skip
            start = time.monotonic()
            with pytest.raises(NoAnswerError) as caught:
                call(request)
            assert time.monotonic() - start < 3
        assert isinstance(caught.value, TemporaryError)
        assert SECRET not in str(caught.value) + repr(request)
        assert str(caught.value).startswith("127.0.0.1")

    @given(st.binary(max_size=300))
    def test_any_answer_is_an_answer_or_in_doubt(self, answer):
        with (
            peer_that(answering(b"HTTP/1.1 " + answer)) as peer,
            contextlib.suppress(NoAnswerError),
        ):
            assert isinstance(call(to(peer)), CallAnswer)


class TestNotSent:
    def test_no_such_name(self):
        def unknown(host, port):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        request = CallRequest("POST", "https://api.provider.example/", HOSTS)
        with pytest.raises(NotSentError):
            call(request, resolver=unknown)
        with pytest.raises(NotSentError):
            call(request, resolver=lambda host, port: [])

    def test_nobody_there(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
            with pytest.raises(NotSentError, match="no connection"):
                call(CallRequest("POST", url, HOSTS))

    @pytest.mark.parametrize("host", ["localhost", "api.provider.example"])
    def test_a_certificate_of_somebody_else(self, host, tmp_path, monkeypatch):
        """Once of an unknown authority, once for another name."""
        certificate = self_signed(tmp_path / "localhost.pem", "localhost")
        if host != "localhost":
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        with peer_that(hang_up, tls) as peer:
            request = to(peer, url=f"https://{host}:{peer.port}/")
            with pytest.raises(NotSentError, match="TLS"):
                call(request, resolver=lambda *_: ["127.0.0.1"])
        assert not peer.asked

    def test_a_peer_that_never_greets(self):
        with peer_that(never_read) as peer:
            request = to(peer, url=f"https://localhost:{peer.port}/", timeout=0.4)
            start = time.monotonic()
            with pytest.raises(NotSentError):
                call(request, resolver=lambda *_: ["127.0.0.1"])
            assert time.monotonic() - start < 3


class TestRefused:
    @pytest.mark.parametrize(
        "more",
        [
            {"url": "https://other.example/"},
            {"url": "https://u:p@127.0.0.1/"},
            {"url": "https://127.0.0.1/\r\nX: y"},
            {"headers": (("X-A", "b\r\nX-C: d"),)},
            {"headers": (("X-A: b\r\nX-C", "d"),)},
            {"headers": (("X-A", "\u20ac"),)},
            {"method": "POST / HTTP/1.1\r\nX: y\r\n\r\nGET"},
        ],
    )
    def test_before_anything_is_sent(self, more):
        with peer_that(hang_up) as peer, pytest.raises(PermanentError):
            call(to(peer, **more))
        assert not peer.asked

    def test_an_inside_address(self):
        request = CallRequest("POST", "https://api.provider.example/", HOSTS)
        with pytest.raises(PermanentError, match="not a public one"):
            call(request, resolver=lambda host, port: ["10.0.0.1"])


def test_reprs_hold_no_secret():
    request = CallRequest(
        "POST",
        "https://api.provider.example/",
        HOSTS,
        headers=(("X-Smtp2go-Api-Key", SECRET),),
        body=SECRET.encode(),
        auth=("api", SECRET),
    )
    assert SECRET not in repr(request)
    assert SECRET not in repr(CallAnswer(200, (("X", SECRET),), SECRET.encode()))
