# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.mail_bridge import reset_provider, setup_provider
from odoo.addons.mail_bridge.providers import registry

from . import models
from .adapter import Smtp2goAdapter

registry.register(Smtp2goAdapter)


def post_init_hook(env):
    setup_provider(env, "smtp2go")


def uninstall_hook(env):
    reset_provider(env, "smtp2go")
