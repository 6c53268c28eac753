# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models
from odoo.tools import email_normalize, hmac

from ..outgoing import feedback_id
from ..providers.tokens import TOKEN_HEADER, make_bounce_token, make_return_path
from ..providers.unsubscribe import Leave, make_leave_token

UNSUBSCRIBE_PATH = "/mail_relay/unsubscribe"


class MailRelayMessage(models.Model):
    """What Gmail, Yahoo and Microsoft demand of a mail (facts/relay.md §4.3), and how
    reports about it prove that they are.
    """

    _inherit = "mail.relay.message"

    @api.model
    def _token_key(self):
        """Return the key of the tokens that our mails carry (bytes)."""
        return hmac(self.env(su=True), "mail_relay-token", "key").encode()

    @api.model
    def _demanded_headers(self, message, item):
        """Return the header fields that a mail lacks.

        :param message: the mail as it is, by whose header one sees what is there.
        :param dict item: ``reference``, ``company_id``, ``addresses`` (recipients),
            ``is_marketing``, ``list_reference`` and ``campaign`` (a word).
        """
        wanted = {TOKEN_HEADER: make_bounce_token(self._token_key(), item["reference"])}
        wanted["Feedback-ID"] = feedback_id(
            item["campaign"],
            str(item["company_id"]),
            "marketing" if item["is_marketing"] else "transactional",
            self.env["ir.config_parameter"].sudo().get_param("database.uuid", ""),
        )
        # A link is somebody's own, and one header goes to all recipients of a mail.
        if item["is_marketing"] and len(item["addresses"]) == 1:
            wanted |= self._unsubscribe_headers(message, item)
        return {name: text for name, text in wanted.items() if name not in message}

    @api.model
    def _unsubscribe_headers(self, message, item):
        """Return the fields of RFC 8058, unless the mail has a one-click link."""
        if "List-Unsubscribe-Post" in message:
            return {}
        [address] = item["addresses"]
        leave = Leave(
            item["reference"],
            item["company_id"],
            email_normalize(address) or address.lower(),
            item["list_reference"],
        )
        token = make_leave_token(self._token_key(), leave)
        base = self.env["ir.config_parameter"].sudo().get_param("web.base.url", "")
        link = f"<{base}{UNSUBSCRIBE_PATH}/{token}>"
        others = message.get("List-Unsubscribe")
        if others:  # a mailto: or a link that asks; the one click comes first
            del message["List-Unsubscribe"]
            link = f"{link}, {others}"
        return {
            "List-Unsubscribe": link,
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    @api.model
    def _return_path(self, account_sudo, reference, envelope_sender):
        """Return the envelope sender: with our token where the account wants it so.

        Only at an address where bounces come home to us.
        """
        mailbox, _, domain = envelope_sender.rpartition("@")
        if not account_sudo.relay_return_path or "+" in mailbox:
            return envelope_sender
        ours = self.env["mail.alias.domain"].sudo().search([("name", "=", domain)])
        if envelope_sender not in ours.mapped("bounce_email"):
            return envelope_sender
        try:
            return make_return_path(self._token_key(), reference, mailbox, domain)
        except ValueError:  # too long for a local part; the header has the token
            return envelope_sender
