# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What each provider understands as *try again later*, known without a database.

The adapters' own tables live in their addons, which are not loaded while PostgreSQL is
away; a test keeps both equal. Sources: facts of each provider's documentation, named
in its addon's ``const.py``.
"""

RETRY_AFTER_SECONDS = 60

#: Provider code → HTTP status that makes it send the same mail again.
TRY_AGAIN_STATUS = {
    "mailgun": 503,
    "improvmx": 503,
    "raw": 503,
    "smtp2go": 503,
    "demo": 503,
}

#: For a path we do not know: 503 is *later* for every sender that follows RFC 9110.
DEFAULT_TRY_AGAIN_STATUS = 503


def try_again_status(path: str) -> int:
    """Return the *try again* status for a request path below ``/mailgate/``."""
    provider = path.removeprefix("/mailgate/").partition("/")[0]
    return TRY_AGAIN_STATUS.get(provider, DEFAULT_TRY_AGAIN_STATUS)
