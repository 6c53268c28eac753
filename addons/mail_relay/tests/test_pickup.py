# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import modules
from odoo.tests import TransactionCase, tagged

@tagged("post_install", "-at_install")
class TestPickup(TransactionCase):
    def test_x(self):
        pass
