# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time

from odoo.tests import TransactionCase, tagged
from odoo.tools import mute_logger

from ..providers.repair import make_safe
from ..tests_plain import bad_mails

DOMAIN = "repair.example.com"
RECIPIENT = f"hostile@{DOMAIN}"
#: Seconds of CPU for one mail, repair included.
MAX_CPU = 2.0
CONTEXT = {"mail_notify_force_send": False, "image_no_postprocess": True}


@tagged("post_install", "-at_install")
class TestRepair(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        parameters = cls.env["ir.config_parameter"].sudo()
        # All of these mails come from one sender.
        parameters.set_param("mail.gateway.loop.threshold", 10_000)
        domain = cls.env["mail.alias.domain"].create(
            {"name": DOMAIN, "catchall_alias": "catchall", "bounce_alias": "bounce"}
        )
        cls.env["mail.alias"].create(
            {
                "alias_name": "hostile",
                "alias_domain_id": domain.id,
                "alias_model_id": cls.env["ir.model"]._get_id("res.partner"),
                "alias_contact": "everyone",
            }
        )
        cls.env.flush_all()

    def process(self, mime):
        """Return the ``mail.message`` that Odoo's own gateway makes of a mail."""
        gateway = self.env["mail.thread"].with_context(**CONTEXT)
        record_id = gateway.message_process(False, mime)
        self.env.flush_all()
        if not record_id:
            return self.env["mail.message"]
        return (
            self.env["res.partner"]
            .browse(record_id)
            .message_ids.filtered(lambda message: message.message_type == "email")
        )

    def content(self, message):
        """Return everything of a message in which a text may have ended up."""
        files = [attachment.raw or b"" for attachment in message.attachment_ids]
        return b"".join([str(message.body).encode(), *files])

    @mute_logger("odoo.addons.mail.models.mail_thread")
    def test_every_bad_mail_arrives_in_time(self):
        for name, make in bad_mails.BAD_MAILS.items():
            with self.subTest(mail=name):
                raw = make(RECIPIENT)
                start = time.process_time()
                safe = make_safe(raw)
                message = self.process(safe.mime)
                spent = time.process_time() - start
                self.assertLessEqual(spent, MAX_CPU)
                if name in bad_mails.BOUNCES:
                    # Recognized as a delivery report, which has no place of its own.
                    continue
                self.assertEqual(len(message), 1)
                self.assertTrue(message.email_from)
                if bad_mails.MARKER.encode() in raw:
                    self.assertIn(bad_mails.MARKER.encode(), self.content(message))

    @mute_logger("odoo.addons.mail.models.mail_thread", "odoo.sql_db")
    def test_odoo_alone_fails_on_them(self):
        """Or there would be nothing to repair."""
        for name in sorted(bad_mails.CHOKES):
            with self.subTest(mail=name), self.assertRaises(Exception):  # noqa: B017
                self.process(bad_mails.BAD_MAILS[name](RECIPIENT))

    def test_an_ordinary_mail_is_left_alone(self):
        raw = bad_mails.good_mail(RECIPIENT)
        safe = make_safe(raw)
        self.assertIs(safe.mime, raw)
        self.assertEqual(safe.notes, ())
        message = self.process(safe.mime)
        self.assertEqual(
            set(message.attachment_ids.mapped("name")),
            {"logo.png", "Rechnung März.pdf"},
        )

    def test_what_the_repaired_copy_still_holds(self):
        raw = bad_mails.everything_odd(RECIPIENT)
        message = self.process(make_safe(raw).mime)
        self.assertEqual(
            message.email_from, '"Müller, Jürgen" <juergen@sender.example>'
        )
        self.assertEqual(message.subject, "Grüße aus Köln")
        self.assertEqual(message.message_id, "<odd-1@sender.example>")
        self.assertEqual(str(message.date), "2026-11-20 09:00:00")
        self.assertIn("größer als zwölf", str(message.body))
        files = {file.name: file.raw for file in message.attachment_ids}
        self.assertEqual(files, {"x": bytes(range(256)), "ünter.bin": b"\r\nraw\n"})

    def test_senders_that_the_parser_dies_on(self):
        for name in (".Net ", "...", "Example Inc.", "=?utf-8?q?=3Ca?="):
            with self.subTest(name=name):
                raw = bad_mails.plain(RECIPIENT, sender=f"{name}<a@b.example>")
                message = self.process(make_safe(raw).mime)
                self.assertEqual(len(message), 1)
                self.assertIn("a@b.example", message.email_from)

    def test_a_mail_without_a_sender_is_not_ours(self):
        """Odoo posts a mail without From as its own robot."""
        message = self.process(make_safe(bad_mails.no_from(RECIPIENT)).mime)
        self.assertIn("unknown-sender@mail-bridge.invalid", message.email_from)
        self.assertNotIn(
            message.author_id,
            self.env["res.users"]
            .sudo()
            .with_context(active_test=False)
            .search([])
            .partner_id,
        )
