# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_bridge_simulate_event_wizard
from . import mail_bridge_simulate_wizard
