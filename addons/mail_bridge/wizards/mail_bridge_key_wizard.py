# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import api, fields, models

#: How long a new key is valid where nobody says otherwise.
VALID = timedelta(days=365)


class MailBridgeKeyWizard(models.TransientModel):
    """Makes a key; a key has no form for that, because its token is shown once."""

    _name = "mail.bridge.key.wizard"
    _description = "Mail Bridge: New API Key"

    name = fields.Char(required=True)
    scopes = fields.Char(required=True)
    known_scopes = fields.Text(compute="_compute_known_scopes")
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company.id
    )
    user_id = fields.Many2one(
        "res.users", string="Acts For", default=lambda self: self.env.user
    )
    expires_at = fields.Datetime(default=lambda self: fields.Datetime.now() + VALID)
    networks = fields.Text(string="Allowed Networks")

    @api.depends("scopes")
    def _compute_known_scopes(self):
        known = self.env["mail.bridge.key"]._known_scopes()
        self.known_scopes = "\n".join(
            f"{name}: {label}" for name, label in sorted(known.items())
        )

    def action_issue(self):
        """Make the key and show its token."""
        self.ensure_one()
        Key = self.env["mail.bridge.key"]
        Key.check_access("write")
        names = ("name", "networks", "expires_at", "company_id", "user_id")
        values = self._convert_to_write({name: self[name] for name in names})
        key, token = Key.sudo()._issue(self.scopes.split(), **values)
        key.sudo(False).check_access("write")  # no key for another company
        return key._show(token)


class MailBridgeKeyShow(models.AbstractModel):
    """The token of a new key, on its way to the screen: there is no table for it."""

    _name = "mail.bridge.key.show"
    _description = "Mail Bridge: API Key"

    # the client asks for it when it gets the default of the token
    id = fields.Id()
    token = fields.Char(string="Key", readonly=True)
