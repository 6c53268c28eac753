# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import SUPERUSER_ID, models
from odoo.http import request

from ..door import ENVIRON_KEY


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _auth_method_mailgate(cls):
        """Take a request over before anything reads its body.

        From here on the status is ours. The request itself is authenticated by the
        account's adapter; what runs for it runs as the superuser and says so.
        """
        request.httprequest.environ[ENVIRON_KEY].reached = True
        request.update_env(user=SUPERUSER_ID)
