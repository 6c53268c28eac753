# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from werkzeug.exceptions import NotFound

from odoo import http
from odoo.http import request

from odoo.addons.mail_bridge.controllers import pages


class MailRelayMessageController(http.Controller):
    """An outgoing mail as it is sent, for who may read its text."""

    @http.route(
        "/mail_relay/message/<int:message_id>/view",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def view(self, message_id, images=None, text=None, **_others):
        """Return a document for the sandboxed frame."""
        return pages.frame(*self._message(message_id)._preview(), images, text)

    @http.route(
        "/mail_relay/message/<int:message_id>/attachment/<int:index>",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def attachment(self, message_id, index, **_others):
        """Return an attachment as a download."""
        return pages.attachment(*self._message(message_id)._preview(), index)

    @http.route(
        "/mail_relay/message/<int:message_id>/mail.eml",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def original(self, message_id, **_others):
        """Return the mail as it is sent, as a download."""
        mime, trouble = self._message(message_id)._original()
        if trouble:
            raise NotFound(trouble)
        return pages.download(f"mail-{message_id}.eml", "message/rfc822", mime)

    def _message(self, message_id):
        """Return a mail that the user may see; for others there is none."""
        message = request.env["mail.relay.message"].browse(message_id).exists()
        if not message or not message.has_access("read"):
            raise NotFound
        return message
