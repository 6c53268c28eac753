# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_bridge_key_wizard
from . import mail_bridge_route_wizard
from . import mail_bridge_test_wizard
