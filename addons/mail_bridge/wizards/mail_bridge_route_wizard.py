# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ast

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError

from ..models.mail_bridge_secret import ADMIN


class MailBridgeRouteWizard(models.TransientModel):
    """Where a person wants mails to go that found no way themselves.

    Offers what this person may do anyway: no right to read ``ir.model`` is needed, and
    none is given to write what the person could not write.
    """

    _name = "mail.bridge.route.wizard"
    _description = "Mail Bridge: Route by Hand"

    message_ids = fields.Many2many("mail.bridge.message", required=True)
    target = fields.Selection(
        selection="_selection_target", required=True, default="new"
    )
    model = fields.Selection(selection="_selection_new_model", string="Kind of Record")
    record_ref = fields.Reference(selection="_selection_record_model", string="Record")
    alias_name = fields.Char(compute="_compute_alias", store=True, readonly=False)
    alias_domain_id = fields.Many2one(
        "mail.alias.domain", compute="_compute_alias", store=True, readonly=False
    )

    @api.model
    def _selection_target(self):
        targets = [
            ("record", self.env._("An existing record")),
            ("new", self.env._("A new record")),
        ]
        if self._may_make_alias():
            label = self.env._("A new alias, now and for later mails")
            targets.append(("alias", label))
        return targets

    @api.model
    def _selection_new_model(self):
        return self._mail_models("create")

    @api.model
    def _selection_record_model(self):
        return self._mail_models("write")

    @api.model
    def _mail_models(self, operation):
        """Return (name, label) of the documents with a chatter the user may change."""
        found = (
            self.env["ir.model"]
            .sudo()
            .search([("is_mail_thread", "=", True), ("transient", "=", False)])
        )
        return sorted(
            (
                (model.model, model.name)
                for model in found
                if self._can_take_mail(model.model)
                and self.env[model.model].has_access(operation)
            ),
            key=lambda item: item[1],
        )

    @api.model
    def _can_take_mail(self, name):
        """Tell whether mails may go to a model: not to our own, nor to what is none."""
        model = self.env.get(name)
        return (
            model is not None
            and not model._abstract
            and not name.startswith("mail.bridge.")
        )

    @api.model
    def _may_make_alias(self):
        """Who sets up providers may say where an address leads, too."""
        can_create = self.env["mail.alias"].has_access("create")
        return can_create or self.env.user.has_group(ADMIN)

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
        message = self.message_ids[:1]
        record = message._record()
        if record is None or not record.has_access("read"):
            return {"type": "ir.actions.act_window_close"}
        return message.action_open_record()

    def _route_to_record(self, message):
        record = self.record_ref
        if not record:
            raise UserError(self.env._("Choose a record."))
        record.check_access("write")
        message.sudo()._again(forced=(record._name, record.id, None, None))

    def _route_to_new(self, message):
        message.sudo()._again(forced=(self._new_model(), 0, {}, None))

    def _route_to_alias(self, message):
        if not self.alias_name:
            raise UserError(self.env._("An alias needs a name."))
        alias = self._alias_sudo()
        defaults = ast.literal_eval(alias.alias_defaults or "{}")
        thread_id = alias.alias_force_thread_id or 0
        place = (alias.alias_model_id.model, thread_id, defaults, alias)
        message.sudo()._again(forced=place)

    def _new_model(self):
        if not self.model:
            raise UserError(self.env._("Choose a kind of record."))
        if self.model not in dict(self._selection_new_model()):
            raise AccessError(self.env._("You may not create such records."))
        return self.model

    def _alias_sudo(self):
        """Return the alias, made where there is none; another one is never changed."""
        model = self._new_model()
        if not self._may_make_alias():
            raise AccessError(self.env._("You may not make aliases."))
        Alias = self.env["mail.alias"].sudo()
        place = {
            "alias_name": self.alias_name.strip().lower(),
            "alias_domain_id": self.alias_domain_id.id,
        }
        alias = Alias.search([(key, "=", place[key]) for key in place], limit=1)
        model_id = self.env["ir.model"].sudo()._get_id(model)
        if not alias:
            return Alias.create({**place, "alias_model_id": model_id})
        if alias.alias_model_id.id != model_id:
            raise UserError(
                self.env._(
                    "%(alias)s leads to another kind of record (%(kind)s) already.",
                    alias=alias.display_name,
                    kind=alias.alias_model_id.name,
                )
            )
        return alias
