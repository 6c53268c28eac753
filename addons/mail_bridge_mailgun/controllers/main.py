# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http

from odoo.addons.mail_bridge.controllers.main import MailgateController


class MailgunController(MailgateController):
    """Mailgun posts raw MIME where a URL ends with ``mime``; events have their own."""

    @http.route(
        [
            "/mailgate/mailgun/mime",
            "/mailgate/mailgun/<string:token>/mime",
            "/mailgate/mailgun/events",
            "/mailgate/mailgun/<string:token>/events",
        ],
        type="mailgate",
        auth="mailgate",
        csrf=False,
        save_session=False,
        readonly=False,
    )
    def receive_kind(self, token=None):
        """Take a raw MIME post, or events; the adapter tells them by what they hold."""
        return self.receive("mailgun", token)
