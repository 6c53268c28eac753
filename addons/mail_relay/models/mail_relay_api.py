# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from dataclasses import dataclass

from odoo import api, models

from odoo.addons.mail_bridge.door_account import is_allowed, parse_networks

from ..rest.answers import (
    ADMIN_ONLY,
    FOREIGN_TENANT,
    UNKNOWN_TOKEN,
    ApiError,
)
from ..rest.const import ADMIN_SCOPE, API_SETTINGS, CLIENT_SCOPE
from ..rest.masking import masked


@dataclass(frozen=True)
class Caller:
    """Who asks: the whole instance within a company, or one application.

    ``client`` and its ``identifier`` are empty for the instance; ``company_id`` is 0
    where nobody had to say who he is.
    """

    client: object
    company_id: int = 0
    identifier: str = ""

    @property
    def is_admin(self):
        """Whether it is the instance that asks."""
        return bool(self.company_id and not self.client)


class MailRelayApi(models.AbstractModel):
    """Answers other applications; see ``rest.routes`` for who may ask what.

    What runs here runs as the superuser: each handler looks up applications by
    ``_client`` alone, which knows what the caller may see.
    """

    _name = "mail.relay.api"
    _description = "Mail Relay API"

    @api.model
    def _answer(self, call):
        """Return the answer to a request.

        :param call: ``rest.call.Call``.
        :return: ``rest.answers.Reply``.
        """
        caller = None
        try:
            caller = self._authenticate(call)
            call.read_query(caller.identifier)
            self._check_tenant(caller, call.arguments.get("tenant_id"))
            call.read_payload()
            reply = getattr(self, f"_rest_{call.route.handler}")(caller, call)
        except ApiError as error:
            reply = error.reply
        if caller and call.route.command:
            self._log(caller, call, reply.status)
        return reply

    # --- Who asks ---

    @api.model
    def _authenticate(self, call):
        """Return who asks.

        :raises ApiError: 401 and 403.
        """
        access = call.route.access
        none = self.env["mail.relay.client"]
        if access == "open":
            return Caller(none)
        Key = self.env["mail.bridge.key"]
        key = Key._find_facts(call.token, call.remote_addr)
        if key and key.opens(ADMIN_SCOPE):
            return Caller(none, key.company_id)
        if access == "network" and not call.token:
            networks = parse_networks(self._setting("metrics_networks"))
            if networks and is_allowed(networks, call.remote_addr):
                return Caller(none)
        if not key or not key.opens(CLIENT_SCOPE) or not key.client_id:
            raise ApiError(401, UNKNOWN_TOKEN)
        if access != "any":
            raise ApiError(403, ADMIN_ONLY)
        return Caller(none.browse(key.client_id), key.company_id, key.identifier)

    @api.model
    def _check_tenant(self, caller, tenant):
        """Let nobody speak for another application."""
        if tenant and caller.client and tenant != caller.identifier:
            raise ApiError(401, FOREIGN_TENANT)

    @api.model
    def _client(self, caller, identifier):
        """Return an application that the caller may see, or none."""
        if caller.client:
            same = caller.identifier == identifier
            return caller.client if same else caller.client.browse()
        return (
            self.env["mail.relay.client"]
            .with_context(active_test=False)
            .search(
                [
                    ("identifier", "=", identifier),
                    ("company_id", "=", caller.company_id),
                ]
            )
        )

    @api.model
    def _needed_client(self, caller, identifier):
        """Return an application that must be there.

        :raises ApiError: 401, it is another one than the caller; 404.
        """
        self._check_tenant(caller, identifier)
        client = self._client(caller, identifier)
        if not client:
            raise ApiError(404, f"Tenant '{identifier}' not found")
        return client

    # --- Settings ---

    @api.model
    def _setting(self, name):
        """Return a setting of the interface as text."""
        parameter = self.env["ir.config_parameter"].sudo()
        value = parameter.get_param(f"mail_relay.{name}")
        return API_SETTINGS[name] if value is False else value

    @api.model
    def _number(self, name):
        """Return a setting that is a number; nonsense counts as the default."""
        value = self._setting(name)
        return int(value) if value.isdecimal() else int(API_SETTINGS[name])

    # --- Command log ---

    @api.model
    def _log(self, caller, call, status):
        """Keep what was asked, without secrets and contents."""
        payload = {**call.parts, **{k: v for k, v in call.arguments.items() if v}}
        if isinstance(call.payload, dict):
            payload |= call.payload
        tenant = caller.identifier or payload.get("tenant_id")
        client = caller.client or self._client(caller, tenant or call.parts.get("id"))
        self.env.cr.execute(
            """INSERT INTO mail_relay_command (command_at, endpoint, client_id, tenant,
                           company_id, payload, response_status)
               VALUES (now() AT TIME ZONE 'UTC', %s, %s, %s, %s, %s, %s)""",
            (
                call.route.command,
                client.id or None,
                tenant if isinstance(tenant, str) else None,
                caller.company_id,
                json.dumps(masked(payload)),
                status,
            ),
        )
