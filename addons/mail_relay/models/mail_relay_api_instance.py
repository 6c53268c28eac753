# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo import api, models

from ..rest import metrics
from ..rest.answers import METRICS_TYPE, ApiError, Reply, success

#: Shown in place of what nobody has set.
INSTANCE = {
    "id": 1,
    "name": "mail-relay",
    "bounce_enabled": False,
    "bounce_imap_port": 993,
    "bounce_imap_folder": "INBOX",
    "bounce_imap_ssl": True,
    "bounce_poll_interval": 60,
}
#: Taken from nobody over the network: keys are made in Odoo, and a mailbox for bounces
#: is not read (they come in through the bridge).
NOT_KEPT = ("api_token", "bounce_imap_password")
#: Account, and counts by state, of what an application may see of its messages.
COUNTS = """
    SELECT c.identifier, c.name, a.relay_client_reference, a.name->>'en_US',
           count(*) FILTER (WHERE p.state = 'sent'),
           count(*) FILTER (WHERE p.state IN ('error', 'refused')),
           coalesce(sum(deferred.count), 0), coalesce(sum(deferred.limited), 0)
      FROM mail_bridge_account a JOIN mail_relay_client c ON c.id = a.relay_client_id
 LEFT JOIN mail_relay_posting p ON p.account_id = a.id
 LEFT JOIN LATERAL (
           SELECT count(*) AS count,
                  count(*) FILTER (WHERE r.entry LIKE '%%rate_limit%%') AS limited
             FROM mail_relay_report r
            WHERE r.posting_id = p.id AND r.kind = 'deferred') deferred ON true
     WHERE %(company)s = 0 OR c.company_id = %(company)s
  GROUP BY c.identifier, c.name, a.relay_client_reference, a.name->>'en_US'
  ORDER BY 1, 3"""
STATES = """
    SELECT state, count(*) FROM mail_relay_posting p
      JOIN mail_relay_client c ON c.id = p.client_id
     WHERE %(company)s = 0 OR c.company_id = %(company)s GROUP BY state"""


class MailRelayApi(models.AbstractModel):
    """Routes about the whole of it."""

    _inherit = "mail.relay.api"

    @api.model
    def _rest_health(self, caller, call):
        return success({"status": "ok"})

    @api.model
    def _rest_status(self, caller, call):
        return success({"ok": True, "active": True})

    @api.model
    def _rest_run_now(self, caller, call):
        """Send and report now; an application's own wish to be left alone ends."""
        if caller.client:
            caller.client._hurry()
        self.env.cr.postcommit.add(self._wake_all)
        return success({"ok": True})

    @api.model
    def _wake_all(self):
        """Call the fetchers, the senders and the reporters."""
        for name in ("mail.relay.posting", "mail.relay.message", "mail.relay.report"):
            self.env[name]._wake(always=True)

    # --- Metrics ---

    @api.model
    def _rest_metrics(self, caller, call):
        return Reply(200, metrics.render(self._metrics(caller)), METRICS_TYPE)

    @api.model
    def _metrics(self, caller):
        """Return the families of the page: everything, or one company's part."""
        company = {"company": caller.company_id}
        self.env.cr.execute(COUNTS, company)
        rows = self.env.cr.fetchall()
        for number, (name, about) in enumerate(metrics.COUNTERS.items()):
            values = {metrics.DEFAULT: 0}
            for row in rows:
                labels = tuple(text or "" for text in row[: len(metrics.LABELS)])
                values[labels] = row[len(metrics.LABELS) + number]
            yield metrics.Family(name, "counter", about, metrics.LABELS, values)
        self.env.cr.execute(STATES, company)
        states = dict(self.env.cr.fetchall())
        pending = states.get("waiting", 0) + states.get("queued", 0)
        yield metrics.Family(
            *metrics.PENDING[:1], "gauge", metrics.PENDING[1], (), {(): pending}
        )
        yield from self._own_metrics(states)

    @api.model
    def _own_metrics(self, states):
        """Return what genro-mail-proxy does not tell."""
        known = dict.fromkeys(("waiting", "queued", "sent", "error", "refused"), 0)
        yield metrics.Family(
            "mail_relay_submitted_messages",
            "gauge",
            "Messages of applications that are kept, by state",
            ("state",),
            {(state,): count for state, count in (known | states).items()},
        )
        Report = self.env["mail.relay.report"]
        waiting = Report.search_count([("reported_at", "=", False)])
        yield metrics.Family(
            "mail_relay_unreported_events",
            "gauge",
            "Events that applications were not told of yet",
            (),
            {(): waiting},
        )

    # --- The instance ---

    @api.model
    def _rest_get_instance(self, caller, call):
        return success(INSTANCE | json.loads(self._setting("instance")))

    @api.model
    def _rest_update_instance(self, caller, call):
        for name in NOT_KEPT:
            if call.payload.get(name):
                raise ApiError(422, f"{name} cannot be set here: see Odoo")
        kept = {k: v for k, v in call.payload.items() if k not in NOT_KEPT}
        known = json.loads(self._setting("instance")) | kept
        parameter = self.env["ir.config_parameter"].sudo()
        parameter.set_param("mail_relay.instance", json.dumps(known))
        return success({"ok": True})

    @api.model
    def _rest_reload_bounce(self, caller, call):
        """Nothing to load: bounces come in through the bridge by themselves."""
        return Reply(200, b'{"ok":true,"error":null}')

    # --- Command log ---

    @api.model
    def _rest_command_log(self, caller, call):
        Command = self.env["mail.relay.command"]
        found = Command._found(
            caller.company_id, call.arguments, call.arguments["limit"]
        )
        entries = [command._entry() for command in found]
        return success({"ok": True, "commands": entries, "total": len(entries)})

    @api.model
    def _rest_export_command_log(self, caller, call):
        found = self.env["mail.relay.command"]._found(caller.company_id, call.arguments)
        entries = [command._entry(with_answer=False) for command in found.sorted("id")]
        return success({"ok": True, "commands": entries})
