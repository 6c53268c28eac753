# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Our webhooks at SMTP2GO; nobody else's is ever changed or removed.

A webhook is ours by its URL. An account has ten of them at the most, a free one has
one (https://developers.smtp2go.com/docs/webhooks-overview, 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.http import Resolver, resolve

from . import const, const_events
from .api import query
from .proof import webhook_auth

#: What a key needs for everything that this addon does.
ENDPOINTS = (
    "/email/mime",
    "/email/send",
    "/email/batch",
    "/email/scheduled/remove",
    "/activity/search",
    "/suppression/add",
    "/suppression/remove",
    "/suppression/view",
    "/webhook/add",
    "/webhook/edit",
    "/webhook/remove",
    "/webhook/view",
    "/stats/email_summary",
    "/stats/email_history",
)


def register_webhooks(
    account: AccountFacts,
    url: str,
    retired: Collection[str] = (),
    kinds: Collection[str] = const_events.SUBSCRIBED,
) -> None:
    """Let the events of the account's mail be posted to our address, as JSON.

    May be repeated. With the account's ``webhook_auth``, if it has one, in each post.

    :param retired: addresses of ours that are no longer in use: the first webhook
        there moves to ``url``, the others are removed.
    :param kinds: of ``const_events.SUBSCRIBED``.
    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it refuses, because all webhooks of the plan are taken, …
    """
    _require_own(url, *retired)
    wanted = {
        "url": url,
        "events": list(kinds),
        "headers": list(const.ECHOED_HEADERS),
        "output_format": "json",
        **webhook_auth(account.secret(const.WEBHOOK_AUTH)),
    }
    ours = _ours(account, [url, *retired])
    ours.sort(key=lambda item: item[1] != url)
    if not ours:
        query("/webhook/add", wanted, account)
        return
    query("/webhook/edit", {"id": ours[0][0], **wanted}, account)
    for number, _url in ours[1:]:
        query("/webhook/remove", {"id": number}, account)


def unregister_webhooks(account: AccountFacts, urls: Collection[str]) -> int:
    """Remove the webhooks at addresses of ours; return how many there were.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    _require_own(*urls)
    ours = _ours(account, urls) if urls else []
    for number, _url in ours:
        query("/webhook/remove", {"id": number}, account)
    return len(ours)


def missing_permissions(account: AccountFacts) -> list[str]:
    """Return the endpoints that this addon needs and the account's key may not use.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: the key is wrong.
    """
    data = query("/api_keys/permissions", {}, account)
    if not isinstance(data, list):
        raise TemporaryError("SMTP2GO /api_keys/permissions: no list of endpoints")
    granted = {str(item).removeprefix("/v3") for item in data}
    return [endpoint for endpoint in ENDPOINTS if endpoint not in granted]


def published_addresses(resolver: Resolver = resolve) -> list[str]:
    """Return the addresses from which SMTP2GO says that it posts, as of now.

    :raises TemporaryError: the name cannot be resolved.
    """
    try:
        return sorted(resolver(const.PUBLISHED_HOST, 443))
    except OSError:
        raise TemporaryError(f"{const.PUBLISHED_HOST} cannot be resolved") from None


def _require_own(*urls: str) -> None:
    for url in urls:
        if not re.fullmatch(const.OWN_URL, url, re.ASCII):
            raise PermanentError("this is no address of Mail Bridge")


def _ours(account: AccountFacts, urls: Collection[str]) -> list[tuple[int, str]]:
    """Return id and URL of the webhooks at these addresses."""
    data: Any = query("/webhook/view", {}, account)
    # documented as one object, seen as a list
    items = data if isinstance(data, list) else [data]
    found = [
        (item.get("id"), item.get("url")) for item in items if isinstance(item, dict)
    ]
    return [
        (number, url)
        for number, url in found
        if url in urls and isinstance(number, int) and not isinstance(number, bool)
    ]
