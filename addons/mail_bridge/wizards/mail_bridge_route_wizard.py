# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast

from odoo import api, fields, models
from odoo.exceptions import UserError


class MailBridgeRouteWizard(models.TransientModel):
    """Where a person wants mails to go that found no way themselves."""

    _name = "mail.bridge.route.wizard"
    _description = "Mail Bridge: Route by Hand"

    message_ids = fields.Many2many("mail.bridge.message", required=True)
    target = fields.Selection(
        [
            ("record", "An existing record"),
            ("new", "A new record"),
            ("alias", "A new alias, now and for later mails"),
        ],
        required=True,
        default="new",
    )
    model_id = fields.Many2one(
        "ir.model",
        string="Document",
        domain="[('is_mail_thread', '=', True), ('transient', '=', False)]",
        ondelete="cascade",
    )
    model = fields.Char(related="model_id.model")
    record_ref = fields.Reference(selection="_selection_record_model", string="Record")
    alias_name = fields.Char(compute="_compute_alias", store=True, readonly=False)
    alias_domain_id = fields.Many2one(
        "mail.alias.domain", compute="_compute_alias", store=True, readonly=False
    )

    @api.model
    def _selection_record_model(self):
        models_ = (
            self.env["ir.model"]
            .sudo()
            .search([("is_mail_thread", "=", True), ("transient", "=", False)])
        )
        return [(model.model, model.name) for model in models_]

    @api.depends("message_ids")
    def _compute_alias(self):
        """Offer the address the mail was for."""
        for wizard in self:
            message = wizard.message_ids[:1]
            address = (message.envelope_to or message.email_to or "").split(",")[0]
            local, _at, domain = address.strip(" <>").rpartition("@")
            wizard.alias_name = local.rpartition("<")[2] or False
            wizard.alias_domain_id = (
                self.env["mail.alias.domain"].search(
                    [("name", "=", domain.lower())], limit=1
                )
                or self.env.company.alias_domain_id
            )

    def action_route(self):
        """Route the mails."""
        self.ensure_one()
        route = getattr(self, f"_route_to_{self.target}")
        for message in self.message_ids:
            message.check_access("write")
            route(message)
        return self.message_ids[:1].action_open_record()

    def _route_to_record(self, message):
        record = self.record_ref
        if not record:
            raise UserError(self.env._("Choose a record."))
        record.check_access("write")
        message.sudo()._again(forced=(record._name, record.id, None))

    def _route_to_new(self, message):
        if not self.model_id:
            raise UserError(self.env._("Choose a document."))
        self.env[self.model].check_access("create")
        message.sudo()._again(forced=(self.model, 0, {}))

    def _route_to_alias(self, message):
        if not self.alias_name or not self.model_id:
            raise UserError(self.env._("An alias needs a name and a document."))
        Alias = self.env["mail.alias"]
        domain = [
            ("alias_name", "=", self.alias_name),
            ("alias_domain_id", "=", self.alias_domain_id.id),
        ]
        alias = Alias.search(domain, limit=1) or Alias.create(
            {
                "alias_name": self.alias_name,
                "alias_domain_id": self.alias_domain_id.id,
                "alias_model_id": self.model_id.id,
            }
        )
        defaults = ast.literal_eval(alias.alias_defaults or "{}")
        message.sudo()._again(forced=(alias.alias_model_id.model, 0, defaults))
