# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A small Mailgun on this machine: one domain, as its documentation describes it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.tests_plain.api_stub import ApiStub, Asked, Said, api_stub
from odoo.addons.mail_bridge_mailgun import const_api

DOMAIN = "mg.example.com"
API_KEY = "api-canary-3ax6xnjp29jd6fds4gc373sg"
ACCOUNT = AccountFacts(
    secrets={"api_key": (API_KEY,)}, options={"domain": DOMAIN, "region": "eu"}
)
NOT_AN_ADDRESS = "to parameter is not a valid address. please check documentation"
#: What it answers by method and path; a test puts its own before.
Handler = Callable[[Asked], Said]


class Mailgun:
    """What the stub holds: mails taken, events, lists, webhooks, routes."""

    def __init__(self) -> None:
        self.stub: ApiStub
        self.mails: list[dict[str, Any]] = []
        self.bad: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.lists: dict[str, dict[str, dict[str, Any]]] = {
            name: {} for name in ("bounces", "complaints", "unsubscribes")
        }
        self.state = "active"
        self.webhooks: dict[str, list[str]] = {}
        self.routes: list[dict[str, Any]] = []
        #: Answers in place of its own, in this order, while there are any.
        self.answers: list[Said] = []

    def __call__(self, asked: Asked) -> Said:
        """Answer one request."""
        if self.answers:
            return self.answers.pop(0)
        if asked.auth != ("api", API_KEY):
            return Said(401, b'"Forbidden"')
        for method, pattern, handler in self._table():
            found = re.fullmatch(pattern, asked.path)
            if method == asked.method and found:
                return handler(asked, *(unquote(item or "") for item in found.groups()))
        return Said(404, b"404 page not found")

    def _table(self) -> list[tuple[str, str, Callable[..., Said]]]:
        hooks, lists = (
            rf"domains/{DOMAIN}/webhooks",
            "(bounces|complaints|unsubscribes)",
        )
        return [
            ("POST", rf"/v3/{DOMAIN}/messages\.mime", self.take),
            ("GET", rf"/v3/{DOMAIN}/events(/\d+)?", self.tell),
            ("GET", rf"/v3/{DOMAIN}/{lists}", self.list),
            ("POST", rf"/v3/{DOMAIN}/{lists}", self.enter),
            ("DELETE", rf"/v3/{DOMAIN}/{lists}/(.+)", self.clear),
            ("GET", f"/v4/domains/{DOMAIN}", self.domain),
            ("GET", f"/v3/{hooks}", lambda asked: self.hooks()),
            ("POST", f"/v4/{hooks}", self.add_hook),
            ("PUT", f"/v4/{hooks}", self.put_hook),
            ("DELETE", f"/v4/{hooks}", self.delete_hook),
            ("GET", "/v3/routes", self.list_routes),
            ("POST", "/v3/routes", self.add_route),
            ("PUT", "/v3/routes/(.+)", self.put_route),
            ("DELETE", "/v3/routes/(.+)", self.delete_route),
        ]

    def domain(self, asked: Asked) -> Said:
        """Tell the state of the domain."""
        return Said(200, {"domain": {"name": DOMAIN, "state": self.state}})

    # --- Mails and their events ---

    def take(self, asked: Asked) -> Said:
        """Take a mail for all of its recipients, or for none."""
        if not asked.headers["content-type"].startswith("multipart/form-data"):
            return Said(400, {"message": "Need 'message' parameter"})
        if self.bad & set(asked.field("to")):
            return Said(400, {"message": NOT_AN_ADDRESS})
        [message] = asked.form.named("message")
        found = re.search(rb"(?im)^message-id:\s*(<.+>)", message.content)
        assert message.filename and found
        mail = {name: asked.field(name) for name in {p.name for p in asked.form.parts}}
        self.mails.append({**mail, "mime": message.content})
        return Said(200, {"id": found[1].decode(), "message": "Queued. Thank you."})

    def tell(self, asked: Asked, page: str) -> Said:
        """Return a page of events; the address of the next one stands in each."""
        query = dict(asked.query)
        number, limit = int((page or "/0")[1:]), int(query.get("limit", 300))
        assert limit <= 300
        wanted = query.get("message-id")
        found = [
            item
            for item in self.events
            if not wanted or item["message"]["headers"]["message-id"] == wanted
            if item["timestamp"] >= float(query.get("begin", 0))
            if item["timestamp"] <= float(query.get("end", "inf"))
        ]
        following = f"{self.stub.url}/v3/{DOMAIN}/events/{number + 1}"
        text = "&".join(f"{name}={value}" for name, value in asked.query)
        return Said(
            200,
            {
                "items": found[number * limit : (number + 1) * limit],
                "paging": {"next": f"{following}?{text}", "previous": "x"},
            },
        )

    # --- Suppressions ---

    def list(self, asked: Asked, name: str) -> Said:
        """Return a page, in the order of the addresses."""
        query, entries = dict(asked.query), sorted(self.lists[name])
        limit = int(query.get("limit", 100))
        start = query.get("address", "")
        page = [address for address in entries if address > start][:limit]
        items = [self.lists[name][address] for address in page]
        last = page[-1] if page else start
        url = f"{self.stub.url}{asked.path}?page=next&address={last}&limit={limit}"
        return Said(200, {"items": items, "paging": {"next": url}})

    def enter(self, asked: Asked, name: str) -> Said:
        """Enter up to 1000 addresses."""
        if len(asked.json) >= 1000:
            return Said(400, {"message": "Batch size should be less than 1000"})
        for item in asked.json:
            self.lists[name][item["address"]] = item
        return Said(200, {"message": f"{len(asked.json)} addresses have been added"})

    def clear(self, asked: Asked, name: str, address: str) -> Said:
        """Take one address off."""
        if self.lists[name].pop(address, None) is None:
            return Said(404, {"message": "Address not found in bounces table"})
        return Said(200, {"message": "removed", "address": address})

    # --- Webhooks ---

    def hooks(self) -> Said:
        """Return all kinds that have an address."""
        found = {kind: {"urls": urls} for kind, urls in self.webhooks.items() if urls}
        return Said(200, {"webhooks": found})

    def add_hook(self, asked: Asked) -> Said:
        """Add an address to some kinds."""
        [url], kinds = asked.field("url"), asked.field("event_types")
        for kind in kinds:
            urls = self.webhooks.get(kind, [])
            if url in urls or len(urls) >= 3:
                return Said(400, {"Reason": f"Webhook for event type '{kind}' exists"})
        for kind in kinds:
            self.webhooks.setdefault(kind, []).append(url)
        return self.hooks()

    def put_hook(self, asked: Asked) -> Said:
        """Replace the kinds of one address."""
        [url], kinds = asked.field("url"), asked.field("event_types")
        self._forget(url)
        for kind in kinds:
            self.webhooks.setdefault(kind, []).append(url)
        return self.hooks()

    def delete_hook(self, asked: Asked) -> Said:
        """Remove an address from all kinds."""
        self._forget(dict(asked.query)["url"])
        return self.hooks()

    def _forget(self, url: str) -> None:
        for urls in self.webhooks.values():
            if url in urls:
                urls.remove(url)

    # --- Routes ---

    def list_routes(self, asked: Asked) -> Said:
        """Return a page of the account's routes."""
        query = dict(asked.query)
        skip, limit = int(query["skip"]), int(query["limit"])
        if limit > 1000:
            return Said(400, {"message": "The 'limit' parameter can't be larger"})
        items = self.routes[skip : skip + limit]
        return Said(200, {"total_count": len(self.routes), "items": items})

    def add_route(self, asked: Asked) -> Said:
        """Add a route."""
        route = {"id": f"4f3b{len(self.routes)}", **self._route(asked)}
        self.routes.append(route)
        return Said(200, {"message": "Route has been created", "route": route})

    def put_route(self, asked: Asked, route_id: str) -> Said:
        """Change the fields of a route that are given."""
        for route in self.routes:
            if route["id"] == route_id:
                route.update(self._route(asked))
                return Said(200, {"message": "Route has been updated"})
        return Said(404, {"message": "Route not found"})

    def delete_route(self, asked: Asked, route_id: str) -> Said:
        """Remove a route."""
        for route in self.routes:
            if route["id"] == route_id:
                self.routes.remove(route)
                return Said(200, {"message": "Route has been deleted"})
        return Said(404, {"message": "Route not found"})

    def _route(self, asked: Asked) -> dict[str, Any]:
        route: dict[str, Any] = {"actions": asked.field("action")}
        for name in ("description", "expression", "priority"):
            if values := asked.field(name):
                route[name] = values[0]
        return route


@contextlib.contextmanager
def running_mailgun(monkeypatch) -> Iterator[Mailgun]:
    """A Mailgun in whose EU region ``ACCOUNT`` is."""
    mailgun = Mailgun()
    with api_stub(mailgun, monkeypatch) as stub:
        mailgun.stub = stub
        monkeypatch.setitem(const_api.API_URLS, "eu", stub.url)
        yield mailgun
