# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The kill test: what was acknowledged stands in the chatter, exactly once.

Workers are killed with SIGKILL at four places: before the insert, before the commit,
after the commit and before the answer, and in the middle of processing; PostgreSQL
crashes once (all its processes are killed: what the disk itself would lose in a power
failure is not tried here). Nothing in the product helps: a lock held from outside, or a
trigger that waits for one, keeps a worker at the place until it is dead.

The senders obey their providers (facts/providers.md §0.1): when they repeat, how
often, and on which status they stop for good. Their time is compressed: it passes in
windows, in turn one with faults and one without.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2
import pytest

from tests.support.bridge import Account, Bridge, wait_for
from tests.support.faults import AWAY, blocked, held_table
from tests.support.posts import Post, make_mail, unique

pytestmark = pytest.mark.own_postgres

CODES = ("mailgun", "improvmx", "raw")

# What a provider does, in windows of time: pauses between its tries, and the statuses
# other than 2xx on which it stops. Mailgun: 10 m, 15 m, 30 m, 1 h, 2 h, 4 h; stops on
# 406. ImprovMX: two more tries soon after, the first of them again among faults. Raw: a
# mail server's own queue.
RETRIES = {
    "mailgun": ((2, 3, 6, 12, 24, 48), {406}),
    "improvmx": ((2, 1), set()),
    "raw": ((2,) * 50, set()),
}

LOCK = 20_261_120
# A run takes about a third of that.
SECONDS_A_MAIL = 2.5
# One trigger keeps a transaction before its row stands there, the others behind it.
PLACES = {
    "before insert": ("BEFORE INSERT ON mail_bridge_intake", ""),
    "before commit": ("BEFORE INSERT ON mail_bridge_intake_body", ""),
    "at commit": (
        "AFTER INSERT ON mail_bridge_intake DEFERRABLE INITIALLY DEFERRED",
        "CONSTRAINT",
    ),
}


@dataclass
class Sending:
    """One mail at its provider; `tries` counts, `due` is the window of the next."""

    post: Post
    code: str
    subject: str
    due: int
    tries: int = 0
    acknowledged: bool = False
    given_up: bool = False

    def attempt(self, port: int, window: int) -> None:
        """Post once and do what the provider does with the outcome."""
        self.tries += 1
        pauses, stops = RETRIES[self.code]
        try:
            status = self.post.to(port).status
        except (OSError, http.client.HTTPException):
            status = 0
        if 200 <= status < 300:
            self.acknowledged = True
        elif status in stops or self.tries > len(pauses):
            self.given_up = True
        else:
            self.due = window + pauses[self.tries - 1]


def is_over(sending: Sending) -> bool:
    """Whether its provider will not post this mail again."""
    return sending.acknowledged or sending.given_up


@dataclass
class Chaos:
    """The whole run: senders, the one who kills, and the count of both."""

    bridge: Bridge
    server: Any
    sendings: list[Sending]
    window: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)

    def send_due(self) -> list[threading.Thread]:
        """Start a client for everything that is due in this window."""
        threads = [
            threading.Thread(
                target=sending.attempt,
                args=(self.bridge.server.port, self.window),
                daemon=True,
            )
            for sending in self.sendings
            if sending.due <= self.window and not is_over(sending)
        ]
        for thread in threads:
            thread.start()
        return threads

    def fault_window(self, phase: str, wanted: int) -> None:
        """Let mails come in, and kill `wanted` of the workers held at the place."""
        place = HOLDERS[phase]
        with place(self.bridge) as holder:
            clients = self.send_due()
            self._kill_held(phase, holder, wanted)
        for client in clients:
            client.join()
        self.window += 1

    def calm_window(self) -> None:
        """Nothing breaks; what is due is repeated, and killed tries are due at once."""
        self.server.start()  # as a supervisor does where the master has ended itself
        for client in self.send_due():
            client.join()
        pass_time(self.bridge)
        self.window += 1

    def _kill_held(self, phase: str, holder: Any, wanted: int) -> None:
        is_drain = phase == "mid-processing"
        count, limit = 0, time.monotonic() + 15
        while count < wanted and time.monotonic() < limit:
            workers = (
                self.server.cron_workers() if is_drain else self.server.http_workers()
            )
            for pid in blocked(holder, workers):
                if pid not in self.dead and count < wanted:
                    self.dead.add(pid)
                    self.server.kill_worker(pid)
                    count += 1
            time.sleep(0.02)
        self.kills[phase] = self.kills.get(phase, 0) + count


# ------------------------------------------------------------------------- the places


@contextlib.contextmanager
def waiting_trigger(bridge: Bridge, *places: str) -> Iterator[Any]:
    """Let transactions wait at these places until the block ends."""
    link = psycopg2.connect(bridge.connection.dsn(bridge.database))
    try:
        with link.cursor() as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            link.commit()
            bridge.sql(
                f"""CREATE OR REPLACE FUNCTION test_waits() RETURNS trigger
                    LANGUAGE plpgsql AS $$ BEGIN
                    PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW;
                    END $$"""
            )
            for place in places:
                when, kind = PLACES[place]
                bridge.sql(
                    f"CREATE {kind} TRIGGER test_waits {when}"
                    " FOR EACH ROW EXECUTE FUNCTION test_waits()"
                )
            yield holder
    finally:
        link.close()  # first let go: dropping a trigger waits for who uses it
        bridge.sql("DROP FUNCTION test_waits() CASCADE")


# How many workers can be held at a place at once: four at the door, two drains.
KILLS = {
    "before insert": 4,
    "before commit": 4,
    "after commit": 4,
    "mid-processing": 2,
}
NEVER = 1_000_000

_at_commit = itertools.cycle(("before commit", "at commit"))


def after_commit(bridge: Bridge) -> Any:
    """Behind the commit a door only wakes the drains; it reads this table for that."""
    return held_table(bridge, "mail_bridge_wake", "ACCESS EXCLUSIVE")


HOLDERS = {
    "before insert": lambda bridge: waiting_trigger(bridge, "before insert"),
    "before commit": lambda bridge: waiting_trigger(bridge, next(_at_commit)),
    "after commit": after_commit,
    "mid-processing": lambda bridge: held_table(bridge, "crm_lead"),
}


def pass_time(bridge: Bridge) -> None:
    """Let the minutes pass that the queue waits after a try, and the crons' own."""
    bridge.sql(
        """UPDATE mail_bridge_intake SET next_attempt = now() AT TIME ZONE 'UTC'
            WHERE state IN ('pending', 'failed')
              AND next_attempt > now() AT TIME ZONE 'UTC'"""
    )
    bridge.let_a_minute_pass()


# --------------------------------------------------------------------------- the test


def make_sendings(accounts: list[Account], desk: str, mails: int) -> list[Sending]:
    """Distinct mails, none of them due yet."""
    made = []
    for number in range(mails):
        account, subject = accounts[number % len(accounts)], unique(f"Kill {number}")
        text = f"Mail number {number}.\n"
        files = [("a.bin", bytes([number % 256]) * 2000)] if number % 7 == 0 else []
        post = account.post(desk, make_mail(desk, subject, text, files=files))
        made.append(Sending(post, account.code, subject, NEVER))
    return made


def release(chaos: Chaos, count: int) -> None:
    """Make the next mails due; every fifth is sent a second time a little later."""
    fresh = [one for one in chaos.sendings if one.due == NEVER][:count]
    for sending in fresh:
        sending.due = chaos.window
        number = int(sending.subject.split()[1])
        if number % 5 == 0:
            later = chaos.window + 1 + number % 4
            chaos.sendings.append(replace(sending, due=later))


def run_chaos(chaos: Chaos, kills: int, mails: int, postgres) -> None:
    """Fault windows of all phases in turn, until each has its kills."""
    a_window = -(-mails // sum(-(-kills // size) for size in KILLS.values()))
    crash_at = kills // 2
    limit = time.monotonic() + SECONDS_A_MAIL * mails
    while missing := [one for one in KILLS if chaos.kills.get(one, 0) < kills]:
        assert time.monotonic() < limit, f"never enough kills: {chaos.kills}"
        for phase in missing:
            release(chaos, a_window)
            chaos.fault_window(phase, KILLS[phase])
            chaos.calm_window()
        if crash_at and min(chaos.kills.values()) >= crash_at:
            crash_at = 0
            release(chaos, a_window)
            crash(chaos, postgres)
    release(chaos, mails)
    while any(not is_over(one) for one in chaos.sendings):
        chaos.calm_window()


def crash(chaos: Chaos, postgres) -> None:
    """PostgreSQL is killed with all its processes while mails come in."""
    clients = chaos.send_due()
    chaos.bridge.close()
    postgres.crash()
    postgres.start()
    for client in clients:
        client.join()


def assert_nothing_is_lost(chaos: Chaos, mails: int) -> None:
    bridge = chaos.bridge

    def settled() -> bool:
        pass_time(bridge)
        time.sleep(0.5)
        return not bridge.sql(
            "SELECT 1 FROM mail_bridge_intake WHERE state NOT IN ('done', 'dead')"
        )

    wait_for(settled, 600)
    states = dict(
        bridge.sql("SELECT state, count(*) FROM mail_bridge_intake GROUP BY state")
    )
    stored = dict(
        bridge.sql(
            """SELECT subject, count(*) FROM mail_message
                WHERE model = 'crm.lead' AND message_type = 'email'
                  AND subject LIKE 'Kill %%' GROUP BY subject"""
        )
    )
    attempted = {one.subject for one in chaos.sendings}
    assert len(attempted) == mails
    acknowledged = {one.subject for one in chaos.sendings if one.acknowledged}
    assert acknowledged - set(stored) == set()  # lost
    assert attempted - set(stored) == set()  # given up by the provider
    assert set(stored) - attempted == set()
    assert {subject: n for subject, n in stored.items() if n != 1} == {}
    assert states == {"done": len(attempted)}
    [(leads,)] = bridge.sql("SELECT count(*) FROM crm_lead WHERE name LIKE 'Kill %%'")
    assert leads == len(attempted)


@pytest.mark.parametrize(
    ("mails", "kills"),
    [(500, 30), pytest.param(2000, 100, marks=pytest.mark.soak)],
)
def test_all_mails_arrive_once_however_often_workers_are_killed(
    bridge, server, server_log, postgres, mails, kills
):
    server_log.expect(*AWAY)
    # A drain that was killed is found out by the next one.
    server_log.expect(r"ir_cron: Job 'Mail Bridge: .*' \(\d+\) timed out")
    accounts = [bridge.account(code) for code in CODES]
    sendings = make_sendings(accounts, bridge.alias(), mails)
    chaos = Chaos(bridge, server, sendings)
    run_chaos(chaos, kills, mails, postgres)
    assert_nothing_is_lost(chaos, mails)
    print(f"kills: {chaos.kills}, {sum(one.tries for one in sendings)} posts")
