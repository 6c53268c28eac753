# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a thread does: it lets an adapter send a mail, and answers whatever happens."""

from __future__ import annotations

import logging
from dataclasses import replace

from odoo.addons.mail_bridge.providers.delivery import (
    Outcome,
    OutgoingMail,
    RecipientResult,
    Reply,
    SendReceipt,
)
from odoo.addons.mail_bridge.providers.headers import storable

from .values import Claimed, SendAccount

_logger = logging.getLogger(__name__)

_GONE = Reply("data", 0, "5.6.0", "the mail's content was deleted")
_SILENCE = Reply("api", 0, "", "the adapter said nothing of this recipient")


def send(account: SendAccount, mail: Claimed) -> SendReceipt:
    """Send a mail; return one result for each of its recipients."""
    if mail.mime is None:
        return _receipt(mail, Outcome.REJECTED, _GONE)
    outgoing = OutgoingMail(
        mime=mail.mime,
        envelope_sender=mail.envelope_sender,
        recipients=tuple(mail.recipients),
        reference=mail.reference,
        message_id=mail.message_id,
        idempotency_key=mail.idempotency_key,
        track_opens=mail.track_opens,
        track_clicks=mail.track_clicks,
    )
    try:
        return whole(mail, account.adapter.send(outgoing, account.facts))
    except Exception as error:
        # An adapter tells in its receipt what it knows. This is a mistake of ours, at
        # a moment that nobody knows: to send again may send twice.
        _logger.exception("mail %s: the adapter failed", mail.reference)
        text = f"the adapter failed: {type(error).__name__}"
        return _receipt(mail, Outcome.IN_DOUBT, Reply("api", 0, "", text))


def whole(mail: Claimed, receipt: SendReceipt) -> SendReceipt:
    """Return a receipt that a database can keep, with a result for each recipient.

    Of whom an adapter says nothing, nobody knows whether he got the mail.
    """
    said = {item.address: item for item in receipt.results}
    silence = {
        address: RecipientResult(address, Outcome.IN_DOUBT, _SILENCE)
        for address in mail.recipients
    }
    results = [
        replace(item, reply=_clean(item.reply))
        for address, item in (silence | said).items()
        if address in mail.recipients
    ]
    return replace(
        receipt,
        results=tuple(results),
        provider_reference=storable(receipt.provider_reference),
        message_id=storable(receipt.message_id),
    )


def _clean(reply: Reply) -> Reply:
    return replace(reply, enhanced=storable(reply.enhanced), text=storable(reply.text))


def _receipt(mail: Claimed, outcome: Outcome, reply: Reply) -> SendReceipt:
    return SendReceipt(
        tuple(RecipientResult(address, outcome, reply) for address in mail.recipients)
    )
