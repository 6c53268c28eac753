# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.mail_bridge import reset_provider
from odoo.addons.mail_bridge.providers import registry

from . import models
from . import wizards
from .adapter import DemoAdapter

registry.register(DemoAdapter)


def post_init_hook(env):
    env["mail.bridge.account"]._set_up_simulator()


def uninstall_hook(env):
    reset_provider(env, "demo")
