# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models

from ..exceptions import MailBridgeError
from ..keyring import KeyRingError
from ..providers.preview import Preview


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
        preview, trouble = self._preview()
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
