# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from markupsafe import Markup

from odoo import http
from odoo.http import request

from ..models.mail_relay_demands import UNSUBSCRIBE_PATH

PAGE = Markup(
    """<!DOCTYPE html>
<html><head><meta charset="utf-8"/><meta name="robots" content="noindex"/>
<meta name="viewport" content="width=device-width"/><title>{title}</title></head>
<body style="font-family: sans-serif; max-width: 32rem; margin: 4rem auto">
<h1>{title}</h1><p>{text}</p>{form}</body></html>"""
)
FORM = Markup(
    """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click"/>
<button type="submit" style="padding: .5rem 1rem">{label}</button></form>"""
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline';"
    " form-action 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class MailRelayUnsubscribe(http.Controller):
    """The end of mail in one click (RFC 8058), without a session."""

    @http.route(
        f"{UNSUBSCRIBE_PATH}/<string:token>",
        type="http",
        auth="public",
        methods=["GET", "POST"],
        csrf=False,
        save_session=False,
        readonly=False,
    )
    def unsubscribe(self, token, **values):
        """Ask on GET, which scanners of mail follow; do it on POST."""
        is_post = request.httprequest.method == "POST"
        word = values.get("List-Unsubscribe") if is_post else None
        relay_sudo = request.env["mail.relay.recipient"].sudo()
        return self._page(*relay_sudo._answer_leave(token, is_post, word))

    def _page(self, status, title, text, button=""):
        form = FORM.format(label=button) if button else ""
        page = PAGE.format(title=title, text=text, form=form)
        headers = [("Content-Type", "text/html; charset=utf-8"), *HEADERS.items()]
        return request.make_response(page, headers=headers, status=status)
