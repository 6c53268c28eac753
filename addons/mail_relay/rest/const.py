# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Numbers and names of the interface."""

from collections.abc import Mapping

ADMIN_SCOPE = "relay:admin"
CLIENT_SCOPE = "relay:client"

#: Largest body of a request, bytes: a thousand mails of ordinary size, or a large one
#: with its attachments as base64.
MAX_BODY_BYTES = 96 * 1024 * 1024
#: Applications that are reported to at once, by one reporter.
REPORT_THREADS = 8
#: A report belongs to its reporter for so long; more than it may take, seconds.
REPORT_LEASE_SECONDS = 120
#: Messages whose attachments are fetched at once, and the lease of one, seconds.
FETCH_THREADS = 3
FETCH_LEASE_SECONDS = 600
#: Tries of a message whose fetching took its worker with it.
FETCH_TRIES = 3
#: Days that the command log and reports that nobody wants are kept.
COMMAND_DAYS = 90
UNREPORTED_DAYS = 30

#: ``mail_relay.<name>`` → its value where nobody has set one. Networks, folders:
#: separated by spaces or commas.
API_SETTINGS: Mapping[str, str] = {
    # Where reports go of applications without an address of their own.
    "sync_url": "",
    # Seconds between two calls of an application that has no news to get.
    "sync_interval": "300",
    # Networks that addresses set by applications themselves may lead to.
    "private_networks": "",
    # Who may read the metrics without a key.
    "metrics_networks": (
        "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"
    ),
    # Folders whose files may be attached.
    "attachment_folders": "",
    # Largest attachment, bytes.
    "attachment_bytes": str(50 * 1024 * 1024),
    # Most messages of one call, and of one answer.
    "batch_messages": "1000",
    "listed_messages": "10000",
    # Days that a message is kept after its last report.
    "retention_days": "7",
    # Whether registering a known application again gives it a new key.
    "reissue_keys": "0",
    # What ``GET /instance`` shows, JSON.
    "instance": "{}",
}
