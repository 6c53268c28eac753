# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..engine.truths import Told
from ..providers.states import Truth
from ..providers.unsubscribe import read_leave_token

#: What RFC 8058 §3.1 has a mail program post.
ONE_CLICK = "One-Click"


class MailRelayRecipient(models.Model):
    """Recipients who leave by the link in a mail."""

    _inherit = "mail.relay.recipient"

    @api.model
    def _answer_leave(self, token, is_post, word):
        """Answer a request to an unsubscribe link; only a proper post does it.

        :param word: the value of ``List-Unsubscribe`` in the post.
        :return: status, title, text and, where it asks, the label of a button.
        """
        key = self.env["mail.relay.message"]._token_key()
        leave = read_leave_token([key], token)
        if not leave:
            return 404, self.env._("This link is not valid."), ""
        if not is_post:  # scanners of mail follow links
            title = self.env._("Unsubscribe")
            text = self.env._("Shall %s get no more of these mails?", leave.address)
            return 200, title, text, title
        if word != ONE_CLICK:
            return 400, self.env._("This request is not valid."), ""
        self._leave(leave)
        text = self.env._("%s gets no more of these mails.", leave.address)
        return 200, self.env._("You are unsubscribed"), text

    @api.model
    def _leave(self, leave):
        """Send no more of it to who unsubscribed by the link in a mail.

        :param leave: ``providers.unsubscribe.Leave``.
        """
        now = fields.Datetime.now()
        suppressions = self.env["mail.relay.suppression"]
        suppressions._renew(
            [
                {
                    "company_id": leave.company_id,
                    "email_normalized": leave.address,
                    "scope": "list" if leave.list_reference else "marketing",
                    "list_reference": leave.list_reference or None,
                    "reason": "unsubscribed",
                    "source": "event",
                    "since": now,
                    "evidence": f"{leave.reference}: one-click (RFC 8058)",
                }
            ]
        )
        if not leave.list_reference:
            suppressions._blacklist({leave.address})
        people = self.search(
            [
                ("relay_message_id.reference", "=", leave.reference),
                ("email_normalized", "=", leave.address),
            ]
        )
        self._advance(Told(item.id, Truth("unsubscribed"), now) for item in people)
