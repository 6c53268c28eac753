# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Writing down what happened, set-based: any number of attempts in a few statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from ..const import LEASE_SECONDS
from ..providers.states import RANKS, Truth
from .decide import Decision, News
from .statements import Session, Statement
from .values import Claimed, SendAccount

_ADVANCE = Statement(
    "mail_relay_advance",
    (
        "integer",
        "varchar",
        "varchar",
        "integer",
        "varchar",
        "varchar",
        "varchar",
        "integer",
        "varchar",
        "varchar",
        "timestamp",
    ),
    """
UPDATE mail_relay_recipient AS person
   SET state = v.state, bounce_class = nullif(v.bounce_class, ''), rank = v.rank,
       reason = nullif(v.reason, ''), failure_text = nullif(v.text, ''),
       stage = v.stage, smtp_code = v.code, enhanced_code = nullif(v.enhanced, ''),
       provider_reference = coalesce(nullif(v.reference, ''), provider_reference),
       sent_at = CASE WHEN v.state = 'sent' THEN coalesce(sent_at, v.at)
                      ELSE sent_at END,
       bounced_at = CASE WHEN v.state = 'bounced' THEN coalesce(bounced_at, v.at)
                         ELSE bounced_at END,
       last_event_at = v.at
  FROM {rows} AS v(id, state, bounce_class, rank, reason, text, stage, code, enhanced,
                   reference, at)
 WHERE person.id = v.id AND v.rank >= person.rank""",
)
_SETTLE = Statement(
    "mail_relay_settle",
    (
        "integer",
        "varchar",
        "integer",
        "integer",
        "timestamp",
        "integer",
        "varchar",
        "varchar",
        "varchar",
        "varchar",
        "varchar",
        "boolean",
        "timestamp",
        "varchar",
    ),
    """
UPDATE mail_relay_message AS mail
   SET state = v.state, attempts = v.attempts, tries = mail.tries + 1,
       generation = mail.generation + v.narrows,
       next_attempt = coalesce(v.next_attempt, mail.next_attempt),
       account_id = coalesce(v.account_id, mail.account_id),
       account_chain = coalesce(v.chain, mail.account_chain),
       route_trace = CASE WHEN v.trace IS NULL THEN mail.route_trace ELSE
           (coalesce(mail.route_trace, '[]')::jsonb || v.trace::jsonb)::text END,
       error = v.error,
       provider_reference = coalesce(v.reference, mail.provider_reference),
       provider_message_id = coalesce(v.other_id, mail.provider_message_id),
       sent_at = CASE WHEN v.accepted THEN coalesce(mail.sent_at, v.at)
                      ELSE mail.sent_at END,
       done_at = CASE WHEN v.state IN ('done', 'dead') THEN v.at END,
       claimed_by = NULL,
       sending_since = CASE WHEN v.state = 'in_doubt' THEN mail.sending_since END,
       claimed_until = CASE WHEN v.state = 'in_doubt' THEN v.at END
  FROM {rows} AS v(id, state, attempts, narrows, next_attempt, account_id, chain,
                   trace, error, reference, other_id, accepted, at, worker)
 WHERE mail.id = v.id AND mail.claimed_by = v.worker
   AND mail.state IN ('sending', 'in_doubt')""",
)
_LOG = Statement(
    "mail_relay_log",
    (
        "integer",
        "integer",
        "integer",
        "timestamp",
        "timestamp",
        "varchar",
        "integer",
        "varchar",
        "integer",
        "varchar",
        "text",
        "varchar",
        "varchar",
        "timestamp",
        "varchar",
    ),
    """
INSERT INTO mail_relay_attempt
       (relay_message_id, account_id, number, started_at, ended_at, outcome,
        recipient_count, stage, smtp_code, enhanced_code, text, reason, worker,
        next_attempt, provider_reference)
SELECT * FROM {rows}""",
)
_BEGIN = Statement(
    "mail_relay_begin",
    ("integer", "integer", "varchar", "varchar", "double precision"),
    """
UPDATE mail_relay_message AS mail
   SET state = 'sending', sending_since = now() AT TIME ZONE 'UTC',
       claimed_until = (now() AT TIME ZONE 'UTC') + v.lease * interval '1 second',
       first_attempt_at = coalesce(first_attempt_at, now() AT TIME ZONE 'UTC'),
       idempotency_key = v.key
  FROM {rows} AS v(id, account_id, worker, key, lease)
 WHERE mail.id = v.id AND state = 'queued' AND claimed_by = v.worker
   AND mail.account_id = v.account_id
RETURNING mail.id""",
)


class Done(NamedTuple):
    """One attempt that is over; times are naive UTC."""

    account: SendAccount
    mail: Claimed
    decision: Decision
    started_at: datetime
    ended_at: datetime


def write(session: Session, done: Sequence[Done], worker: str) -> None:
    """Let it be written what attempts did to recipients, mails and log."""
    session.add(_ADVANCE, _advances(done))
    session.add(_SETTLE, [_settled(item, worker) for item in done])
    session.add(_LOG, [_logged(item, worker) for item in done if _is_logged(item)])


def begin(
    session: Session, mails: Iterable[tuple[int, Claimed]], worker: str
) -> set[int]:
    """Write the intent to send, before anything is on the wire; the caller commits.

    What waits in the session is written first, in the same transaction.

    :param mails: account ids and mails.
    :return: the ids of the mails that are still ours.
    """
    rows = [
        (mail.id, account_id, worker, mail.idempotency_key, LEASE_SECONDS)
        for account_id, mail in mails
    ]
    session.add(_BEGIN, rows)
    found = session.run()
    return {row[0] for row in found} if rows else set()


def finish_empty(cr, ids: Sequence[int], worker: str) -> None:
    """End claimed mails that have nobody left to be sent to."""
    cr.execute(
        """UPDATE mail_relay_message
              SET state = 'done', done_at = now() AT TIME ZONE 'UTC',
                  claimed_by = NULL, claimed_until = NULL
            WHERE id = ANY(%s) AND state = 'queued' AND claimed_by = %s""",
        (list(ids), worker),
    )


def kill(cr, mails: Iterable[Claimed], worker: str, reason: str, text: str) -> None:
    """End claimed mails that must not, or cannot, be sent."""
    mails = list(mails)
    cr.execute(
        """UPDATE mail_relay_message
              SET state = 'dead', error = %s, done_at = now() AT TIME ZONE 'UTC',
                  claimed_by = NULL, claimed_until = NULL
            WHERE id = ANY(%s) AND state = 'queued' AND claimed_by = %s""",
        (text, [mail.id for mail in mails], worker),
    )
    cr.execute(
        """UPDATE mail_relay_recipient
              SET state = 'failed', rank = %s, reason = %s, failure_text = %s,
                  last_event_at = now() AT TIME ZONE 'UTC'
            WHERE id = ANY(%s) AND rank < %s""",
        (
            RANKS[Truth("failed")],
            reason,
            text,
            [person for mail in mails for person in mail.recipients.values()],
            RANKS[Truth("failed")],
        ),
    )


def beat(cr, ids: Sequence[int], worker: str) -> None:
    """Keep the leases of mails that are on the wire."""
    cr.execute(
        """UPDATE mail_relay_message
              SET claimed_until = (now() AT TIME ZONE 'UTC')
                  + %s * interval '1 second'
            WHERE id = ANY(%s) AND state = 'sending' AND claimed_by = %s""",
        (LEASE_SECONDS, list(ids), worker),
    )


def find_abandoned(cr) -> list[int]:
    """Put mails in doubt whose dispatcher died while they were on the wire.

    If it lives after all, its result counts as long as nobody took the mail over.
    """
    cr.execute(
        """UPDATE mail_relay_message
              SET state = 'in_doubt', tries = tries + 1,
                  claimed_until = now() AT TIME ZONE 'UTC',
                  error = 'the dispatcher ended while the mail was being sent'
            WHERE id IN (SELECT id FROM mail_relay_message
                          WHERE state = 'sending'
                            AND claimed_until < (now() AT TIME ZONE 'UTC')
                          LIMIT 500 FOR UPDATE SKIP LOCKED)
        RETURNING id"""
    )
    return [row[0] for row in cr.fetchall()]


def _advances(done: Sequence[Done]) -> list[tuple]:
    """Return what is known of the recipients now.

    In the order of their ids, as whoever applies events locks them.
    """
    rows = {}
    for item in done:
        reference = item.decision.receipt.provider_reference
        for news in item.decision.news:
            rows[news.recipient_id] = _advanced(news, reference, item.ended_at)
    return [rows[recipient_id] for recipient_id in sorted(rows)]


def _advanced(news: News, reference: str, at: datetime) -> tuple:
    truth, reply = news.truth, news.reply
    is_good = truth.state == "sent"
    return (
        news.recipient_id,
        truth.state,
        truth.bounce_class,
        RANKS[truth],
        "" if is_good else news.reason,
        "" if is_good else reply.text,
        reply.stage,
        reply.code,
        reply.enhanced,
        reference if is_good else "",
        at,
    )


def _settled(item: Done, worker: str) -> tuple:
    decision, mail = item.decision, item.mail
    moved = decision.next_account_id
    trace = [[item.account.id, f"passed over: {decision.reply.text}"]]
    accepted = decision.outcome in ("accepted", "partial")
    return (
        mail.id,
        decision.state,
        mail.attempts + decision.charged,
        int(decision.narrows),
        _naive(decision.next_attempt),
        moved or None,
        decision.account_chain if moved else None,
        json.dumps(trace) if moved else None,
        None if decision.outcome == "accepted" else decision.reply.text,
        decision.receipt.provider_reference or None,
        decision.receipt.message_id or None,
        accepted,
        item.ended_at,
        worker,
    )


def _is_logged(item: Done) -> bool:
    return item.account.logs or item.decision.outcome != "accepted"


def _logged(item: Done, worker: str) -> tuple:
    decision, reply = item.decision, item.decision.reply
    return (
        item.mail.id,
        item.account.id,
        item.mail.tries + 1,
        item.started_at,
        item.ended_at,
        decision.outcome,
        len(item.mail.recipients),
        reply.stage,
        reply.code,
        reply.enhanced,
        reply.text,
        decision.reason,
        worker,
        _naive(decision.next_attempt) if decision.state == "queued" else None,
        decision.receipt.provider_reference or None,
    )


def _naive(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=None) if moment else None
