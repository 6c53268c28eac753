import asyncio
import http.server
import threading

import pytest

from tools import front, processes, run
from tools.ports import free_port
from tools.server import answers

HEAD = (
    b"POST /mailgate/x HTTP/1.1\r\nHost: a:8069\r\nX-Forwarded-For: 1.2.3.4\r\n"
    b"Forwarded: for=1.2.3.4\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"
)


def test_clients_cannot_speak_for_another_address():
    lines = front.rewrite(HEAD, "192.0.2.1", websocket=False).split(b"\r\n")
    assert b"X-Forwarded-For: 192.0.2.1" in lines
    assert b"X-Forwarded-Host: a:8069" in lines
    assert b"Connection: close" in lines
    assert not any(b"1.2.3.4" in line for line in lines)
    assert b"Content-Length: 2" in lines


def test_only_the_websocket_goes_to_the_gevent_process():
    assert front.wants_websocket(b"GET /websocket?version=1 HTTP/1.1\r\n\r\n")
    assert not front.wants_websocket(b"GET /websocket/health HTTP/1.1\r\n\r\n")
    assert not front.wants_websocket(b"GET /odoo HTTP/1.1\r\n\r\n")


def test_body_and_answer_pass_unchanged():
    body = bytes(range(256)) * 2000
    answer = asyncio.run(_through_the_front(body))
    assert answer.endswith(body)


async def _through_the_front(body: bytes) -> bytes:
    async def echo(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + await reader.readexactly(len(body)))
        await writer.drain()
        writer.close()

    backend = await asyncio.start_server(echo, "127.0.0.1", 0)
    inner = backend.sockets[0].getsockname()[1]
    outer = await asyncio.start_server(front.Front(inner, 1).handle, "127.0.0.1", 0)
    port = outer.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    outer.close()
    backend.close()
    return answer


@pytest.fixture
def behind(tmp_path, monkeypatch):
    """`make run`'s folder, with something that answers where Odoo would."""
    server = http.server.HTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http.port", "gevent.port"):
        (tmp_path / name).write_text(str(server.server_port))
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(run, "FRONT_PID", tmp_path / "front.pid")
    yield
    run._stop_front()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0"])
def test_front_is_asked_where_it_listens(behind, bind):
    """`BIND=192.168.1.5 make run` listens there and nowhere else."""
    port = free_port()
    run._start_front(bind, port)
    assert processes.recorded(run.FRONT_PID)
    assert answers(f"{run._local_url(bind, port)}/web/health")


def test_address_of_the_other_family_is_a_url_too():
    assert run._local_url("::", 8069) == "http://[::1]:8069"
    assert run._local_url("fd00::5", 8069) == "http://[fd00::5]:8069"
