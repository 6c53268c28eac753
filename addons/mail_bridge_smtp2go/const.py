# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What SMTP2GO documents of its webhooks and its interface, and what was seen of both.

Facts: facts/providers.md §1.3. Reviewed 2026-11-21 against
https://developers.smtp2go.com/docs/webhooks-overview
https://developers.smtp2go.com/reference/introduction-1 and
https://developers.smtp2go.com/docs/rate-limiting
"""

from datetime import date, timedelta

DOCS_URL = "https://developers.smtp2go.com/docs/webhooks-overview"
REVIEWED_ON = date(2026, 11, 21)

#: Five times in half an hour, hourly, 6-hourly and 12-hourly for a day each, and once
#: more a day later: 96.5 hours, although the text beside it says 48.
RETRY_HORIZON = timedelta(days=5)

#: Names of the credentials on the account: the interface's key; the
#: ``auth_header_value`` of the webhook, which SMTP2GO repeats in each post (it signs
#: nothing); the key of a proxy of the user's own that signs what it hands on.
API_KEY = "api_key"
WEBHOOK_AUTH = "webhook_auth"
PROXY_KEY = "proxy_key"

#: What such a proxy adds: Unix seconds, and the HMAC-SHA256 (lower-case hex) over
#: ``<seconds>.<body>``.
PROXY_TIMESTAMP = "X-Mail-Bridge-Timestamp"
PROXY_SIGNATURE = "X-Mail-Bridge-Signature"

#: The A records of this name are where webhooks come from; no list is published.
PUBLISHED_HOST = "webhooks.smtp2go.com"

#: Carries our reference in the mail; webhooks and the activity search repeat it.
REFERENCE_HEADER = "X-Mail-Bridge-Reference"
REFERENCE_FORM = r"[A-Za-z0-9_-]{1,64}"
#: Stands in a mail that was sent with ``schedule``.
SCHEDULE_HEADER = "X-Smtp2go-Schedule-Id"
ECHOED_HEADERS = (REFERENCE_HEADER, SCHEDULE_HEADER)

#: Region → where its interface is. ``global`` takes the one that is nearest to us.
REGIONS = {
    "global": "https://api.smtp2go.com/v3",
    "us": "https://us-api.smtp2go.com/v3",
    "eu": "https://eu-api.smtp2go.com/v3",
    "au": "https://au-api.smtp2go.com/v3",
}

#: Seconds for one mail (50 MB must get there), and for anything else.
SEND_TIMEOUT = 120.0
ASK_TIMEOUT = 30.0
#: Bytes of a request with mail; all others are small.
MAX_MAIL_REQUEST = 50_000_000
#: Addresses in each of To, Cc and Bcc. One mail takes no more in all three.
MAX_RECIPIENTS = 100
#: Mails in one call of ``/email/batch``.
MAX_BATCH = 1000
#: How far ahead a mail may be scheduled.
MAX_SCHEDULE = timedelta(days=3)
#: An address that asks too much is shut out for a minute at least, and no answer says
#: for how long (there is no Retry-After).
THROTTLED_SECONDS = 60.0
#: Events on one page of ``/activity/search``.
PAGE = 1000
#: How far back a mail in doubt is looked for.
FIND_WINDOW = timedelta(days=4)
#: An address of ours, in full.
OWN_URL = (
    r"https?://[A-Za-z0-9.:\[\]-]{1,300}/mailgate/smtp2go(/[A-Za-z0-9_/-]{1,300})?"
)
