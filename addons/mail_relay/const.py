# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Numbers and tables of the relay."""

#: Connections of one account, and of one dispatcher.
MAX_THREADS = 64
#: A claim belongs to its dispatcher for so long, seconds, unless it says that it lives.
LEASE_SECONDS = 120.0
HEARTBEAT_SECONDS = 30.0
#: A dispatch call takes no more work on after this many seconds.
DISPATCH_SECONDS = 5.0
#: A dispatcher that found nothing looks once more after this long, seconds.
LINGER_SECONDS = 0.45
#: One dispatcher stays for what is due within so many seconds: the cron workers look
#: once a minute.
WAIT_SECONDS = 65.0
#: The largest mail, bytes, and the most recipients of one mail.
MAX_MIME_BYTES = 60 * 1024 * 1024
MAX_RECIPIENTS = 10_000
#: MIME up to this size is read with the claim; what is larger, one at a time.
SMALL_MIME_BYTES = 256 * 1024
#: Seconds that a provider is asked about a mail in doubt.
DOUBT_SECONDS = 15 * 60.0
#: It is asked again after so many.
DOUBT_ASK_SECONDS = 60.0
#: Recipients whose news are told at once: core takes its time with each hard bounce,
#: and all of them are one transaction.
TELL_BATCH = 200

#: Retention by default, days: the text of mails that were sent, and the mails.
BODY_DAYS = 30
MESSAGE_DAYS = 365
#: The least of both: a provider tells of a mail for some days.
LEAST_DAYS = 4
