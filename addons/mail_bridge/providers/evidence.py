# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is found out about a mail's sender beside what its provider says."""

from __future__ import annotations

from dataclasses import replace

from .authentication import check_dkim, parse_authentication_results
from .base import InboundMail
from .mimescan import header_fields


def with_server_results(mail: InboundMail, authserv_id: str) -> InboundMail:
    """Add what a trusted mail server wrote into the header, if nobody said anything.

    :param authserv_id: the trusted server's name; empty trusts nobody.
    """
    if mail.verdicts.known or not authserv_id:
        return mail
    fields = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in header_fields(mail.mime)
    ]
    return replace(mail, verdicts=parse_authentication_results(fields, authserv_id))


def needs_dkim_check(mail: InboundMail) -> bool:
    """Tell whether our own look at the signatures would say anything new."""
    return mail.is_original and not mail.truncated and not mail.verdicts.known


def with_dkim_verdict(mail: InboundMail) -> InboundMail:
    """Add what the mail's signatures prove; asks DNS, so it may take seconds."""
    if not needs_dkim_check(mail):
        return mail
    return replace(mail, verdicts=check_dkim(mail.mime))
