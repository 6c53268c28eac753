# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..core_smtp import racing
from .mail_bridge_account_smtp import ADDRESS_FAMILIES

#: The setting that makes every server connect to whichever address answers first.
RACE_PARAMETER = "mail_relay.race_mail_servers"


class IrMailServer(models.Model):
    """Odoo's own servers, connected without waiting for a dead IPv6."""

    _inherit = "ir.mail_server"

    address_family = fields.Selection(
        ADDRESS_FAMILIES,
        string="Addresses",
        help="Which of the server's addresses to connect to. Empty: as the settings of "
        "Mail Bridge say, else one after the other, with a minute for each.",
    )

    @api.private
    def connect(self, *args, **kwargs):
        """Connect (18.0)."""
        with racing(self._wanted_family(kwargs)):
            return super().connect(*args, **kwargs)

    @api.private
    # compat: 19.0's name of connect
    def _connect__(self, *args, **kwargs):
        """Connect (19.0)."""
        with racing(self._wanted_family(kwargs)):
            # compat: 19.0's name of connect
            return super()._connect__(*args, **kwargs)

    @api.model
    def _wanted_family(self, asked):
        """Return the family to connect to, ``None`` for Odoo's own way.

        :param asked: the named arguments of ``connect``, as all of core gives them.
        """
        server = self.sudo().browse(asked.get("mail_server_id") or ())
        servers = self.sudo().search([("address_family", "!=", False)], limit=1)
        if servers and not server and not asked.get("host"):
            server = self.sudo()._find_mail_server(asked.get("smtp_from"))[0]
        if server and server.address_family:
            return server.address_family
        parameter = self.env["ir.config_parameter"].sudo()
        return "auto" if parameter.get_param(RACE_PARAMETER) else None
