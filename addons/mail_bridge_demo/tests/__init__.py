# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_decisions
from . import test_message_controller
from . import test_people
from . import test_simulated_fate
from . import test_simulator
from . import test_test_wizard
