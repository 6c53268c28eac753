# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's HTTP interface: where it is, its limits, what its answers mean.

Reviewed 2026-11-21 against
https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun and
https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses
"""

from typing import NamedTuple

from odoo.addons.mail_bridge.providers.delivery import Outcome, Stage

#: The account's options (``AccountFacts.options``).
REGION = "region"
DOMAIN = "domain"
#: A domain lives in one region, and is unknown in the other.
API_URLS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
DEFAULT_REGION = "us"
#: HTTP basic: this user, the API key as password.
USER = "api"

# --- Sending: POST /v3/{domain}/messages.mime ---

#: Seconds for one mail; Mailgun answers within a few, but 25 MB must get there.
SEND_TIMEOUT = 120.0
#: Seconds for anything else.
ASK_TIMEOUT = 30.0
#: "The maximum message size Mailgun supports is 25MB"; what is surely too large is not
#: handed over, because the refusal might be lost on the way.
MAX_MESSAGE = 25 * 1024 * 1024
#: Recipients of one call.
MAX_RECIPIENTS = 1000
#: Calls for one mail, while the one address is looked for that Mailgun refuses.
MAX_CALLS = 40


class Meaning(NamedTuple):
    """What a refusal means for all recipients of a call; for whom, the stage says.

    ``code`` is the SMTP code for the same; for ``api`` the HTTP status is told.
    """

    outcome: Outcome
    stage: Stage = "api"
    code: int = 0
    enhanced: str = ""


#: What is the account's own trouble: its key, its domain or region, its plan.
ACCOUNT = Meaning(Outcome.DEFERRED, "auth")
#: 401 to 404 concern the account, 400 and 413 the message. 420 was once the answer to
#: too much mail in an hour.
STATUSES: dict[int, Meaning] = {
    400: Meaning(Outcome.REJECTED),
    401: Meaning(Outcome.DEFERRED),
    402: Meaning(Outcome.DEFERRED),
    403: Meaning(Outcome.DEFERRED),
    404: Meaning(Outcome.DEFERRED),
    413: Meaning(Outcome.REJECTED, enhanced="5.3.4"),
    420: Meaning(Outcome.DEFERRED),
    429: Meaning(Outcome.DEFERRED),
}
#: Any other refusal: nothing was taken, and whose fault it is nobody knows.
OTHER_STATUS = Meaning(Outcome.DEFERRED)
#: A 5xx may come from in front of a machine that has taken the mail, and people have
#: seen Mailgun send what it had answered 5xx to
#: (https://feedback.mailgun.com/users/921341509-marketsmart).
SERVER_ERROR = Meaning(Outcome.IN_DOUBT)
#: One status, and only with a Retry-After, says that nobody took the request up (RFC
#: 9110 §15.6.4).
UNAVAILABLE = 503

#: What the text of a 400 says more exactly.
BAD_REQUESTS: tuple[tuple[str, Meaning], ...] = (
    (r"\bto parameter\b", Meaning(Outcome.REJECTED, "rcpt", 501, "5.1.3")),
    (r"\bfrom parameter\b", Meaning(Outcome.REJECTED, "mail", 501, "5.1.7")),
    # Older machines say with a 400 what others say with 401, 403 or 404.
    (r"\bdomain\b.{0,300}\bnot (allowed to send|found)\b", ACCOUNT),
    (r"\bsandbox subdomains?\b|\bfree accounts\b", ACCOUNT),
)
#: The wait that a 429 asks for in words.
TRY_AGAIN = r"try again after (\d{1,6}) seconds?"

# --- Events: GET /v3/{domain}/events ---

#: Entries on a page, 300 at most.
EVENT_LIMIT = 300
#: Pages that are read at one go.
MAX_PAGES = 20
#: How far back a mail in doubt is looked for.
FIND_SECONDS = 15 * 60

# --- Suppressions: /v3/{domain}/{bounces,complaints,unsubscribes} ---

#: Entries on a page, 1000 at most; each may hold a long reply.
SUPPRESSION_LIMIT = 500
#: Entered at one go: "less than 1000".
SUPPRESSION_BATCH = 500
MAX_SUPPRESSION_PAGES = 1000

# --- Webhooks: /v3 (to list) and /v4 (to change) /domains/{domain}/webhooks ---

#: What Mailgun calls the webhooks that tell of deliveries. Opens and clicks come only
#: from mail that is tracked.
WEBHOOKS = (
    "accepted",
    "clicked",
    "complained",
    "delivered",
    "opened",
    "permanent_fail",
    "temporary_fail",
    "unsubscribed",
)
#: "Maximum of 3 urls for a given webhook type."
MAX_WEBHOOK_URLS = 3

# --- Routes: /v3/routes, of the whole account ---

ROUTE_LIMIT = 1000
MAX_ROUTE_PAGES = 10
#: The description of a route that is ours, with a reference that is nobody else's.
ROUTE_MARK = "Mail Bridge {reference}"
ROUTE_PRIORITY = 0
#: An address of ours, in full.
OWN_URL = (
    r"https?://[A-Za-z0-9.:\[\]-]{1,300}/mailgate/mailgun(/[A-Za-z0-9_/-]{1,300})?"
)
