# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What ImprovMX documents, and what was seen in its posts (facts/providers.md §1.2).

Reviewed on the date below against https://improvmx.com/guides/webhooks
"""

from datetime import date, timedelta

DOCS_URL = "https://improvmx.com/guides/webhooks"
REVIEWED_ON = date(2026, 11, 20)

#: Three tries within minutes; a day leaves room for whoever changes the address there.
RETRY_HORIZON = timedelta(hours=24)

#: Name of the credential that fetches originals.
API_KEY = "api_key"
#: ``raw_url`` must point here: the API key goes with the request.
RAW_URL = r"https://(?P<host>(?:[a-z0-9-]{1,63}\.)?improvmx\.com)/[!-~]{1,2000}"

#: The topmost of these is of ImprovMX, the others came with the mail and may claim to
#: be of ImprovMX too. The JSON does not tell what stood above which ``Received``, so a
#: reader of the rebuilt mail could not tell them apart.
ONLY_TOPMOST = frozenset({"authentication-results"})

#: Keys that may differ where the same mail is posted again.
VOLATILE = frozenset({"raw_url"})

RESULTS_IN_DOUBT = (
    "The mail brought Authentication-Results in several spellings, so none of them "
    "counts."
)
NOT_FETCHED = (
    "The original could not be fetched from ImprovMX. The mail was rebuilt from its "
    "parts."
)
DAMAGED = (
    "ImprovMX had decoded {name} as text before it was posted. It may be damaged; with "
    "an API key on the account the original is fetched instead."
)
NOT_BASE64 = "The content of {name} is no base64. It was kept as it came."
"""Both take the file's name."""
