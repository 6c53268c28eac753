# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""For providers that keep the mail as it came, and post parts of it meanwhile."""

from __future__ import annotations

import re

from .base import FetchRequest

#: Name of the original among the fetched results.
ORIGINAL = "original"
#: Mailgun and ImprovMX both want this as the user, and the API key as the password.
_USER = "api"


def original_at(
    url: str, pattern: str, api_key: str, **options: object
) -> FetchRequest | None:
    """Return how to fetch an original, ``None`` where ``url`` is not the provider's.

    The API key goes with the request, so the whole URL must be what the provider
    writes.

    :param pattern: such a URL, with the group ``host``.
    :param options: more of the ``FetchRequest``.
    """
    found = re.fullmatch(pattern, url, re.ASCII)
    if not found:
        return None
    hosts, auth = (found["host"],), (_USER, api_key)
    return FetchRequest(ORIGINAL, url, hosts, auth=auth, **options)
