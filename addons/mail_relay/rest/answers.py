# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the interface says: JSON for everything, in the shapes that clients know.

Facts: facts/relay.md §1.2, §1.3. Reviewed on 2026-11-21.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/json"
#: Prometheus' own type (facts/relay.md §1.15, C04).
METRICS_TYPE = "text/plain; version=0.0.4"
RETRY_AFTER_SECONDS = 30

UNKNOWN_TOKEN = "Invalid or missing API token"
FOREIGN_TENANT = "Token not authorized for this tenant"
ADMIN_ONLY = "Admin token required, tenant tokens not allowed for this operation"


@dataclass(frozen=True)
class Reply:
    """One answer: status, body, type and further headers."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """The headers with those that every answer has."""
        return [
            ("Content-Type", self.content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers,
        ]


class ApiError(Exception):
    """A request that is refused, with the answer that says so.

    :param detail: text, list or object under ``detail``; nulls in it are kept.
    :param others: further keys at the top level.
    """

    def __init__(
        self,
        status: int,
        detail: Any,
        headers: tuple[tuple[str, str], ...] = (),
        **others: Any,
    ) -> None:
        super().__init__(status)
        body = encode({"detail": detail, **others})
        self.reply = Reply(status, body, headers=headers)


def success(data: dict[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return a 200 answer; what is null is left out."""
    return Reply(200, encode(without_nulls(data)), headers=headers)


def failure(status: int, detail: Any) -> Reply:
    """Return a refusal."""
    return ApiError(status, detail).reply


def try_again() -> Reply:
    """Return what is said while the database is away, or after a fault of ours."""
    retry = (("Retry-After", str(RETRY_AFTER_SECONDS)),)
    return ApiError(503, "Service Unavailable", headers=retry).reply


def encode(value: Any) -> bytes:
    """Return JSON bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the keys whose value is null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]
    return value
