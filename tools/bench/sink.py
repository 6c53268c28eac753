"""A mail server that takes everything and keeps nothing."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Session(socketserver.StreamRequestHandler):
    """One SMTP conversation."""

    def handle(self) -> None:
        """Answer each command with its success."""
        self._say(b"220 sink")
        for line in self.rfile:
            command = line[:4].upper().strip()
            if command == b"DATA":
                self._say(b"354 go on")
                self._swallow()
            self._say(b"221 bye" if command == b"QUIT" else b"250 ok")
            if command == b"QUIT":
                return

    def _swallow(self) -> None:
        for line in self.rfile:
            if line == b".\r\n":
                return

    def _say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


class Server(socketserver.ThreadingTCPServer):
    """One thread for each conversation; none outlives the benchmark."""

    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def smtp_sink() -> Iterator[int]:
    """Run the server; the value is its port on 127.0.0.1."""
    with Server(("127.0.0.1", 0), Session) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
