# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import uuid
from email.message import EmailMessage
from email.policy import SMTP

from odoo import fields
from odoo.modules.neutralize import get_neutralization_queries
from odoo.tests import TransactionCase, new_test_user, tagged

from ..providers.base import AuthenticationVerdicts, InboundMail

DOMAIN = "bridge.example.com"


@tagged("post_install", "-at_install")
class BridgeCase(TransactionCase):
    """An account, two aliases that make partners, and mails that come in."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env(context=dict(cls.env.context, tracking_disable=True))
        cls.alias_domain = cls.env["mail.alias.domain"].create(
            {"name": DOMAIN, "catchall_alias": "catchall", "bounce_alias": "bounce"}
        )
        cls.env.company.alias_domain_id = cls.alias_domain
        cls.partner_model = cls.env["ir.model"]._get("res.partner")
        cls.alias_a = cls.make_alias("desk-a")
        cls.alias_b = cls.make_alias("desk-b")
        cls.account = cls.env["mail.bridge.account"].create({"name": "Test Account"})
        cls.admin = new_test_user(
            cls.env,
            "bridge-admin",
            groups="base.group_system,base.group_partner_manager",
            email="boss@bridge.example.com",
        )
        cls.customer = cls.env["res.partner"].create(
            {"name": "Customer", "email": "customer@outside.example"}
        )

    @classmethod
    def make_alias(cls, name, **values):
        return cls.env["mail.alias"].create(
            {
                "alias_name": name,
                "alias_domain_id": cls.alias_domain.id,
                "alias_model_id": cls.partner_model.id,
                "alias_contact": "everyone",
                **values,
            }
        )

    def make_mail(self, body="Hello", attachments=(), **headers):
        """Return RFC 5322 bytes; underscores in header names are dashes."""
        mail = EmailMessage(policy=SMTP)
        defaults = {
            "From": "Somebody <somebody@outside.example>",
            "To": f"desk-a@{DOMAIN}",
            "Subject": f"Question {uuid.uuid4().hex[:8]}",
            "Message_ID": f"<{uuid.uuid4().hex}@outside.example>",
            "Date": "Fri, 20 Nov 2026 10:00:00 +0000",
        }
        for name, value in (defaults | headers).items():
            if value is not None:
                mail[name.replace("_", "-")] = value
        mail.set_content(body)
        for name, content in attachments:
            mail.add_attachment(
                content, maintype="application", subtype="octet-stream", filename=name
            )
        return mail.as_bytes()

    def make_intake(self, account=None, body=b"post", **values):
        account = account or self.account
        intake = self.env["mail.bridge.intake"].create(
            {
                "account_id": account.id,
                "company_id": account.company_id.id,
                "reference": uuid.uuid4().hex,
                "dedupe_key": uuid.uuid4().hex,
                "content_hash": "0" * 64,
                "received_at": fields.Datetime.now(),
                "method": "POST",
                "path": "/mailgate/none",
                "headers": "[]",
                "size": len(body),
                **values,
            }
        )
        self.env.flush_all()
        intake._write_chunks(intake.id, 0, "", body)
        return intake

    def deliver(self, mime=None, recipients=(), account=None, **mail_values):
        """Let a mail come in; return its mail.bridge.message."""
        mail = InboundMail(
            mime=mime or self.make_mail(),
            envelope_recipients=tuple(recipients),
            **mail_values,
        )
        return self.env["mail.bridge.message"]._receive(
            self.make_intake(account), 0, mail
        )

    @staticmethod
    def verified(domain="outside.example"):
        return AuthenticationVerdicts(
            dkim="pass", dkim_domains=(domain,), source="test"
        )

    def posts(self, record):
        """Return the mails that came into a record's chatter."""
        return record.message_ids.filtered(lambda post: post.message_type == "email")

    def neutralize(self):
        """Make the database what a copy of it becomes."""
        self.env.flush_all()
        for query in get_neutralization_queries(["mail_bridge"]):
            self.env.cr.execute(query)
        self.env.invalidate_all()
