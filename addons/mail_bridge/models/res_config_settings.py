# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import config

from ..const import BODY_DAYS, LEAST_DAYS, MESSAGE_DAYS


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    mail_bridge_body_days = fields.Integer(
        string="Keep Bodies (days)",
        config_parameter="mail_bridge.body_days",
        default=BODY_DAYS,
    )
    mail_bridge_message_days = fields.Integer(
        string="Keep Messages (days)",
        config_parameter="mail_bridge.message_days",
        default=MESSAGE_DAYS,
    )
    mail_bridge_sign_reply_to = fields.Boolean(
        string="Sign Reply Addresses",
        config_parameter="mail_bridge.sign_reply_to",
        help="Put a token into the address that customers reply to. Their provider and "
        "yours must keep plus addresses.",
    )
    mail_bridge_drain_count = fields.Integer(
        string="Parallel Drains",
        compute="_compute_mail_bridge_drain_count",
        inverse="_inverse_mail_bridge_drain_count",
        help="How many scheduled actions process incoming mail at once.",
    )
    mail_bridge_key_problem = fields.Char(compute="_compute_mail_bridge_health")
    mail_bridge_guard_loaded = fields.Boolean(compute="_compute_mail_bridge_health")

    @api.depends("company_id")
    def _compute_mail_bridge_drain_count(self):
        count = len(self._mail_bridge_drains().filtered("active"))
        self.mail_bridge_drain_count = count

    @api.constrains("mail_bridge_body_days", "mail_bridge_message_days")
    def _check_mail_bridge_retention(self):
        """What is deleted is not known again: it must outlive a provider's retries."""
        for settings in self:
            days = settings.mail_bridge_body_days, settings.mail_bridge_message_days
            if min(days) < LEAST_DAYS:
                raise ValidationError(
                    self.env._(
                        "Keep bodies and messages of Mail Bridge %(days)s days at "
                        "least: so long a provider may repeat a post.",
                        days=LEAST_DAYS,
                    )
                )

    def _inverse_mail_bridge_drain_count(self):
        wanted = self[:1].mail_bridge_drain_count
        self._mail_bridge_scale(self._mail_bridge_drains(), wanted)

    @api.model
    def _mail_bridge_scale(self, drains, wanted):
        """Switch on as many scheduled actions of one kind as are wanted, 1 to 16.

        :param drains: all of the kind, active or not.
        """
        active = drains.filtered("active")
        if not drains or wanted == len(active):
            return  # some other setting is saved; drains may be off on purpose
        wanted = min(max(wanted, 1), 16)
        for _missing in range(wanted - len(active)):
            spare = (drains - active)[:1] or active[0].copy({"active": False})
            spare.active = True
            drains, active = drains | spare, active | spare
        active[wanted:].write({"active": False})
        self.env.registry.clear_cache()

    def _mail_bridge_drains(self):
        """Return the scheduled actions that drain the intake, active or not."""
        return self.env["mail.bridge.intake"]._drains()

    @api.depends("company_id")
    def _compute_mail_bridge_health(self):
        problem = self.env["mail.bridge.secret"]._is_ready()
        for settings in self:
            settings.mail_bridge_key_problem = problem
            settings.mail_bridge_guard_loaded = guard_is_loaded()

    def action_mail_bridge_reencrypt(self):
        """Encrypt all secrets with the active key of the ring."""
        count = self.env["mail.bridge.secret"].action_reencrypt()
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._(
                    "%(count)s secrets were encrypted anew.", count=count
                ),
            },
        }

    def action_mail_bridge_forget(self):
        """Delete all secrets whose key is lost, so that new ones can be entered."""
        self.env["mail.bridge.secret"].action_forget()
        return {"type": "ir.actions.client", "tag": "reload"}


def guard_is_loaded():
    """Tell whether the guard is loaded before any database is (server-wide)."""
    modules = config["server_wide_modules"]
    names = modules.split(",") if isinstance(modules, str) else modules
    return "mail_bridge_guard" in [name.strip() for name in names]
