# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One dispatcher: claims mails, lets threads send them, writes down what happened.

All SQL is the main thread's, over one cursor in READ COMMITTED; the threads know
nothing but an adapter, a mail and an account. In one commit the results of the
attempts that ended are written and the intents of those that begin: with one
connection that is a commit a mail, with more of them several share one. Nothing is on
the wire before its intent is committed, so whatever is killed leaves no more mails in
doubt than there were connections.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone
from typing import TypeVar

import psycopg2

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.delivery import SendReceipt

from ..const import (
    DISPATCH_SECONDS,
    HEARTBEAT_SECONDS,
    LINGER_SECONDS,
    MAX_THREADS,
    WAIT_SECONDS,
)
from . import attempt, gates, results
from .claim import claim, has_due, put_back, read_mime, reroute
from .decide import decide
from .gates import Doors
from .lane import Flight, Lane, Mails, note_gates, try_lock
from .results import Done
from .statements import Session
from .usages import give_back
from .values import Claimed, SendAccount

_logger = logging.getLogger(__name__)

#: Results that come within so many seconds share a commit.
GATHER_SECONDS = 0.001
#: So often an account is asked for mail while others are on the wire, seconds.
LOOK_SECONDS = 0.25
#: How often two transactions may meet before a result is left to the lease.
_CONFLICT_TRIES = 5
#: After its time a dispatcher works on beside mails that take their time, so long.
SLOW_SECONDS = 60.0

Found = TypeVar("Found")


class Dispatcher:
    """Sends due mails for some seconds.

    :param cr: an Odoo cursor of its own, in READ COMMITTED.
    :param worker: a name of this dispatcher, unique among all that run.
    :param wake_in: seconds until something is due, as far as anybody knows.
    """

    def __init__(
        self,
        cr,
        accounts: Sequence[SendAccount],
        worker: str,
        wake_in: float | None = None,
    ) -> None:
        self._cursor = cr
        self._session = Session(cr)
        self._lanes = [Lane(account) for account in accounts]
        self._worker = worker
        self._flying: dict[Future, Flight] = {}
        self._ended: list[Done] = []
        self._beat_at = time.monotonic()
        self._wake_at: float | None = None
        self._waits: bool | None = None
        #: Whether a mail came to be in doubt.
        self.has_doubt = False
        if wake_in is not None:
            self._wake_before(wake_in)

    @property
    def wake_in(self) -> float | None:
        """Seconds until there is work again, ``None``: nobody knows of any."""
        if self._wake_at is None:
            return None
        return max(0.0, self._wake_at - time.monotonic())

    @property
    def has_waited(self) -> bool:
        """Whether this was the one dispatcher that stays until there is work again."""
        return bool(self._waits)

    def run(self, seconds: float = DISPATCH_SECONDS) -> None:
        """Send until nothing is due or the time is over.

        What is on the wire is waited for, however long it takes.
        """
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(MAX_THREADS, "mail-relay") as pool:
            try:
                self._rounds(pool, end)
            finally:
                try:
                    self._land()
                finally:
                    self._leave()

    def _rounds(self, pool: ThreadPoolExecutor, end: float) -> None:
        looked_again = False
        while time.monotonic() < end or self._has_slow(end):
            self._claim_all()
            self._turn(pool)
            if self._flying:
                looked_again = False
                self._collect(LOOK_SECONDS)
                continue
            nap = self._nap(end, looked_again)
            if not nap:
                return
            looked_again = True
            time.sleep(nap)
            for lane in self._lanes:
                lane.look_at = 0.0
        if not looked_again:
            self._wake_before(0.0)

    def _has_slow(self, end: float) -> bool:
        """Whether a mail from before the end is still on the wire: the other accounts
        go on meanwhile, so that a server that takes its time holds up only its own.
        """
        if time.monotonic() > end + SLOW_SECONDS:
            return False
        return any(flight.since < end for flight in self._flying.values())

    def _nap(self, end: float, looked_again: bool) -> float:
        """Return how long to wait before looking again, 0: not at all.

        A mail that was queued while somebody was called may call nobody itself, so
        there is always one more look.
        """
        now = time.monotonic()
        wanted = None if self._wake_at is None else max(0.001, self._wake_at - now)
        if wanted is not None and wanted < WAIT_SECONDS and self._may_wait():
            if wanted <= LINGER_SECONDS:
                self._wake_at = None
            return min(wanted, LINGER_SECONDS, max(0.001, end - now))
        return 0.0 if looked_again else LINGER_SECONDS

    def _may_wait(self) -> bool:
        """Whether to stay until there is work again: one dispatcher does.

        Odoo looks for what is due later once a minute; a limit's next place may be a
        second away.
        """
        if self._waits is None:
            self._waits = try_lock(self._cursor, 0)
        return self._waits

    def _wake_before(self, seconds: float) -> None:
        """Note that there will be work in so many seconds."""
        at = time.monotonic() + seconds
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at

    # --- Claim ---

    def _claim_all(self) -> None:
        """Take mails over for the accounts that have a connection free."""
        now = time.monotonic()
        wanting = [lane for lane in self._lanes if lane.wants(now)]
        if not wanting:
            return
        # Nothing is noted before the commit: after a conflict all is claimed anew.
        found = self._committed(lambda: self._claims(wanting))
        for lane, mail in found or ():
            lane.ready.append(mail)

    def _claims(self, lanes: Sequence[Lane]) -> Mails:
        doors = gates.read(self._cursor)
        found = []
        for lane in lanes:
            lane.claimed_at = time.monotonic()
            lane.look_at = lane.claimed_at + LOOK_SECONDS
            if has_due(self._cursor, lane.account.id):
                mails = self._claim(lane, doors.get(lane.account.id, Doors()))
                found += [(lane, mail) for mail in mails]
        return found

    def _claim(self, lane: Lane, doors: Doors) -> list[Claimed]:
        """Take mails over for one account, as its doors and limits let it."""
        account = lane.account
        lane.has_failed |= bool(doors.failures)
        is_broken = gates.is_broken(account, doors.failures)
        if doors.seconds:
            if not (is_broken and reroute(self._cursor, account.id, "out of order")):
                self._wake_before(doors.seconds)
            return []
        if is_broken and lane.busy:
            return []
        lane.get_permits(self._cursor, 1 if is_broken else account.threads)
        if lane.idle <= 0:
            return []
        mails = lane.idle if account.limits else account.batch
        mails = 1 if is_broken else mails
        found = claim(self._cursor, account, self._worker, mails, doors.domains)
        self._refuse(account, found.late)
        if empty := [mail for mail in found.taken if not mail.recipients]:
            ids = [mail.id for mail in empty]
            results.finish_empty(self._cursor, ids, self._worker)
            give_back(self._cursor, [(account, mail) for mail in empty])
        if found.seen:
            lane.look_at = lane.claimed_at
        elif found.wait:
            lane.look_at = lane.claimed_at + found.wait
        if found.wait:
            self._wake_before(found.wait)
        return [mail for mail in found.taken if mail.recipients]

    def _refuse(self, account: SendAccount, late: Sequence[Claimed]) -> None:
        """End mails that the limits refuse, where no other account is left."""
        last = [mail for mail in late if mail.account_chain == "[]"]
        others = [mail for mail in late if mail.account_chain != "[]"]
        if last:
            why = ("limit", "rate_limit_exceeded")
            results.kill(self._cursor, last, self._worker, *why)
        if others:
            put_back(self._cursor, others, self._worker)
            ids = [mail.id for mail in others]
            reroute(self._cursor, account.id, "its limit is reached", ids)

    # --- Send ---

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        """Write results and intents in one commit, then let the threads begin."""
        back, beginning = self._going_back(), self._beginning()
        if not (self._ended or beginning or back):
            return
        ended = list(self._ended)
        begun = self._committed(lambda: self._write(ended, beginning, back))
        self._ended = []
        for lane in self._lanes:
            lane.is_stopped = False
        for lane, mail in beginning:
            if begun and mail.id in begun:
                self._submit(pool, lane, mail)

    def _going_back(self) -> Mails:
        """Return the mails that their accounts must not begin now."""
        found: list[tuple[Lane, Claimed]] = []
        now = time.monotonic()
        for lane in self._lanes:
            if lane.must_wait(now):
                found += [(lane, mail) for mail in lane.ready]
                lane.ready.clear()
                lane.look_at = now
        return found

    def _beginning(self) -> Mails:
        """Return the next mail for each connection that has nothing to do."""
        return [
            (lane, lane.ready.popleft())
            for lane in self._lanes
            for _ in range(min(lane.idle, len(lane.ready)))
        ]

    def _write(
        self, ended: Sequence[Done], beginning: Mails = (), back: Mails = ()
    ) -> set[int]:
        results.write(self._session, ended, self._worker)
        note_gates(self._cursor, ended, self._lanes)
        mails = [(lane.account.id, mail) for lane, mail in beginning]
        begun = results.begin(self._session, mails, self._worker)
        for _account_id, mail in mails:
            read_mime(self._cursor, mail)
        if back:
            put_back(self._cursor, [mail for _lane, mail in back], self._worker)
        lost = [item for item in beginning if item[1].id not in begun]
        unused = [(lane.account, mail) for lane, mail in (*back, *lost)]
        unused += [
            (item.account, item.mail) for item in ended if not item.decision.arrived
        ]
        give_back(self._cursor, unused)
        return begun

    def _committed(self, work: Callable[[], Found]) -> Found | None:
        """Do some SQL and commit it, again where two transactions met.

        :return: ``None`` where that did not help: results are then left to the lease.
        """
        for _ in range(_CONFLICT_TRIES):
            try:
                found = work()
                self._cursor.commit()
                return found
            except (
                psycopg2.errors.SerializationFailure,
                psycopg2.errors.DeadlockDetected,
            ):
                self._cursor.rollback()
                self._session.forget()
                time.sleep(random.uniform(0, 0.05))  # noqa: S311
        _logger.error("results of the dispatcher could not be written")
        return None

    def _submit(self, pool: ThreadPoolExecutor, lane: Lane, mail: Claimed) -> None:
        lane.busy += 1
        future = pool.submit(attempt.send, lane.account, mail)
        self._flying[future] = Flight(lane, mail, _now(), time.monotonic())

    # --- Collect ---

    def _collect(self, seconds: float) -> None:
        """Wait for an attempt to end, and decide what follows from each that did."""
        done, flying = wait(self._flying, seconds, FIRST_COMPLETED)
        if done and flying:
            done |= wait(flying, GATHER_SECONDS).done
        for future in done:
            flight = self._flying.pop(future)
            flight.lane.busy -= 1
            self._note(flight, future.result())
        self._beat()

    def _note(self, flight: Flight, receipt: SendReceipt) -> None:
        """Decide what follows from an attempt; it is written with the next commit."""
        lane, mail, now = flight.lane, flight.mail, utcnow()
        chance = random.random()  # noqa: S311
        decision = decide(lane.account, mail, receipt, now, chance)
        ended_at = now.replace(tzinfo=None)
        done = Done(lane.account, mail, decision, flight.started_at, ended_at)
        self._ended.append(done)
        # Whoever fails, or wants peace, gets no more before that is written.
        lane.is_stopped |= decision.account_failed or bool(decision.gates)
        self.has_doubt |= decision.state == "in_doubt"
        if decision.state == "queued" and decision.next_attempt:
            self._wake_before((decision.next_attempt - now).total_seconds())
        mail.mime = None

    def _beat(self) -> None:
        """Tell from time to time that what is on the wire is still ours."""
        if time.monotonic() - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat_at = time.monotonic()
        ids = [flight.mail.id for flight in self._flying.values()]
        results.beat(self._cursor, ids, self._worker)
        self._cursor.commit()

    def _land(self) -> None:
        """Give back what was not begun, and wait for what is on the wire."""
        self._cursor.rollback()  # whatever went wrong before
        self._session.forget()
        unused = [(lane, mail) for lane in self._lanes for mail in lane.ready]
        for lane in self._lanes:
            lane.ready.clear()
        if unused:
            self._committed(lambda: self._write((), (), unused))
        while self._flying or self._ended:
            ended, self._ended = self._ended, []
            self._write_each(ended)
            if self._flying:
                self._collect(1.0)

    def _write_each(self, ended: Sequence[Done]) -> None:
        """Write results; where that fails, each by itself, so that one that cannot be
        written leaves no other mail in doubt.
        """
        if not ended:
            return
        try:
            self._committed(lambda: self._write(ended))
        except (psycopg2.DataError, psycopg2.IntegrityError, ValueError):
            self._cursor.rollback()
            self._session.forget()
            if len(ended) == 1:
                _logger.exception("mail %s: no result", ended[0].mail.reference)
                return
            for item in ended:
                self._write_each([item])

    def _leave(self) -> None:
        """Give the connections back to the other dispatchers."""
        try:
            self._cursor.rollback()
            self._session.close()
            self._cursor.execute("SELECT pg_advisory_unlock_all()")
            self._cursor.commit()
        except psycopg2.Error:
            _logger.info("the dispatcher's connection is gone", exc_info=True)


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)
