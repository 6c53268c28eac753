# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP sessions kept open between mails, for the threads of one process."""

from __future__ import annotations

import os
import threading
import time

from odoo.addons.mail_bridge.providers.delivery import OutgoingMail, SendReceipt

from .smtp import SmtpSession
from .smtp_link import SmtpSettings

#: Sessions kept with nothing to do: of one account, and of all.
MAX_IDLE = 8
MAX_IDLE_TOTAL = 64
#: Seconds that a session is kept with nothing to do; servers give it five minutes at
#: least (RFC 5321 §4.5.3.2.7), and count it among what they allow an account.
KEEP = 30.0


class SmtpPool:
    """Hands each mail to a session of its account that is free, or to a new one.

    How many there are at a time is the caller's to limit: as many as it has threads.
    An account that changed has other settings, and so other sessions. What nobody used
    for a while is closed, by a thread that is there only while sessions are free.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        #: (settings, session, since when it is free), the longest free first.
        self._free: list[tuple[SmtpSettings, SmtpSession, float]] = []
        self._tidier: threading.Timer | None = None

    def send(self, settings: SmtpSettings, mail: OutgoingMail) -> SendReceipt:
        """Send a mail as :meth:`SmtpSession.send` does."""
        session = self._take(settings)
        try:
            return session.send(mail)
        finally:
            self._give_back(settings, session)

    def close(self) -> None:
        """Close the sessions that are free."""
        with self._lock:
            leaving, self._free = self._free, []
        _close(leaving)

    def close_idle(self, seconds: float) -> None:
        """Close the sessions that have been free for so long, or are too old."""
        limit = time.monotonic() - seconds
        with self._lock:
            found, kept = self._free, []
            for item in found:
                if item[2] > limit and item[1].is_open:
                    kept.append(item)
            self._free = kept
        _close([item for item in found if item not in kept])

    def _take(self, settings: SmtpSettings) -> SmtpSession:
        with self._lock:
            self._leave_parents()
            # The last one used is the least likely to have been hung up on.
            for at in reversed(range(len(self._free))):
                if self._free[at][0] == settings:
                    return self._free.pop(at)[1]
        return SmtpSession(settings)

    def _give_back(self, settings: SmtpSettings, session: SmtpSession) -> None:
        leaving = []
        with self._lock:
            if session.is_open:
                self._free.append((settings, session, time.monotonic()))
            else:
                leaving.append((settings, session, 0.0))
            same = [item for item in self._free if item[0] == settings]
            surplus = same[: max(0, len(same) - MAX_IDLE)]
            surplus += self._free[: max(0, len(self._free) - MAX_IDLE_TOTAL)]
            self._free = [item for item in self._free if item not in surplus]
            self._tidy_later()
        _close(leaving + surplus)

    def _tidy_later(self) -> None:
        if self._free and self._tidier is None:
            self._tidier = threading.Timer(KEEP, self._tidy)
            self._tidier.daemon = True
            self._tidier.start()

    def _tidy(self) -> None:
        self.close_idle(KEEP)
        with self._lock:
            self._tidier = None
            self._tidy_later()

    def _leave_parents(self) -> None:
        """After a fork the connections are the parent's; two must not talk on one."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._free = []
            self._tidier = None


def _close(leaving: list[tuple[SmtpSettings, SmtpSession, float]]) -> None:
    """Close sessions, outside the lock: the leave is said over the network."""
    for session in {id(item[1]): item[1] for item in leaving}.values():
        session.close()
