# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Ports of this machine that listen, and ports that swallow every packet."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


def listening(address: str, port: int = 0, backlog: int = 100) -> socket.socket:
    """Return a socket that listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    return listener


@contextlib.contextmanager
def black_hole(address: str, port: int) -> Iterator[None]:
    """A port that answers no packet: its queue of connections to accept is full."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening(address, port, backlog=0))
        for _ in range(10):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            filler = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            filler.settimeout(0.2)
            try:
                filler.connect((address, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the queue takes everything")
        yield
