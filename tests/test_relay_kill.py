# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The kill test of the relay: no mail is lost, and none sent twice by itself.

Dispatchers are killed with SIGKILL at five places: before they claim, after the claim,
while the server has not answered yet, after its OK, and in the middle of the commit
that writes it down. As in `test_kill`, nothing in the product helps: locks held from
outside, triggers that wait, and a server that takes its time.

What was on the wire when its dispatcher died, nobody knows: exactly these mails, and no
other, are held for a person to decide.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from tests.support.bridge import Bridge, wait_for
from tests.support.faults import AWAY, blocked, held_table
from tests.support.relay import Relay
from tests.support.smtp_sink import SmtpSink

pytestmark = pytest.mark.own_postgres

LOCK = 20_261_121
FAR = "2099-01-01 00:00:00"
#: Where a transaction of a dispatcher waits: when, on which rows, and as what trigger.
PLACES = {
    "after the claim": ("BEFORE", "NEW.state = 'sending'", ""),
    "after the OK": ("BEFORE", "NEW.state = 'done'", ""),
    "before the commit": (
        "AFTER",
        "NEW.state = 'done'",
        "CONSTRAINT",
    ),
}


@contextlib.contextmanager
def waiting_at(bridge: Bridge, place: str) -> Iterator[Any]:
    """Let dispatchers wait at a place until the block ends."""
    when, rows, kind = PLACES[place]
    deferred = "DEFERRABLE INITIALLY DEFERRED" if kind else ""
    link = psycopg2.connect(bridge.connection.dsn(bridge.database))
    try:
        with link.cursor() as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            link.commit()
            bridge.sql(
                f"""CREATE OR REPLACE FUNCTION test_waits() RETURNS trigger
                    LANGUAGE plpgsql AS $$ BEGIN
                    PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW;
                    END $$;
                    CREATE {kind} TRIGGER test_waits {when} UPDATE ON mail_relay_message
                    {deferred} FOR EACH ROW WHEN ({rows}) EXECUTE FUNCTION test_waits()
                """
            )
            yield holder
    finally:
        link.close()  # first let go: dropping a trigger waits for who uses it
        bridge.sql("DROP FUNCTION test_waits() CASCADE")


@dataclass
class Chaos:
    """A run: the one who kills, and the count of what nobody can know."""

    relay: Relay
    server: Any
    sink: SmtpSink
    waiting: list[int]
    released: list[int] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)

    @property
    def bridge(self) -> Bridge:
        """The database."""
        return self.relay.bridge

    def release(self, count: int) -> None:
        """Make the next mails due."""
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        self.released += now
        self.bridge.sql(
            """UPDATE mail_relay_message SET next_attempt = now() AT TIME ZONE 'UTC'
                WHERE id = ANY(%s)""",
            now,
        )

    def strike(self, phase: str, wanted: int) -> None:
        """Kill so many dispatchers in a phase."""
        self.server.start()
        with HOLDERS[phase](self) as (find, bury):
            limit, count = time.monotonic() + 15, 0
            while count < wanted and time.monotonic() < limit:
                self.relay.call()
                calm = time.monotonic() + 0.5
                while count < wanted and time.monotonic() < calm:
                    for pid in set(find()) - self.dead:
                        self.dead.add(pid)
                        self.server.kill_worker(pid)
                        bury()
                        count += 1
                    time.sleep(0.02)
            self.kills[phase] = self.kills.get(phase, 0) + count

    def sending(self, pid: int) -> list[int]:
        """The mails that a process has put on the wire, as far as anybody can see."""
        rows = self.bridge.sql(
            """SELECT id FROM mail_relay_message
                WHERE state = 'sending' AND claimed_by LIKE %s""",
            f"%:{pid}:%",
        )
        return [row[0] for row in rows]

    def calm(self) -> None:
        """Nothing breaks, and the minutes pass until leases are over."""
        self.server.start()
        time.sleep(0.5)  # PostgreSQL may still be at the last words of the dead
        left = [mail for pid in self.dead for mail in self.sending(pid)]
        self.unknown |= set(left)
        self.bridge.sql(
            """UPDATE mail_relay_message
                  SET claimed_until = (now() AT TIME ZONE 'UTC') - interval '1 s'
                WHERE state = 'sending' AND id = ANY(%s)""",
            left,
        )

        def settled() -> bool:
            mine = self.released
            self.relay.pass_time(*mine)
            time.sleep(0.4)
            return set(self.relay.states(mine)) <= {"done", "held"}

        wait_for(settled, 90, lambda: f"{self.relay.states(self.released)}")


#: Who can be killed now, and what follows on it.
Tools = tuple[Callable[[], list[int]], Callable[[], None]]


@contextlib.contextmanager
def before_the_claim(chaos: Chaos) -> Iterator[Tools]:
    with held_table(chaos.bridge, "mail_relay_message") as holder:
        yield lambda: blocked(holder, chaos.server.cron_workers()), lambda: None


@contextlib.contextmanager
def during_the_call(chaos: Chaos) -> Iterator[Tools]:
    chaos.sink.fail("mail", delay=8)

    def find() -> list[int]:
        return [pid for pid in chaos.server.cron_workers() if chaos.sending(pid)]

    try:
        yield find, lambda: None
    finally:
        chaos.sink.mend()


def at(place: str) -> Callable[[Chaos], Any]:
    """Hold dispatchers at one of `PLACES`."""

    @contextlib.contextmanager
    def hold(chaos: Chaos) -> Iterator[Tools]:
        with waiting_at(chaos.bridge, place) as holder:

            def bury() -> None:
                # Or what waits in PostgreSQL for the dead goes on when the lock goes.
                holder.execute(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"""
                )

            yield lambda: blocked(holder, chaos.server.cron_workers()), bury

    return hold


HOLDERS = {
    "before the claim": before_the_claim,
    "during the call": during_the_call,
    **{place: at(place) for place in PLACES},
}
#: How many dispatchers are killed before the next calm.
AT_ONCE = 4


@pytest.mark.parametrize(
    ("mails", "kills"),
    [(200, 6), pytest.param(1000, 30, marks=pytest.mark.soak)],
)
def test_no_mail_is_lost_and_only_those_in_doubt_may_come_twice(
    bridge, server, server_log, shell, mails, kills
):
    server_log.expect(*AWAY, r"ir_cron: Job 'Mail .*' \(\d+\) timed out")
    relay = Relay(bridge, shell)
    with SmtpSink() as sink:
        account = relay.account(sink, relay_threads=1, relay_batch_size=1)
        ids = relay.send(
            [{"to": [f"r{n}@customer.example"]} for n in range(mails)],
            account_id=account,
            suspended=True,
        )
        bridge.sql(
            "UPDATE mail_relay_message SET state = 'queued', hold_reason = NULL,"
            " next_attempt = %s WHERE id = ANY(%s)",
            FAR,
            ids,
        )
        chaos = Chaos(relay, server, sink, list(ids))
        run(chaos, kills)
        assert_all_is_known(chaos, ids)


def run(chaos: Chaos, kills: int) -> None:
    """Strike in all phases in turn, until each has its kills."""
    rounds = -(-kills // AT_ONCE)
    share = len(chaos.waiting) // (2 * rounds * len(HOLDERS))  # half in reserve
    assert share > AT_ONCE
    while missing := [name for name in HOLDERS if chaos.kills.get(name, 0) < kills]:
        for phase in missing:
            assert chaos.waiting, f"never enough kills: {chaos.kills}"
            chaos.release(share)
            chaos.strike(phase, AT_ONCE)
            chaos.calm()
    chaos.release(len(chaos.waiting))
    chaos.calm()


def assert_all_is_known(chaos: Chaos, ids: list[int]) -> None:
    rows = chaos.bridge.sql(
        "SELECT id, message_id, state FROM mail_relay_message WHERE id = ANY(%s)", ids
    )
    held = {mail for mail, _message_id, state in rows if state == "held"}
    names = {mail: message_id for mail, message_id, _state in rows}
    counts = chaos.sink.count()
    twice = {mail for mail in ids if counts.get(names[mail], 0) > 1}
    lost = {mail for mail in ids if not counts.get(names[mail])}
    assert len(rows) == len(ids)
    assert held == chaos.unknown
    assert twice == set()
    assert lost <= held
    # A person takes the risk: now every mail has arrived, and only those came twice.
    chaos.bridge.client.call("mail.relay.message", "action_resend", sorted(held))
    assert chaos.relay.rested(ids, 90) == {"done": len(ids)}
    counts = chaos.sink.count()
    assert {mail for mail in ids if not counts.get(names[mail])} == set()
    assert {mail for mail in ids if counts[names[mail]] > 1} == held - lost
    assert max(counts.values()) <= 2
    print(f"kills: {chaos.kills}, {len(held)} held, {len(held - lost)} came twice")
