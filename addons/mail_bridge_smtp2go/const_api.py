# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What SMTP2GO's refusals say of a mail (facts/providers.md §1.3, relay.md §3.3).

Reviewed 2026-11-21 against
https://developers.smtp2go.com/docs/response-codes
https://developers.smtp2go.com/docs/rate-limiting and
https://support.smtp2go.com/hc/en-gb/articles/13990494697369-Common-Sending-Errors
"""

import re
from typing import NamedTuple

from odoo.addons.mail_bridge.providers.delivery import Outcome, Stage


class Verdict(NamedTuple):
    """What a refusal means; for whom, stage and code say.

    ``code`` is the HTTP status, or (beside another stage than ``api``) the SMTP code,
    that fits better than the one that came: SMTP2GO says most of them with 400.
    ``throttled``: nothing more should be sent for a while.
    """

    outcome: Outcome
    stage: Stage = "api"
    code: int = 0
    enhanced: str = ""
    throttled: bool = False


ACCOUNT = Verdict(Outcome.DEFERRED, code=401)
DENIED = Verdict(Outcome.DEFERRED, code=403)
PLAN = Verdict(Outcome.DEFERRED, code=402)
THROTTLED = Verdict(Outcome.DEFERRED, code=429, throttled=True)
LATER = Verdict(Outcome.DEFERRED)
#: The same where the status would say "never".
TROUBLE = Verdict(Outcome.DEFERRED, enhanced="4.3.0")
REFUSED = Verdict(Outcome.REJECTED)
SENDER = Verdict(Outcome.REJECTED, "mail", 550)
RECIPIENT = Verdict(Outcome.REJECTED, "rcpt", 550)
TOO_LARGE = Verdict(Outcome.REJECTED, enhanced="5.3.4")
UNCLEAR = Verdict(Outcome.IN_DOUBT)

#: HTTP status → what it says; any other 4xx refuses the mail for good, a 3xx for now.
#: After a 5xx the mail may be on its way, but for a 503 with a Retry-After: nobody took
#: that request up (RFC 9110 §15.6.4).
STATUSES: dict[int, Verdict] = {
    401: ACCOUNT,
    402: PLAN,
    403: DENIED,
    404: LATER,
    408: LATER,
    413: TOO_LARGE,
    429: THROTTLED,
}
UNAVAILABLE = 503

PERMISSION_DENIED = "ENDPOINT_PERMISSION_DENIED"
#: ``error_code`` without its prefix → what it says, whatever the status. A missing
#: permission comes as 400, not 403.
ERROR_CODES: dict[str, Verdict] = {
    PERMISSION_DENIED: DENIED,
    "NON_VALIDATING_IN_PAYLOAD": REFUSED,
    "SENDER_NOT_VERIFIED": SENDER,
}
#: Says nothing in itself; the text may.
GENERAL_CODES = frozenset(("", "API_EXCEPTION"))

#: Words of a refusal → what they say; the first that is found counts.
TEXTS: tuple[tuple[re.Pattern[str], Verdict], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), verdict)
    for pattern, verdict in (
        (r"rate ?limit|too many requests", THROTTLED),
        (r"ip address.{0,60}(allow|list)|sandbox", DENIED),
        (r"api.?(key|user).{0,60}(not found|invalid|disabled)", ACCOUNT),
        (r"invalid api.?key|incorrect authentication", ACCOUNT),
        (r"(plan|account|monthly|daily|hourly).{0,40}(quota|limit|allowance)", PLAN),
        (r"(sender|from).{0,60}(not|un) ?verified|unverified", SENDER),
        (r"suppress|unsubscribed|blocked recipient", RECIPIENT),
        (r"try again|temporar|timed? ?out", TROUBLE),
    )
)
