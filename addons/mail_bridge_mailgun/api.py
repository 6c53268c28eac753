# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One account's access to Mailgun's interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from odoo.addons.mail_bridge.exceptions import (
    PayloadError,
    PermanentError,
    TemporaryError,
)
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.authentication import normal_domain
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.http import CallAnswer, CallRequest, call
from odoo.addons.mail_bridge.providers.payload import Json, read_object

from . import const, const_api

Pairs = Iterable[tuple[str, str]]
_FORM = "application/x-www-form-urlencoded"
#: ``Reply.text``.
_MAX_TEXT = 1000


class Api:
    """Where an account's domain is, and its key.

    :raises PermanentError: the account has no key, or no domain or region that exist.
    """

    def __init__(self, account: AccountFacts) -> None:
        region = str(account.options.get(const_api.REGION) or const_api.DEFAULT_REGION)
        domain = str(account.options.get(const_api.DOMAIN) or "")
        key = account.secret(const.API_KEY)
        if not key:
            raise PermanentError("the account has no Mailgun API key")
        self.domain = normal_domain(domain)
        if not self.domain:
            raise PermanentError("the account names no domain at Mailgun")
        if region not in const_api.API_URLS:
            raise PermanentError("the account names no region of Mailgun")
        self.base = const_api.API_URLS[region]
        self._key = key

    def request(
        self,
        method: str,
        path: str,
        query: Pairs = (),
        *,
        content_type: str = "",
        body: bytes = b"",
        timeout: float = const_api.ASK_TIMEOUT,
    ) -> CallAnswer:
        """Return whatever Mailgun answers; errors as of :func:`call`.

        :param path: from ``/`` on, its variable parts quoted.
        """
        text = urlencode(list(query))
        return call(
            CallRequest(
                method,
                f"{self.base}{path}" + (f"?{text}" if text else ""),
                (urlsplit(self.base).hostname or "",),
                headers=(("Content-Type", content_type),) if content_type else (),
                body=body,
                auth=(const_api.USER, self._key),
                timeout=timeout,
            )
        )

    def ask(self, method: str, path: str, query: Pairs = (), form: Pairs = ()) -> Json:
        """Return the JSON object that Mailgun answers with.

        :raises TemporaryError: no answer, 429, 5xx.
        :raises PermanentError: any other refusal; ``NotFoundError`` for a 404.
        """
        body = urlencode(list(form)).encode()
        return self._read(
            self.request(
                method, path, query, content_type=_FORM if body else "", body=body
            )
        )

    def post_json(self, path: str, value: Any) -> Json:
        """Return the answer to a JSON body; errors as of :meth:`ask`."""
        body = json.dumps(value).encode()
        kind = "application/json"
        return self._read(self.request("POST", path, content_type=kind, body=body))

    def pages(self, path: str, query: Pairs, most: int) -> Iterator[list[Json]]:
        """Yield the items of each page of a list, up to the first without any.

        The address of the next page comes with a page, and is followed only below the
        path that was asked for.

        :param most: pages at one go.
        """
        answer = self.ask("GET", path, query)
        for number in range(1, most + 1):
            items = answer.get("items")
            if not isinstance(items, list) or not items:
                return
            yield [item for item in items if isinstance(item, dict)]
            following = self._next(answer, path)
            if number == most or not following:
                return
            answer = self._read(self.request("GET", following))

    def _next(self, answer: Json, path: str) -> str:
        """Return path and query of the next page, ``""`` where there is none."""
        paging = answer.get("paging")
        url = paging.get("next") if isinstance(paging, dict) else None
        if not isinstance(url, str) or not url:
            return ""
        start = f"{self.base}{path}"
        if not url.startswith((f"{start}/", f"{start}?")):
            raise PermanentError("the next page of a list is somewhere else")
        return url[len(self.base) :]

    def _read(self, answer: CallAnswer) -> Json:
        status = answer.status
        if status == 429 or status >= 500:
            raise TemporaryError(f"Mailgun answered {status}", wait_of(answer))
        if not 200 <= status < 300:
            kind = NotFoundError if status == 404 else PermanentError
            raise kind(f"Mailgun answered {status}: {self.text_of(answer)}")
        try:
            return read_object(answer.body)
        except PayloadError:
            raise TemporaryError(f"Mailgun answered {status} without JSON") from None

    def text_of(self, answer: CallAnswer) -> str:
        """Return what an answer says, one line without the key."""
        try:
            body = read_object(answer.body)
        except PayloadError:
            text = answer.body.decode("utf-8", "replace")
        else:
            # "Reason" and "Description" come from the webhooks' part of it.
            names = ("message", "Reason", "Description", "Error", "error")
            said = [body[name] for name in names if isinstance(body.get(name), str)]
            text = said[0] if said else ""
        text = text.replace(self._key, "***")[: 4 * _MAX_TEXT]
        return " ".join(storable(text).split())[:_MAX_TEXT]


class NotFoundError(PermanentError):
    """Mailgun does not know what it was asked for."""


def wait_of(answer: CallAnswer) -> float | None:
    """Return the seconds an answer asks to wait: by its header, or by its words."""
    if answer.retry_after is not None:
        return answer.retry_after
    text = answer.body[: 4 * _MAX_TEXT].decode("utf-8", "replace")
    found = re.search(const_api.TRY_AGAIN, text, re.ASCII)
    return float(found[1]) if found else None


def is_address(address: str) -> bool:
    """Whether a text is one bare address and nothing else."""
    try:
        return envelope.recipients([address]) == (address,) and "@" in address
    except PayloadError:
        return False


def quoted(text: str) -> str:
    """Return a variable part of a path."""
    return quote(text, safe="@")
