# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Hand a mail to SMTP2GO, and tell the truth about it.

There is no idempotency key: a request that may have been taken is in doubt, and a
second one is only made after an answer that says that the first one was not.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from odoo.addons.mail_bridge.exceptions import (
    NoAnswerError,
    PayloadError,
    PermanentError,
    TemporaryError,
)
from odoo.addons.mail_bridge.providers.base import AccountFacts, utcnow
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.payload import Json

from . import const
from .addressing import Addressed, addressed, is_address
from .answers import Result, read_batch, read_sending, sending_reference
from .api import (
    ApiAnswer,
    ask,
    encode,
    is_endpoint_refused,
    query,
    text_verdict,
    verdict,
)
from .standard import as_standard

_NOT_AN_ADDRESS = Reply("rcpt", 553, "5.1.3", "the recipient is no plain address")
_NEXT_TIME = Reply("api", 452, "4.5.3", "SMTP2GO takes 100 recipients at a time")
_TOO_LARGE = Reply("api", 552, "5.3.4", "SMTP2GO takes 50 MB, encoded, at the most")
_LOSSY = "the mail holds something that SMTP2GO's interface has no place for"


class _Attempt:
    """One mail and the recipients that can be served now; collects their results."""

    def __init__(self, mail: OutgoingMail) -> None:
        self.mail = mail
        self.results: dict[str, RecipientResult] = {}
        self.serve: list[str] = []
        for address in dict.fromkeys(mail.recipients):
            if not is_address(address):
                self._note([address], Outcome.REJECTED, _NOT_AN_ADDRESS)
            elif len(self.serve) == const.MAX_RECIPIENTS:
                self._note([address], Outcome.DEFERRED, _NEXT_TIME)
            else:
                self.serve.append(address)

    def addressed(self) -> Addressed | None:
        """Return the mail for those to be served; ``None``: nothing is to be sent."""
        if not self.serve:
            return None
        try:
            return addressed(self.mail.mime, self.serve, self.mail.reference)
        except PayloadError as error:
            self.end(Outcome.REJECTED, Reply("data", 554, "5.6.0", str(error)[:1000]))
            return None

    def end(self, outcome: Outcome, reply: Reply) -> None:
        """All that were to be served have the same result."""
        self._note(self.serve, outcome, reply)

    def _note(self, addresses: Iterable[str], outcome: Outcome, reply: Reply) -> None:
        for address in addresses:
            self.results[address] = RecipientResult(address, outcome, reply)

    def receipt(
        self, answer: ApiAnswer | None = None, reference: str = ""
    ) -> SendReceipt:
        """Return the results in the order of the mail's recipients."""
        results = tuple(self.results[address] for address in self.mail.recipients)
        wait = answer.wait if answer else None
        if wait is None and any(map(_is_throttled, results)):
            wait = const.THROTTLED_SECONDS
        return SendReceipt(results, reference, retry_after=wait)


def send(
    mail: OutgoingMail, account: AccountFacts, schedule: datetime | None = None
) -> SendReceipt:
    """Send a mail by ``/email/mime``, else by ``/email/send``.

    The second is asked only where the first one is not for this key, which it says
    before it takes anything, and only with a mail that it can express.

    :param schedule: an aware time; SMTP2GO sends the mail then.
    :raises ValueError: ``schedule`` is more than three days ahead.
    """
    attempt = _Attempt(mail)
    ready = attempt.addressed()
    if ready is None:
        return attempt.receipt()
    extra = _options(account, schedule)
    content = base64.b64encode(ready.mime).decode("ascii")
    answer = _ask("/email/mime", {"mime_email": content, **extra}, account, attempt)
    if answer and is_endpoint_refused(answer):
        standard = as_standard(ready)
        if standard is not None:
            answer = _ask("/email/send", {**standard, **extra}, account, attempt)
    return _told(attempt, answer)


def send_template(
    mail: OutgoingMail,
    template_id: str,
    values: Mapping[str, object],
    account: AccountFacts,
    schedule: datetime | None = None,
) -> SendReceipt:
    """Send one of the account's templates to the recipients of a mail.

    Subject and bodies are the template's; the mail gives sender, header and files.

    :param values: the template's variables (plain values, lists, objects).
    """
    attempt = _Attempt(mail)
    ready = attempt.addressed()
    if ready is None:
        return attempt.receipt()
    standard = as_standard(ready)
    if standard is None:
        attempt.end(Outcome.REJECTED, Reply("data", 554, "5.6.3", _LOSSY))
        return attempt.receipt()
    for name in ("subject", "html_body", "text_body"):
        standard.pop(name, None)
    standard |= {"template_id": template_id, "template_data": dict(values)}
    standard |= _options(account, schedule)
    return _told(attempt, _ask("/email/send", standard, account, attempt))


def send_batch(
    mails: Sequence[OutgoingMail],
    account: AccountFacts,
    schedule: datetime | None = None,
) -> list[SendReceipt]:
    """Send mails by ``/email/batch``, and return a receipt for each, in their order.

    What the batch cannot express, or a key may not send in one, goes by itself. One
    call is one unit: without an answer all its mails are in doubt.
    """
    receipts: dict[int, SendReceipt] = {}
    group: list[tuple[int, _Attempt, Json]] = []
    size = 0
    for number, mail in enumerate(mails):
        attempt = _Attempt(mail)
        ready = attempt.addressed()
        item = as_standard(ready) if ready else None
        if item is None:
            alone = send(mail, account, schedule) if ready else attempt.receipt()
            receipts[number] = alone
            continue
        item |= _when(schedule)
        length = len(encode(item)) + 1
        if size + length > const.MAX_MAIL_REQUEST or len(group) == const.MAX_BATCH:
            receipts |= _send_group(group, account, schedule)
            group, size = [], 0
        group.append((number, attempt, item))
        size += length
    receipts |= _send_group(group, account, schedule)
    return [receipts[number] for number in range(len(mails))]


def cancel_schedule(account: AccountFacts, schedule_id: str) -> None:
    """Take back a mail that was to be sent later.

    :raises TemporaryError: SMTP2GO cannot be asked now.
    :raises PermanentError: it is not known any more; it may have been sent.
    """
    query("/email/scheduled/remove", {"schedule_id": schedule_id}, account)


def _send_group(
    group: list[tuple[int, _Attempt, Json]],
    account: AccountFacts,
    schedule: datetime | None,
) -> dict[int, SendReceipt]:
    if not group:
        return {}
    answer, failure = _try("/email/batch", {"emails": [g[2] for g in group]}, account)
    if answer and _may_go_alone(answer, group):
        return {n: send(attempt.mail, account, schedule) for n, attempt, _ in group}
    told = read_batch(answer, len(group)) if answer else [(*failure, "")] * len(group)
    receipts = {}
    for (number, attempt, _item), (outcome, reply, reference) in zip(
        group, told, strict=True
    ):
        attempt.end(outcome, reply)
        receipts[number] = attempt.receipt(answer, reference)
    return receipts


def _may_go_alone(answer: ApiAnswer, group: Sequence[object]) -> bool:
    """Whether nothing was taken, and perhaps because of one mail of several."""
    if is_endpoint_refused(answer):
        return True
    refusal = verdict(answer)
    is_final = refusal is not None and refusal.outcome is Outcome.REJECTED
    return is_final and not 200 <= answer.status < 300 and len(group) > 1


def _is_throttled(result: RecipientResult) -> bool:
    """Whether a failure within a success says that there was too much."""
    found = text_verdict(result.reply.text)
    return found is not None and found.throttled


def _ask(
    endpoint: str, values: Json, account: AccountFacts, attempt: _Attempt
) -> ApiAnswer | None:
    """Return the answer; without one the attempt has ended."""
    answer, failure = _try(endpoint, values, account)
    if answer is None:
        attempt.end(*failure)
    return answer


def _try(
    endpoint: str, values: Json, account: AccountFacts
) -> tuple[ApiAnswer | None, Result]:
    """Return the answer, or what is known without one."""
    body = encode(values)
    if len(body) > const.MAX_MAIL_REQUEST:
        return None, (Outcome.REJECTED, _TOO_LARGE)
    try:
        return ask(endpoint, body, account), (Outcome.IN_DOUBT, Reply("api"))
    except NoAnswerError as error:
        return None, (Outcome.IN_DOUBT, Reply("api", text=str(error)))
    except TemporaryError as error:
        return None, (Outcome.DEFERRED, Reply("connect", text=str(error)))
    except PermanentError as error:
        return None, (Outcome.DEFERRED, Reply("auth", text=str(error)))


def _told(attempt: _Attempt, answer: ApiAnswer | None) -> SendReceipt:
    if answer is None:
        return attempt.receipt()
    for result in read_sending(answer, attempt.serve):
        attempt.results[result.address] = result
    return attempt.receipt(answer, sending_reference(answer.data))


def _options(account: AccountFacts, schedule: datetime | None) -> Json:
    """Return what goes with each mail (a batch knows no ``fastaccept``)."""
    fast = {"fastaccept": True} if account.options.get("fastaccept") else {}
    return {**fast, **_when(schedule)}


def _when(schedule: datetime | None) -> Json:
    """Return the time as SMTP2GO wants it; one that is over is now.

    :raises ValueError: more than three days ahead.
    """
    if schedule is None or schedule <= utcnow():
        return {}
    if schedule > utcnow() + const.MAX_SCHEDULE:
        raise ValueError("SMTP2GO keeps mail for three days at the most")
    moment = schedule.astimezone(timezone.utc)
    return {"schedule": f"{moment:%Y-%m-%d %H:%M:%S} +0000"}
