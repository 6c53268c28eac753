# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One call of SMTP2GO's interface: what it answered, and what that means."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from odoo.addons.mail_bridge.exceptions import (
    PayloadError,
    PermanentError,
    TemporaryError,
)
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.http import CallAnswer, CallRequest, call
from odoo.addons.mail_bridge.providers.payload import Json, read_json
from odoo.addons.mail_bridge.providers.redaction import MASK, redact

from . import const, const_api
from .const_api import Verdict


@dataclass(frozen=True)
class ApiAnswer:
    """What the interface said: ``data`` of its envelope, and its error if it told one.

    ``readable``: the body was JSON in an envelope. ``error`` is one line without
    secrets; ``error_code`` stands without its prefix.
    """

    status: int
    data: Any = field(default=None, repr=False)
    request_id: str = ""
    error_code: str = ""
    error: str = ""
    readable: bool = False
    retry_after: float | None = None

    def text(self, name: str) -> str:
        """Return a text of ``data``, ``""`` where there is none."""
        value = self.data.get(name) if isinstance(self.data, dict) else None
        return storable(value)[:200] if isinstance(value, str) else ""

    @property
    def wait(self) -> float | None:
        """Seconds to send nothing more; SMTP2GO itself never says how long."""
        found = verdict(self)
        if found and found.throttled:
            return self.retry_after or const.THROTTLED_SECONDS
        return self.retry_after


def ask(endpoint: str, values: bytes | Json, account: AccountFacts) -> ApiAnswer:
    """Return what the interface answers, whatever it is.

    :param values: the JSON object, or its text.
    :raises NotSentError: nothing was sent.
    :raises NoAnswerError: the request may have been taken.
    :raises PermanentError: no key, no such region, or a header that is malformed;
        nothing was sent.
    """
    key = account.secret(const.API_KEY) or ""
    if not key:
        raise PermanentError("the account has no API key of SMTP2GO")
    base = const.REGIONS.get(str(account.options.get("region") or "global"))
    if base is None:
        raise PermanentError("SMTP2GO has no such region")
    is_mail = endpoint.startswith("/email/")
    body = values if isinstance(values, bytes) else encode(values)
    request = CallRequest(
        "POST",
        base + endpoint,
        (urlsplit(base).hostname or "",),
        headers=(
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("X-Smtp2go-Api-Key", key),
        ),
        body=body,
        timeout=const.SEND_TIMEOUT if is_mail else const.ASK_TIMEOUT,
    )
    return _read(call(request), key)


def query(endpoint: str, values: Json, account: AccountFacts) -> Any:
    """Return the ``data`` of a call that reads or sets something.

    :raises TemporaryError: later it may go well.
    :raises PermanentError: it was refused.
    """
    answer = ask(endpoint, values, account)
    refusal = verdict(answer)
    if refusal is None and answer.readable:
        return answer.data
    text = f"SMTP2GO {endpoint}: {answer.status} {answer.error}".strip()
    is_temporary = refusal is None or answer.status >= 500 or refusal.throttled
    if is_temporary or answer.status == 408:
        raise TemporaryError(text, answer.wait)
    raise PermanentError(text)


def encode(values: Json) -> bytes:
    """Return JSON as ASCII; a lone surrogate stays an escape."""
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def verdict(answer: ApiAnswer) -> Verdict | None:
    """Return what an answer refuses, ``None`` where it refuses nothing."""
    known = const_api.ERROR_CODES.get(answer.error_code)
    if known:
        return known
    is_success = 200 <= answer.status < 300
    if is_success and not answer.error_code and not answer.error:
        return None
    if answer.status >= 500:
        is_untouched = answer.status == const_api.UNAVAILABLE and answer.retry_after
        return const_api.LATER if is_untouched else const_api.UNCLEAR
    told = const_api.STATUSES.get(answer.status)
    if told:
        return told
    general = answer.error_code in const_api.GENERAL_CODES
    return text_verdict(answer.error) or _unknown(answer, general)


def text_verdict(text: str) -> Verdict | None:
    """Return what the words of a refusal say, ``None`` where nobody knows them."""
    for pattern, found in const_api.TEXTS:
        if pattern.search(text):
            return found
    return None


def _unknown(answer: ApiAnswer, general: bool) -> Verdict:
    if answer.status < 200 or 300 <= answer.status < 400:
        return const_api.LATER
    return const_api.TROUBLE if general and answer.error_code else const_api.REFUSED


def is_endpoint_refused(answer: ApiAnswer) -> bool:
    """Whether this endpoint is not for us, while another one may be."""
    is_denied = answer.error_code == const_api.PERMISSION_DENIED
    return answer.status == 404 or (is_denied and 400 <= answer.status < 500)


def _read(answer: CallAnswer, key: str) -> ApiAnswer:
    try:
        document = read_json(answer.body.replace(key.encode(), MASK.encode()))
    except PayloadError:
        return ApiAnswer(answer.status, retry_after=answer.retry_after)
    envelope = document if isinstance(document, dict) else {}
    data = envelope.get("data")
    # errors stand within ``data``, in other examples beside it
    places = [place for place in (data, envelope) if isinstance(place, dict)]
    error = next(filter(None, (_error(place) for place in places)), "")
    code = next(filter(None, (_text(place, "error_code") for place in places)), "")
    return ApiAnswer(
        answer.status,
        data,
        clean(_text(envelope, "request_id"))[:100],
        clean(code.rpartition(".")[2].upper())[:100],
        clean(error),
        "data" in envelope,
        answer.retry_after,
    )


def _error(place: Json) -> str:
    """Return the text of an error and what it says of single fields."""
    texts = [_text(place, "error")]
    problems = place.get("field_validation_errors")
    items = problems if isinstance(problems, list) else [problems]
    for item in items[:10]:
        if isinstance(item, dict):
            texts.append(_text(item, "message"))
    return " ".join(filter(None, texts))


def clean(text: str) -> str:
    """Return a text of the provider's as one line without secrets (≤ 1 000)."""
    return re.sub(r"\s+", " ", redact(storable(text)[:4000])).strip()[:1000]


def _text(place: Json, name: str) -> str:
    value = place.get(name)
    return storable(value) if isinstance(value, str) else ""
