# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Mailgun documents, and what was seen in its posts (facts/providers.md §1.1).

Reviewed on the date below against
https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store ;
its events and its interface in ``const_events`` and ``const_api``.
"""

from datetime import date, timedelta

DOCS_URL = (
    "https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store"
)
REVIEWED_ON = date(2026, 11, 21)

#: Below an account's address: where routes and webhooks post to.
MIME_PATH = "/mime"
EVENTS_PATH = "/events"

#: Mailgun repeats a route's post for about eight hours and signs only once.
RETRY_HORIZON = timedelta(hours=24)

#: Names of the credentials on the account.
SIGNING_KEY = "signing_key"
API_KEY = "api_key"

#: The proof; it differs where the same mail is posted again, so it is no content.
PROOF = ("timestamp", "token", "signature")
#: A sub-account's posts are signed by the account above it too.
PARENT = "parent-signature"
SIGNED = (*PROOF, PARENT)
#: In JSON both are objects.
JSON_PROOFS = ("signature", PARENT)
#: How often each may stand in a post (a header of the mail may be called like it), and
#: the most bytes of one: nobody has proved anything yet.
MAX_PROOFS = 2
MAX_PROOF = 16 * 1024
#: A genuine token is 50 hexadecimal digits.
TOKEN = rb"[A-Za-z0-9_-]{16,100}"

#: Fields of Mailgun's own. Headers of the mail are posted beside them under their own
#: names, so a sender can write a header that is called like one of these.
ATTACHMENT = r"attachment-(\d{1,4})"
#: A post about a mail has one of these.
MAIL = ("body-plain", "body-mime", "message-headers", "message-url")
#: Sorts behind every number of an attachment.
LAST = 10_000
#: In a post without ``message-headers``: fields that are headers of the mail.
HEADER = r"[A-Z][!-9;-~]{0,75}"
#: RFC 8601 §2.7.
RESULT_WORDS = (
    "pass",
    "fail",
    "none",
    "neutral",
    "softfail",
    "policy",
    "temperror",
    "permerror",
)
#: The one for a result that stands there twice.
IN_DOUBT = "policy"

NO_EVENT = "This is JSON from Mailgun, but it tells of no event."
OLD_EVENT = (
    "This is one of Mailgun's legacy event webhooks, a form. Mailgun no longer keeps "
    "them up: enter this address among the current webhooks."
)
NO_API_KEY = (
    "Mailgun stored this mail, but the account has no API key to fetch it with. "
    "Attachments are missing."
)
NOT_FETCHED = (
    "Mailgun stored this mail, but it could not be fetched: the API key is wrong, or "
    "the three days that Mailgun keeps a mail were over. Attachments are missing."
)
REENCODED = "Mailgun handed the stored mail over as text; other bytes may be damaged."

#: Where stored mail lies: in the US, in the EU. The API key goes there, so this is the
#: whole URL and all its hosts are Mailgun's own.
STORED_URL = (
    r"https://(?P<host>((api|(storage|sw|se|storage-us-[a-z]+\d{1,2})(\.api)?)"
    r"|((api|storage)\.eu|storage-europe-[a-z]+\d{1,2}\.api))\.mailgun\.(net|org))"
    r"/v\d/domains/([A-Za-z0-9_-]{1,63}\.){0,9}[A-Za-z0-9_-]{1,63}"
    r"/messages/[A-Za-z0-9_=-]{1,512}"
)
#: Tries within about two hours; without the original all attachments are missing.
TRIES = 8

#: An event webhook (JSON) is a few kilobytes; a larger one is not read at all.
MAX_EVENT = 1024 * 1024

#: What must survive in a mail that is too large, or nobody could tell whose it was.
REDUCED_KEEP = (*PROOF, "recipient", "sender", "message-url", "message-headers")
