# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What ``add-messages`` was given: the good items, and why the others are refused.

One bad item spoils no other (facts/relay.md §1.13, trap 3): it is refused by itself
where another one is well-formed; a batch without any well-formed item is a 422.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..providers.smtp_address import wire_address
from .answers import ApiError, Reply, success
from .compose import FIELD_NAME, bare_address
from .payloads import DEFAULT_PRIORITY, MESSAGE, priority
from .schema import Field, Schema, Wrong

NOT_FOUND = "account not found for tenant"
ALREADY_SENT = "already sent"
INVALID = "invalid payload"
#: Named by its absence, in this order.
_NEEDED = ("id", "tenant_id", "account_id", "from", "to", "subject")
_ENVELOPE = Schema(
    {
        "messages": Field(lambda value, _loc: value, required=True),
        "default_priority": Field(priority, default=DEFAULT_PRIORITY),
    }
)
_LINE_BREAK = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_MESSAGE_ID = re.compile(r"<?[^<>\s@]+@[^<>\s@]+>?")


@dataclass(frozen=True)
class Refused:
    """One item that is not sent; ``tenant`` and ``id`` as far as they are known."""

    reason: str
    id: str = ""
    tenant: str = ""

    @property
    def entry(self) -> dict[str, str]:
        """What the client is told."""
        return {"id": self.id, "reason": self.reason} if self.id else self.bare

    @property
    def bare(self) -> dict[str, str]:
        """The same without an id."""
        return {"reason": self.reason}


@dataclass
class Batch:
    """The items of one call that may be sent, and those that may not."""

    items: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    queued: int = 0

    def refuse(self, item: Mapping[str, Any], reason: str) -> None:
        """Note that a well-formed item is not sent."""
        self.refused.append(Refused(reason, item["id"], item["tenant_id"]))

    def answer(self) -> Reply:
        """Return what the client is told.

        All refused is a 400, with the list where clients look for it as well as where
        it was defined (trap 2); what was sent before is no mistake.
        """
        entries = [one.entry for one in self.refused]
        mistakes = [one for one in self.refused if one.reason != ALREADY_SENT]
        if self.queued or not mistakes:
            return success({"ok": True, "queued": self.queued, "rejected": entries})
        detail = {"error": None, "rejected": entries}
        raise ApiError(400, detail, ok=False, rejected=entries)


def read_batch(body: Any, limit: int, implied_tenant: str = "") -> Batch:
    """Return the items of a body.

    :param limit: the most items of one call.
    :param implied_tenant: the tenant of items that name none.
    :raises ApiError: 422 and 400, the whole call is refused.
    """
    try:
        envelope = _ENVELOPE.read(body)
        given = envelope["messages"]
        if not isinstance(given, list):
            MESSAGE.read(given, ("body", "messages"))
            given = [given]
    except Wrong as error:
        raise ApiError(422, error.errors) from None
    if len(given) > limit:
        text = f"Cannot enqueue more than {limit} messages at once"
        raise ApiError(400, {"error": text, "rejected": None})
    batch, errors = Batch(), []
    default = _ENVELOPE.complete(envelope)["default_priority"]
    for index, raw in enumerate(given):
        try:
            item = _read_item(raw, index, implied_tenant)
        except Wrong as error:
            errors += error.errors
            batch.refused.append(_misshapen(raw, error, implied_tenant))
            continue
        item["priority"] = default if item["priority"] is None else item["priority"]
        if reason := _objection(item):
            batch.refuse(item, reason)
        else:
            batch.items.append(item)
    if given and len(errors) and not _well_formed(batch, given, errors):
        raise ApiError(422, errors)
    return batch


def _well_formed(batch: Batch, given: list[Any], errors: list[dict[str, Any]]) -> bool:
    """Whether any item had the right shape."""
    misshapen = {error["loc"][2] for error in errors}
    return len(misshapen) < len(given) or bool(batch.items)


def _read_item(raw: Any, index: int, implied_tenant: str) -> dict[str, Any]:
    if implied_tenant and isinstance(raw, dict) and not raw.get("tenant_id"):
        raw = {**raw, "tenant_id": implied_tenant}
    return MESSAGE.complete(MESSAGE.read(raw, ("body", "messages", index)))


def _misshapen(raw: Any, error: Wrong, implied_tenant: str) -> Refused:
    """Return why an item of the wrong shape is refused, and whose it was."""
    known: dict[str, str] = {}
    for name in ("id", "tenant_id") if isinstance(raw, dict) else ():
        try:
            known[name] = MESSAGE.fields[name].check(raw.get(name), ())
        except Wrong:
            continue
    absent = {
        name
        for name in _NEEDED
        if isinstance(raw, dict) and raw.get(name) is None and name not in known
    } - ({"tenant_id"} if implied_tenant else set())
    reason = next((f"missing {name}" for name in _NEEDED if name in absent), INVALID)
    tenant = known.get("tenant_id") or implied_tenant
    return Refused(reason, known.get("id", ""), tenant)


def _objection(item: Mapping[str, Any]) -> str:
    """Return why a well-formed item cannot be sent, or ``""``."""
    for name in _NEEDED[:-1]:  # an empty subject is legal
        if not item[name] or (isinstance(item[name], str) and not item[name].strip()):
            return f"missing {name}"
    return INVALID if _is_harmful(item) or not _is_addressed(item) else ""


def _is_harmful(item: Mapping[str, Any]) -> bool:
    """Whether anything in an item would end a header field, or begin one."""
    lines = [item[name] or "" for name in ("id", "from", "subject", "reply_to")]
    lines += [item["return_path"] or "", item["message_id"] or ""]
    lines += [one for name in ("to", "cc", "bcc") for one in item[name] or ()]
    lines += [one["filename"] for one in item["attachments"] or ()]
    lines += [one.get("mime_type") or "" for one in item["attachments"] or ()]
    headers = item["headers"] or {}
    return (
        any(_LINE_BREAK.search(line) for line in (*lines, *headers.values()))
        or not all(FIELD_NAME.fullmatch(name) for name in headers)
        or bool(item["message_id"] and not _MESSAGE_ID.fullmatch(item["message_id"]))
    )


def _is_addressed(item: Mapping[str, Any]) -> bool:
    """Whether a server could be told who sends the mail, and one who gets it."""
    senders = [item["from"], item["return_path"] or ""]
    if not all(_is_usable(one) for one in filter(None, senders)):
        return False
    targets = [one for name in ("to", "cc", "bcc") for one in item[name] or ()]
    return any(map(_is_usable, targets))


def _is_usable(text: str) -> bool:
    return wire_address(bare_address(text)) is not None
