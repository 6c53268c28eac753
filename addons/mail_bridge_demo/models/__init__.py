# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_bridge_account
from . import mail_bridge_account_history
from . import mail_relay_recipient
