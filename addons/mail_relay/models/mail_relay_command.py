# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from datetime import datetime, timedelta, timezone

from odoo import api, fields, models

from ..rest.const import COMMAND_DAYS
from .mail_relay_posting import epoch


class MailRelayCommand(models.Model):
    """What an application has asked for, without secrets and without mails."""

    _name = "mail.relay.command"
    _description = "Command of an Application"
    _order = "id desc"
    _rec_name = "endpoint"
    _log_access = False

    command_at = fields.Datetime(string="Time", required=True, readonly=True)
    endpoint = fields.Char(string="Command", required=True, readonly=True)
    client_id = fields.Many2one(
        "mail.relay.client",
        string="Application",
        readonly=True,
        ondelete="cascade",
        index="btree_not_null",
    )
    tenant = fields.Char(string="Tenant ID", readonly=True)
    company_id = fields.Many2one("res.company", readonly=True)
    payload = fields.Text(readonly=True, help="JSON, masked.")
    response_status = fields.Integer(string="Status", readonly=True)

    def init(self):
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_relay_command_at_idx
               ON mail_relay_command (command_at)"""
        )

    @api.autovacuum
    def _gc_old(self):
        horizon = fields.Datetime.now() - timedelta(days=COMMAND_DAYS)
        self.env.cr.execute(
            "DELETE FROM mail_relay_command WHERE command_at < %s", (horizon,)
        )

    @api.model
    def _found(self, company_id, arguments, limit=None):
        """Return the commands of a company that a request asks for, newest first."""
        domain = [("company_id", "=", company_id)]
        if arguments.get("tenant_id"):
            domain.append(("tenant", "=", arguments["tenant_id"]))
        if arguments.get("endpoint_filter"):
            domain.append(("endpoint", "=", arguments["endpoint_filter"]))
        for name, operator in (("since_ts", ">="), ("until_ts", "<=")):
            if arguments.get(name) is not None:
                moment = datetime.fromtimestamp(arguments[name], timezone.utc)
                domain.append(("command_at", operator, moment.replace(tzinfo=None)))
        return self.search(domain, limit=limit)

    def _entry(self, with_answer=True):
        """Return a command as the log shows it."""
        self.ensure_one()
        entry = {
            "endpoint": self.endpoint,
            "tenant_id": self.tenant or None,
            "payload": json.loads(self.payload or "{}"),
            "command_ts": epoch(self.command_at),
        }
        if with_answer:
            entry |= {"id": self.id, "response_status": self.response_status}
        return entry
