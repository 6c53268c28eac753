# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.mail_bridge import reset_provider, setup_provider
from odoo.addons.mail_bridge.providers import registry

from . import controllers
from . import models
from . import relay_door
from . import wizards
from .adapter import SmtpAdapter

registry.register(SmtpAdapter)
relay_door.install()


def post_init_hook(env):
    setup_provider(env, "smtp")


def uninstall_hook(env):
    reset_provider(env, "smtp")
