# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What stands in one post: form or JSON, one event or a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers.base import WebhookRequest, digest
from odoo.addons.mail_bridge.providers.forms import (
    MULTIPART,
    URLENCODED,
    Form,
    reduce_form,
)
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.payload import (
    Json,
    content_digest,
    read_json,
    reduce_json,
)

from . import const_events


class Fields:
    """The fields of one event, whatever they came in.

    A value of a wrong type counts as none: an event is worth more than a detail of it.
    """

    def __init__(self, data: Json) -> None:
        self.data = data

    def text(self, *names: str, limit: int = const_events.MAX_VALUE) -> str:
        """Return the first of these fields that has a text, in one line."""
        for name in names:
            if found := _line(self.data.get(name), limit):
                return found
        return ""

    def header(self, name: str, limit: int = const_events.MAX_VALUE) -> str:
        """Return a header of the mail, however SMTP2GO spells its name."""
        wanted = _header_name(name)
        names = [key for key in self.data if _header_name(key) == wanted]
        return self.text(*names, limit=limit)

    def texts(self, name: str) -> list[str]:
        """Return all values of a field that may stand there as a list."""
        values = self.data.get(name)
        items = values if isinstance(values, list) else [values]
        limit = const_events.MAX_RECIPIENT_LIST
        return list(filter(None, (_line(item, limit) for item in items)))


def read_post(request: WebhookRequest) -> list[Fields]:
    """Return the events of a post.

    :raises PayloadError: neither form nor JSON, something else than events, too many.
    """
    if is_form(request):
        return [Fields(_form_fields(request.form))]
    value = read_json(request.body)
    items = value if isinstance(value, list) else [value]
    if len(items) > const_events.MAX_EVENTS:
        raise PayloadError("the post has too many events")
    if not all(isinstance(item, dict) for item in items):
        raise PayloadError("the post holds something that is no event")
    return [Fields(item) for item in items]


def is_form(request: WebhookRequest) -> bool:
    """Whether a post says that it is a form; any other is read as JSON."""
    return request.content_type in (URLENCODED, MULTIPART)


def content_hash(request: WebhookRequest) -> str:
    """Return a SHA-256 that the order of fields, and of the events, does not change."""
    try:
        if is_form(request):
            return digest(*sorted(part.digest() for part in request.form.parts))
        value = read_json(request.body)
    except PayloadError:
        return digest(bytes(request.body[:]))
    if isinstance(value, list):
        return digest(*sorted(content_digest(item).encode() for item in value))
    return content_digest(value)


def reduce_post(request: WebhookRequest) -> bytes:
    """Return the post with its long values cut."""
    if not is_form(request):
        return reduce_json(request.body)
    try:
        return reduce_form(request.header("Content-Type"), request.form, ("event",))
    except PayloadError:
        return b""


def _form_fields(form: Form) -> Json:
    """Return the fields by name; one that is repeated is a list."""
    found: Json = {}
    for name, parts in form.by_name.items():
        values = [part.text for part in parts]
        found[name.removesuffix("[]")] = values if len(values) > 1 else values[0]
    return found


def _header_name(name: str) -> str:
    return name.lower().replace("_", "-")


def _line(value: object, limit: int) -> str:
    """Return a plain value as one line that a database can keep."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: limit * 4]
    return re.sub(r"\s+", " ", storable(text)).strip()[:limit]


def listed(values: Iterable[str]) -> list[str]:
    """Return the items of values of which one may be a whole list as JSON text."""
    found: list[str] = []
    for value in values:
        if not value.startswith("["):
            found.append(value)
            continue
        items = read_json(value)
        found += [item for item in items if isinstance(item, str)]
    return found
