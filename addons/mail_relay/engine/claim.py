# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Taking mails over: the most urgent due ones, each owner in turn, within the limits.

One short transaction: whoever claims for an account with limits holds the rows of its
usage meanwhile, so that a place is never given twice. A claim pushes the mail's next
attempt behind its lease; where its dispatcher dies before the mail is on the wire, it
is due again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..const import LEASE_SECONDS, SMALL_MIME_BYTES
from . import suppressed
from .usages import Usages, Wait
from .values import Claimed, SendAccount

#: Mails whose destination wanted peace go to it that many seconds apart afterwards.
PEACE_PAUSE = 0.1
#: Whose mails wait at an account, by an index scan each.
OWNERS = """
WITH RECURSIVE owners(owner_key) AS (
    (SELECT owner_key FROM mail_relay_message
      WHERE state = 'queued' AND account_id = %(account)s
   ORDER BY owner_key LIMIT 1)
    UNION ALL
    SELECT (SELECT m.owner_key FROM mail_relay_message m
             WHERE m.state = 'queued' AND m.account_id = %(account)s
               AND m.owner_key > owners.owner_key
          ORDER BY m.owner_key LIMIT 1)
      FROM owners WHERE owners.owner_key IS NOT NULL)"""
#: Each owner's most urgent mails by an index scan each, then one of each in turn.
#: Several companies and applications share an account: nobody waits behind the ten
#: thousand mails of another, and whoever is urgent goes before all.
CLAIM = (
    OWNERS
    + """,
due AS (
    SELECT mail.id, mail.next_attempt, level.value AS level,
           row_number() OVER (PARTITION BY owners.owner_key, level.value
                              ORDER BY mail.next_attempt, mail.id) AS turn
      FROM owners
CROSS JOIN generate_series(0, 3) AS level(value)
CROSS JOIN LATERAL (
        SELECT id, next_attempt FROM mail_relay_message
         WHERE state = 'queued' AND account_id = %(account)s
           AND owner_key = owners.owner_key AND level = level.value
           AND next_attempt <= (now() AT TIME ZONE 'UTC')
      ORDER BY next_attempt, id
         LIMIT %(mails)s FOR UPDATE SKIP LOCKED) AS mail
     WHERE owners.owner_key IS NOT NULL),
chosen AS (SELECT * FROM due ORDER BY level, turn, next_attempt, id LIMIT %(mails)s)
UPDATE mail_relay_message AS mail
   SET claimed_by = %(worker)s,
       claimed_until = (now() AT TIME ZONE 'UTC') + %(lease)s * interval '1 second',
       next_attempt = (now() AT TIME ZONE 'UTC') + %(lease)s * interval '1 second'
  FROM chosen WHERE mail.id = chosen.id
RETURNING mail.id, reference, coalesce(envelope_sender, ''), message_id, mail.level,
          attempts, tries, generation, first_attempt_at, chosen.next_attempt,
          coalesce(account_chain, '[]'), coalesce(track_opens, false),
          coalesce(track_clicks, false), coalesce(is_marketing, false),
          coalesce(list_reference, ''), size, coalesce(domains, '{}'), chosen.turn
"""
)
HAS_DUE = f"""{OWNERS}
SELECT EXISTS (
    SELECT 1 FROM owners
CROSS JOIN generate_series(0, 3) AS level(value)
CROSS JOIN LATERAL (
        SELECT id FROM mail_relay_message
         WHERE state = 'queued' AND account_id = %(account)s
           AND owner_key = owners.owner_key AND level = level.value
           AND next_attempt <= (now() AT TIME ZONE 'UTC')
         LIMIT 1) AS mail
     WHERE owners.owner_key IS NOT NULL)"""


class Claim(NamedTuple):
    """What a claim gave: mails to be sent, mails that the limits refuse, and how many
    seconds the account has to wait for its next place (0: it need not).

    ``seen``: there were mails, if only such that have to wait.
    """

    taken: list[Claimed]
    late: list[Claimed]
    wait: float = 0.0
    seen: bool = False


def claim(
    cr,
    account: SendAccount,
    worker: str,
    mails: int,
    closed_domains: Mapping[str, float],
) -> Claim:
    """Take due mails of an account over; the caller commits.

    :param mails: how many at most.
    :param closed_domains: recipient domains that want peace, seconds from now.
    """
    usages = Usages(cr, account)
    wanted = mails if account.rejects else usages.budget(mails)
    if wanted <= 0:
        return Claim([], [], usages.wait_for(()).seconds)
    found = _claimed(cr, account.id, worker, wanted, usages.now)
    usages.read_domains(domain for mail in found for domain in mail.domains)
    taken: list[Claimed] = []
    late: list[Claimed] = []
    waiting: list[tuple[Claimed, Wait]] = []
    for mail in found:
        peace = _peace(mail, closed_domains)
        wait = max(usages.wait_for(mail.domains), peace)
        if not wait.seconds:
            usages.take(mail.domains)
            taken.append(mail)
        elif account.rejects and not peace.seconds:
            late.append(mail)
        else:
            waiting.append((mail, wait))
    usages.write()
    _let_wait(cr, account.id, waiting)
    _read_recipients(cr, account, taken)
    _read_recipients(cr, account, late)
    _read_small(cr, taken)
    wait_for = min((wait.seconds for _mail, wait in waiting), default=0.0)
    return Claim(taken, late, wait_for, bool(found))


def _peace(mail: Claimed, closed_domains: Mapping[str, float]) -> Wait:
    """Return how long the destinations of a mail want to hear nothing."""
    closed = [
        Wait(closed_domains[domain], PEACE_PAUSE, domain)
        for domain in mail.domains
        if domain in closed_domains
    ]
    return max(closed, default=Wait())


def has_due(cr, account_id: int) -> bool:
    """Whether any mail of an account is due, without reading those that are not."""
    cr.execute(HAS_DUE, {"account": account_id})
    return cr.fetchone()[0]


def reroute(cr, account_id: int, why: str, ids: Sequence[int] | None = None) -> int:
    """Hand due mails of an account, or some of them, to the next of their route.

    :return: how many.
    """
    cr.execute(
        """UPDATE mail_relay_message AS mail
              SET account_id = (account_chain::jsonb ->> 0)::integer,
                  account_chain = (account_chain::jsonb - 0)::text,
                  route_trace = (
                      coalesce(route_trace, '[]')::jsonb || jsonb_build_array(
                          jsonb_build_array(%(account)s, %(why)s::text)))::text
            WHERE id IN (SELECT id FROM mail_relay_message
                          WHERE state = 'queued' AND account_id = %(account)s
                            AND next_attempt <= (now() AT TIME ZONE 'UTC')
                            AND account_chain <> '[]'
                            AND (%(ids)s::integer[] IS NULL
                                 OR id = ANY(%(ids)s::integer[]))
                          LIMIT 500 FOR UPDATE SKIP LOCKED)""",
        {"account": account_id, "why": why, "ids": ids and list(ids)},
    )
    return cr.rowcount


def _claimed(cr, account_id, worker, mails, now) -> list[Claimed]:
    values = {
        "account": account_id,
        "worker": worker,
        "mails": mails,
        "lease": LEASE_SECONDS,
    }
    cr.execute(CLAIM, values)
    rows = sorted(cr.fetchall(), key=lambda row: (row[4], row[-1], row[9], row[0]))
    return [Claimed(*row[:-1], claimed_at=now) for row in rows]


def _let_wait(cr, account_id: int, waiting: Sequence[tuple[Claimed, Wait]]) -> None:
    """Make mails due again when their destination has a place, one after the other.

    With them goes what else is due to that destination: mails that must wait are not
    found before those that need not, however many they are.
    """
    by_domain: dict[str, list[tuple[Claimed, Wait]]] = {}
    for mail, wait in waiting:
        by_domain.setdefault(wait.domain, []).append((mail, wait))
    for domain, mails in by_domain.items():
        _name, (seconds, pause, _domain) = mails[0]
        cr.execute(
            """WITH others AS (
                   SELECT id FROM mail_relay_message
                    WHERE state = 'queued' AND account_id = %(account)s
                      AND next_attempt <= (now() AT TIME ZONE 'UTC')
                      AND %(domain)s = ANY(domains)
                 ORDER BY level, next_attempt, id
                    LIMIT 500 FOR UPDATE SKIP LOCKED),
               due AS (SELECT id, row_number() OVER () - 1 AS turn
                         FROM (SELECT unnest(%(ids)s) AS id
                                UNION ALL SELECT id FROM others) AS each)
               UPDATE mail_relay_message AS mail
                  SET claimed_by = NULL, claimed_until = NULL,
                      next_attempt = (now() AT TIME ZONE 'UTC') + interval '1 second'
                          * (%(seconds)s + due.turn * %(pause)s)
                 FROM due WHERE mail.id = due.id""",
            {
                "ids": [mail.id for mail, _wait in mails],
                "seconds": seconds,
                "pause": pause,
                "account": account_id,
                "domain": domain,
            },
        )


def put_back(cr, mails: Iterable[Claimed], worker: str) -> None:
    """Give up claims that came to nothing; each mail is due when it was."""
    mails = list(mails)
    cr.execute(
        """UPDATE mail_relay_message AS mail
              SET claimed_by = NULL, claimed_until = NULL, next_attempt = v.due_at
             FROM unnest(%s, %s::timestamp[]) AS v(id, due_at)
            WHERE mail.id = v.id AND state = 'queued' AND claimed_by = %s""",
        ([mail.id for mail in mails], [mail.due_at for mail in mails], worker),
    )


def _read_recipients(cr, account: SendAccount, mails: Sequence[Claimed]) -> None:
    """Read who is still open; whoever was suppressed meanwhile is left out."""
    by_id = {mail.id: mail for mail in mails}
    if not by_id:
        return
    cr.execute(
        """SELECT relay_message_id, id, address, email_normalized
             FROM mail_relay_recipient
            WHERE relay_message_id = ANY(%s) AND state IN ('pending', 'deferred')
         ORDER BY id""",
        (list(by_id),),
    )
    rows = cr.fetchall()
    entries = suppressed.find(cr, {row[3] for row in rows}, account.company_id)
    refused = []
    for mail_id, recipient_id, address, normalized in rows:
        mail = by_id[mail_id]
        held = [
            entry
            for entry in entries.get(normalized, ())
            if entry.holds_back(mail.is_marketing, mail.list_reference, account.strict)
        ]
        if held:
            refused.append((recipient_id, held[0]))
        else:
            mail.recipients[address] = recipient_id
    _refuse(cr, refused)


def _refuse(cr, refused: Sequence[tuple[int, suppressed.Entry]]) -> None:
    if refused:
        ids = [recipient_id for recipient_id, _entry in refused]
        entries = [entry for _id, entry in refused]
        cr.execute(
            suppressed.REFUSE,
            (ids, [entry.id for entry in entries], [entry.reason for entry in entries]),
        )


def _read_small(cr, mails: Iterable[Claimed]) -> None:
    by_id = {mail.id: mail for mail in mails if mail.size <= SMALL_MIME_BYTES}
    if by_id:
        cr.execute(
            """SELECT message_id, data FROM mail_relay_message_body
                WHERE message_id = ANY(%s) AND part = 0 AND seq = 0""",
            (list(by_id),),
        )
        for mail_id, data in cr.fetchall():
            by_id[mail_id].mime = bytes(data)


def read_mime(cr, mail: Claimed) -> bytes | None:
    """Return the MIME of a mail, ``None`` where it was deleted."""
    if mail.mime is None:
        cr.execute(
            """SELECT data FROM mail_relay_message_body
                WHERE message_id = %s AND part = 0 ORDER BY seq""",
            (mail.id,),
        )
        mail.mime = b"".join(bytes(row[0]) for row in cr.fetchall()) or None
    return mail.mime
