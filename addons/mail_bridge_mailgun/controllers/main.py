# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http

from odoo.addons.mail_bridge.controllers.main import MailgateController


class MailgunController(MailgateController):
    """Mailgun posts raw MIME where the URL ends with ``mime``; its webhooks have an
    address of their own, so that what they lead to may be told from mail.
    """

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
    def receive_named(self, token=None):
        """Take a post of either kind; the adapter tells it by its content."""
        return self.receive("mailgun", token)
