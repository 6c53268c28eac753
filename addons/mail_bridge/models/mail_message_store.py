# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

#: What the chatter's small line needs; names, not records: who reads a chatter need
#: not have any right in Mail Bridge.
ORIGIN_FIELDS = ["bridge_account", "bridge_trust", "bridge_message_ref"]


class MailMessage(models.Model):
    """The small line in the chatter: through which account, how trusted."""

    _inherit = "mail.message"

    bridge_account = fields.Char(compute="_compute_bridge_origin", compute_sudo=True)
    bridge_trust = fields.Char(compute="_compute_bridge_origin", compute_sudo=True)
    bridge_message_ref = fields.Integer(
        compute="_compute_bridge_origin", compute_sudo=True
    )

    @api.depends("bridge_message_id")
    def _compute_bridge_origin(self):
        for message in self:
            origin_sudo = message.bridge_message_id
            message.bridge_account = origin_sudo.account_id.name
            message.bridge_trust = origin_sudo.trust
            message.bridge_message_ref = origin_sudo.id

    def _to_store(self, store, *args, **kwargs):
        parent = super()
        result = parent._to_store(store, *args, **kwargs)
        if not hasattr(parent, "_to_store_defaults"):  # 18.0
            self._bridge_origin_to_store(store, kwargs.get("fields"))
        return result

    def _bridge_origin_to_store(self, store, wanted):
        """Add the line's data on 18.0, where it is for internal users.

        :param wanted: the names a caller asked for, ``None`` for the usual ones.
        """
        if wanted is not None or not self.env.user._is_internal():
            return
        for message in self.filtered("bridge_account"):
            store.add(message, {name: message[name] for name in ORIGIN_FIELDS})

    def _to_store_defaults(self, target):
        """Add the line's data on 19.0, where it is for internal users."""
        names = super()._to_store_defaults(target)
        return names + ORIGIN_FIELDS if target.is_internal(self.env) else names
