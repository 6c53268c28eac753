# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http

from odoo.addons.mail_bridge.controllers.main import MailgateController


class MailgunController(MailgateController):
    """Mailgun posts raw MIME where the URL ends with ``mime``."""

    @http.route(
        ["/mailgate/mailgun/mime", "/mailgate/mailgun/<string:token>/mime"],
        type="mailgate",
        auth="mailgate",
        csrf=False,
        save_session=False,
        readonly=False,
    )
    def receive_mime(self, token=None):
        """Take a raw MIME post; the adapter tells it by its fields."""
        return self.receive("mailgun", token)
