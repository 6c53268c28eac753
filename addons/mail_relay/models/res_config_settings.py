# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from .ir_mail_server import RACE_PARAMETER


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    mail_relay_race_mail_servers = fields.Boolean(
        string="Odoo's Own Mail Servers, Too",
        config_parameter=RACE_PARAMETER,
        help="Odoo's outgoing mail servers connect to whichever address answers first. "
        "Off: Odoo waits a minute for each address that is silent.",
    )
