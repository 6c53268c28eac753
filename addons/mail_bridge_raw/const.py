# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The contract of our own: raw mail in a body, the envelope in headers.

Proof as in the Standard Webhooks specification 1.0, https://www.standardwebhooks.com
"""

from datetime import date, timedelta

#: A page of this addon: nobody else describes the contract.
DOCS_URL = "/mail_bridge_raw/static/description/index.html"
REVIEWED_ON = date(2026, 11, 20)

#: A sender that keeps a post for later need not sign it again within a day.
RETRY_HORIZON = timedelta(hours=24)

#: Name of the credential; a Standard Webhooks secret.
SIGNING_KEY = "signing_key"

#: Media types under which raw mail is known.
MEDIA_TYPES = ("message/rfc822", "message/rfc2822", "application/octet-stream")
ENVELOPE_FROM = "X-Envelope-From"
ENVELOPE_TO = "X-Envelope-To"
WEBHOOK_ID = "webhook-id"
WEBHOOK_TIMESTAMP = "webhook-timestamp"
WEBHOOK_SIGNATURE = "webhook-signature"

#: Bytes of the header block that survive in a mail that is too large.
MAX_HEADERS = 256 * 1024
