# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One request, from whichever door it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers.payload import read_json

from .answers import ApiError
from .routes import Route, find_route
from .schema import Schema, Wrong


@dataclass
class Call:
    """One request; its body is read when somebody may ask for it.

    ``route``, ``parts`` (of the path), ``arguments`` (of the query) and ``payload``
    (the body as JSON) are filled in as it is understood.
    """

    method: str
    path: str
    query: Mapping[str, str]
    token: str = field(repr=False)
    remote_addr: str
    read_body: Callable[[], bytes] = field(repr=False)
    route: Route = field(init=False)
    parts: Mapping[str, str] = field(init=False)
    arguments: dict[str, Any] = field(init=False, default_factory=dict)
    payload: Any = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        """Find the route (raises ``ApiError``)."""
        self.route, self.parts = find_route(self.method, self.path)

    def read_query(self, implied_tenant: str = "") -> None:
        """Read the query; a client's key implies the tenant.

        :raises ApiError: 422.
        """
        given = dict(self.query)
        if implied_tenant and not given.get("tenant_id"):
            given["tenant_id"] = implied_tenant
        schema = self.route.query
        self.arguments = schema.complete(_read(schema, given, "query"))

    def read_payload(self) -> None:
        """Read the body where the route has one.

        :raises ApiError: 422 and 413.
        """
        if self.route.body is None and self.route.handler != "add_messages":
            return
        try:
            self.payload = read_json(self.read_body())
        except PayloadError:
            error = {"type": "json_invalid", "loc": ["body", 0]}
            error |= {"msg": "JSON decode error", "input": {}}
            raise ApiError(422, [error]) from None
        if self.route.body is not None:
            self.payload = _read(self.route.body, self.payload, "body")


def _read(schema: Schema, value: Any, where: str) -> dict[str, Any]:
    try:
        return schema.read(value, (where,))
    except Wrong as error:
        raise ApiError(422, error.errors) from None
