# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo import api, fields, models

from ..rest.answers import ApiError, success
from ..rest.payloads import ACCOUNT
from .mail_relay_posting import iso

#: Port of TLS from the start.
IMPLICIT_PORT = 465
#: Period of ``mail.relay.limit`` by the key of the interface.
LIMITS = {
    "limit_per_minute": "minute",
    "limit_per_hour": "hour",
    "limit_per_day": "day",
}
#: What an account shows as it was declared; nothing of it is used.
DECLARED = ("use_tls", "batch_size", "ttl", "is_pec_account", "imap_host", "imap_port")
MAX_AGE = 86400
MAX_BATCH = 1000


class MailRelayApi(models.AbstractModel):
    """Routes about the SMTP accounts of applications."""

    _inherit = "mail.relay.api"

    @api.model
    def _rest_set_account(self, caller, call):
        given = call.payload
        tenant = given.get("tenant_id") or caller.identifier
        if not tenant:
            error = {"type": "missing", "loc": ["body", "tenant_id"]}
            raise ApiError(422, [error | {"msg": "Field required", "input": None}])
        client = self._needed_client(caller, tenant)
        account = client._account(given["id"])
        if not account:
            given = ACCOUNT.complete(given)
            account = account.create(
                {
                    "name": f"{client.name}: {given['id']}"[:255],
                    "code": "smtp",
                    "company_id": client.company_id.id,
                    "relay_client_id": client.id,
                    "relay_client_reference": given["id"],
                }
            )
        account._take_declaration(given)
        return success({"ok": True})

    @api.model
    def _rest_list_accounts(self, caller, call):
        client = self._client(caller, call.arguments["tenant_id"])
        accounts = client.account_ids.sorted("id")
        return success({"ok": True, "accounts": [item._info() for item in accounts]})

    @api.model
    def _rest_delete_account(self, caller, call):
        client = self._client(caller, call.arguments["tenant_id"])
        account = client._account(call.parts["id"]) if client else None
        if not account:
            raise ApiError(400, "account not found or not owned by tenant")
        account._delete_with_mail()
        return success({"ok": True})


class MailRelayClient(models.Model):
    _inherit = "mail.relay.client"

    def _account(self, reference):
        """Return the account that the application calls so, or none."""
        self.ensure_one()
        return self.account_ids.filtered(
            lambda account: account.relay_client_reference == reference
        )


class MailBridgeAccount(models.Model):
    _inherit = "mail.bridge.account"

    relay_client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        readonly=True,
        copy=False,
        index="btree_not_null",
        help="The application that alone sends through this account.",
    )
    relay_client_reference = fields.Char(
        string="The Application's ID", readonly=True, copy=False
    )
    relay_client_declaration = fields.Text(readonly=True, copy=False, help="JSON.")

    def init(self):
        result = super().init()
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_account_client_uniq
                   ON mail_bridge_account (relay_client_id, relay_client_reference)
                WHERE relay_client_id IS NOT NULL"""
        )
        return result

    def _take_declaration(self, given):
        """Set an account as its application declares it; what it leaves out stays."""
        self.ensure_one()
        values = {
            "smtp_host": given["host"].strip(),
            "smtp_port": given["port"],
            "state": "enabled",
        }
        names = {"user": "smtp_user", "limit_behavior": "relay_limit_behavior"}
        values |= {field: given[key] for key, field in names.items() if given.get(key)}
        if given.get("password"):
            values["smtp_password"] = given["password"]
        if given.get("batch_size"):
            values["relay_batch_size"] = min(given["batch_size"], MAX_BATCH)
        if given.get("ttl"):
            values["smtp_max_age"] = min(given["ttl"], MAX_AGE)
        values["smtp_tls"] = _tls(given.get("use_tls"), given["port"])
        declared = json.loads(self.relay_client_declaration or "{}")
        declared |= {name: given[name] for name in DECLARED if name in given}
        values["relay_client_declaration"] = json.dumps(declared)
        self.write(values)
        self._take_limits(given)

    def _take_limits(self, given):
        """Set the limits that were given; 0 and null are none."""
        Limit = self.env["mail.relay.limit"]
        for name, period in LIMITS.items():
            if name not in given:
                continue
            own = self.relay_limit_ids.filtered(
                lambda limit, period=period: limit.period == period and not limit.domain
            )
            if not given[name]:
                own.unlink()
            elif own:
                own.count = given[name]
            else:
                values = {"account_id": self.id, "period": period}
                Limit.create(values | {"count": given[name]})

    def _info(self):
        """Return an account as the interface shows it, without any secret."""
        self.ensure_one()
        limits = {limit.period: limit.count for limit in self.relay_limit_ids}
        declared = json.loads(self.relay_client_declaration or "{}")
        return {
            "id": self.relay_client_reference,
            "tenant_id": self.relay_client_id.identifier,
            "host": self.smtp_host or None,
            "port": self.smtp_port,
            "user": self.smtp_user or None,
            "ttl": declared.get("ttl"),
            **{name: limits.get(period) for name, period in LIMITS.items()},
            "limit_behavior": self.relay_limit_behavior,
            "use_tls": declared.get("use_tls"),
            "batch_size": declared.get("batch_size"),
            "is_pec_account": declared.get("is_pec_account"),
            "imap_host": declared.get("imap_host"),
            "imap_port": declared.get("imap_port"),
            "created_at": iso(self.create_date),
            "updated_at": iso(self.write_date),
        }

    def _delete_with_mail(self):
        """Delete accounts with the messages of their applications.

        One that others have sent through as well is archived.
        """
        self.env["mail.relay.message"]._delete_of_clients("account_id", self)
        for account in self:
            others = self.env["mail.relay.message"].search_count(
                [("account_id", "=", account.id)], limit=1
            )
            if others:
                account.relay_client_id = False
                account.write({"active": False, "state": "disabled"})
            else:
                account.unlink()


def _tls(use_tls, port):
    """Return the account's encryption (docs/decisions.md on ``use_tls``).

    ``false`` does not switch encryption off where the server offers it.
    """
    if use_tls:
        return "implicit" if port == IMPLICIT_PORT else "starttls"
    return "auto"
