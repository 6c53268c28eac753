# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import answers
from . import door
from . import relay_door
from . import models

relay_door.install()
door.install()
