# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.addons.mail_bridge.exceptions import PermanentError


class RelayRefused(PermanentError):
    """A mail that the relay does not take; nothing of it was stored."""
