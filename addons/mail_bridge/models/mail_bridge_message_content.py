# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from markupsafe import Markup

from odoo import api, models

from ..exceptions import MailBridgeError
from ..gateway import current_run
from ..keyring import KeyRingError
from ..providers.preview import Preview, without_remote
from .columns import in_order

#: Order of the Inbox by state: first what waits for a person, last what is settled.
STATE_ORDER = (
    "quarantined",
    "unrouted",
    "held",
    "too_large",
    "received",
    "routed",
    "repeated",
    "rejected",
)
SETTLED_STATES = ("routed", "repeated", "rejected")
UNDECIDED = [("state", "in", ("unrouted", "quarantined", "held", "too_large"))]


class MailBridgeMessage(models.Model):
    """What people see of the mail itself; it is read from the stored post each time."""

    _inherit = "mail.bridge.message"

    def read_content(self):
        """Return what the mail widget shows around its frame.

        :return: ``{"error": text}``, or a dict of ``has_html``, ``has_text``,
            ``remote_images`` (booleans), ``text_lines`` (about) and ``attachments``
            (dicts of ``index``, ``name``, ``type``, ``size`` in bytes).
        """
        self.ensure_one()
        self.check_access("read")
        return shown(*self._preview())

    @api.model
    def count_undecided(self):
        """Return how many mails of the Inbox wait for a person."""
        return self.search_count(UNDECIDED)

    @api.model
    def web_read_group(self, *args, **kwargs):
        """Show what waits for a person first; fold what is settled."""
        result = super().web_read_group(*args, **kwargs)
        opened = kwargs.get("opening_info")
        return in_order(result, STATE_ORDER, SETTLED_STATES, opened)

    def message_post(self, **kwargs):
        """Load nothing that a mail points to: that would tell that it was read."""
        body = kwargs.get("body")
        if current_run(self.env) and isinstance(body, Markup):
            kwargs["body"] = Markup(without_remote(body))  # noqa: S704 it was before
        return super().message_post(**kwargs)

    def _preview(self):
        """Return ``(Preview, False)``, or ``(None, why there is none)``."""
        mail, trouble = self._original()
        return (None, trouble) if trouble else (Preview(mail.mime), False)

    def _original(self):
        """Return ``(InboundMail, False)``, or ``(None, why there is none)``."""
        self.ensure_one()
        if self.sudo().intake_id.body_deleted:
            return None, self.env._(
                "The original was deleted when its retention time was over."
            )
        try:
            return self._mail(), False
        except (MailBridgeError, KeyRingError) as error:
            return None, self.env._("The original cannot be read: %(why)s", why=error)

    def action_view_intake(self):
        """Open the post that brought the mail."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "mail.bridge.intake",
            "res_id": self.intake_id.id,
            "views": [(False, "form")],
        }


def shown(preview, trouble):
    """Return what the mail widget shows around its frame (see ``read_content``).

    :param preview: ``Preview``; unused where there is ``trouble``.
    """
    if trouble:
        return {"error": trouble}
    return {
        "error": False,
        "has_html": bool(preview.html),
        "has_text": bool(preview.text),
        "text_lines": preview.text_lines,
        "remote_images": preview.has_remote_images,
        "attachments": [
            {
                "index": item.index,
                "name": item.name,
                "type": item.media_type,
                "size": item.size,
            }
            for item in preview.attachments
        ],
    }
