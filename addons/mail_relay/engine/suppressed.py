# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who must not get a mail: one query for enqueue and claim alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..providers.states import RANKS, Truth
from ..providers.suppression import Scope, holds_back


class Entry(NamedTuple):
    """One row that counts now; ``id`` is ``None`` for one of Odoo's own blacklist."""

    id: int | None
    scope: Scope
    list_reference: str
    reason: str

    def holds_back(self, is_marketing: bool, list_reference: str, strict: bool) -> bool:
        """Whether it keeps a mail from its recipient; see ``providers.suppression``."""
        return holds_back(
            self.scope,
            marketing=is_marketing,
            same_list=bool(list_reference) and self.list_reference == list_reference,
            strict=strict,
        )


def find(cr, addresses: Collection[str], company_id: int) -> dict[str, list[Entry]]:
    """Return the entries that count now, by normalised address."""
    cr.execute(
        """SELECT email_normalized, id, scope, coalesce(list_reference, ''), reason
             FROM mail_relay_suppression
            WHERE active AND company_id = %s AND email_normalized = ANY(%s)
              AND (until IS NULL OR until > now() AT TIME ZONE 'UTC')
        UNION ALL
           SELECT email, NULL, 'marketing', '', 'blacklisted' FROM mail_blacklist
            WHERE active AND email = ANY(%s)""",
        (company_id, list(addresses), list(addresses)),
    )
    found: dict[str, list[Entry]] = {}
    for address, *entry in cr.fetchall():
        found.setdefault(address, []).append(Entry(*entry))
    return found


#: Takes arrays: recipient ids, entry ids, reasons.
REFUSE = f"""
    UPDATE mail_relay_recipient AS person
       SET state = 'rejected', bounce_class = NULL, rank = {RANKS[Truth("rejected")]},
           reason = 'suppressed', suppression_id = v.entry_id, failure_text = v.why,
           last_event_at = now() AT TIME ZONE 'UTC'
      FROM unnest(%s, %s::integer[], %s) AS v(id, entry_id, why)
     WHERE person.id = v.id"""
