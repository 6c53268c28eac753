# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is found out about a mail's sender beside what its provider says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .authentication import check_dkim, parse_authentication_results
from .base import AuthenticationVerdicts, InboundMail
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


def unjudged(mails: Sequence[InboundMail]) -> list[InboundMail]:
    """Return the mails whose signatures nobody has looked at, and which have some."""
    return [mail for mail in mails if _is_unjudged(mail)]


def with_dkim_verdicts(
    mails: Sequence[InboundMail], verdicts: Sequence[AuthenticationVerdicts] = ()
) -> list[InboundMail]:
    """Add what the mails' signatures prove.

    :param verdicts: what was found out before, for each of :func:`unjudged`; without
        them DNS is asked, which may take seconds.
    """
    known = iter(verdicts or [check_dkim(mail.mime) for mail in unjudged(mails)])
    return [
        replace(mail, verdicts=next(known)) if _is_unjudged(mail) else mail
        for mail in mails
    ]


def _is_unjudged(mail: InboundMail) -> bool:
    if not mail.is_original or mail.truncated or mail.verdicts.known:
        return False
    return b"dkim-signature" in dict(header_fields(mail.mime))
