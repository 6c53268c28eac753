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

import functools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone

import psycopg2

from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
)

from ..const import (
    DISPATCH_SECONDS,
    HEARTBEAT_SECONDS,
    LINGER_SECONDS,
    MAX_THREADS,
    WAIT_SECONDS,
)
from . import gates, results
from .claim import claim, put_back, read_mime, reroute
from .decide import decide
from .gates import Doors
from .results import Done
from .statements import Session
from .values import Claimed, SendAccount

_logger = logging.getLogger(__name__)

#: One 32-bit half of the advisory locks that count an account's connections.
LOCK_SPACE = 0x6D72656C
#: Results that come within so many seconds share a commit.
GATHER_SECONDS = 0.001
#: How often two transactions may meet before a result is left to the lease.
_CONFLICT_TRIES = 5
_GONE = Reply("connect", 0, "", "the mail's content was deleted")


class Lane:
    """One account: the connections this dispatcher may use, and the mails for it."""

    def __init__(self, account: SendAccount) -> None:
        self.account = account
        self.permits: list[int] = []
        self.ready: deque[Claimed] = deque()
        self.busy = 0
        self.claimed_at = 0.0
        self.is_empty = False
        self.is_stopped = False
        self.has_failed = False

    @property
    def idle(self) -> int:
        """How many connections have nothing to do."""
        return len(self.permits) - self.busy


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
        self._flying: dict[Future, tuple[Lane, Claimed, datetime]] = {}
        self._ended: list[Done] = []
        self._beat_at = time.monotonic()
        self._wake_at: float | None = None
        self._waits: bool | None = None
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
                self._land()
                self._leave()

    def _rounds(self, pool: ThreadPoolExecutor, end: float) -> None:
        looked_again = False
        while time.monotonic() < end:
            self._committed(self._claim_all)
            self._turn(pool)
            if self._flying:
                looked_again = False
                self._collect(1.0)
                continue
            nap = self._nap(end, looked_again)
            if not nap:
                return
            looked_again = True
            time.sleep(nap)
            for lane in self._lanes:
                lane.is_empty = False
        if not looked_again:
            self._wake_before(0.0)

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
            self._waits = self._try_lock(0)
        return self._waits

    def _wake_before(self, seconds: float) -> None:
        """Note that there will be work in so many seconds."""
        at = time.monotonic() + seconds
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at

    # --- Claim ---

    def _claim_all(self) -> set[int]:
        """Take mails over for the accounts that have a connection free."""
        wanting = [lane for lane in self._lanes if self._wants(lane)]
        doors = gates.read(self._cursor) if wanting else {}
        for lane in wanting:
            lane.claimed_at = time.monotonic()
            lane.is_empty = True
            if self._has_due(lane.account):
                self._claim(lane, doors.get(lane.account.id, Doors()))
        return set()

    def _wants(self, lane: Lane) -> bool:
        if len(lane.ready) >= max(1, lane.idle):
            return False
        pause = 0.25 if lane.is_empty else 0.0
        return time.monotonic() - lane.claimed_at >= pause

    def _claim(self, lane: Lane, doors: Doors) -> None:
        """Take mails over for one account, as its doors and limits let it."""
        account = lane.account
        lane.has_failed |= bool(doors.failures)
        is_broken = gates.is_broken(account, doors.failures)
        if doors.seconds:
            if not (is_broken and reroute(self._cursor, account.id, "out of order")):
                self._wake_before(doors.seconds)
            return
        if is_broken and lane.busy:
            return
        self._get_permits(lane, 1 if is_broken else account.threads)
        if lane.idle <= 0:
            return
        mails = lane.idle if account.limits else account.batch
        mails = 1 if is_broken else mails
        found = claim(self._cursor, account, self._worker, mails, doors.domains)
        self._refuse(account, found.late)
        if empty := [mail.id for mail in found.taken if not mail.recipients]:
            results.finish_empty(self._cursor, empty, self._worker)
        lane.ready.extend(mail for mail in found.taken if mail.recipients)
        lane.is_empty = not found.taken
        if found.wait:
            self._wake_before(found.wait)

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

    def _has_due(self, account: SendAccount) -> bool:
        self._cursor.execute(
            """SELECT EXISTS (SELECT 1 FROM mail_relay_message
                WHERE state = 'queued' AND account_id = %s
                  AND next_attempt <= (now() AT TIME ZONE 'UTC'))""",
            (account.id,),
        )
        return self._cursor.fetchone()[0]

    def _get_permits(self, lane: Lane, wanted: int) -> None:
        """Take free connections of the account, as far as others left some.

        They are session locks: PostgreSQL gives them back where we die.
        """
        for number in range(min(wanted, lane.account.threads)):
            if len(lane.permits) >= wanted:
                return
            if number in lane.permits:
                continue
            if self._try_lock(lane.account.id * MAX_THREADS + number):
                lane.permits.append(number)

    def _try_lock(self, key: int) -> bool:
        self._cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_SPACE, key))
        return self._cursor.fetchone()[0]

    # --- Send ---

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        """Write results and intents in one commit, then let the threads begin."""
        beginning = self._beginning()
        ended, self._ended = self._ended, []
        if not ended and not beginning:
            return
        begun = self._committed(lambda: self._write(ended, beginning))
        if begun is None:
            return
        for lane, mail in beginning:
            if mail.id in begun:
                self._submit(pool, lane, mail)

    def _beginning(self) -> list[tuple[Lane, Claimed]]:
        """Return the next mail for each connection that has nothing to do."""
        found = []
        for lane in self._lanes:
            if self._must_wait(lane):
                put_back(self._cursor, lane.ready, self._worker)
                lane.ready.clear()
                lane.is_stopped = False
            while lane.ready and lane.idle > sum(
                1 for item, _ in found if item is lane
            ):
                found.append((lane, lane.ready.popleft()))
        return found

    @staticmethod
    def _must_wait(lane: Lane) -> bool:
        """Whether an account's mails must go back: its door was closed meanwhile, or
        their places within the limits are too old for the wire.
        """
        slack = min((item.slack for item in lane.account.limits), default=None)
        is_late = slack is not None and time.monotonic() - lane.claimed_at > slack
        return bool(lane.ready) and (lane.is_stopped or is_late)

    def _write(
        self, ended: Sequence[Done], beginning: Sequence[tuple[Lane, Claimed]]
    ) -> set[int]:
        results.write(self._session, ended, self._worker)
        self._write_gates(ended)
        mails = [(lane.account.id, mail) for lane, mail in beginning]
        begun = results.begin(self._session, mails, self._worker)
        for _account_id, mail in mails:
            read_mime(self._cursor, mail)
        return begun

    def _write_gates(self, ended: Sequence[Done]) -> None:
        """Close doors that servers asked for, count failures, forget them again."""
        lanes = {lane.account.id: lane for lane in self._lanes}
        for item in ended:
            decision, lane = item.decision, lanes[item.account.id]
            for gate in decision.gates:
                gates.close(self._cursor, item.account.id, gate)
                lane.is_stopped = True
            if decision.account_failed:
                text = decision.reply.text
                reason = decision.reason
                gates.note_failure(self._cursor, item.account, reason, text)
                lane.is_stopped = lane.has_failed = True
            elif decision.account_works and not decision.gates and lane.has_failed:
                gates.note_success(self._cursor, item.account.id)
                lane.has_failed = False

    def _committed(self, work: Callable[[], set[int]]) -> set[int] | None:
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
        future = pool.submit(_send, lane.account, mail)
        self._flying[future] = (lane, mail, _now())

    # --- Collect ---

    def _collect(self, seconds: float) -> None:
        """Wait for an attempt to end, and decide what follows from each that did."""
        done, flying = wait(self._flying, seconds, FIRST_COMPLETED)
        if done and flying:
            done |= wait(flying, GATHER_SECONDS).done
        for future in done:
            lane, mail, started_at = self._flying.pop(future)
            lane.busy -= 1
            now = utcnow()
            chance = random.random()  # noqa: S311
            decision = decide(lane.account, mail, future.result(), now, chance)
            ended_at = now.replace(tzinfo=None)
            self._ended.append(Done(lane.account, mail, decision, started_at, ended_at))
            if decision.state == "queued" and decision.next_attempt:
                self._wake_before((decision.next_attempt - now).total_seconds())
            mail.mime = None
        self._beat()

    def _beat(self) -> None:
        """Tell from time to time that what is on the wire is still ours."""
        if time.monotonic() - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat_at = time.monotonic()
        ids = [mail.id for _lane, mail, _at in self._flying.values()]
        results.beat(self._cursor, ids, self._worker)
        self._cursor.commit()

    def _land(self) -> None:
        """Give back what was not begun, and wait for what is on the wire."""
        unused = [mail for lane in self._lanes for mail in lane.ready]
        for lane in self._lanes:
            lane.ready.clear()
        if unused:
            put_back(self._cursor, unused, self._worker)
            self._cursor.commit()
        while self._flying or self._ended:
            if self._ended:
                ended, self._ended = self._ended, []
                self._committed(functools.partial(self._write, ended, ()))
            if self._flying:
                self._collect(1.0)

    def _leave(self) -> None:
        """Give the connections back to the other dispatchers."""
        try:
            self._cursor.rollback()
            self._session.close()
            self._cursor.execute("SELECT pg_advisory_unlock_all()")
            self._cursor.commit()
        except psycopg2.Error:
            _logger.info("the dispatcher's connection is gone", exc_info=True)


def _send(account: SendAccount, mail: Claimed) -> SendReceipt:
    """Let the adapter send; runs in a thread, and whatever breaks is an answer, too."""
    if mail.mime is None:
        return _receipt(mail, Outcome.REJECTED, _GONE)
    outgoing = OutgoingMail(
        mime=mail.mime,
        envelope_sender=mail.envelope_sender,
        recipients=tuple(mail.recipients),
        reference=mail.reference,
        message_id=mail.message_id,
        idempotency_key=mail.idempotency_key,
        track_opens=mail.track_opens,
        track_clicks=mail.track_clicks,
    )
    try:
        return account.adapter.send(outgoing, account.facts)
    except Exception as error:
        # An adapter tells in its receipt what it knows. This is a mistake of ours, at
        # a moment that nobody knows: to send again may send twice.
        _logger.exception("mail %s: the adapter failed", mail.reference)
        text = f"the adapter failed: {type(error).__name__}"
        return _receipt(mail, Outcome.IN_DOUBT, Reply("api", 0, "", text))


def _receipt(mail: Claimed, outcome: Outcome, reply: Reply) -> SendReceipt:
    return SendReceipt(
        tuple(RecipientResult(address, outcome, reply) for address in mail.recipients)
    )


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)
