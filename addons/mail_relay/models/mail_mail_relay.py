# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import uuid

import psycopg2

from odoo import api, models, modules
from odoo.tools import exception_to_unicode

from ..outgoing import REF_HEADER, as_mime, complete, is_bulk, make_ref
from ..session import RelaySession
from ..submission import HIGH, LOW, MEDIUM, Rcpt, Submission

#: Kinds of message that no person wrote (RFC 3834 §5).
AUTOMATIC = ("notification", "auto_comment", "user_notification")
#: What core reads of each mail that it sends.
READ_FIELDS = (
    *("state", "email_to", "email_cc", "recipient_ids", "headers", "body_html"),
    *("is_notification", "auto_delete", "create_uid", "mail_message_id"),
    *("email_from", "reply_to", "subject", "message_id", "references", "model"),
    *("res_id", "attachment_ids", "mail_server_id", "record_alias_domain_id"),
    *("record_company_id", "message_type"),
)


class MailMail(models.Model):
    """The outbox of the relay: its rows stand in the business transaction."""

    _inherit = "mail.mail"

    def init(self):
        result = super().init()
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_mail_relay_outgoing_idx
                   ON mail_mail (id) WHERE state = 'outgoing'"""
        )
        return result

    # --- Who sends it ---

    @api.model_create_multi
    def create(self, values_list):
        mails = super().create(values_list)
        self.env["mail.relay.pickup"]._call_for(mails)
        return mails

    def write(self, vals):
        if "mail_relay_session" in self.env.context and "message_id" in vals:
            # Core writes the Message-ID that the mail has; that costs it two queries.
            same = all(mail.message_id == vals["message_id"] for mail in self)
            vals = {
                name: value
                for name, value in vals.items()
                if name != "message_id" or not same
            }
        result = super().write(vals)
        if vals.get("state") == "outgoing" or "scheduled_date" in vals:
            self.env["mail.relay.pickup"]._call_for(self)
        return result

    @api.model
    def _is_picked_up(self):
        """Tell whether relayed mails are left to the pick-up."""
        return (
            not modules.module.current_test
            and self.env["ir.mail_server"]._relayed_ids()
            and self.env["mail.relay.pickup"]._has_drain("main")
        )

    def send_after_commit(self):
        """Send only what is not relayed; the pick-up is called for the others."""
        if not self or not self._is_picked_up():
            return super().send_after_commit()
        self.env["mail.relay.pickup"]._call_for(self)
        groups = self.with_context(
            mail_relay_left_out=True
        )._split_by_mail_configuration()
        others = self.browse([mail_id for *_key, ids in groups for mail_id in ids])
        return super(MailMail, others).send_after_commit() if others else None

    @api.model
    def process_email_queue(self, *args, **kwargs):
        """Leave relayed mails to the pick-up, which takes all there are."""
        if self._is_picked_up():
            self = self.with_context(mail_relay_left_out=True)
        return super().process_email_queue(*args, **kwargs)

    def _split_by_mail_configuration(self):
        groups = super()._split_by_mail_configuration()
        if not self.env.context.get("mail_relay_left_out"):
            return groups
        relayed = self.env["ir.mail_server"]._relayed_ids()
        return (group for group in groups if group[0] not in relayed)

    # --- Sending ---

    def _send(self, auto_commit=False, smtp_session=None, **kwargs):
        """Queue the mails of a relayed server, together and in one transaction.

        Core commits after each mail; here a mail may be marked as sent only in the
        transaction that queues it.
        """
        if not isinstance(smtp_session, RelaySession):
            return super()._send(
                auto_commit=auto_commit, smtp_session=smtp_session, **kwargs
            )
        mails = self._lock_outgoing()
        mails._warm_up()
        smtp_session.mail_ids = frozenset(mails.ids)
        try:
            super(MailMail, mails.with_context(mail_relay_session=smtp_session))._send(
                auto_commit=False, smtp_session=smtp_session, **kwargs
            )
        except psycopg2.Error:
            raise  # the transaction is over
        except Exception:
            self._finish(smtp_session)  # the caller may go on with what went well
            raise
        self._finish(smtp_session)
        if auto_commit:
            self.env.cr.commit()
        return True

    def _warm_up(self):
        """Read the mails together; core reads one after the other."""
        for name in READ_FIELDS:
            self.mapped(name)

    @api.model
    def _finish(self, session):
        """Queue what core handed over, and delete what it wanted to be deleted."""
        session.flush()
        self.browse(session.spent_ids).exists().unlink()

    def unlink(self):
        """Delete mails that are sent together, at the end: each deletion empties the
        cache.
        """
        session = self.env.context.get("mail_relay_session")
        if session is None or not session.mail_ids.issuperset(self.ids):
            return super().unlink()
        session.spent_ids += self.ids
        return True

    def _lock_outgoing(self):
        """Return the mails that are outgoing and nobody else is sending, locked."""
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT id FROM mail_mail WHERE id = ANY(%s) AND state = 'outgoing'
             ORDER BY id FOR UPDATE SKIP LOCKED""",
            (self.ids,),
            log_exceptions=False,
        )
        return self.browse([row[0] for row in self.env.cr.fetchall()])

    def _prepare_outgoing_list(self, *args, **kwargs):
        """Let the session know for whom each mail is."""
        emails = super()._prepare_outgoing_list(*args, **kwargs)
        if "mail_relay_session" in self.env.context:
            for email in emails:
                partner = email.get("partner_id")
                ref = make_ref(self.id, partner.id if partner else 0)
                # The entries share one dict.
                email["headers"] = {**email["headers"], REF_HEADER: ref}
        return emails

    def _postprocess_sent_message(self, success_pids, *args, **kwargs):
        """A mail in the queue is being processed; what becomes of it is told later."""
        if "mail_relay_session" not in self.env.context:
            return super()._postprocess_sent_message(success_pids, *args, **kwargs)
        waiting = self.filtered("is_notification")._waiting_notifications()
        result = super()._postprocess_sent_message(success_pids, *args, **kwargs)
        queued = waiting.filtered(lambda item: item.notification_status == "sent")
        queued.write({"notification_status": "process"})
        return result

    def _waiting_notifications(self):
        """Return the notifications that tell of mails which are not sent yet."""
        notifications = self.env["mail.notification"].sudo()
        if not self:
            return notifications
        return notifications.search(
            [
                ("notification_type", "=", "email"),
                ("mail_mail_id", "in", self.ids),
                ("notification_status", "not in", ("sent", "canceled")),
            ]
        )

    def _mark_broken(self, error):
        """End as core would: a failed mail with the reason."""
        reason = exception_to_unicode(error)
        for mail in self:
            failure = {"failure_type": "unknown", "failure_reason": reason}
            mail.write({"state": "exception", **failure})
            notifications = mail._waiting_notifications()
            notifications.write({"notification_status": "exception", **failure})
            notifications.mail_message_id._notify_message_notification_update()

    # --- What is queued ---

    def _relay_submission(self, session, message, smtp_from, recipients, partner_id):
        """Return the submission of a mail that core built for some recipients.

        :param self: the ``mail.mail``, or none where code sends without one.
        """
        values = self._relay_values()
        trace_id = values.pop("trace_id", 0)
        is_marketing = values.setdefault("is_marketing", is_bulk(message))
        values.setdefault("company_id", self._relay_company(session))
        reference = uuid.uuid4().hex
        complete(message, rename=not self)
        self._add_demanded(message, reference, values, recipients)
        account = session.server_sudo.relay_account_id
        is_own = account.company_id.id == values["company_id"]
        normal = MEDIUM if self else HIGH
        return Submission(
            mime=as_mime(message),
            envelope_sender=session.relay_sudo._return_path(
                account, reference, smtp_from
            ),
            email_from=str(message["From"]),
            recipients=tuple(
                Rcpt(address, partner_id, trace_id) for address in recipients
            ),
            message_id=str(message["Message-ID"]).strip(),
            subject=str(message.get("Subject", "")),
            reference=reference,
            **{
                "default_account_id": account.id if is_own else 0,
                "priority": LOW if is_marketing else normal,
                **values,
            },
        )

    def _add_demanded(self, message, reference, values, recipients):
        """Add what receivers demand of a mail, and say that no person wrote it."""
        item = {
            "reference": reference,
            "company_id": values["company_id"],
            "addresses": recipients,
            "is_marketing": values["is_marketing"],
            "list_reference": values.get("list_reference", ""),
            "campaign": values.get("list_reference") or values.get("model") or "direct",
        }
        wanted = self.env["mail.relay.message"].sudo()._demanded_headers(message, item)
        if self.message_type in AUTOMATIC and "Auto-Submitted" not in message:
            wanted["Auto-Submitted"] = "auto-generated"
        for name, text in wanted.items():
            message[name] = text

    def _relay_values(self):
        """Return what a mail brings along, as values of ``Submission``.

        For a module to say more of its mails (``is_marketing``, ``list_reference``,
        ``trace_id`` of the one recipient, …), it must override this method.
        """
        if not self:
            return {}
        # A mail that is no notification takes its message along when it is deleted.
        keeps_message = self.is_notification or not self.auto_delete
        return {
            "mail_mail_id": self.id,
            "mail_message_id": self.mail_message_id.id if keeps_message else 0,
            "model": self.model or "",
            "res_id": self.res_id or 0,
        }

    def _relay_company(self, session):
        """Return whose routes and limits count: the company's of the mail if it sends.

        A server serves all companies; the mail of one without an account of its own
        goes through the server's.
        """
        company = self.record_company_id or self.create_uid.company_id
        company = company or self.env.company
        account = session.server_sudo.relay_account_id
        if company == account.company_id or company in session.sending_companies:
            return company.id
        return account.company_id.id
