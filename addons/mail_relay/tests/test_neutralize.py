# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.modules.neutralize import get_neutralization_queries
from odoo.tests import TransactionCase, tagged

from ..submission import Rcpt, Submission


@tagged("post_install", "-at_install")
class TestNeutralize(TransactionCase):
    """A copy of the database sends nothing that the original sends."""

    def test_what_waits_is_not_sent_and_nobody_is_told(self):
        item = Submission(
            mime=b"Subject: x\r\n\r\nx",
            envelope_sender="a@example.com",
            email_from="a@example.com",
            recipients=(Rcpt("b@example.org"),),
            message_id="<1@example.com>",
        )
        mail = self.env["mail.relay.message"]._enqueue([item])
        client = self.env["mail.relay.client"].create(
            {"name": "Shop", "identifier": "shop", "base_url": "https://shop.example"}
        )
        self.assertEqual((mail.state, client.active), ("queued", True))
        self.env.flush_all()
        for query in get_neutralization_queries(["mail_relay"]):
            self.env.cr.execute(query)
        self.env.invalidate_all()
        self.assertEqual(mail.state, "cancelled")
        self.assertFalse(client.active)
        self.assertFalse(client.base_url)
