# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an answer to a mail says of each recipient.

A 200 may hold failures. They are sentences, with or without the address that they are
about, and the counts beside them count mails, not recipients.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from odoo.addons.mail_bridge.providers.delivery import Outcome, RecipientResult, Reply
from odoo.addons.mail_bridge.providers.payload import Json

from .addressing import address_key
from .api import ApiAnswer, clean, text_verdict, verdict
from .const_api import Verdict

_ADDRESS = re.compile(r"[^\s<>,;:\"'()\[\]@]{1,64}@[^\s<>,;:\"'()\[\]@]{1,255}")
_CODE = re.compile(r"(?:\A|[:\s])([45]\d\d)(?=[\s-])", re.ASCII)
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII)
_MAX_FAILURES = 300
_UNSAID = "SMTP2GO did not take the mail, and does not say why"
_OTHERS = "SMTP2GO sent nothing, because of another recipient"
_EMPTY = "the answer does not say what became of the mail"
_TORN = "SMTP2GO took the mail, but not for all, and does not say for whom"

#: What happened, and what was said; with SMTP2GO's name of the mail.
Result = tuple[Outcome, Reply]
Told = tuple[Outcome, Reply, str]


def read_sending(answer: ApiAnswer, recipients: Sequence[str]) -> list[RecipientResult]:
    """Return what ``/email/mime`` or ``/email/send`` did for each recipient."""
    keys = {address_key(address) for address in recipients}
    refusal = verdict(answer)
    rest, named = (
        _of_refusal(answer, refusal, keys) if refusal else _of_success(answer, keys)
    )
    return [
        RecipientResult(address, *named.get(address_key(address), rest))
        for address in recipients
    ]


def read_batch(answer: ApiAnswer, count: int) -> list[Told]:
    """Return what ``/email/batch`` did with each mail, in the order of the request."""
    refusal = verdict(answer)
    if refusal:
        return [(*_refused(answer, refusal), "")] * count
    items = answer.data if isinstance(answer.data, list) else []
    if len(items) != count:
        return [(Outcome.IN_DOUBT, _reply(answer, _EMPTY), "")] * count
    return [_one_of_batch(answer, item) for item in items]


def sending_reference(data: object) -> str:
    """Return SMTP2GO's name of a mail, or of its schedule; ``""``: it gave none.

    ``/email/mime`` may give none (facts/providers.md §1.3).
    """
    values = data if isinstance(data, dict) else {}
    for name in ("email_id", "schedule_id"):
        value = values.get(name)
        if isinstance(value, str) and re.fullmatch(r"[!-~]{1,200}", value):
            return value
    return ""


def _of_refusal(
    answer: ApiAnswer, refusal: Verdict, keys: set[str]
) -> tuple[Result, dict[str, Result]]:
    """Return what holds for all, or for those that the refusal names.

    The others could have had the mail without them.
    """
    outcome, reply = _refused(answer, refusal)
    named, _others = _sorted([answer.error], keys)
    if outcome is not Outcome.REJECTED or not named or len(named) == len(keys):
        return (outcome, reply), {}
    guilty = (outcome, replace(reply, stage="rcpt"))
    return (Outcome.DEFERRED, _reply(answer, _OTHERS)), dict.fromkeys(named, guilty)


def _of_success(answer: ApiAnswer, keys: set[str]) -> tuple[Result, dict[str, Result]]:
    """Return what holds for those that a failure names, and for all others."""
    data = answer.data if isinstance(answer.data, dict) else {}
    named, others = _sorted(_failures(data), keys)
    if _count(data, "succeeded") and set(named) == keys:  # for whom, then?
        return (Outcome.IN_DOUBT, _reply(answer, _TORN)), {}
    single = {key: _failed(answer, text) for key, text in named.items()}
    return _rest(answer, data, others, bool(named)), single


def _rest(answer: ApiAnswer, data: Json, others: list[str], has_named: bool) -> Result:
    """Return what holds for the recipients that no failure names."""
    succeeded, failed = _count(data, "succeeded"), _count(data, "failed")
    has_name = bool(sending_reference(data))
    taken = bool(succeeded) or has_name
    if not has_named and not others and not failed:
        reply = _reply(answer, "" if taken else _EMPTY)
        return (Outcome.ACCEPTED if taken else Outcome.IN_DOUBT), reply
    if has_named and not others and (succeeded or (succeeded is None and has_name)):
        return Outcome.ACCEPTED, _reply(answer, "")
    if taken:
        return Outcome.IN_DOUBT, _reply(answer, _TORN)
    if has_named and not others:
        return Outcome.DEFERRED, _reply(answer, _OTHERS)
    return _failed(answer, (*others, "")[0])


def _failed(answer: ApiAnswer, text: str) -> Result:
    """Return what one sentence says: known words first, then the code in it."""
    if not text:
        return Outcome.DEFERRED, _reply(answer, _UNSAID)
    found, code = text_verdict(text), _CODE.search(text)
    if found is None:
        number = int(code[1]) if code else 0
        outcome = Outcome.DEFERRED if 400 <= number < 500 else Outcome.REJECTED
        found = Verdict(outcome, "rcpt" if number else "api")
    enhanced = _ENHANCED.search(text)
    number = found.code or (int(code[1]) if code else answer.status)
    given = enhanced[1] if enhanced else found.enhanced
    return found.outcome, Reply(found.stage, number, given, text)


def _refused(answer: ApiAnswer, refusal: Verdict) -> Result:
    """Return what a refusal of the whole request means."""
    data = answer.data if isinstance(answer.data, dict) else {}
    is_success = 200 <= answer.status < 300
    if is_success and (_count(data, "succeeded") or sending_reference(data)):
        return Outcome.IN_DOUBT, _reply(answer, _TORN)  # an error beside a success
    text = " ".join(filter(None, (answer.error_code, answer.error)))[:1000]
    code = refusal.code or answer.status
    return refusal.outcome, Reply(refusal.stage, code, refusal.enhanced, text)


def _one_of_batch(answer: ApiAnswer, item: object) -> Told:
    reference = sending_reference(item)
    if reference:
        return Outcome.ACCEPTED, _reply(answer, ""), reference
    error = item.get("error") if isinstance(item, dict) else None
    if isinstance(error, str) and error:
        return (*_failed(answer, clean(error)), "")
    return Outcome.IN_DOUBT, _reply(answer, _EMPTY), ""


def _reply(answer: ApiAnswer, text: str) -> Reply:
    request = f"request {answer.request_id}" if answer.request_id else ""
    said = ": ".join(filter(None, (text, request)))
    return Reply("api", answer.status, text=said)


def _failures(data: Json) -> list[str]:
    """Return the sentences about failures, one line each."""
    values = data.get("failures")
    items = values if isinstance(values, list) else [values]
    found = []
    for item in items[:_MAX_FAILURES]:
        if isinstance(item, dict):
            item = " ".join(value for value in item.values() if isinstance(value, str))
        if isinstance(item, str) and item.strip():
            found.append(clean(item))
    return found


def _sorted(
    failures: Sequence[str], keys: set[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the sentences by the recipients that they name, and those without one."""
    named: dict[str, str] = {}
    others = []
    for text in failures:
        found = {address_key(item.rstrip(".")) for item in _ADDRESS.findall(text)}
        for key in found & keys:
            named.setdefault(key, text)
        if not found & keys:
            others.append(text)
    return named, others


def _count(data: Json, name: str) -> int | None:
    """Return a count, ``None`` where there is none (with ``fastaccept``)."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
