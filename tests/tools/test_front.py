import asyncio

from tools import front

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
