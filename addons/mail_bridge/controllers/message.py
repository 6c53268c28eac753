# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from werkzeug.exceptions import NotFound

from odoo import http
from odoo.http import content_disposition, request

from ..providers.preview import PAGE, escape

#: A mail is hostile: nothing in it runs, loads or submits, whatever a browser thinks.
#: A link opens a page of its own, outside the sandbox, which knows nothing of Odoo.
FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:{images}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILE_POLICY = "default-src 'none'; sandbox"
COMMON = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
]


class MailBridgeMessageController(http.Controller):
    """The mail as its sender made it, for who may read it in the Inbox."""

    @http.route(
        "/mail_bridge/message/<int:message_id>/view",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def view(self, message_id, images=None, text=None, **_others):
        """Return a document for the sandboxed frame."""
        message = self._message(message_id)
        preview, trouble = message._preview()
        if trouble:
            page = PAGE.format(body=f'<p class="note">{escape(trouble)}</p>')
        else:
            page = preview.page(images=images == "1", as_text=text == "1")
        policy = FRAME_POLICY.format(images=" https:" if images == "1" else "")
        headers = [
            *COMMON,
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", policy),
            ("X-Frame-Options", "SAMEORIGIN"),
        ]
        return request.make_response(page.encode("utf-8", "replace"), headers)

    @http.route(
        "/mail_bridge/message/<int:message_id>/attachment/<int:index>",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def attachment(self, message_id, index, **_others):
        """Return an attachment as a download."""
        preview, trouble = self._message(message_id)._preview()
        found = preview.attachment(index) if not trouble else None
        if not found:
            raise NotFound
        return self._download(*found)

    @http.route(
        "/mail_bridge/message/<int:message_id>/original.eml",
        type="http",
        auth="user",
        methods=["GET"],
    )
    def original(self, message_id, **_others):
        """Return the mail as it came, as a download."""
        mail, trouble = self._message(message_id)._original()
        if trouble:
            raise NotFound(trouble)
        return self._download(f"mail-{message_id}.eml", "message/rfc822", mail.mime)

    def _message(self, message_id):
        """Return a message that the user may read; for others there is none."""
        message = request.env["mail.bridge.message"].browse(message_id).exists()
        if not message or not message.has_access("read"):
            raise NotFound
        return message

    def _download(self, name, media_type, content):
        headers = [
            *COMMON,
            ("Content-Type", media_type),
            ("Content-Length", str(len(content))),
            ("Content-Disposition", content_disposition(name)),
            ("Content-Security-Policy", FILE_POLICY),
        ]
        return request.make_response(content, headers)
