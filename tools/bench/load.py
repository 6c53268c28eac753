"""The load generator: a process of its own, one thread, raw sockets.

Odoo's prefork workers close the connection after each answer, so every request opens
one, and closes it as soon as it has the whole answer, as HTTP libraries and proxies do:
Werkzeug waits for that, up to 10 ms. Closed loop: `clients` requests are under way at
any time. Open loop: a request starts every 1/`rate` seconds whether or not earlier ones
were answered, and its latency counts from the moment it was due.
"""

import argparse
import json
import pickle
import re
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CHUNK = 65536
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Flight:
    """One request on its way."""

    def __init__(self, port: int, request: bytes, due: float) -> None:
        self.due = due
        self.rest = memoryview(request)
        self.answer = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))

    def send(self) -> bool:
        """Send what the socket takes; True once all is sent."""
        sent = self.socket.send(self.rest)
        self.rest = self.rest[sent:]
        return not self.rest

    def receive(self) -> bool:
        """Read what there is; True once the answer is complete."""
        piece = self.socket.recv(CHUNK)
        self.answer += piece
        head, blank, body = self.answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n") if blank else None
        return not piece or bool(length and len(body) >= int(length[1]))

    @property
    def good(self) -> bool:
        """Whether the answer says that all went well (XML-RPC: and no fault)."""
        head = self.answer[:15]
        return b" 200 " in head and b"<fault>" not in self.answer


class Generator:
    """Sends requests and keeps the latencies (seconds) of the good ones."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port = port
        self.requests = requests
        self.selector = selectors.DefaultSelector()
        self.under_way = 0
        self.latencies: list[float] = []
        self.bad: dict[str, int] = {}
        self.last = 0.0

    def closed(self, clients: int, seconds: float) -> None:
        """Keep `clients` requests under way for `seconds`, then let them end."""
        end = time.perf_counter() + seconds
        for _ in range(clients):
            self._launch(time.perf_counter())
        while self.under_way:
            for _ in range(self._step(1.0)):
                if time.perf_counter() < end:
                    self._launch(time.perf_counter())

    def open(self, rate: float, seconds: float) -> None:
        """Start a request every 1/`rate` s for `seconds`, then let them end."""
        start = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = start + number / rate
            while (wait := due - time.perf_counter()) > 0:
                self._step(wait)
            self._launch(due)
        while self.under_way:
            self._step(1.0)

    def _launch(self, due: float) -> None:
        request = next(self.requests, None)
        if request is None:
            return
        flight = Flight(self.port, request, due)
        self.selector.register(flight.socket, selectors.EVENT_WRITE, flight)
        self.under_way += 1

    def _step(self, timeout: float) -> int:
        """Wait for sockets at most `timeout` s; return how many requests ended."""
        ended = 0
        for key, _events in self.selector.select(timeout):
            ended += self._move(key.data)
        return ended

    def _move(self, flight: Flight) -> bool:
        try:
            if flight.rest:
                if flight.send():
                    event = selectors.EVENT_READ
                    self.selector.modify(flight.socket, event, flight)
                return False
            if not flight.receive():
                return False
        except OSError as error:
            self._end(flight, type(error).__name__)
            return True
        self._end(flight, "" if flight.good else repr(flight.answer[:80]))
        return True

    def _end(self, flight: Flight, trouble: str) -> None:
        self.selector.unregister(flight.socket)
        flight.socket.close()
        self.under_way -= 1
        self.last = time.perf_counter()
        if trouble:
            self.bad[trouble] = self.bad.get(trouble, 0) + 1
        else:
            self.latencies.append(self.last - flight.due)


def main(arguments: list[str]) -> None:
    """Say `ready`, wait for a line, send, print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0)
    options = parser.parse_args(arguments)
    # Written a moment ago by the process that started this one.
    requests = pickle.loads(options.requests.read_bytes())  # noqa: S301
    generator = Generator(options.port, iter(requests))
    print("ready", flush=True)
    sys.stdin.readline()
    start, before = time.perf_counter(), _own_cpu()
    if options.rate:
        generator.open(options.rate, options.seconds)
    else:
        generator.closed(options.clients, options.seconds)
    result = {
        "seconds": generator.last - start,
        "latencies": generator.latencies,
        "bad": generator.bad,
        "cpu": _own_cpu() - before,
    }
    print(json.dumps(result), flush=True)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
