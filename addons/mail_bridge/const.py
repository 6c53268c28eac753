# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Numbers and tables of the core."""

from datetime import timedelta

#: Largest mail by default, MB (1 MB = 1024 * 1024 bytes).
MAIL_LIMIT_MB = 50
#: A body may be this much larger than the mail in it (base64, form, JSON).
BODY_FACTOR = 1.4
BODY_MARGIN_BYTES = 1024 * 1024
#: Beyond this multiple of the body limit nothing is read at all …
CEILING_FACTOR = 4
#: … but up to this many bytes always, so that an ordinary mail is kept as *too large*
#: where the limit is small. As much as the shipped proxies let through.
CEILING_FLOOR_BYTES = 284 * 1024 * 1024
#: Bytes of one chunk in the body table: small enough never to copy a mail at once.
CHUNK_BYTES = 1024 * 1024
#: How long an old URL token is remembered as ours after its validity, to answer
#: *try again* and to tell the administrator.
RETIRED_TOKEN_MEMORY = timedelta(days=30)
#: At most one notice of a kind per account and this many seconds is written.
NOTICE_SECONDS = 60

#: Backoff of a failed intake, minutes, by number of tries (then the last one).
BACKOFF_MINUTES = (1, 2, 5, 10, 20, 40, 60, 120, 240, 360)
MAX_TRIES = 12
#: Tries at once, without backoff, on serialization and integrity failures.
CONFLICT_TRIES = 5

#: How long a host leaves the rows of an account alone that it cannot work on.
NOT_HERE_SECONDS = 60.0

#: A drain call ends after this many seconds and wakes itself again.
DRAIN_SECONDS = 5.0
#: A process asks for the drains at most this often, seconds; less than the pause.
WAKE_SECONDS = 0.2
#: How long a drain looks once more before it ends, seconds. Two drains then ask for
#: at most one trigger row per 200 ms.
LINGER_SECONDS = 0.45

#: Delivery events that are applied at once.
EVENT_BATCH = 1000
#: How long an event waits for a mail that nobody here knows.
UNMATCHED_DAYS = 3

#: Header fields that are never stored.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

#: States of a queue's row that waits for work.
UNFINISHED = ("pending", "failed")
#: States of a mail that waits for a person.
UNDECIDED = ("received", "unrouted", "quarantined", "held", "too_large")

#: Retention by default, days: bodies of processed posts, messages.
BODY_DAYS = 30
MESSAGE_DAYS = 365
#: The least of both: a provider repeats a post for a day (its ``retry_horizon``), and
#: what is deleted is not known again.
LEAST_DAYS = 2
