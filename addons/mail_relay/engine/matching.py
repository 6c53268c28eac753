# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which recipient of which mail an event is about: a few statements for a batch.

Our own reference counts first, then the provider's name of the mail, then the
Message-ID; each together with the address. Several mails may bear one Message-ID (a
mail that was sent once more): the newest that was sent is meant. A mail of another
company is never meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ..providers.smtp_address import ascii_domain

#: The ways from an event to a mail, best first.
WAYS = (
    "mail.reference = event.reference",
    "mail.provider_reference = event.provider_reference",
    "person.provider_reference = event.provider_reference",
    "mail.message_id = event.message_id",
    "mail.provider_message_id = event.message_id",
)
#: Takes event ids and their addresses with an ASCII domain. Where the event names
#: nobody (a complaint whose recipient was blacked out), a mail to one person is enough,
#: and only our own reference is trusted with that.
MATCH = """
    SELECT DISTINCT ON (event.id)
           event.id, person.id, person.relay_message_id, person.created_at
      FROM unnest(%(ids)s, %(ascii)s) AS wanted(id, ascii)
      JOIN mail_bridge_event event ON event.id = wanted.id
      JOIN mail_relay_message mail ON {mail}
      JOIN mail_relay_recipient person
           ON person.relay_message_id = mail.id AND {person}
     WHERE mail.company_id = event.company_id
       AND (person.email_normalized = event.email_normalized
            OR wanted.ascii =
               regexp_replace(person.email_normalized, '@[^@]*$', '')
               || '@' || person.domain
            OR {nobody})
  ORDER BY event.id, (mail.first_attempt_at IS NULL), person.id DESC"""
_NOBODY = """(event.email_normalized IS NULL AND NOT EXISTS (
    SELECT 1 FROM mail_relay_recipient other
     WHERE other.relay_message_id = mail.id AND other.id <> person.id))"""


class Match(NamedTuple):
    """Whom an event is about; ``created_at`` is when his mail was queued."""

    recipient_id: int
    mail_id: int
    created_at: datetime


def match(cr, addresses: Sequence[tuple[int, str]]) -> dict[int, Match]:
    """Return whom events are about, by event id; those about nobody are absent.

    :param addresses: event ids and normalised addresses.
    """
    left = {event_id: _with_ascii_domain(address) for event_id, address in addresses}
    found: dict[int, Match] = {}
    for way in WAYS:
        if not left:
            break
        cr.execute(_statement(way), {"ids": list(left), "ascii": list(left.values())})
        for event_id, *values in cr.fetchall():
            found[event_id] = Match(*values)
            del left[event_id]
    return found


def _statement(way: str) -> str:
    by_person = way.startswith("person.")
    return MATCH.format(
        mail="TRUE" if by_person else way,
        person=way if by_person else "TRUE",
        nobody=_NOBODY if way is WAYS[0] else "FALSE",
    )


def _with_ascii_domain(address: str) -> str:
    """Return an address as a provider may write that of an IDN domain."""
    local, at, domain = (address or "").rpartition("@")
    return f"{local}@{ascii_domain(domain)}" if at else ""
