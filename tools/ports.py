"""Free TCP ports on the loopback interface."""

import socket
from pathlib import Path


def free_port() -> int:
    """A port nobody listens on now; the kernel hands out a different one each time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kept_port(path: Path) -> int:
    """The port a file holds; a new one where there is none, or somebody has it now."""
    port = int(path.read_text()) if path.exists() else 0
    if not port or not is_free(port):
        port = free_port()
        path.write_text(str(port))
    return port


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
