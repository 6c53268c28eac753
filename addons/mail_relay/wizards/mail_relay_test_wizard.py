# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
import uuid
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import email_normalize

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.check import Check
from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail, Reply

from ..providers.advice import advice_on

#: What there is to do (see ``providers.advice``), as the administrator reads it.
ADVICE = [
    (
        "name",
        "The server's name is unknown here. Check its spelling, and that this "
        "machine can ask DNS (port 53).",
    ),
    (
        "family",
        "The server has no address of the wanted kind. Set Addresses (tab Sending) "
        "to Automatic.",
    ),
    (
        "firewall",
        "No packet comes back. Check server and port; a firewall, here or at your "
        "host, often blocks 25, 465 and 587: ask your host, or try 2525 where your "
        "provider offers it.",
    ),
    (
        "refused",
        "The machine is there, but nobody listens at this port. Check the port: "
        "587, 465 or 2525 at providers, 25 at servers of one's own.",
    ),
    (
        "implicit",
        "Something listens, but does not talk. If the port wants TLS from the start "
        "(465 and some others), choose it as encryption.",
    ),
    (
        "greeting",
        "The server turns this machine away before any login. It may demand that "
        "its address is registered, or has a name in DNS (PTR).",
    ),
    (
        "certificate",
        "The certificate is not valid for this name. Enter the name that stands in "
        "it; for an authority of your own, name its file. Switch the check off only "
        "for a server in your own network.",
    ),
    (
        "authorities",
        "The file of own authorities must be readable for Odoo and hold "
        "certificates in PEM.",
    ),
    (
        "no_starttls",
        "The server offers no encryption at this port. Take another port, or set "
        "the encryption to Automatic if it may travel in clear text.",
    ),
    (
        "clear_text",
        "The server offers no encryption, so the login was not sent. Take port 587 "
        "or 465; only in a network that you trust, allow the login in clear text.",
    ),
    (
        "not_tls",
        "This port does not speak TLS from the start. Choose Automatic as "
        "encryption, or port 465.",
    ),
    (
        "tls",
        "Both sides found no common encryption. The server may know only versions "
        "of TLS that are too old.",
    ),
    (
        "mechanism",
        "The server offers no login with a password (PLAIN or LOGIN) here. Leave "
        "the login empty if it knows this machine by its address.",
    ),
    (
        "credentials",
        "Login, password or key were refused. Many providers want an app password, "
        "an SMTP password of its own, or a key with more permissions.",
    ),
    (
        "sender",
        "The sender is refused: the domain must be registered and verified at the "
        "provider, and the login allowed to use it.",
    ),
    (
        "recipient",
        "The recipient is refused. Try another one; if all are, this account may "
        "not send to addresses outside.",
    ),
    (
        "message",
        "The server says why in the last line.",
    ),
    (
        "interface",
        "Check key, region and domain, and that this machine may reach the "
        "provider's interface (port 443). A key that is for sending only cannot be "
        "tested: send a test mail instead.",
    ),
]


class MailRelayTestWizard(models.TransientModel):
    """A test of an account that sends: each step with its time, and what to do.

    No transaction is open while the network is asked.
    """

    _name = "mail.relay.test.wizard"
    _description = "Mail Relay: Test of an Account"

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, ondelete="cascade", readonly=True
    )
    line_ids = fields.One2many("mail.relay.test.line", "wizard_id", readonly=True)
    is_good = fields.Boolean(readonly=True)
    verdict = fields.Char(readonly=True)
    advice = fields.Selection(ADVICE, readonly=True)
    offers = fields.Char(string="The Server Offers", readonly=True)
    email_from = fields.Char(
        string="From", default=lambda self: self._default_email_from()
    )
    email_to = fields.Char(string="To", default=lambda self: self.env.user.email)

    @api.model
    def _default_email_from(self):
        return self.env.company.email_formatted or self.env.user.email_formatted

    # --- Actions ---

    @api.model
    def _run(self, account):
        """Test an account; return the wizard that shows what came of it."""
        found = self._check(account)
        return self.create(
            {
                "account_id": account.id,
                "line_ids": [
                    fields.Command.create(vals) for vals in self._check_lines(found)
                ],
                "offers": ", ".join(found.offers),
                **self._conclusion(found.failure, self.env._("A mail could be sent.")),
            }
        )

    def action_again(self):
        """Test the account once more."""
        self.account_id.check_access("write")
        return self._run(self.account_id)._reopen()

    def action_send(self):
        """Send a test mail through the account, past queue and route."""
        self.ensure_one()
        self.account_id.check_access("write")
        sender = email_normalize(self.email_from)
        recipient = email_normalize(self.email_to)
        if not sender or not recipient:
            raise UserError(self.env._("Enter one address each for From and To."))
        result, line = self._send(sender, recipient)
        failure = None if line["state"] == "done" else result.reply
        success = self.env._("The server took the test mail.")
        self.write(
            {
                "line_ids": [fields.Command.create(line)],
                **self._conclusion(failure, success),
            }
        )
        return self._reopen()

    def _reopen(self):
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Test of %(account)s", account=self.account_id.name),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "target": "new",
        }

    # --- Business ---

    @api.model
    def _check(self, account):
        """Return what the adapter finds (``Check``); errors are findings, too."""
        try:
            return account._ask("check")
        except (TemporaryError, PermanentError) as error:
            return Check(failure=Reply("api", 0, "", str(error)))
        except KeyRingError as error:
            raise UserError(str(error)) from error

    def _send(self, sender, recipient):
        """Hand a mail to the adapter; return its result and the row that tells it."""
        message_id = make_msgid(domain=sender.rpartition("@")[2])
        mail = OutgoingMail(
            mime=self._mime(message_id),
            envelope_sender=sender,
            recipients=(recipient,),
            reference=uuid.uuid4().hex,
            message_id=message_id,
        )
        try:
            facts = self.account_id.sudo()._facts()
        except KeyRingError as error:
            raise UserError(str(error)) from error
        self.account_id._end_transaction()
        start = time.monotonic()
        [result] = self.account_id._adapter().send(mail, facts).results
        return result, {
            "state": "done" if result.outcome is Outcome.ACCEPTED else "fault",
            "label": self.env._("Mail to %(address)s", address=recipient),
            "milliseconds": 1000 * (time.monotonic() - start),
            "detail": told(result.reply),
        }

    def _mime(self, message_id):
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self.email_from
        mail["To"] = self.email_to
        mail["Subject"] = self.env._("Mail Relay test")
        mail["Date"] = format_datetime(utcnow())
        mail["Message-ID"] = message_id
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(
            self.env._(
                "This test mail was sent through the account %(account)s.",
                account=self.account_id.name,
            )
        )
        return mail.as_bytes()

    # --- What it says ---

    def _check_lines(self, found):
        """Return the rows of the table (list of vals)."""
        labels = self._labels()
        lines = [
            {
                "state": "warning" if step.problem else "done",
                "label": labels[step.what],
                "subject": step.subject,
                "milliseconds": step.seconds and 1000 * step.seconds,
                "detail": step.problem,
            }
            for step in found.steps
        ]
        if found.failure:
            label = self._stages()[found.failure.stage]
            detail = told(found.failure)
            lines.append({"state": "fault", "label": label, "detail": detail})
        return lines

    def _conclusion(self, failure, success):
        """Return what stands above the table (dict of vals)."""
        if failure is None:
            return {"is_good": True, "verdict": success, "advice": False}
        return {
            "is_good": False,
            "verdict": self.env._("The test failed."),
            "advice": advice_on(failure),
        }

    def _labels(self):
        return {
            "address": self.env._("Address"),
            "greeting": self.env._("Connected and greeted"),
            "tls": self.env._("Encrypted"),
            "auth": self.env._("Logged in"),
            "api": self.env._("Asked"),
        }

    def _stages(self):
        return {
            "connect": self.env._("Connection"),
            "tls": self.env._("Encryption"),
            "auth": self.env._("Login"),
            "mail": self.env._("Sender"),
            "rcpt": self.env._("Recipient"),
            "data": self.env._("Content"),
            "api": self.env._("Provider"),
            "remote": self.env._("Recipient's server"),
        }


class MailRelayTestLine(models.TransientModel):
    """One step of a test."""

    _name = "mail.relay.test.line"
    _description = "Mail Relay: Step of a Test"
    _order = "id"

    wizard_id = fields.Many2one(
        "mail.relay.test.wizard", required=True, ondelete="cascade"
    )
    state = fields.Selection(
        [("done", "Done"), ("warning", "Warning"), ("fault", "Fault")], required=True
    )
    label = fields.Char(string="Step", required=True)
    subject = fields.Char(string="What")
    milliseconds = fields.Float(string="ms", digits=(9, 1))
    detail = fields.Char(string="Result")


def told(reply):
    """Return a reply as one line: what the server said, with its codes."""
    codes = (str(reply.code or ""), reply.enhanced, reply.text)
    return " ".join(word for word in codes if word)
