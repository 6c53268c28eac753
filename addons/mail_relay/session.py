# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What ``ir.mail_server`` gives in place of an SMTP connection: it queues the mail."""

from __future__ import annotations

from functools import cached_property

from .submission import Submission


class RelaySession:
    """Stands where core expects a connection of ``smtplib``; no network is behind it.

    What it takes goes into the queue in the same transaction: at once for whoever
    calls ``send_email``, together at the end for mails of ``mail.mail`` (``mail_ids``,
    see ``mail.mail._send``; ``spent_ids`` are those that core then deletes). A mail
    either stands in the queue and is marked as sent, or neither.
    """

    def __init__(self, env, server_sudo, smtp_from):
        self.relay_sudo = env["mail.relay.message"].sudo()
        self.pick_up_sudo = env["mail.relay.pickup"].sudo()
        self.server_sudo = server_sudo
        self.from_filter = server_sudo.from_filter
        self.smtp_from = smtp_from
        self.mail_ids = frozenset()
        self.spent_ids: list[int] = []
        self._waiting: list[Submission] = []

    def send_message(self, message, smtp_from, smtp_to_list, *_options):
        """Take one mail for some recipients; the answer is that of ``smtplib``."""
        submission = self.pick_up_sudo._submission(
            self, message, smtp_from, smtp_to_list
        )
        self.relay_sudo._check_submission(submission)
        self._waiting.append(submission)
        if not self.mail_ids:
            self.flush()
        return {}

    def flush(self):
        """Queue what was taken."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.relay_sudo._enqueue(waiting)

    @cached_property
    def sending_companies(self):
        """Companies with an account of their own that sends."""
        accounts = self.server_sudo.env["mail.bridge.account"]
        return accounts.search(accounts._sending_domain()).company_id

    def quit(self):
        """Nothing is open."""

    close = quit
