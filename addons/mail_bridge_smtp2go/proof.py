# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who posts: the header that SMTP2GO repeats, and the HMAC of a proxy before us.

SMTP2GO signs nothing. It offers an ``Authorization`` header (bearer or basic) for
each webhook; the address's token and the networks are the core's business.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta

from odoo.addons.mail_bridge.exceptions import SignatureError
from odoo.addons.mail_bridge.providers import signing
from odoo.addons.mail_bridge.providers.base import WebhookRequest

from . import const


def require_authorization(
    values: Sequence[str] | None, request: WebhookRequest
) -> None:
    """Check the ``Authorization`` header against every live value.

    A value is what was entered at SMTP2GO: a token (bearer), base64 of
    ``user:password`` or that pair itself (basic, also as ``https://user:password@…``).

    :raises SignatureError: no value is set, or the header is missing, repeated, wrong.
    """
    scheme, _blank, given = _only(request, "Authorization").strip().partition(" ")
    expected = []
    for key in signing.live_keys(values):
        if scheme.lower() == "bearer":
            expected.append(key)
        elif scheme.lower() == "basic":
            expected += [key, base64.b64encode(key)]
    given = given.strip().encode("utf-8", "surrogatepass")
    signing.require_match(expected, [given])


def authorization(value: str) -> str:
    """Return the header that SMTP2GO sends for a value."""
    if ":" not in value:
        return f"Bearer {value}"
    return "Basic " + base64.b64encode(value.encode()).decode("ascii")


def webhook_auth(value: str | None) -> dict[str, str]:
    """Return the settings of a webhook that make it send :func:`authorization`."""
    if not value:
        return {"auth_header_type": "", "auth_header_value": ""}
    kind, _blank, text = authorization(value).partition(" ")
    return {"auth_header_type": kind.lower(), "auth_header_value": text}


def require_proxy(
    values: Sequence[str] | None, request: WebhookRequest, max_age: timedelta
) -> None:
    """Check the HMAC-SHA256 of a signing proxy over time and body.

    :raises SignatureError: no key is set, or the proof is missing, wrong or stale.
    """
    stamp = _only(request, const.PROXY_TIMESTAMP)
    seconds = signing.parse_timestamp(stamp)
    given = _only(request, const.PROXY_SIGNATURE).encode("utf-8", "surrogatepass")
    prefix = f"{stamp}.".encode()
    keys = signing.live_keys(values)
    macs = [signing.hmac_sha256(key, prefix, request.body) for key in keys]
    signing.require_match([mac.hex().encode() for mac in macs], [given])
    signing.require_fresh(seconds, request.received_at, max_age)


def proxy_headers(key: str, body: bytes, seconds: int) -> list[tuple[str, str]]:
    """Return what a signing proxy adds to a post."""
    signature = signing.hex_hmac(key, f"{seconds}.".encode(), body)
    return [
        (const.PROXY_TIMESTAMP, str(seconds)),
        (const.PROXY_SIGNATURE, signature),
    ]


def _only(request: WebhookRequest, name: str) -> str:
    values = [value for key, value in request.headers if key.lower() == name.lower()]
    if len(values) != 1:
        raise SignatureError(f"{name} must stand there once")
    return values[0]
