# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from psycopg2 import IntegrityError

from odoo.exceptions import UserError
from odoo.tests import Form, TransactionCase, tagged
from odoo.tools import mute_logger

from odoo.addons.mail_relay.session import RelaySession

from .test_demands import SENDER, DemandsCase


@tagged("post_install", "-at_install")
class TestRelayedServer(DemandsCase, TransactionCase):
    def setUp(self):
        super().setUp()
        self.prepare()

    def connect(self, **kwargs):
        servers = self.env["ir.mail_server"]
        method = "_connect__" if hasattr(servers, "_disable_send") else "connect"
        with self.untested():
            return getattr(servers, method)(**kwargs)

    def test_the_setting_is_for_new_servers_only(self):
        old = self.env["ir.mail_server"].create({"name": "Old", "smtp_host": "a.b"})
        self.assertFalse(old.relay_account_id)
        settings = self.env["res.config.settings"].create(
            {"mail_relay_account_id": self.account.id}
        )
        settings.execute()
        self.assertEqual(self.env.company.mail_relay_account_id, self.account)
        new = self.env["ir.mail_server"].create({"name": "New", "smtp_host": "a.b"})
        self.assertEqual(new.relay_account_id, self.account)
        self.assertFalse(old.relay_account_id)

    def test_a_relayed_server_needs_no_host(self):
        with Form(self.env["ir.mail_server"]) as form:
            form.name = "Relayed"
            form.relay_account_id = self.account
        self.assertFalse(form.record.smtp_host)

    def test_only_a_relayed_server_gives_a_session(self):
        session = self.connect(mail_server_id=self.server.id)
        self.assertIsInstance(session, RelaySession)
        self.assertIsInstance(self.connect(smtp_from=SENDER), RelaySession)
        self.assertFalse(self.env["ir.mail_server"]._relay_session(host="a.b"))
        self.server.active = False
        with self.assertRaises(UserError):
            self.connect(mail_server_id=self.server.id)

    def test_its_test_is_that_of_the_account(self):
        action = self.server.test_smtp_connection()
        self.assertEqual(action["res_model"], "mail.relay.test.wizard")
        with self.assertRaises(UserError):
            self.server.action_retrieve_max_email_size()

    @mute_logger("odoo.sql_db")
    def test_an_account_that_a_server_uses_stays(self):
        with self.assertRaises(IntegrityError), self.cr.savepoint():
            self.account.unlink()

    def test_another_companys_mail_goes_through_the_servers_account(self):
        other = self.env["res.company"].create({"name": "Other"})
        message = self.env["mail.message"].create({"record_company_id": other.id})
        row, _mail = self.send(mail_message_id=message.id)
        self.assertEqual(
            (row.company_id, row.account_id), (self.account.company_id, self.account)
        )
        own = self.account.copy(
            {"company_id": other.id, "smtp_host": "127.0.0.1", "state": "enabled"}
        )
        message = self.env["mail.message"].create({"record_company_id": other.id})
        row, _mail = self.send(mail_message_id=message.id)
        self.assertEqual(row.company_id, other)
        self.assertEqual(row.account_id, own)
