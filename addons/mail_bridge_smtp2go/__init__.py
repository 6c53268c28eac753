# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.mail_bridge.providers import registry

from .adapter import Smtp2goAdapter

registry.register(Smtp2goAdapter)
