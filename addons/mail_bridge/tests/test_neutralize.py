# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from .common import BridgeCase


@tagged("post_install", "-at_install")
class TestNeutralize(BridgeCase):
    """A copy of the database takes no mail, knows no secret, and says so."""

    def test_accounts_are_off_and_sorted_as_such(self):
        off = self.env["mail.bridge.account"].create({"name": "Off", "sequence": 0})
        self.env.flush_all()
        self.env.cr.execute(
            """UPDATE mail_bridge_account SET state = 'enabled', state_rank = 0
                WHERE id = %s""",
            (self.account.id,),
        )
        self.neutralize()
        self.assertEqual(self.account.state, "disabled")
        self.assertEqual(self.account.state_rank, off.state_rank)
        both = (self.account | off).ids
        found = self.env["mail.bridge.account"].search([("id", "in", both)])
        self.assertEqual(found[0], off, "its sequence is the smaller one")

    def test_no_secret_is_left(self):
        self.neutralize()
        self.assertFalse(self.env["mail.bridge.secret"].search([]))
        self.assertFalse(self.env["mail.bridge.token"].search([]))

    def test_what_waited_is_not_processed(self):
        intake = self.make_intake()
        self.neutralize()
        self.assertEqual(intake.state, "dead")
