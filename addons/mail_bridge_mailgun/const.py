# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Mailgun documents, and what was seen in its posts (facts/providers.md §1.1).

Reviewed on the date below against
https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store
"""

from datetime import date, timedelta

DOCS_URL = (
    "https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store"
)
REVIEWED_ON = date(2026, 11, 20)

#: Mailgun repeats a route's post for about eight hours and signs only once.
RETRY_HORIZON = timedelta(hours=24)

#: Names of the credentials on the account.
SIGNING_KEY = "signing_key"
API_KEY = "api_key"

#: The proof; it differs where the same mail is posted again, so it is no content.
PROOF = ("timestamp", "token", "signature")
#: A genuine token is 50 hexadecimal digits.
TOKEN = rb"[A-Za-z0-9_-]{16,100}"

#: Fields of Mailgun's own. Headers of the mail are posted beside them under their own
#: names, so a sender can write a header that is called like one of these.
ATTACHMENT = r"attachment-(\d{1,4})"
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

WRONG_ADDRESS = (
    "This is one of Mailgun's event webhooks. Enter this address in a receiving route, "
    "not among the webhooks."
)
NOT_FETCHED = (
    "Mailgun stored this mail, but the account has no API key to fetch it with. "
    "Attachments are missing."
)
REENCODED = "Mailgun handed the stored mail over as text; other bytes may be damaged."

#: Hosts that hold stored mail, by the account's region.
STORAGE_HOSTS = {
    "us": r"(api|(storage|sw|se|storage-us-[a-z]+\d{1,2})(\.api)?)\.mailgun\.(net|org)",
    "eu": r"((api|storage)\.eu|storage-europe-[a-z]+\d{1,2}\.api)\.mailgun\.(net|org)",
}
STORED_PATH = (
    r"/v\d/domains/([A-Za-z0-9_-]{1,63}\.){0,9}[A-Za-z0-9_-]{1,63}"
    r"/messages/[A-Za-z0-9_=-]{1,512}"
)

#: An event webhook (JSON) is a few kilobytes; a larger one is not read at all.
MAX_EVENT = 1024 * 1024

#: Bytes of one field that survive in a mail that is too large, and of all together.
REDUCED_FIELD = 64 * 1024
REDUCED_TOTAL = 1024 * 1024
#: What must survive in it, or nobody could tell whose mail it was.
REDUCED_KEEP = (*PROOF, "recipient", "sender", "message-url", "message-headers")
