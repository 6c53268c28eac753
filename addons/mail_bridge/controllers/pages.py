# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The answers with which a stored mail is shown: it is hostile, whoever wrote it."""

from werkzeug.exceptions import NotFound

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


def frame(preview, trouble, images=None, text=None):
    """Return a mail as a document for a sandboxed frame.

    :param preview: ``providers.preview.Preview``; unused where there is ``trouble``.
    :param trouble: why there is none, or ``False``.
    :param images: ``"1"``: load remote images, too.
    :param text: ``"1"``: show the text, not the HTML.
    """
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


def attachment(preview, trouble, index):
    """Return one attachment of a mail as a download."""
    found = preview.attachment(index) if not trouble else None
    if not found:
        raise NotFound
    return download(*found)


def download(name, media_type, content):
    """Return bytes that no browser shows by itself."""
    headers = [
        *COMMON,
        ("Content-Type", media_type),
        ("Content-Length", str(len(content))),
        ("Content-Disposition", content_disposition(name)),
        ("Content-Security-Policy", FILE_POLICY),
    ]
    return request.make_response(content, headers)
