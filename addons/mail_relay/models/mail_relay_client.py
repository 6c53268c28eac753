# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import re
from datetime import datetime, timedelta, timezone

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field

from ..rest.attachments import joined
from ..rest.const import CLIENT_SCOPE, UNREPORTED_DAYS
from ..rest.payloads import DEFAULT_ATTACHMENT_PATH, DEFAULT_SYNC_PATH

#: In ``suspended_batches``: everything.
EVERYTHING = "*"
_IDENTIFIER = re.compile(r"[^/\s?#]{1,255}")
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def is_suspended(active, suspended_batches, batch_code):
    """Tell whether a message has to wait, by the fields of its application."""
    suspended = json.loads(suspended_batches or "[]")
    return (
        not active
        or EVERYTHING in suspended
        or bool(batch_code and batch_code in suspended)
    )


class MailRelayClient(models.Model):
    """An application that submits mail over ``/relay`` and is told what became of it.

    Its own words (tenant id, account ids, message ids) stay its own: whatever it asks
    for is looked up among what is its own.
    """

    _name = "mail.relay.client"
    _description = "Mail Relay Application"
    _inherit = ["mail.thread", "mail.bridge.secret.mixin"]
    _order = "name, id"

    name = fields.Char(required=True, tracking=True)
    identifier = fields.Char(
        string="Tenant ID",
        required=True,
        copy=False,
        help="The tenant_id in the application's requests.",
    )
    reference = fields.Char(
        compute="_compute_reference",
        help="Names the application in environment variables and odoo.conf options.",
    )
    active = fields.Boolean(
        default=True,
        tracking=True,
        help="Mail of an archived application waits, and nothing is reported to it.",
    )
    company_id = fields.Many2one(
        "res.company",
        required=True,
        index=True,
        default=lambda self: self.env.company.id,
        tracking=True,
    )
    # How it is told
    base_url = fields.Char(
        string="Address",
        tracking=True,
        help="Where the application takes reports and gives attachments, "
        "e.g. https://app.example.com",
    )
    is_trusted = fields.Boolean(
        string="May Be Inside",
        default=True,
        tracking=True,
        help="The address may be one of the own network. Off where the application "
        "itself has set it: it may then only be a public one, or in the networks of "
        "the settings.",
    )
    sync_path = fields.Char(string="Path for Reports", default=DEFAULT_SYNC_PATH)
    attachment_path = fields.Char(
        string="Path for Attachments", default=DEFAULT_ATTACHMENT_PATH
    )
    auth_method = fields.Selection(
        [("none", "None"), ("bearer", "Bearer token"), ("basic", "Login and password")],
        string="We Authenticate by",
        required=True,
        default="none",
    )
    auth_user = fields.Char(string="Login")
    auth_token = secret_field("Token", "Sent with each report.")
    auth_password = secret_field("Password", "Sent with each report.")
    report_profile = fields.Selection(
        [
            ("genro", "As genro-mail-proxy reports"),
            ("extended", "Also delivered, opened, clicked, complained, unsubscribed"),
        ],
        string="Reports",
        required=True,
        default="genro",
    )
    # What it may
    hourly_limit = fields.Integer(help="Declared by the application, not enforced.")
    daily_limit = fields.Integer(help="Declared by the application, not enforced.")
    large_file_config = fields.Text(string="Large Files", readonly=True, help="JSON.")
    suspended_batches = fields.Text(
        string="Suspended", readonly=True, default="[]", help="JSON: batch codes, or *."
    )
    account_ids = fields.One2many(
        "mail.bridge.account", "relay_client_id", string="Accounts"
    )
    key_ids = fields.One2many("mail.bridge.key", "relay_client_id", string="Keys")
    # What happened
    last_sync_at = fields.Datetime(string="Last Report", readonly=True, copy=False)
    next_sync_after = fields.Datetime(
        string="Not before", readonly=True, copy=False, help="The application's wish."
    )
    next_sync_at = fields.Datetime(
        string="Next Report",
        readonly=True,
        copy=False,
        default=fields.Datetime.now,
        help="Pushed on by failures, and by each report.",
    )
    sync_failures = fields.Integer(readonly=True, copy=False)
    sync_error = fields.Char(string="Last Problem", readonly=True, copy=False)
    sync_claimed_until = fields.Datetime(readonly=True, copy=False)
    posting_count = fields.Integer(compute="_compute_counts")
    pending_count = fields.Integer(compute="_compute_counts")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_client_identifier_uniq
               ON mail_relay_client (identifier)"""
        )

    @api.depends("identifier")
    def _compute_reference(self):
        for client in self:
            client.reference = f"relay_{client.identifier}"

    def _compute_counts(self):
        Posting = self.env["mail.relay.posting"]
        own = [("client_id", "in", self.ids)]
        waiting = [*own, ("state", "in", ("waiting", "queued"))]
        total = dict(Posting._read_group(own, ["client_id"], ["__count"]))
        pending = dict(Posting._read_group(waiting, ["client_id"], ["__count"]))
        for client in self:
            client.posting_count = total.get(client, 0)
            client.pending_count = pending.get(client, 0)

    @api.constrains("identifier")
    def _check_identifier(self):
        for client in self:
            if not _IDENTIFIER.fullmatch(client.identifier):
                raise ValidationError(
                    self.env._("A tenant ID has no spaces and none of / ? #")
                )

    @api.constrains("base_url")
    def _check_base_url(self):
        for client in self.filtered("base_url"):
            if not _URL.fullmatch(client.base_url):
                raise ValidationError(
                    self.env._("%(url)s is no address of the web.", url=client.base_url)
                )

    # --- CRUD ---

    def write(self, vals):
        result = super().write(vals)
        if "active" in vals:
            self._apply_suspension()
        if "identifier" in vals:
            self.env.registry.clear_cache()  # it stands in the facts of keys
        return result

    def unlink(self):
        """Delete with all that is theirs, mail that waits included."""
        self._lock()
        whole = self.with_context(active_test=False)
        accounts, keys = whole.account_ids, whole.key_ids
        self.env["mail.relay.message"]._delete_of_clients("client_id", self)
        accounts._delete_with_mail()
        keys.unlink()
        return super().unlink()

    # --- Actions ---

    def action_issue_key(self):
        """Give the application a new key, shown once; the one before ends."""
        self.ensure_one()
        self.check_access("write")
        return self.key_ids._show(self.sudo()._issue_key())

    def action_report_now(self):
        """Report without waiting, whatever the application wished."""
        self.check_access("write")
        self.sudo()._hurry()

    def action_view_postings(self):
        """Open the messages of this application."""
        self.ensure_one()
        xmlid = "mail_relay.mail_relay_posting_action"
        action = self.env["ir.actions.act_window"]._for_xml_id(xmlid)
        action["domain"] = [("client_id", "=", self.id)]
        return action

    # --- Keys ---

    def _issue_key(self):
        """Replace the key, and return the new one's token."""
        self.ensure_one()
        self._revoke_keys()
        _key, token = self.env["mail.bridge.key"]._issue(
            {CLIENT_SCOPE},
            name=self.name,
            company_id=self.company_id.id,
            relay_client_id=self.id,
        )
        return token

    def _revoke_keys(self):
        self.key_ids.filtered("active").action_revoke()

    # --- Addresses ---

    def _auth(self):
        """Return how we show the application who we are, as its API has it."""
        self.ensure_one()
        secrets = self._live_secrets()
        return {
            "method": self.auth_method,
            "token": (secrets.get("auth_token") or [""])[0],
            "user": self.auth_user or "",
            "password": (secrets.get("auth_password") or [""])[0],
        }

    def _sync_url(self):
        """Return where reports go, empty where nobody wants any."""
        self.ensure_one()
        if self.base_url:
            return joined(self.base_url, self.sync_path or DEFAULT_SYNC_PATH)
        return self.env["mail.relay.api"]._setting("sync_url")

    def _attachment_url(self):
        self.ensure_one()
        path = self.attachment_path or DEFAULT_ATTACHMENT_PATH
        return joined(self.base_url or "", path)

    # --- Suspension ---

    def _suspended(self):
        """Return the batch codes that are suspended, ``*`` for all."""
        self.ensure_one()
        return json.loads(self.suspended_batches or "[]")

    def _is_suspended(self, batch_code):
        """Tell whether a message waits for the application to be activated."""
        self.ensure_one()
        return is_suspended(self.active, self.suspended_batches, batch_code)

    def _suspend(self, batch_code=None):
        """Let the mail of a batch wait, or all of it."""
        self.ensure_one()
        codes = set(self._suspended())
        if EVERYTHING not in codes:
            codes = {EVERYTHING} if not batch_code else codes | {batch_code}
            self.suspended_batches = json.dumps(sorted(codes))
        self._apply_suspension()

    def _activate(self, batch_code=None):
        """Let it go on; one batch of an application that waits as a whole cannot.

        :return: whether it could.
        """
        self.ensure_one()
        codes = set(self._suspended())
        if batch_code and EVERYTHING in codes:
            return False
        left = codes - {batch_code} if batch_code else set()
        self.suspended_batches = json.dumps(sorted(left))
        self._apply_suspension()
        return True

    def _apply_suspension(self):
        """Hold the queued mails that have to wait, release the others."""
        for client in self:
            self.env["mail.relay.message"]._hold_for(client)

    # --- Messages ---

    def _lock(self):
        """Hold applications before any message of theirs; tell if all are there."""
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT id FROM mail_relay_client WHERE id = ANY(%s)
             ORDER BY id FOR NO KEY UPDATE""",
            (self.ids,),
            log_exceptions=False,
        )
        return len(self.env.cr.fetchall()) == len(self)

    def _postings(self, domain=()):
        self.ensure_one()
        own = [("client_id", "=", self.id), *domain]
        return self.env["mail.relay.posting"].search(own)

    def _delete_postings(self, postings):
        """Delete messages; those that still wait are not sent."""
        self._lock()
        mails = postings.relay_message_id
        postings.unlink()
        mails._forget_client()

    def _hurry(self):
        """Report at once, and go by no wish of before."""
        self.write(
            {
                "next_sync_after": False,
                "last_sync_at": False,
                "next_sync_at": fields.Datetime.now(),
            }
        )
        self.env.cr.postcommit.add(
            lambda: self.env["mail.relay.report"]._wake(always=True)
        )

    def _clean_up(self, seconds):
        """Delete messages that were reported so long ago; return how many."""
        self.ensure_one()
        now = datetime.now(timezone.utc).replace(tzinfo=None)  # not cut to seconds
        horizon = now - timedelta(seconds=seconds)
        told = self._postings(
            [
                ("state", "in", ("sent", "error", "refused")),
                ("reported_at", "<=", horizon),
            ]
        )
        told = told.filtered(lambda one: all(one.report_ids.mapped("reported_at")))
        self._delete_postings(told)
        return len(told)

    @api.autovacuum
    def _gc_reported(self):
        """Forget messages a while after their last report, or if nobody wants one."""
        days = self.env["mail.relay.api"]._number("retention_days")
        horizon = fields.Datetime.now() - timedelta(days=UNREPORTED_DAYS)
        for client in self.with_context(active_test=False).search([]):
            client._clean_up(days * 86400)
            client._delete_postings(
                client._postings(
                    [
                        ("state", "in", ("sent", "error", "refused")),
                        ("updated_at", "<", horizon),
                    ]
                )
            )
