# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import TransactionCase, tagged

from odoo.addons.mail_bridge.tests.account_contract import UnsignedAccountContract


@tagged("post_install", "-at_install")
class TestImprovmxAccount(UnsignedAccountContract, TransactionCase):
    code = "improvmx"
