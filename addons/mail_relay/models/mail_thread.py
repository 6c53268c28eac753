# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
from email.policy import SMTP

from odoo import api, models
from odoo.tools import email_split

from odoo.addons.mail_bridge.providers.base import utcnow

from ..providers.reports import read_report
from ..providers.tokens import read_return_path

_logger = logging.getLogger(__name__)

#: What is news of a delivery; a read receipt is a mail like others.
NEWS = ("delivery", "feedback")
#: As many as core looks at.
MAX_REFERENCES = 32


class MailThread(models.AbstractModel):
    """Mails that come in about mails that went out through the relay."""

    _inherit = "mail.thread"

    # --- Reports ---

    @api.model
    def _detect_is_bounce(self, message, message_dict):
        """Take complaints, and what comes to a return path of ours, from the mail."""
        if super()._detect_is_bounce(message, message_dict):
            return True
        return bool(self._relayed_mail(self._relay_report(message, message_dict)))

    @api.model
    def _routing_handle_bounce(self, email_message, message_dict):
        """Keep a report about a mail of the relay as events; core knows less of it."""
        report = self._relay_report(email_message, message_dict)
        mail = self._relayed_mail(report)
        if not mail:
            return super()._routing_handle_bounce(email_message, message_dict)
        if not report.is_proven:
            # Kept for a person to look at: it names no mail, so it changes nothing.
            _logger.info("report about mail %s without our token", mail.id)
        if mail.account_id:
            self.env["mail.bridge.event"].sudo()._store(
                mail.account_id, report.events, "report"
            )
        return None

    @api.model
    def _relay_report(self, message, message_dict):
        """Return the report that a mail is, if it may be one about a mail of ours."""
        keys = [self.env["mail.relay.message"]._token_key()]
        addresses = email_split(message_dict.get("recipients") or "")
        came_home = any(read_return_path(keys, address) for address in addresses)
        if message.get_content_type() != "multipart/report" and not came_home:
            return None
        sender = message.get("Return-Path")
        return read_report(
            message.as_bytes(policy=SMTP),
            keys,
            utcnow(),
            envelope_sender=None if sender is None else str(sender).strip(" <>"),
            envelope_recipients=addresses,
        )

    @api.model
    def _relayed_mail(self, report):
        """Return the mail in the relay that a report is about, proven or not."""
        mails = self.env["mail.relay.message"].sudo()
        if not report:
            return mails
        if report.is_proven:
            return mails.search([("reference", "=", report.reference)])
        if report.kind not in NEWS or not report.message_id:
            return mails
        return mails.search(
            [
                "|",
                ("message_id", "=", report.message_id),
                ("provider_message_id", "=", report.message_id),
            ],
            limit=1,
            order="id DESC",
        )

    # --- Replies ---

    @api.model
    def _get_parent_message(self, msg_dict):
        """Find the thread though the provider gave our mail another Message-ID."""
        named = f"{msg_dict['references'] or ''} {msg_dict['in_reply_to'] or ''}"
        names = list(dict.fromkeys(named.split()))[-MAX_REFERENCES:]
        mails = self.env["mail.relay.message"].sudo()
        if names:
            mails = mails.search([("provider_message_id", "in", names)], order="id")
        own = [name for name in mails.mapped("message_id") if name not in names]
        if own:
            known = msg_dict["references"] or msg_dict["in_reply_to"]
            msg_dict["references"] = " ".join((known, *own))
        return super()._get_parent_message(msg_dict)
