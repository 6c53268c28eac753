# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import http
from odoo.http import request

from odoo.addons.mail_bridge_guard.answers import TRY_AGAIN_STATUS
from odoo.addons.mail_bridge_guard.door import ENVIRON_KEY, try_again

from ..providers import registry
from ..reception import Reception


class MailgateController(http.Controller):
    """Authenticate, store, answer. A provider addon adds only other paths."""

    @http.route(
        ["/mailgate/<string:provider>", "/mailgate/<string:provider>/<string:token>"],
        type="mailgate",
        auth="mailgate",
        csrf=False,
        save_session=False,
        readonly=False,
    )
    def receive(self, provider, token=None):
        """Take a post of any provider."""
        adapter = registry.get(provider)
        if adapter is None and provider in TRY_AGAIN_STATUS:
            return try_again(request.httprequest.path)  # its addon is not loaded here
        if adapter is None or not adapter.takes_posts:
            plain = [("Content-Type", "text/plain; charset=utf-8")]
            return request.make_response("unknown provider\n", plain, status=404)
        exchange = request.httprequest.environ[ENVIRON_KEY]
        answer = Reception(request.env, adapter, request.httprequest, token).answer(
            exchange
        )
        headers = [
            ("Content-Type", answer.content_type),
            ("Cache-Control", "no-store"),
            *answer.headers,
        ]
        return request.make_response(answer.body, headers=headers, status=answer.status)
