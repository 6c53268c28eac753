# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The 26 routes as a table: who may call them, what they take, who answers.

Dialect B of genro-mail-proxy as facts/relay.md §1.4 lists it. Reviewed on 2026-11-21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from . import payloads
from .answers import ApiError
from .schema import Schema

#: ``open``: everybody. ``network``: only from the networks of the metrics.
#: ``any``: a client's key or the instance's. ``admin``: the instance's.
Access = Literal["open", "network", "any", "admin"]
_PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Route:
    """One method of one path.

    ``command`` names it in the command log, empty: it is not logged. ``tenant``: where
    the tenant stands that the key must belong to. A client's key implies its own
    tenant where ``query`` asks for one.
    """

    method: str
    path: str
    access: Access
    handler: str
    command: str = ""
    query: Schema = field(default_factory=lambda: Schema({}), repr=False)
    body: Schema | None = field(default=None, repr=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path must look like."""
        return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", self.path))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", "open", "health"),
    Route("GET", "/metrics", "network", "metrics"),
    Route("GET", "/status", "any", "status"),
    Route("POST", "/commands/run-now", "any", "run_now", "runNow"),
    Route(
        "POST",
        "/commands/suspend",
        "any",
        "suspend",
        "suspend",
        query=payloads.BATCH_QUERY,
    ),
    Route(
        "POST",
        "/commands/activate",
        "any",
        "activate",
        "activate",
        query=payloads.BATCH_QUERY,
    ),
    # The items are read one by one (see batch.py): a bad one spoils no other.
    Route("POST", "/commands/add-messages", "any", "add_messages", "addMessages"),
    Route(
        "POST",
        "/commands/delete-messages",
        "any",
        "delete_messages",
        "deleteMessages",
        query=payloads.TENANT_QUERY,
        body=payloads.DELETE_MESSAGES,
    ),
    Route(
        "POST",
        "/commands/cleanup-messages",
        "any",
        "cleanup_messages",
        "cleanupMessages",
        query=payloads.TENANT_QUERY,
        body=payloads.CLEANUP_MESSAGES,
    ),
    Route(
        "POST",
        "/account",
        "any",
        "set_account",
        "addAccount",
        body=payloads.ACCOUNT,
    ),
    Route("GET", "/accounts", "any", "list_accounts", query=payloads.TENANT_QUERY),
    Route(
        "DELETE",
        "/account/{id}",
        "any",
        "delete_account",
        "deleteAccount",
        query=payloads.TENANT_QUERY,
    ),
    Route("GET", "/messages", "any", "list_messages", query=payloads.MESSAGES_QUERY),
    Route("POST", "/tenant", "admin", "set_tenant", "addTenant", body=payloads.TENANT),
    Route("GET", "/tenants", "admin", "list_tenants", query=payloads.ACTIVE_QUERY),
    Route("GET", "/tenants/sync-status", "admin", "sync_status"),
    Route("GET", "/tenant/{id}", "any", "get_tenant"),
    Route(
        "PUT",
        "/tenant/{id}",
        "any",
        "update_tenant",
        "updateTenant",
        body=payloads.TENANT_UPDATE,
    ),
    Route("DELETE", "/tenant/{id}", "admin", "delete_tenant", "deleteTenant"),
    Route("POST", "/tenant/{id}/api-key", "admin", "issue_key", "createTenantApiKey"),
    Route("DELETE", "/tenant/{id}/api-key", "admin", "revoke_key", "revokeApiKey"),
    Route("GET", "/instance", "admin", "get_instance"),
    Route(
        "PUT",
        "/instance",
        "admin",
        "update_instance",
        "updateInstance",
        body=payloads.INSTANCE_UPDATE,
    ),
    Route("POST", "/instance/reload-bounce", "admin", "reload_bounce", "reloadBounce"),
    Route("GET", "/command-log", "admin", "command_log", query=payloads.LOG_QUERY),
    Route(
        "GET",
        "/command-log/export",
        "admin",
        "export_command_log",
        query=payloads.EXPORT_QUERY,
    ),
)


def find_route(method: str, path: str) -> tuple[Route, Mapping[str, Any]]:
    """Return the route of a request, and the parts of its path.

    A slash at the end is nobody's business, nor is a version in front.

    :raises ApiError: 404, or 405 with the methods that there are.
    """
    path = "/" + "/".join(filter(None, path.split("/")))
    path = path.removeprefix("/v1") if path.startswith("/v1/") else path
    found = [(r, match) for r in ROUTES if (match := r.pattern.fullmatch(path))]
    for route, match in found:
        if route.method == method:
            return route, match.groupdict()
    if not found:
        raise ApiError(404, "Not Found")
    allowed = ", ".join(sorted(route.method for route, _match in found))
    raise ApiError(405, "Method Not Allowed", headers=(("Allow", allowed),))
