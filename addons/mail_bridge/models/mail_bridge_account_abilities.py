# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models

from ..providers import registry


class MailBridgeAccount(models.Model):
    """What an account is good for, which its provider's adapter says."""

    _inherit = "mail.bridge.account"

    can_receive = fields.Boolean(
        compute="_compute_abilities",
        search=lambda self, *term: self._search_ability("inbound", *term),
        help="The provider posts mail that it received.",
    )
    can_report = fields.Boolean(
        compute="_compute_abilities",
        search=lambda self, *term: self._search_ability("events", *term),
        help="The provider posts what became of mail that was sent.",
    )
    can_send = fields.Boolean(
        compute="_compute_abilities",
        search=lambda self, *term: self._search_ability("send", *term),
        help="The provider takes mail to send.",
    )
    has_door = fields.Boolean(
        compute="_compute_abilities",
        help="The provider posts to us, so the account has an address.",
    )

    @api.depends("code")
    def _compute_abilities(self):
        for account in self:
            adapter = account._adapter()
            supports = adapter.supports if adapter else ()
            account.can_receive = "inbound" in supports
            account.can_report = "events" in supports
            account.can_send = "send" in supports
            account.has_door = bool(adapter and adapter.takes_posts)

    @api.model
    def _search_ability(self, ability, operator, value):
        """Return the accounts whose provider can, or cannot, as a domain."""
        listed = operator in ("in", "not in")
        wanted = {bool(item) for item in (value if listed else [value])}
        if operator in ("!=", "not in"):
            wanted = {True, False} - wanted
        if len(wanted) != 1:
            return [("id", "!=" if wanted else "=", False)]
        able = [
            code for code in registry.codes() if ability in registry.get(code).supports
        ]
        return [("code", "in" if wanted == {True} else "not in", able)]
