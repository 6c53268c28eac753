# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from email.utils import formataddr, parseaddr

from odoo import models
from odoo.tools import str2bool

from ..providers.authentication import add_reply_token, make_reply_token

#: RFC 5321 §4.5.3.1.1
MAX_LOCAL_PART = 64


class Base(models.AbstractModel):
    _inherit = "base"

    def _notify_get_reply_to(self, *args, **kwargs):
        reply_to = super()._notify_get_reply_to(*args, **kwargs)
        return self._sign_reply_to(reply_to)

    def _notify_get_reply_to_batch(self, *args, **kwargs):
        reply_to = super()._notify_get_reply_to_batch(*args, **kwargs)  # 19.0
        return self._sign_reply_to(reply_to)

    def _sign_reply_to(self, reply_to):
        """Put our token into reply addresses at our alias domains, where switched on.

        :param dict reply_to: formatted address by record id.
        """
        parameter = self.env["ir.config_parameter"].sudo()
        if not str2bool(parameter.get_param("mail_bridge.sign_reply_to", "False")):
            return reply_to
        domains = set(self.env["mail.alias.domain"].sudo().search([]).mapped("name"))
        key = self.env["mail.bridge.account"]._reply_token_key()
        return {
            res_id: self._signed_address(address, key, res_id, domains)
            for res_id, address in reply_to.items()
        }

    def _signed_address(self, formatted, key, res_id, domains):
        name, address = parseaddr(formatted or "")
        local, _at, domain = address.rpartition("@")
        if not res_id or not local or "+" in local or domain not in domains:
            return formatted
        signed = add_reply_token(address, make_reply_token(key, self._name, res_id))
        if len(signed.rpartition("@")[0]) > MAX_LOCAL_PART:
            return formatted
        return formataddr((name, signed)) if name else signed
