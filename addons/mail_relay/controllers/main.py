# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http
from odoo.http import request

from odoo.addons.mail_bridge_guard.door import ENVIRON_KEY

from ..relay_door import reply_to


class MailRelayController(http.Controller):
    """Every path below ``/relay``; ``rest.routes`` knows which there are."""

    @http.route(
        ["/relay", "/relay/<path:path>"],
        type="relay",
        auth="mailgate",
        csrf=False,
        save_session=False,
        readonly=False,
    )
    def answer(self, path=""):
        """Answer another application."""
        environ = request.httprequest.environ
        remote_addr = request.httprequest.remote_addr or ""
        reply = reply_to(request.env, environ, environ[ENVIRON_KEY], remote_addr)
        return request.make_response(
            reply.body, headers=reply.all_headers, status=reply.status
        )
