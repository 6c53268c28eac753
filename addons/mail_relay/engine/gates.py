# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Doors that are closed for a while: an account's, or its way to a domain.

A server that asks for peace, and an account that fails again and again (circuit
breaker: after the break one mail tries alone). The mails behind a door wait, and no
attempt is charged to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .decide import Gate
from .values import SendAccount

#: A break grows with each failure after it, up to this many seconds.
MAX_BREAK = 900.0
MAX_TEXT = 500


@dataclass(frozen=True)
class Doors:
    """The doors of an account: seconds until they open (0: open).

    ``failures`` in a row; ``domains`` only the closed ones.
    """

    seconds: float = 0.0
    failures: int = 0
    domains: dict[str, float] = field(default_factory=dict)


def read(cr) -> dict[int, Doors]:
    """Return the doors of all accounts that have any."""
    cr.execute(
        """SELECT account_id, domain, failures,
                  greatest(0, extract(epoch FROM
                      opens_at - (now() AT TIME ZONE 'UTC')))::float8
             FROM mail_relay_gate
            WHERE failures > 0 OR opens_at > (now() AT TIME ZONE 'UTC')"""
    )
    own: dict[int, tuple[float, int]] = {}
    domains: dict[int, dict[str, float]] = {}
    for account_id, domain, failures, seconds in cr.fetchall():
        if not domain:
            own[account_id] = (seconds or 0.0, failures)
        elif seconds:
            domains.setdefault(account_id, {})[domain] = seconds
    return {
        account_id: Doors(*own.get(account_id, (0.0, 0)), domains.get(account_id, {}))
        for account_id in own.keys() | domains.keys()
    }


def close(cr, account_id: int, gate: Gate) -> None:
    """Close a door for a while; one that is closed for longer stays so."""
    cr.execute(
        """INSERT INTO mail_relay_gate AS gate
                  (account_id, domain, opens_at, reason, text, since)
           VALUES (%(account)s, %(domain)s,
                   (now() AT TIME ZONE 'UTC') + %(seconds)s * interval '1 second',
                   %(reason)s, %(text)s, now() AT TIME ZONE 'UTC')
      ON CONFLICT (account_id, domain) DO UPDATE
              SET opens_at = greatest(gate.opens_at, excluded.opens_at),
                  reason = excluded.reason, text = excluded.text""",
        {
            "account": account_id,
            "domain": gate.domain,
            "seconds": gate.seconds,
            "reason": gate.reason,
            "text": gate.text[:MAX_TEXT],
        },
    )


def note_failure(cr, account: SendAccount, reason: str, text: str) -> int:
    """Count a failure of the account's own; return how many there are in a row."""
    cr.execute(
        """INSERT INTO mail_relay_gate AS gate
                  (account_id, domain, failures, reason, text, since)
           VALUES (%(account)s, '', 1, %(reason)s, %(text)s, now() AT TIME ZONE 'UTC')
      ON CONFLICT (account_id, domain) DO UPDATE
              SET failures = gate.failures + 1, reason = excluded.reason,
                  text = excluded.text,
                  since = CASE WHEN gate.failures = 0 THEN excluded.since
                               ELSE gate.since END
        RETURNING failures""",
        {"account": account.id, "reason": reason, "text": text[:MAX_TEXT]},
    )
    (failures,) = cr.fetchone()
    if is_broken(account, failures):
        over = min(failures - account.breaker_failures, 10)
        seconds = min(account.breaker_seconds * 2**over, MAX_BREAK)
        close(cr, account.id, Gate("", seconds, reason, text))
    return failures


def is_broken(account: SendAccount, failures: int) -> bool:
    """Whether an account failed so often that it has a break; 0: never."""
    return 0 < account.breaker_failures <= failures


def note_success(cr, account_id: int) -> None:
    """Forget the failures of an account that works.

    A door that its server wanted closed stays so: what just went through it had begun
    before that.
    """
    cr.execute(
        """UPDATE mail_relay_gate SET failures = 0
            WHERE account_id = %s AND domain = '' AND failures > 0""",
        (account_id,),
    )
