# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Hand one mail to Mailgun as it is, and tell for each recipient what became of it.

Mailgun takes a call for all of its recipients or for none. It knows no idempotency
key: what may have been taken is in doubt, and is looked for by its Message-ID.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from odoo.addons.mail_bridge.exceptions import (
    NoAnswerError,
    NotSentError,
    PayloadError,
    PermanentError,
)
from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.forms import UploadFile, encode_form
from odoo.addons.mail_bridge.providers.http import CallAnswer
from odoo.addons.mail_bridge.providers.payload import read_object

from . import const_api, const_events
from .api import Api, is_address, wait_of

_MALFORMED = Reply("rcpt", 501, "5.1.3", "This is no address that mail can be sent to.")
_TOO_MANY = Reply("rcpt", 452, "4.5.3", "Mailgun takes no more recipients at once.")
_TOO_LARGE = Reply("data", 552, "5.3.4", "Mailgun takes no mail of more than 25 MB.")


@dataclass(frozen=True)
class _Verdict:
    """What one call came to, for all of its recipients.

    ``mail_id`` is Mailgun's name of the mail, which is its Message-ID.
    """

    outcome: Outcome
    reply: Reply
    mail_id: str = ""
    retry_after: float | None = None


def send(mail: OutgoingMail, account: AccountFacts) -> SendReceipt:
    """Return what became of a mail, for each recipient."""
    try:
        api = Api(account)
    except PermanentError as error:
        refusal = _Verdict(Outcome.DEFERRED, Reply("auth", text=str(error)))
        return _receipt(mail, dict.fromkeys(mail.recipients, refusal))
    sending = _Sending(api, mail)
    sending.run()
    return _receipt(mail, sending.verdicts)


def _receipt(mail: OutgoingMail, verdicts: dict[str, _Verdict]) -> SendReceipt:
    found = [verdicts[address] for address in mail.recipients]
    taken = [item.mail_id for item in found if item.mail_id]
    waits = [item.retry_after for item in found if item.retry_after is not None]
    given = f"<{taken[0]}>" if taken else ""
    return SendReceipt(
        results=tuple(
            RecipientResult(address, item.outcome, item.reply)
            for address, item in zip(mail.recipients, found, strict=True)
        ),
        provider_reference=taken[0] if taken else "",
        message_id=given if given != f"<{mail.message_id.strip().strip('<>')}>" else "",
        retry_after=max(waits) if waits else None,
    )


class _Sending:
    """One mail on its way: what is known of each recipient so far."""

    def __init__(self, api: Api, mail: OutgoingMail) -> None:
        self._api = api
        self._mail = mail
        self._calls = 0
        self._halt: _Verdict | None = None
        self.verdicts: dict[str, _Verdict] = {}

    def run(self) -> None:
        """Send it to all whom it can be sent to."""
        good = []
        for address in dict.fromkeys(self._mail.recipients):
            if not is_address(address):
                self._note([address], _Verdict(Outcome.REJECTED, _MALFORMED))
            elif len(self._mail.mime) > const_api.MAX_MESSAGE:
                self._note([address], _Verdict(Outcome.REJECTED, _TOO_LARGE))
            elif len(good) >= const_api.MAX_RECIPIENTS:
                self._note([address], _Verdict(Outcome.DEFERRED, _TOO_MANY))
            else:
                good.append(address)
        if good:
            self._send(good)

    def _note(self, addresses: Sequence[str], verdict: _Verdict) -> None:
        self.verdicts.update(dict.fromkeys(addresses, verdict))

    def _send(self, addresses: list[str]) -> None:
        """Send to these; where one of several is refused, find out which.

        Nobody got the mail then, and the answer does not name the address: halving
        finds it. What cannot be found out in so many calls waits for the next attempt.
        """
        verdict = self._halt or self._call(addresses)
        if verdict.reply.stage == "rcpt" and len(addresses) > 1:
            if self._calls < const_api.MAX_CALLS:
                middle = len(addresses) // 2
                self._send(addresses[:middle])
                self._send(addresses[middle:])
                return
            verdict = _not_tried(verdict)  # most of them are innocent
        self._note(addresses, verdict)
        if verdict.outcome in (Outcome.DEFERRED, Outcome.IN_DOUBT):
            self._halt = self._halt or _not_tried(verdict)

    def _call(self, addresses: Sequence[str]) -> _Verdict:
        self._calls += 1
        content_type, body = _form(self._mail, addresses)
        path = f"/v3/{self._api.domain}/messages.mime"
        try:
            answer = self._api.request(
                "POST",
                path,
                content_type=content_type,
                body=body,
                timeout=const_api.SEND_TIMEOUT,
            )
        except NoAnswerError as error:
            return _Verdict(Outcome.IN_DOUBT, Reply("api", text=str(error)))
        except (NotSentError, PermanentError) as error:
            return _Verdict(Outcome.DEFERRED, Reply("connect", text=str(error)))
        return self._judge(answer)

    def _judge(self, answer: CallAnswer) -> _Verdict:
        text = self._api.text_of(answer)
        if 200 <= answer.status < 300:
            return _taken(answer, text)
        meaning = _meaning(answer, text)
        code = answer.status if meaning.stage == "api" else meaning.code
        reply = Reply(meaning.stage, code, meaning.enhanced, text)
        return _Verdict(meaning.outcome, reply, retry_after=wait_of(answer))


def _not_tried(verdict: _Verdict) -> _Verdict:
    """Return what becomes of the rest after a call that came to nothing.

    Its codes concern others.
    """
    text = f"Not tried after this: {verdict.reply.text}"[:1000]
    reply = Reply("api", text=text)
    return _Verdict(Outcome.DEFERRED, reply, retry_after=verdict.retry_after)


def _form(mail: OutgoingMail, addresses: Sequence[str]) -> tuple[str, bytes]:
    """Return content type and body of a call; the mail goes as a file, byte by byte.

    What is not asked for is switched off, or the domain's own settings would decide.
    """
    tracks = {
        "o:tracking": mail.track_opens or mail.track_clicks,
        "o:tracking-opens": mail.track_opens,
        "o:tracking-clicks": mail.track_clicks,
    }
    fields = [
        *(("to", address) for address in addresses),
        *((name, "yes" if wanted else "no") for name, wanted in tracks.items()),
        (f"v:{const_events.REFERENCE}", mail.reference),
    ]
    file = UploadFile("message", "message.eml", "message/rfc822", mail.mime)
    return encode_form(fields, [file])


def _taken(answer: CallAnswer, text: str) -> _Verdict:
    """Return what a success means: without Mailgun's name of the mail, who knows."""
    try:
        mail_id = read_object(answer.body).get("id")
    except PayloadError:
        mail_id = None
    if not isinstance(mail_id, str) or not re.fullmatch(r"[!-~]{3,998}", mail_id):
        text = f"Mailgun answered {answer.status}, but names no mail. {text}"[:1000]
        return _Verdict(Outcome.IN_DOUBT, Reply("api", answer.status, text=text))
    reply = Reply("api", answer.status, text=text)
    return _Verdict(Outcome.ACCEPTED, reply, mail_id.strip("<>"))


def _meaning(answer: CallAnswer, text: str) -> const_api.Meaning:
    status = answer.status
    if status == const_api.UNAVAILABLE and answer.retry_after is not None:
        return const_api.OTHER_STATUS
    if status >= 500:
        return const_api.SERVER_ERROR
    for pattern, meaning in const_api.BAD_REQUESTS if status == 400 else ():
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    return const_api.STATUSES.get(status, const_api.OTHER_STATUS)
