# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail built from parts, read by Odoo's own gateway: not a byte is missing."""

import email
import email.policy

from odoo.tests import TransactionCase, tagged

from odoo.addons.mail_bridge.providers.mime import Attachment, MailParts, build_mime

HEADERS = (
    ("From", '"Löwe, Ada" <ada@customer.example>'),
    ("To", "Sales <sales@inbound.example>"),
    ("Subject", "Größe " + "ü" * 100),
    ("Content-Type", 'multipart/mixed; boundary="gone"'),
)
FILES = {
    "Angebot ü.pdf": (bytes(range(256)) * 20, "application/pdf"),
    "latin.csv": (b"a;\xfc\r\n\n", "text/csv"),
    "utf.csv": ("a;ü".encode(), "text/csv; charset=utf-8"),
    "wide.txt": (b"\xff\xfea\0", "text/plain; charset=utf-16"),
    "wrong.txt": (b"\xfc\xff", "text/plain; charset=utf-8"),
    "forwarded.eml": (b"From: a@b\nSubject: \xff\n\nbody\n\xfe", "message/rfc822"),
    "font.woff2": (b"wOF2\xff", "font/woff2"),
    "part.mht": (b"--x\r\n\r\n--x--", "multipart/related"),
    "invite.ics": (b"BEGIN:VCALENDAR\r\n", "text/calendar; method=REQUEST"),
    "page.html": (b"<p>attached</p>", "text/html"),
}
IMAGE = Attachment(b"\x89PNG\r\n\x1a\n\xff", "image/png", "pixel.png", "pixel@1", True)


@tagged("post_install", "-at_install")
class TestBuiltMail(TransactionCase):
    def receive(self, parts):
        thread = self.env["mail.thread"]
        record_id = thread.message_process("res.partner", build_mime(parts))
        record = self.env["res.partner"].browse(record_id)
        return record.message_ids.filtered(lambda m: m.message_type == "email")

    def test_every_byte_stands_in_the_chatter(self):
        files = tuple(Attachment(b, kind, name) for name, (b, kind) in FILES.items())
        html = '<p>Hello <img src="cid:pixel@1"></p>'
        parts = MailParts(HEADERS, "Hello\r\n", html, (IMAGE, *files))
        message = self.receive(parts)
        self.assertEqual(message.subject, HEADERS[2][1])
        self.assertEqual(message.email_from, HEADERS[0][1])
        self.assertIn("Hello", message.body)
        self.assertNotIn("cid:", message.body)
        found = {item.name: item.raw for item in message.attachment_ids}
        wanted = {name: content for name, (content, _kind) in FILES.items()}
        self.assertEqual(found, {**wanted, "pixel.png": IMAGE.content})

    def test_a_path_is_no_name(self):
        parts = MailParts(HEADERS, "x", None, (Attachment(b"y", "a/b", "../../x"),))
        self.assertEqual(self.receive(parts).attachment_ids.name, "x")

    def test_a_mail_attached_to_a_mail_adds_no_text(self):
        inner = Attachment(
            b"Subject: in\r\n\r\nsecret words", "message/rfc822", "a.eml"
        )
        message = self.receive(MailParts(HEADERS, "outer", None, (inner,)))
        self.assertNotIn("secret words", message.body)

    def test_a_delivery_report_is_handled_as_one(self):
        status = (
            b"Reporting-MTA: dns; mx.example\r\n\r\n"
            b"Final-Recipient: rfc822; lost@customer.example\r\nAction: failed\r\n"
        )
        kind = "multipart/report; report-type=delivery-status; boundary=x"
        parts = MailParts(
            (("From", "MAILER-DAEMON@mx.example"), ("Content-Type", kind)),
            "It failed.",
            None,
            (
                Attachment(status, "message/delivery-status"),
                Attachment(b"Message-ID: <out1@x>\r\n\r\nx", "message/rfc822"),
            ),
        )
        message = email.message_from_bytes(build_mime(parts), policy=email.policy.SMTP)
        values = self.env["mail.thread"].message_parse(message)
        self.assertTrue(values["is_bounce"])
        self.assertEqual(values["bounced_email"], "lost@customer.example")
        self.assertEqual(values["bounced_msg_ids"], ["<out1@x>"])
