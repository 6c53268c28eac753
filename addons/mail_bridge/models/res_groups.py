# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models


class ResGroups(models.Model):
    _inherit = "res.groups"

    @api.model
    def _setup_mail_bridge_groups(self):
        """Show both groups as one choice on the user form, in the version's own way."""
        groups = self.env.ref("mail_bridge.group_user") | self.env.ref(
            "mail_bridge.group_administrator"
        )
        category = self.env.ref("mail_bridge.module_category_mail_bridge")
        if "privilege_id" in self._fields:  # 19.0
            Privilege = self.env["res.groups.privilege"]
            privilege = groups.privilege_id or Privilege.create(
                {"name": "Mail Bridge", "category_id": category.id}
            )
            groups.write({"privilege_id": privilege.id})
        else:
            groups.write({"category_id": category.id})
