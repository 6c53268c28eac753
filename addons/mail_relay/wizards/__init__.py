# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_relay_account_wizard
from . import mail_relay_batch_wizard
from . import mail_relay_test_wizard
