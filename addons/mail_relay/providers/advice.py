# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a failure of an account asks the administrator to do, as data.

The texts are those that the connector, the link and the wire write themselves; what a
server says is judged by stage and code alone.
"""

from __future__ import annotations

import re
from typing import Literal

from odoo.addons.mail_bridge.providers.delivery import Reply

Advice = Literal[
    "name",
    "family",
    "firewall",
    "refused",
    "implicit",
    "greeting",
    "certificate",
    "authorities",
    "no_starttls",
    "clear_text",
    "not_tls",
    "tls",
    "mechanism",
    "credentials",
    "sender",
    "recipient",
    "message",
    "interface",
]

#: (stage, whether the server itself said it, what the text holds, advice), the first
#: that fits counts.
_RULES: tuple[tuple[str, bool, str, Advice], ...] = (
    ("connect", False, r"could not be resolved", "name"),
    ("connect", False, r"no suitable address", "family"),
    ("connect", False, r"timed out|unreachable|no route|no time was left", "firewall"),
    ("connect", False, r"refused", "refused"),
    ("connect", False, r"no answer in time|closed the connection", "implicit"),
    ("connect", True, r"", "greeting"),
    ("connect", False, r"", "firewall"),
    ("tls", False, r"^certificate:", "certificate"),
    ("tls", False, r"file of authorities", "authorities"),
    ("tls", False, r"no STARTTLS", "no_starttls"),
    ("tls", False, r"in clear text", "clear_text"),
    ("tls", False, r"WRONG_VERSION_NUMBER|closed the connection", "not_tls"),
    ("tls", False, r"", "tls"),
    ("tls", True, r"", "tls"),
    ("auth", False, r"no login that we know", "mechanism"),
    ("auth", True, r"", "credentials"),
    ("auth", False, r"", "credentials"),
    ("mail", True, r"", "sender"),
    ("mail", False, r"", "sender"),
    ("rcpt", True, r"", "recipient"),
    ("rcpt", False, r"", "recipient"),
    ("api", True, r"", "interface"),
    ("api", False, r"", "interface"),
)


def advice_on(failure: Reply) -> Advice:
    """Return what there is to do about a failure."""
    for stage, said, pattern, advice in _RULES:
        if (stage, said) == (failure.stage, failure.code > 0) and re.search(
            pattern, failure.text, re.IGNORECASE
        ):
            return advice
    return "message"
