# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is handed to the relay: one mail, to whom, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

#: genro's levels (facts/relay.md §1.7): 0 before everything else, 3 when nobody waits.
IMMEDIATE, HIGH, MEDIUM, LOW = range(4)


class Rcpt(NamedTuple):
    """One recipient of the envelope, with the records that stand for him.

    ``partner_id`` (``res.partner``) and ``trace_id`` (``mailing.trace``) are 0 where
    there is none; ``variables`` are his own values in a bulk mail.
    """

    address: str
    partner_id: int = 0
    trace_id: int = 0
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Submission:
    """One mail as its author hands it over (RFC 6409 calls that submission).

    ``mime`` are RFC 5322 bytes with Message-ID and Date, without Bcc. Ids are 0 where
    there is no record; ``account_id`` is the account to use whatever the routes say,
    ``default_account_id`` the one where no route matches. ``client_reference`` is the
    application's own name of the mail. ``not_before`` is naive UTC. Tracking is the
    account's where it is ``None``. ``suspended`` mails wait until they are released.
    ``reference`` is ours where the mail already carries it (32 lower-case hex digits).
    """

    mime: bytes = field(repr=False)
    envelope_sender: str
    email_from: str
    recipients: tuple[Rcpt, ...]
    message_id: str
    subject: str = ""
    company_id: int = 0
    account_id: int = 0
    default_account_id: int = 0
    client_id: int = 0
    client_reference: str = ""
    priority: int = MEDIUM
    is_marketing: bool = False
    list_reference: str = ""
    not_before: datetime | None = None
    model: str = ""
    res_id: int = 0
    mail_mail_id: int = 0
    mail_message_id: int = 0
    batch_id: int = 0
    template_id: int = 0
    variant: str = ""
    track_opens: bool | None = None
    track_clicks: bool | None = None
    suspended: bool = False
    reference: str = ""
