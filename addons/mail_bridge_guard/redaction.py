# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""URL tokens never reach a log: Odoo's request line shows the whole path."""

from __future__ import annotations

import logging
import re

#: ``/mailgate/<provider>/<token>``. Odoo's router takes several slashes for one; a
#: short word is a path of ours (``mime``), and shorter than any token.
TOKEN_IN_PATH = re.compile(
    r"""(/mailgate/+[^/?\s"']+/+)(?![a-z]{1,15}(?:[/?\s"']|$))[^/?\s"']+"""
)
MASK = r"\1***"


def mask_path(text: str) -> str:
    """Replace account tokens in a path or URL by three stars."""
    return TOKEN_IN_PATH.sub(MASK, text)


class TokenMask(logging.Filter):
    """Rewrites records that show a mailgate path."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask in place; every record passes."""
        message = record.getMessage()
        if "/mailgate/" in message:
            record.msg, record.args = mask_path(message), ()
        return True


def install_token_mask() -> None:
    """Attach the mask to the logger of Odoo's request lines (once)."""
    werkzeug = logging.getLogger("werkzeug")
    if not any(isinstance(item, TokenMask) for item in werkzeug.filters):
        werkzeug.addFilter(TokenMask())
