# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re
import uuid
from dataclasses import replace
from email.parser import BytesHeaderParser

from odoo import api, models

from ..outgoing import with_headers

_BLANK_LINE = re.compile(rb"\n\r?\n")


class MailRelayMessage(models.Model):
    """What receivers demand stands in every mail, whoever submits it.

    Before it is signed: this class must inherit after the one that signs.
    """

    _inherit = "mail.relay.message"

    @api.model
    def _enqueue(self, submissions):
        return super()._enqueue(
            [item if item.reference else self._completed(item) for item in submissions]
        )

    @api.model
    def _completed(self, item):
        """Return a mail with the header fields it lacks; what it says itself stays."""
        reference = uuid.uuid4().hex
        end = _BLANK_LINE.search(item.mime)
        head = BytesHeaderParser().parsebytes(item.mime[: end.end()] if end else b"")
        wanted = self._demanded_headers(
            head,
            {
                "reference": reference,
                "company_id": item.company_id or self.env.company.id,
                "addresses": [rcpt.address for rcpt in item.recipients],
                # Its own way to leave is not replaced: it cannot be taken out here.
                "is_marketing": item.is_marketing and "List-Unsubscribe" not in head,
                "list_reference": item.list_reference,
                "campaign": item.list_reference or item.model or "relay",
            },
        )
        mime = with_headers(item.mime, wanted)
        return replace(item, mime=mime, reference=reference)
