"""The small reverse proxy in front of `make run`'s Odoo.

With workers Odoo serves /websocket in a process of its own on a port of its own; a
browser that finds it at the first port only sees errors. Each connection carries one
request, is led by its path, and gets the headers `proxy_mode` needs.
"""

import argparse
import asyncio
import contextlib

HEAD_LIMIT = 64 * 1024
CHUNK = 64 * 1024
OURS = (b"x-forwarded-", b"forwarded:", b"connection:")


def rewrite(head: bytes, peer: str, websocket: bool) -> bytes:
    """The request head with our own forwarding headers in place of the client's."""
    first, *headers = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in headers if not line.lower().startswith(OURS)]
    host = [line[5:].strip() for line in kept if line.lower().startswith(b"host:")]
    kept += [
        b"X-Forwarded-For: " + peer.encode(),
        b"X-Forwarded-Host: " + (host[0] if host else b"localhost"),
        b"X-Forwarded-Proto: http",
        b"Connection: " + (b"Upgrade" if websocket else b"close"),
    ]
    return b"\r\n".join([first, *kept]) + b"\r\n\r\n"


def wants_websocket(head: bytes) -> bool:
    """Whether the request's path is the one the gevent process serves."""
    words = head.split(b" ", 2)
    return len(words) == 3 and words[1].partition(b"?")[0] == b"/websocket"


class Front:
    """Accepts connections and pumps each to the process its path belongs to."""

    def __init__(self, http_port: int, gevent_port: int) -> None:
        self.http_port = http_port
        self.gevent_port = gevent_port

    async def serve(self, host: str, port: int) -> None:
        """Listen until the process is ended."""
        server = await asyncio.start_server(self.handle, host, port, limit=HEAD_LIMIT)
        async with server:
            await server.serve_forever()

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Lead one connection; a peer that goes away just ends it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._lead(reader, writer)
        writer.close()

    async def _lead(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(b"HTTP/1.1 431 Too Large\r\nConnection: close\r\n\r\n")
            return
        websocket = wants_websocket(head)
        port = self.gevent_port if websocket else self.http_port
        try:
            inner_reader, inner_writer = await asyncio.open_connection(
                "127.0.0.1", port
            )
        except OSError:
            writer.write(b"HTTP/1.1 503 Starting\r\nRetry-After: 5\r\n\r\n")
            return
        peer = writer.get_extra_info("peername")[0]
        inner_writer.write(rewrite(head, peer, websocket))
        up = asyncio.create_task(_pump(reader, inner_writer))
        try:
            await _pump(inner_reader, writer)
        finally:
            up.cancel()
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--gevent-port", type=int, required=True)
    options = parser.parse_args()
    front = Front(options.http_port, options.gevent_port)
    asyncio.run(front.serve(options.host, options.port))


if __name__ == "__main__":
    main()
