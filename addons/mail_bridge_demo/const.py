# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The simulator's dialect: signed JSON around raw mail. Nobody else speaks it."""

from datetime import date, timedelta

DOCS_URL = "/mail_bridge_demo/static/description/index.html"
REVIEWED_ON = date(2026, 11, 20)
RETRY_HORIZON = timedelta(hours=24)

#: Name of the credential.
SIGNING_KEY = "signing_key"

#: The signature is an HMAC-SHA256 (hex) over id, timestamp and body.
POST_ID = "X-Simulator-Id"
TIMESTAMP = "X-Simulator-Timestamp"
SIGNATURE = "X-Simulator-Signature"
