# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..rest.const import ADMIN_SCOPE, CLIENT_SCOPE


class MailBridgeKey(models.Model):
    _inherit = "mail.bridge.key"

    relay_client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        index="btree_not_null",
        ondelete="cascade",
        help="The application whose mail this key submits and reads.",
    )

    @api.model
    def _known_scopes(self):
        return super()._known_scopes() | {
            ADMIN_SCOPE: self.env._("Manage the applications that submit mail"),
            CLIENT_SCOPE: self.env._("Submit mail as one application"),
        }

    @api.constrains("scopes", "relay_client_id", "company_id")
    def _check_relay_client(self):
        for key in self:
            client = key.relay_client_id
            if key._opens(CLIENT_SCOPE) != bool(client):
                raise ValidationError(
                    self.env._("A key that submits mail belongs to one application.")
                )
            if client and client.company_id != key.company_id:
                raise ValidationError(
                    self.env._("The key and its application are of one company.")
                )
