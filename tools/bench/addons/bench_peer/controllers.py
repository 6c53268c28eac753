# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http


class Peer(http.Controller):
    """The floor of Odoo's request machinery."""

    @http.route(
        "/bench/empty",
        type="http",
        auth="none",
        methods=["POST"],
        csrf=False,
        save_session=False,
    )
    def empty(self, **_form):
        """Do nothing with a post."""
        return "OK"
