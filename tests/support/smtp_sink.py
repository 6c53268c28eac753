# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""An SMTP server on this machine that takes everything, notes it, and fails on demand.

    with SmtpSink() as sink:
        sink.fail("rcpt", "550 5.1.1 no such user", match="bob@")
        sink.fail("dot", then="hang up", times=1)  # took the mail, never says so
        ...
        assert sink.wait(2)[0].recipients == ("ann@example.com",)

In another process: `python -m tests.support.smtp_sink --latency 0.02` prints its port,
and for each line on its input the number of mails taken so far.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Literal

Then = Literal["go on", "hang up", "reset"]
_PATH = re.compile(
    r'(?i)(?:MAIL FROM|RCPT TO):<((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>(.*)', re.DOTALL
)
_MESSAGE_ID = re.compile(rb"(?im)^Message-ID:\s*(<[^>\r\n]+>)")
_END = b"\r\n.\r\n"


@dataclass(frozen=True)
class Taken:
    """One mail that the sink said it has taken, or would have said.

    ``data`` is the content without the dots of transparency; ``options`` those of the
    MAIL command; ``moment`` is ``time.monotonic()``.
    """

    session: int
    sender: str
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)
    options: tuple[str, ...]
    login: str
    tls: bool
    moment: float

    @cached_property
    def message_id(self) -> str:
        """The Message-ID with its brackets, empty where there is none."""
        found = _MESSAGE_ID.search(self.data.partition(b"\r\n\r\n")[0])
        return found[1].decode("ascii", "replace") if found else ""


@dataclass
class Fault:
    """What goes wrong at one stage; see :meth:`SmtpSink.fail`."""

    stage: str
    reply: str
    match: str
    times: int | None
    skip: int
    delay: float
    then: Then
    taken: bool | None

    def strikes(self, stage: str, line: str) -> bool:
        """Whether it is its turn; counts."""
        if stage != self.stage or self.match not in line.lower() or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class SmtpSink:
    """A server with a thread for each connection.

    :param latency: seconds between the arrival of commands and their answers, once
        for those that arrive together: the time a packet travels both ways.
    :param tls: offers STARTTLS, or speaks TLS at once with ``implicit``.
    :param credentials: passwords by login; offers AUTH, under TLS or with
        ``auth_in_clear``, and refuses mail without it.
    :param without: extensions that are not offered.
    :param hasty: answers DATA with 354 although no recipient was good.
    :param record: whether ``commands`` and ``flights`` are kept (a benchmark does not).
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        credentials: Mapping[str, str] | None = None,
        auth_in_clear: bool = False,
        mechanisms: str = "PLAIN LOGIN",
        size: int = 50_000_000,
        without: Iterable[str] = (),
        hasty: bool = False,
        record: bool = True,
    ) -> None:
        self.latency = latency
        self.tls = tls
        self.implicit = implicit
        self.credentials = credentials
        self.auth_in_clear = auth_in_clear
        self.mechanisms = mechanisms
        self.size = size
        self.without = frozenset(without)
        self.hasty = hasty
        self.record = record
        self.taken: list[Taken] = []
        #: (session, command) in the order of arrival; of AUTH all but the secrets.
        self.commands: list[tuple[int, str]] = []
        #: (session, the first kilobyte of what arrived together).
        self.flights: list[tuple[int, bytes]] = []
        #: What a client may not do: talk on where it must wait for the answer.
        self.violations: list[str] = []
        self.sessions = 0
        self._faults: list[Fault] = []
        self._open: set[_Session] = set()
        self._changed = threading.Condition()
        self._listener = socket.create_server((host, port), backlog=512)
        self.host, self.port = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> SmtpSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fail(
        self,
        stage: str,
        reply: str = "",
        *,
        match: str = "",
        times: int | None = None,
        skip: int = 0,
        delay: float = 0.0,
        then: Then = "go on",
        taken: bool | None = None,
    ) -> None:
        """Let something go wrong.

        :param stage: ``banner``, ``ehlo``, ``helo``, ``starttls``, ``handshake``,
            ``auth``, ``mail``, ``rcpt``, ``data``, ``body`` (while content arrives),
            ``dot``, ``rset``, ``noop``, ``quit``.
        :param reply: said in place of the proper answer (lines parted by a newline).
        :param match: only for commands that hold this text, in lower case.
        :param times: only so often; :param skip: not the first so many times.
        :param delay: seconds before the answer.
        :param then: what becomes of the connection; without a reply, nothing is said.
        :param taken: at ``dot``, whether the mail counts as taken; by itself it does
            unless the reply refuses it.
        """
        fault = Fault(stage, reply, match.lower(), times, skip, delay, then, taken)
        with self._changed:
            self._faults.append(fault)

    def mend(self) -> None:
        """From now on, nothing goes wrong."""
        with self._changed:
            self._faults.clear()

    def wait(self, count: int = 1, timeout: float = 10.0) -> list[Taken]:
        """Return the mails as soon as there are so many; fails after the timeout."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.taken) >= count, timeout):
                raise AssertionError(f"{len(self.taken)} mails instead of {count}")
            return list(self.taken)

    def count(self) -> dict[str, int]:
        """Return how often each Message-ID was taken."""
        counts: dict[str, int] = {}
        for mail in list(self.taken):
            counts[mail.message_id] = counts.get(mail.message_id, 0) + 1
        return counts

    def verbs(self, session: int | None = None) -> list[str]:
        """Return the commands' first words, of one session or of all."""
        wanted = [line for number, line in self.commands if session in (None, number)]
        return [line.split(" ")[0].split(":")[0].upper() for line in wanted]

    def hang_up(self) -> None:
        """Close every connection, as a server does that restarts."""
        for session in list(self._open):
            with contextlib.suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more, and hang up."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def strike(self, stage: str, line: str) -> Fault | None:
        """Return what goes wrong now."""
        if not self._faults:
            return None
        with self._changed:
            return next((one for one in self._faults if one.strikes(stage, line)), None)

    def keep(self, mail: Taken) -> None:
        """Note a mail."""
        with self._changed:
            self.taken.append(mail)
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sessions += 1
            session = _Session(self, sock, self.sessions)
            self._open.add(session)
            threading.Thread(target=self._talk, args=(session,), daemon=True).start()

    def _talk(self, session: _Session) -> None:
        try:
            with contextlib.suppress(OSError, _Ended):
                session.run()
        finally:
            self._open.discard(session)
            session.sock.close()


class _Ended(Exception):
    """The connection is over."""


class _Session:
    def __init__(self, sink: SmtpSink, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self._sink = sink
        self._number = number
        self._buffer = bytearray()
        self._answers: list[str] = []
        self._content: int | None = None  # where to look for the end of the content
        self._struck = False
        self._tls = False
        self._login = ""
        self._forget()
        self._verbs = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
        }

    def run(self) -> None:
        """Talk until somebody hangs up."""
        if self._sink.implicit:
            self._handshake()
        self._answer("banner", "", "220 sink.example ESMTP")
        self._flush()
        while True:
            self._receive()
            while self._step():
                pass
            self._flush()

    def _receive(self) -> None:
        data = self.sock.recv(262144)
        if not data:
            raise _Ended
        if self._sink.record and self._content is None:
            self._sink.flights.append((self._number, bytes(data[:1024])))
        self._buffer += data

    def _flush(self) -> None:
        if not self._answers:
            return
        if self._sink.latency:
            time.sleep(self._sink.latency)
        text = "".join(f"{line}\r\n" for line in self._answers)
        self._answers.clear()
        self.sock.sendall(text.encode())

    def _answer(self, stage: str, line: str, proper: str) -> Fault | None:
        """Say the proper answer, or what a fault says in its place."""
        fault = self._sink.strike(stage, line)
        if fault is None:
            self._answers += proper.split("\n") if proper else []
            return None
        if fault.delay:
            self._flush()
            time.sleep(fault.delay)
        if fault.reply or fault.then == "go on":
            text = fault.reply or proper
            self._answers += text.split("\n") if text else []
        if fault.then != "go on":
            self._part(fault)
        return fault if fault.reply else None

    def _part(self, fault: Fault) -> None:
        if fault.stage == "dot":
            self._keep(fault)
        self._flush()
        if fault.then == "reset":
            zero = b"\1\0\0\0\0\0\0\0"
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, zero)
        raise _Ended

    def _step(self) -> bool:
        """Consume one command or one content, if it is there as a whole."""
        if self._content is not None:
            return self._end_of_content()
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode("utf-8", "surrogateescape")
        del self._buffer[: end + 2]
        verb = line.split(" ")[0].upper()
        if self._sink.record:
            shown = " ".join(line.split(" ")[:2]) if verb == "AUTH" else line
            self._sink.commands.append((self._number, shown))
        groups = "PIPELINING" not in self._sink.without and verb in (
            "MAIL", "RCPT", "RSET", "NOOP",
        )  # fmt: skip
        if self._buffer and not groups:
            self._sink.violations.append(f"talked on after {verb}")
        handler = self._verbs.get(verb)
        if handler is None:
            self._answers.append("500 5.5.2 what?")
        else:
            handler(line)
        return True

    def _forget(self) -> None:
        self._sender: str | None = None
        self._options: tuple[str, ...] = ()
        self._recipients: list[str] = []

    def _ehlo(self, line: str) -> None:
        sink = self._sink
        offered = ["PIPELINING", f"SIZE {sink.size}", "8BITMIME", "SMTPUTF8"]
        offered.append("ENHANCEDSTATUSCODES")
        if sink.tls and not self._tls:
            offered.append("STARTTLS")
        if sink.credentials is not None and (self._tls or sink.auth_in_clear):
            offered.append(f"AUTH {sink.mechanisms}")
        offered = [one for one in offered if one.split(" ")[0] not in sink.without]
        lines = ["sink.example", *offered]
        proper = [f"250-{one}" for one in lines[:-1]] + [f"250 {lines[-1]}"]
        self._forget()
        self._answer("ehlo", line, "\n".join(proper))

    def _helo(self, line: str) -> None:
        self._forget()
        self._answer("helo", line, "250 sink.example")

    def _starttls(self, line: str) -> None:
        if self._sink.tls is None or self._tls:
            self._answers.append("503 5.5.1 no TLS here")
            return
        if self._answer("starttls", line, "220 2.0.0 go ahead") is None:
            self._flush()
            self._handshake()

    def _handshake(self) -> None:
        fault = self._sink.strike("handshake", "")
        if fault is not None:
            time.sleep(fault.delay)
            if fault.then != "go on":
                raise _Ended
        self._buffer.clear()
        self.sock = self._sink.tls.wrap_socket(self.sock, server_side=True)
        self._tls = True
        self._forget()

    def _auth(self, line: str) -> None:
        words = line.split(" ")
        offered = self._tls or self._sink.auth_in_clear
        if self._sink.credentials is None or not offered:
            self._answers.append("503 5.5.1 no login here")
            return
        mechanism = words[1].upper() if len(words) > 1 else ""
        first = words[2] if len(words) > 2 else ""
        if mechanism not in self._sink.mechanisms.split():
            self._answers.append("504 5.5.4 not that way")
            return
        try:
            if mechanism == "PLAIN":
                _, login, password = self._ask("", first).split("\0")
            else:
                login = self._ask("VXNlcm5hbWU6", first)
                password = self._ask("UGFzc3dvcmQ6", "")
        except (ValueError, binascii.Error):
            self._answers.append("501 5.5.2 malformed")
            return
        if self._sink.credentials.get(login) != password:
            self._answer("auth", login, "535 5.7.8 wrong login or password")
        elif self._answer("auth", login, "235 2.7.0 welcome") is None:
            self._login = login

    def _ask(self, challenge: str, given: str) -> str:
        if not given:
            self._answers.append(f"334 {challenge}")
            self._flush()
            while b"\r\n" not in self._buffer:
                self._receive()
            end = self._buffer.find(b"\r\n")
            given = self._buffer[:end].decode()
            del self._buffer[: end + 2]
        return base64.b64decode(given, validate=True).decode()

    def _mail(self, line: str) -> None:
        found = _PATH.fullmatch(line)
        if self._sink.credentials is not None and not self._login:
            self._answers.append("530 5.7.0 log in first")
        elif self._sender is not None:
            self._answers.append("503 5.5.1 nested MAIL")
        elif not found:
            self._answers.append("501 5.5.4 malformed")
        elif self._answer("mail", line, "250 2.1.0 ok") is None:
            self._sender, self._options = found[1], tuple(found[2].split())

    def _rcpt(self, line: str) -> None:
        found = _PATH.fullmatch(line)
        if self._sender is None:
            self._answers.append("503 5.5.1 MAIL first")
        elif not found:
            self._answers.append("501 5.5.4 malformed")
        elif self._answer("rcpt", line, "250 2.1.5 ok") is None:
            self._recipients.append(found[1])

    def _data(self, line: str) -> None:
        if not self._recipients and not self._sink.hasty:
            known = self._sender is not None
            text = "554 5.5.1 no valid recipients" if known else "503 5.5.1 MAIL first"
            self._answers.append(text)
        elif self._answer("data", line, "354 go on") is None:
            self._flush()
            self._content, self._struck = 0, False

    def _end_of_content(self) -> bool:
        if self._buffer and not self._struck:
            self._struck = True
            self._answer("body", "", "")
        start = self._content or 0
        if self._buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            end = self._buffer.find(_END, max(0, start - len(_END)))
            if end < 0:
                self._content = len(self._buffer)
                return False
            end, after = end + 2, end + len(_END)
        data = bytes(self._buffer[:end])
        del self._buffer[:after]
        self._content = None
        if data.startswith(b"."):
            data = data[1:]
        self._data_taken = data.replace(b"\r\n.", b"\r\n")
        self._finish()
        return True

    def _finish(self) -> None:
        if not self._recipients:
            self._answers.append("554 5.5.1 no valid recipients")
        else:
            fault = self._answer("dot", "", "250 2.0.0 Ok: queued as SINK1")
            self._keep(fault)
        self._forget()

    def _keep(self, fault: Fault | None) -> None:
        taken = fault.taken if fault else True
        if taken is None:
            taken = not fault.reply or fault.reply.startswith("2")
        if taken:
            mail = Taken(
                self._number,
                self._sender or "",
                tuple(self._recipients),
                self._data_taken,
                self._options,
                self._login,
                self._tls,
                time.monotonic(),
            )
            self._sink.keep(mail)

    def _rset(self, line: str) -> None:
        self._forget()
        self._answer("rset", line, "250 2.0.0 ok")

    def _noop(self, line: str) -> None:
        self._answer("noop", line, "250 2.0.0 ok")

    def _quit(self, line: str) -> None:
        self._answer("quit", line, "221 2.0.0 bye")
        self._flush()
        raise _Ended


def main(arguments: list[str] | None = None) -> None:
    """Run one sink until the input ends; for each line of it, say what was taken."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--without", nargs="*", default=())
    chosen = parser.parse_args(arguments)
    with SmtpSink(
        port=chosen.port,
        latency=chosen.latency,
        without=chosen.without,
        record=False,
    ) as sink:
        print(sink.port, flush=True)
        for _ in sys.stdin:
            print(len(sink.taken), len(sink.count()), flush=True)


if __name__ == "__main__":
    main()
