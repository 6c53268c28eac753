# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo import api, fields, models

from ..rest.answers import ApiError, success
from ..rest.payloads import TENANT_UPDATE
from .mail_relay_posting import epoch, iso

#: Key of the interface → field of the application.
PLAIN = {
    "name": "name",
    "client_base_url": "base_url",
    "client_sync_path": "sync_path",
    "client_attachment_path": "attachment_path",
    "active": "active",
}
AUTH = {
    "method": "auth_method",
    "user": "auth_user",
    "token": "auth_token",
    "password": "auth_password",
}


class MailRelayApi(models.AbstractModel):
    """Routes about the applications themselves."""

    _inherit = "mail.relay.api"

    @api.model
    def _rest_set_tenant(self, caller, call):
        given = call.payload
        client = self._client(caller, given["id"])
        if client:
            client.write(self._tenant_values(caller, given))
            return success({"ok": True, "api_key": self._reissued(client)})
        taken = [("identifier", "=", given["id"])]
        anybody = self.env["mail.relay.client"].with_context(active_test=False)
        if anybody.search_count(taken, limit=1):
            raise ApiError(400, "tenant id not available")  # another company's
        values = {"name": given["id"], "company_id": caller.company_id}
        values |= {"identifier": given["id"]}
        complete = TENANT_UPDATE.complete(given)
        client = client.create(values | self._tenant_values(caller, complete))
        return success({"ok": True, "api_key": client._issue_key()})

    @api.model
    def _reissued(self, client):
        """Return a new key where registering again shall give one (a setting)."""
        if self._setting("reissue_keys").lower() in ("1", "true"):
            return client._issue_key()
        return None

    @api.model
    def _tenant_values(self, caller, given):
        """Return the fields that a request gives, as the application has them.

        An address that the application itself gives is one of the outside.
        """
        values = {field: given[key] for key, field in PLAIN.items() if key in given}
        for name in ("name", "active"):
            if values.get(name, True) in (None, ""):
                del values[name]
        if "base_url" in values:
            values["is_trusted"] = caller.is_admin
        auth = given.get("client_auth")
        if "client_auth" in given:
            auth = auth or {"method": "none", "user": "", "token": "", "password": ""}
            values |= {field: auth[key] for key, field in AUTH.items() if key in auth}
            values["auth_method"] = auth.get("method") or "none"
        if given.get("rate_limits"):
            limits = given["rate_limits"]
            values["hourly_limit"] = limits.get("hourly") or 0
            values["daily_limit"] = limits.get("daily") or 0
        if "large_file_config" in given:
            config = given["large_file_config"]
            values["large_file_config"] = json.dumps(config) if config else False
        return values

    @api.model
    def _rest_list_tenants(self, caller, call):
        clients = self._clients(caller, call.arguments["active_only"])
        return success({"ok": True, "tenants": [c._info() for c in clients]})

    @api.model
    def _clients(self, caller, active_only=False):
        """Return all applications of the caller's company."""
        Client = self.env["mail.relay.client"].with_context(active_test=active_only)
        return Client.search([("company_id", "=", caller.company_id)], order="id")

    @api.model
    def _rest_sync_status(self, caller, call):
        tenants = [client._sync_info() for client in self._clients(caller)]
        interval = self._number("sync_interval")
        answer = {"tenants": tenants, "sync_interval_seconds": interval}
        return success({"ok": True} | answer)

    @api.model
    def _rest_get_tenant(self, caller, call):
        return success(self._needed_client(caller, call.parts["id"])._info())

    @api.model
    def _rest_update_tenant(self, caller, call):
        client = self._needed_client(caller, call.parts["id"])
        if not call.payload:  # nothing to change: a quirk that clients know
            raise ApiError(404, f"Tenant '{call.parts['id']}' not found")
        client.write(self._tenant_values(caller, call.payload))
        return success({"ok": True})

    @api.model
    def _rest_delete_tenant(self, caller, call):
        self._needed_client(caller, call.parts["id"]).unlink()
        return success({"ok": True})

    @api.model
    def _rest_issue_key(self, caller, call):
        client = self._needed_client(caller, call.parts["id"])
        return success({"ok": True, "api_key": client._issue_key()})

    @api.model
    def _rest_revoke_key(self, caller, call):
        self._needed_client(caller, call.parts["id"])._revoke_keys()
        return success({"ok": True})


class MailRelayClient(models.Model):
    _inherit = "mail.relay.client"

    def _info(self):
        """Return an application as the interface shows it, its secrets masked."""
        self.ensure_one()
        auth = {"method": self.auth_method, "user": self.auth_user or None}
        limits = {
            "hourly": self.hourly_limit or None,
            "daily": self.daily_limit or None,
        }
        return {
            "id": self.identifier,
            "name": self.name,
            "client_auth": auth,
            "client_base_url": self.base_url or None,
            "client_sync_path": self.sync_path or None,
            "client_attachment_path": self.attachment_path or None,
            "rate_limits": limits if any(limits.values()) else None,
            "large_file_config": json.loads(self.large_file_config or "null"),
            "active": self.active,
            "created_at": iso(self.create_date),
            "updated_at": iso(self.write_date),
        }

    def _sync_info(self):
        """Return when an application was reported to, and when it will be."""
        self.ensure_one()
        now = fields.Datetime.now()
        interval = self.env["mail.relay.api"]._number("sync_interval")
        last = epoch(self.last_sync_at)
        silent = bool(self.next_sync_after and self.next_sync_after > now)
        due = last is None or last + interval <= epoch(now)
        return {
            "id": self.identifier,
            "name": self.name,
            "active": self.active,
            "client_base_url": self.base_url or None,
            "last_sync_ts": last,
            "next_sync_due": due and not silent,
            "in_dnd": silent,
        }
