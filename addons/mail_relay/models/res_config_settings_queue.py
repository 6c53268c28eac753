# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..const import BODY_DAYS, LEAST_DAYS, MESSAGE_DAYS


class ResConfigSettings(models.TransientModel):
    """How many dispatchers there are, and how long mails are kept."""

    _inherit = "res.config.settings"

    mail_relay_dispatch_count = fields.Integer(
        string="Dispatchers",
        compute="_compute_mail_relay_dispatch_count",
        inverse="_inverse_mail_relay_dispatch_count",
    )
    mail_relay_body_days = fields.Integer(
        string="Keep Sent Mails (days)",
        config_parameter="mail_relay.body_days",
        default=BODY_DAYS,
    )
    mail_relay_message_days = fields.Integer(
        string="Keep Deliveries (days)",
        config_parameter="mail_relay.message_days",
        default=MESSAGE_DAYS,
    )

    @api.depends("company_id")
    def _compute_mail_relay_dispatch_count(self):
        count = len(self._mail_relay_dispatchers().filtered("active"))
        self.mail_relay_dispatch_count = count

    def _inverse_mail_relay_dispatch_count(self):
        wanted = self[:1].mail_relay_dispatch_count
        self._mail_bridge_scale(self._mail_relay_dispatchers(), wanted)

    def _mail_relay_dispatchers(self):
        """Return the scheduled actions that send, active or not."""
        return self.env["mail.relay.message"]._drains()

    @api.constrains("mail_relay_body_days", "mail_relay_message_days")
    def _check_mail_relay_retention(self):
        for settings in self:
            days = settings.mail_relay_body_days, settings.mail_relay_message_days
            if min(days) < LEAST_DAYS:
                raise ValidationError(
                    self.env._(
                        "Keep outgoing mails %(days)s days at least: so long their "
                        "providers tell what became of them.",
                        days=LEAST_DAYS,
                    )
                )
