# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import uuid
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP

from odoo import fields
from odoo.tests import TransactionCase, new_test_user

from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent
from odoo.addons.mail_relay.submission import Rcpt, Submission


class PeopleCase(TransactionCase):
    """An account that sends, a user, an administrator, and mails in the queue."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # demo data may have accounts and routes of its own
        cls.env["mail.relay.route"].search([]).active = False
        cls.account = cls.make_account("First Account")
        cls.other = cls.make_account("Second Account")
        cls.user = new_test_user(
            cls.env,
            "relay-user",
            groups="mail_bridge.group_user",
            email="u@example.com",
        )
        cls.head = new_test_user(
            cls.env,
            "relay-head",
            groups="mail_bridge.group_administrator",
            email="h@example.com",
        )

    @classmethod
    def make_account(cls, name, **values):
        return cls.env["mail.bridge.account"].create(
            {
                "name": name,
                "code": "smtp",
                "smtp_host": "smtp.example.com",
                "state": "enabled",
                **values,
            }
        )

    def mime(self, body="Hello", **headers):
        mail = EmailMessage(policy=SMTP)
        defaults = {
            "From": "Shop <shop@example.com>",
            "To": "ann@outside.example",
            "Subject": "Your order",
            "Message-ID": f"<{uuid.uuid4().hex}@example.com>",
            "Date": "Sat, 21 Nov 2026 10:00:00 +0000",
        }
        for name, value in (defaults | headers).items():
            mail[name] = value
        mail.set_content(body)
        return mail.as_bytes()

    def submission(self, *addresses, **values):
        """Return a mail; an address may be a ``Rcpt``."""
        people = addresses or ("ann@outside.example",)
        defaults = {
            "mime": self.mime(),
            "envelope_sender": "bounce@example.com",
            "email_from": "Shop <shop@example.com>",
            "recipients": tuple(
                item if isinstance(item, Rcpt) else Rcpt(item) for item in people
            ),
            "message_id": f"<{uuid.uuid4().hex}@example.com>",
            "subject": "Your order",
            "account_id": self.account.id,
        }
        return Submission(**(defaults | values))

    def enqueue(self, *addresses, **values):
        [mail] = self.env["mail.relay.message"]._enqueue(
            [self.submission(*addresses, **values)]
        )
        return mail

    def put(self, records, **values):
        """Write columns as the engine does."""
        self.env.flush_all()
        sets = ", ".join(f"{name} = %s" for name in values)
        self.env.cr.execute(
            f"UPDATE {records._table} SET {sets} WHERE id = ANY(%s)",
            (*values.values(), records.ids),
        )
        records.invalidate_recordset()
        self.env.invalidate_all()

    def tell(self, mail, kind, recipient="ann@outside.example", **values):
        """Store a delivery event about a mail."""
        event = DeliveryEvent(
            type=kind,
            recipient=recipient,
            occurred_at=values.pop("occurred_at", datetime.now(timezone.utc)),
            reference=mail.reference,
            **values,
        )
        self.env["mail.bridge.event"]._store(self.account, [event], "webhook")

    @property
    def now(self):
        return fields.Datetime.now()
