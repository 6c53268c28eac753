# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the limits of an account gave, in the database: one transaction at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from . import limits
from .limits import EACH_DOMAIN, Limit, Usage, available, next_slot, take
from .values import Claimed, SendAccount


class Wait(NamedTuple):
    """Seconds until a mail has its place, and from there to the next one's.

    ``domain`` is the destination that has to wait, ``""`` the whole account.
    """

    seconds: float = 0.0
    pause: float = 0.0
    domain: str = ""


class Usages:
    """The usage of an account's limits, locked until the end of the transaction."""

    def __init__(self, cr, account: SendAccount) -> None:
        self._cursor = cr
        self._limits = account.limits
        self._evenly = not account.rejects
        self._known: dict[tuple[int, str], Usage] = {}
        self._taken: set[tuple[int, str]] = set()
        self.now = 0.0
        if self._limits:
            self._lock()

    def _lock(self) -> None:
        """Wait for the limits' rows of the whole account, and read the clock."""
        ids = [limit.id for limit in self._limits]
        self._cursor.execute(
            """INSERT INTO mail_relay_usage (limit_id, domain)
               SELECT id, '' FROM mail_relay_limit WHERE id = ANY(%s)
          ON CONFLICT DO NOTHING""",
            (ids,),
        )
        self._cursor.execute(
            """SELECT limit_id FROM mail_relay_usage
                WHERE limit_id = ANY(%s) AND domain = ''
             ORDER BY limit_id FOR UPDATE""",
            (ids,),
        )
        self._cursor.execute(
            """SELECT limit_id, domain, next_at, buckets FROM mail_relay_usage
                WHERE limit_id = ANY(%s) AND domain = ''""",
            (ids,),
        )
        self._remember(self._cursor.fetchall())
        self._cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (self.now,) = self._cursor.fetchone()

    def _remember(self, rows: Iterable[tuple]) -> None:
        for limit_id, domain, next_at, buckets in rows:
            counts = {int(at): mails for at, mails in buckets.items()}
            self._known[limit_id, domain] = Usage(next_at, counts)

    def read_domains(self, domains: Iterable[str]) -> None:
        """Read what was used to some domains (their rows hang on the account's)."""
        ids = [limit.id for limit in self._limits if limit.domain]
        if ids:
            self._cursor.execute(
                """SELECT limit_id, domain, next_at, buckets FROM mail_relay_usage
                    WHERE limit_id = ANY(%s) AND domain = ANY(%s)""",
                (ids, list(set(domains))),
            )
            self._remember(self._cursor.fetchall())

    def budget(self, wanted: int) -> int:
        """Return how many mails the account may send now, at most so many."""
        for limit in self._limits:
            if not limit.domain:
                usage = self._usage(limit, "")
                wanted = min(wanted, available(limit, usage, self.now, self._evenly))
        return wanted

    def wait_for(self, domains: Iterable[str]) -> Wait:
        """Return how long a mail to some domains has to wait, and for which."""
        longest = Wait()
        for limit, domain in self._concerned(domains):
            usage = self._usage(limit, domain)
            if not available(limit, usage, self.now, self._evenly):
                slot = next_slot(limit, usage, self.now, self._evenly)
                longest = max(longest, Wait(slot - self.now, limit.pause, domain))
        return longest

    def take(self, domains: Iterable[str]) -> None:
        """Give a mail its place in all limits that concern it."""
        for limit, domain in self._concerned(domains):
            usage = self._usage(limit, domain)
            self._known[limit.id, domain] = take(limit, usage, self.now, 1)
            self._taken.add((limit.id, domain))

    def give_back(self, mail: Claimed) -> None:
        """Let a mail count no more that did not get as far as the server."""
        for limit, domain in self._concerned(mail.domains):
            usage = self._usage(limit, domain)
            back = limits.give_back(limit, usage, mail.claimed_at, 1)
            self._known[limit.id, domain] = back
            self._taken.add((limit.id, domain))

    def write(self) -> None:
        """Keep what was given."""
        for limit_id, domain in self._taken:
            usage = self._known[limit_id, domain]
            self._cursor.execute(
                """INSERT INTO mail_relay_usage (limit_id, domain, next_at, buckets)
                   VALUES (%s, %s, %s, %s)
              ON CONFLICT (limit_id, domain) DO UPDATE
                      SET next_at = excluded.next_at, buckets = excluded.buckets""",
                (limit_id, domain, usage.next_at, json.dumps(usage.buckets)),
            )

    def _usage(self, limit: Limit, domain: str) -> Usage:
        return self._known.get((limit.id, domain), Usage())

    def _concerned(self, domains: Iterable[str]) -> Iterable[tuple[Limit, str]]:
        """Yield the limits that a mail counts for, and the domain it counts as."""
        for limit in self._limits:
            if not limit.domain:
                yield limit, ""
            for domain in set(domains):
                if limit.domain in (EACH_DOMAIN, domain):
                    yield limit, domain


def give_back(cr, unused: Iterable[tuple[SendAccount, Claimed]]) -> None:
    """Let mails count no more that had a place and did not get as far as the server:
    what counts is sent, and not attempted. The caller commits.
    """
    mails: dict[int, list[Claimed]] = {}
    accounts = {}
    for account, mail in unused:
        if account.limits:
            accounts[account.id] = account
            mails.setdefault(account.id, []).append(mail)
    for account_id in sorted(mails):
        usages = Usages(cr, accounts[account_id])
        usages.read_domains(name for mail in mails[account_id] for name in mail.domains)
        for mail in mails[account_id]:
            usages.give_back(mail)
        usages.write()
