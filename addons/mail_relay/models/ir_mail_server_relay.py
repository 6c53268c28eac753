# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models, modules
from odoo.exceptions import UserError
from odoo.tools import ormcache

from ..session import RelaySession


class IrMailServer(models.Model):
    """Servers whose mail goes into the relay's queue instead of over a connection."""

    _inherit = "ir.mail_server"

    relay_account_id = fields.Many2one(
        "mail.bridge.account",
        string="Send through Mail Relay",
        domain=lambda self: self.env["mail.bridge.account"]._can_send_domain(),
        default=lambda self: self.env.company.mail_relay_account_id,
        ondelete="restrict",
        copy=False,
        help="Mail for this server goes into the queue of Mail Relay, with retries, "
        "routes and what became of it for each recipient. The account sends what no "
        "route is for.",
    )

    @api.model_create_multi
    def create(self, vals_list):
        servers = super().create(vals_list)
        if servers.relay_account_id:
            self.env.registry.clear_cache()
        return servers

    def write(self, vals):
        result = super().write(vals)
        if "relay_account_id" in vals:
            self.env.registry.clear_cache()
        return result

    def unlink(self):
        result = super().unlink()
        self.env.registry.clear_cache()
        return result

    @api.model
    @ormcache()
    def _relayed_ids(self):
        """Return the ids of the servers that are relayed (a frozenset)."""
        servers = self.sudo().with_context(active_test=False)
        return frozenset(servers.search([("relay_account_id", "!=", False)]).ids)

    # --- Connect ---

    @api.private
    def connect(self, *args, **kwargs):
        """Give a session of the relay where the server is relayed (18.0)."""
        session = self._relay_session(*args, **kwargs)
        return session or super().connect(*args, **kwargs)

    @api.private
    # compat: 19.0's name of connect
    def _connect__(self, *args, **kwargs):
        """Give a session of the relay where the server is relayed (19.0)."""
        session = self._relay_session(*args, **kwargs)
        # compat: 19.0's name of connect
        return session or super()._connect__(*args, **kwargs)

    @api.model
    def _relay_session(
        self,
        host=None,
        *_login,
        smtp_from=None,
        mail_server_id=None,
        allow_archived=False,
        **_others,
    ):
        """Return a session where the server that core would take is relayed."""
        relayed = self._relayed_ids()
        if not relayed or modules.module.current_test:
            return None
        if mail_server_id:
            server = self.sudo().browse(mail_server_id)
        elif host:
            return None
        else:
            server, smtp_from = self.sudo()._find_mail_server(smtp_from)
        if not server or server.id not in relayed:
            return None
        if mail_server_id:
            self._check_relay_server(server, allow_archived, smtp_from)
        return RelaySession(self.env, server, smtp_from)

    @api.model
    def _check_relay_server(self, server, allow_archived, smtp_from):
        """Refuse what core refuses where a mail names its server."""
        if hasattr(self, "_check_forced_mail_server"):  # 19.0
            self._check_forced_mail_server(server, allow_archived, smtp_from)
        elif not allow_archived and not server.active:
            raise UserError(
                self.env._(
                    'The server "%s" cannot be used because it is archived.',
                    server.display_name,
                )
            )

    # --- Test ---

    def test_smtp_connection(self, autodetect_max_email_size=False):
        """Test the account of a relayed server: it has no connection of its own."""
        relayed = self.filtered("relay_account_id")
        if not relayed:
            return super().test_smtp_connection(
                autodetect_max_email_size=autodetect_max_email_size
            )
        if autodetect_max_email_size or len(self) > 1:
            raise UserError(
                self.env._(
                    "%s sends through Mail Relay: it has no connection of its own. "
                    "Test its account instead.",
                    relayed[0].name,
                )
            )
        return self.relay_account_id.action_test_sending()
