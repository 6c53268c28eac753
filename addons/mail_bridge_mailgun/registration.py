# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Our webhooks and our route at Mailgun; nobody else's is ever changed or removed.

A webhook is ours by its URL, a route by its description. A Mailgun account may have
many of other systems, and of other databases of ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from odoo.addons.mail_bridge.exceptions import PermanentError
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.payload import Json

from . import const_api
from .api import Api, NotFoundError, quoted


def register_webhooks(
    account: AccountFacts,
    url: str,
    retired: Collection[str] = (),
    kinds: Collection[str] = const_api.WEBHOOKS,
) -> None:
    """Let the events of the account's domain be posted to our address.

    May be repeated; changes nothing that is right already.

    :param retired: addresses of ours that are no longer in use; they are removed.
    :param kinds: of ``const_api.WEBHOOKS``.
    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it refuses, or others already take all three places of a
        kind; the rest is registered then.
    """
    api = Api(account)
    _require_own(url, *retired)
    unregister_webhooks(account, [item for item in retired if item != url])
    found = _webhooks(api)
    present = {kind for kind, urls in found.items() if url in urls}
    most = const_api.MAX_WEBHOOK_URLS
    full = {kind for kind, urls in found.items() if len(urls) >= most} - present
    wanted = set(kinds) - full
    if wanted - present or present - wanted:
        form = [("url", url), *(("event_types", kind) for kind in sorted(wanted))]
        # PUT changes the kinds of this one address, POST adds it.
        api.ask("PUT" if present else "POST", _path(api, 4), form=form)
    if full & set(kinds):
        names = ", ".join(sorted(full & set(kinds)))
        raise PermanentError(f"Mailgun has no place for another webhook: {names}")


def unregister_webhooks(account: AccountFacts, urls: Collection[str]) -> int:
    """Remove addresses of ours from all events; return how many were there.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    _require_own(*urls)
    if not urls:
        return 0
    api = Api(account)
    known = {url for found in _webhooks(api).values() for url in found}
    gone = sorted(set(urls) & known)
    for url in gone:
        api.ask("DELETE", _path(api, 4), query=[("url", url)])
    return len(gone)


def register_route(
    account: AccountFacts, url: str, reference: str, expression: str = ""
) -> None:
    """Let mail to the account's domain be forwarded to our address.

    May be repeated; changes nothing that is right already.

    :param reference: as of no other account in no other database; letters, digits,
        ``-`` and ``_``.
    :param expression: which mail; empty: all to the domain.
    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it refuses.
    """
    api = Api(account)
    _require_own(url)
    route = {
        "description": _description(reference),
        "expression": expression or _whole_domain(api.domain),
        "actions": [f'forward("{url}")'],
    }
    ours = list(_routes(api, reference))
    for item in ours[1:]:
        _delete_route(api, item)
    if ours and all(ours[0].get(name) == value for name, value in route.items()):
        return
    form = [
        ("description", str(route["description"])),
        ("expression", str(route["expression"])),
        *(("action", action) for action in route["actions"]),
    ]
    if ours:
        api.ask("PUT", _route_path(ours[0]), form=form)
    else:
        priority = ("priority", str(const_api.ROUTE_PRIORITY))
        api.ask("POST", "/v3/routes", form=[priority, *form])


def unregister_route(account: AccountFacts, reference: str) -> int:
    """Remove our route; return how many there were.

    :raises TemporaryError: Mailgun cannot be asked now.
    :raises PermanentError: it cannot be asked at all.
    """
    api = Api(account)
    ours = list(_routes(api, reference))
    for item in ours:
        _delete_route(api, item)
    return len(ours)


def _require_own(*urls: str) -> None:
    for url in urls:
        if not re.fullmatch(const_api.OWN_URL, url, re.ASCII):
            raise PermanentError("this is no address of Mail Bridge")


def _path(api: Api, version: int) -> str:
    return f"/v{version}/domains/{api.domain}/webhooks"


def _webhooks(api: Api) -> dict[str, list[str]]:
    """Return the URLs of each kind of webhook of the domain."""
    found = api.ask("GET", _path(api, 3)).get("webhooks")
    if not isinstance(found, dict):
        return {}
    return {kind: list(_urls(value)) for kind, value in found.items()}


def _urls(value: Any) -> Iterator[str]:
    """Yield what stands in ``{"urls": […]}``; older answers hold ``{"url": "…"}``."""
    if isinstance(value, dict):
        listed = value.get("urls")
        several = listed if isinstance(listed, list) else [value.get("url")]
        yield from (item for item in several if isinstance(item, str))


def _description(reference: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", reference):
        raise PermanentError("the reference of a route is malformed")
    return const_api.ROUTE_MARK.format(reference=reference)


def _whole_domain(domain: str) -> str:
    # A class in place of a backslash, which a string there would need to escape.
    return f'match_recipient("^.*@{domain.replace(".", "[.]")}$")'


def _routes(api: Api, reference: str) -> Iterator[Json]:
    """Yield our routes among all of the account."""
    description, limit = _description(reference), const_api.ROUTE_LIMIT
    for page in range(const_api.MAX_ROUTE_PAGES):
        query = [("skip", str(page * limit)), ("limit", str(limit))]
        items = api.ask("GET", "/v3/routes", query).get("items")
        items = items if isinstance(items, list) else []
        for item in items:
            is_ours = isinstance(item, dict) and item.get("description") == description
            if is_ours and isinstance(item.get("id"), str):
                yield item
        if len(items) < limit:
            return


def _route_path(route: Json) -> str:
    return f"/v3/routes/{quoted(route['id'])}"


def _delete_route(api: Api, route: Json) -> None:
    try:
        api.ask("DELETE", _route_path(route))
    except NotFoundError:
        return
