# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import re

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import hmac

from ..const import MAIL_LIMIT_MB, UNFINISHED
from ..door_account import parse_networks, provider_facts
from ..providers import registry

#: What decides whether an address is one of ours.
INSIDE_FIELDS = {
    "mail.alias.domain": ["name"],
    "res.partner": ["email_normalized"],
    "res.users": ["partner_id", "active"],
    "res.company": ["partner_id"],
}


class MailBridgeAccount(models.Model):
    """One account at one mail provider."""

    _name = "mail.bridge.account"
    _description = "Mail Bridge Account"
    _inherit = ["mail.thread", "mail.activity.mixin", "mail.bridge.secret.mixin"]
    _order = "state_rank, sequence, id"
    _check_company_auto = True

    # Configuration
    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    code = fields.Selection(
        [("none", "No Provider")],
        string="Provider",
        required=True,
        default="none",
        help="The technical code of the provider.",
    )
    reference = fields.Char(
        copy=False,
        tracking=True,
        help="Names the account in environment variables and odoo.conf options.",
    )
    state = fields.Selection(
        [("disabled", "Disabled"), ("test", "Test Mode"), ("enabled", "Enabled")],
        required=True,
        default="disabled",
        copy=False,
        tracking=True,
        help="In test mode mails are accepted and shown in the Inbox, but stay out of "
        "the records until they are released.",
    )
    state_rank = fields.Integer(compute="_compute_state_rank", store=True)
    company_id = fields.Many2one(
        "res.company",
        required=True,
        default=lambda self: self.env.company.id,
        index=True,
        tracking=True,
    )
    user_id = fields.Many2one(
        "res.users",
        string="Responsible",
        default=lambda self: self.env.user.filtered("active"),  # no robot
        help="Gets the activities of this account.",
    )
    description = fields.Html(translate=True)
    image_128 = fields.Image(
        max_width=128,
        max_height=128,
        compute="_compute_from_catalogue",
        store=True,
        readonly=False,
    )
    module_id = fields.Many2one(
        "ir.module.module",
        ondelete="set null",
        compute="_compute_from_catalogue",
        store=True,
        readonly=False,
    )
    module_state = fields.Selection(related="module_id.state", string="Module State")

    # The door
    require_token = fields.Boolean(
        string="Only at the Secret Address",
        compute="_compute_require_token",
        store=True,
        readonly=False,
        precompute=True,
        help="Accept posts at the address with this account's token alone. Providers "
        "that sign may also post to the address without a token; the key that verifies "
        "then names the account.",
    )
    can_omit_token = fields.Boolean(compute="_compute_adapter_facts")
    allowed_networks = fields.Text(
        tracking=True,
        help="Addresses or networks (one a line, e.g. 192.0.2.0/24) that may post. "
        "Empty: all. Behind a proxy this needs proxy_mode and X-Forwarded-Host.",
    )
    mail_limit_mb = fields.Integer(
        string="Largest Mail (MB)", default=MAIL_LIMIT_MB, required=True
    )

    # What is done with a mail
    accepted_domains = fields.Char(
        tracking=True,
        help="Domains whose mail is ours, separated by commas. Mail for other "
        "recipients is kept as rejected. Empty: all.",
    )
    reply_policy = fields.Selection(
        [
            ("strict", "Authenticated senders only"),
            ("standard", "Authenticated, or an earlier recipient from outside"),
            ("open", "Everybody (as Odoo does)"),
        ],
        string="Replies Count From",
        required=True,
        default="standard",
        tracking=True,
        help="Who may write into an existing record by replying to one of its mails. "
        "Everything else goes to quarantine.",
    )
    check_dkim = fields.Boolean(
        string="Check DKIM",
        default=True,
        help="Check the DKIM signature of original mails where the provider says "
        "nothing about the sender.",
    )
    trusted_authserv_id = fields.Char(
        string="Trusted Mail Server",
        help="The authserv-id whose Authentication-Results are believed, e.g. "
        "mx.example.com. Empty: none.",
    )

    # What happened
    first_post_date = fields.Datetime(readonly=True, copy=False)
    last_post_date = fields.Datetime(compute="_compute_last_post_date")
    notice_ids = fields.One2many("mail.bridge.notice", "account_id")
    open_notice_count = fields.Integer(compute="_compute_open_notice_count")
    intake_count = fields.Integer(compute="_compute_counts")
    problem_count = fields.Integer(compute="_compute_counts")
    message_total = fields.Integer(compute="_compute_counts")
    docs_url = fields.Char(compute="_compute_adapter_facts")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_account_reference_uniq
               ON mail_bridge_account (reference)"""
        )

    # --- Compute ---

    @api.depends("state")
    def _compute_state_rank(self):
        rank = {"enabled": 0, "test": 1, "disabled": 2}
        for account in self:
            account.state_rank = rank[account.state]

    @api.depends("code")
    def _compute_from_catalogue(self):
        """Take logo and addon from the catalogue's row of the provider."""
        for account in self:
            row = self.env.ref(
                f"mail_bridge.account_{account.code}", raise_if_not_found=False
            )
            # sizes are shown in place of images where the client asks for bin_size
            source = (row or account).sudo().with_context(bin_size=False)
            account.image_128 = source.image_128
            account.module_id = source.module_id

    @api.depends("code")
    def _compute_adapter_facts(self):
        for account in self:
            adapter = account._adapter()
            account.can_omit_token = bool(adapter and adapter.names_account)
            account.docs_url = adapter.docs_url if adapter else False

    @api.depends("code")
    def _compute_require_token(self):
        for account in self:
            adapter = registry.get(account.code)
            account.require_token = not (adapter and adapter.names_account)

    def _compute_last_post_date(self):
        groups = (
            self.env["mail.bridge.intake"]
            .sudo()
            ._read_group(
                [("account_id", "in", self.ids)], ["account_id"], ["received_at:max"]
            )
        )
        latest = {account.id: date for account, date in groups}
        for account in self:
            account.last_post_date = latest.get(account.id)

    def _compute_open_notice_count(self):
        groups = (
            self.env["mail.bridge.notice"]
            .sudo()
            ._read_group(
                [("account_id", "in", self.ids), ("resolved", "=", False)],
                ["account_id"],
                ["__count"],
            )
        )
        counts = {account.id: count for account, count in groups}
        for account in self:
            account.open_notice_count = counts.get(account.id, 0)

    def _compute_counts(self):
        Intake = self.env["mail.bridge.intake"]
        Message = self.env["mail.bridge.message"]
        own = [("account_id", "in", self.ids)]
        problems = [*own, ("state", "in", ("failed", "dead"))]
        intakes = dict(Intake._read_group(own, ["account_id"], ["__count"]))
        failing = dict(Intake._read_group(problems, ["account_id"], ["__count"]))
        messages = dict(Message._read_group(own, ["account_id"], ["__count"]))
        for account in self:
            account.intake_count = intakes.get(account, 0)
            account.problem_count = failing.get(account, 0)
            account.message_total = messages.get(account, 0)

    # --- Constraints ---

    @api.constrains("allowed_networks")
    def _check_allowed_networks(self):
        for account in self:
            try:
                parse_networks(account.allowed_networks)
            except ValueError as error:
                raise ValidationError(
                    self.env._("Not a network: %(why)s", why=error)
                ) from error

    @api.constrains("mail_limit_mb")
    def _check_mail_limit(self):
        if any(not 1 <= account.mail_limit_mb <= 512 for account in self):
            raise ValidationError(
                self.env._("The largest mail is between 1 and 512 MB.")
            )

    @api.constrains(
        lambda self: [
            "state",
            "code",
            "require_token",
            "allowed_networks",
            *self._secret_fields(),
        ]
    )
    def _check_can_authenticate(self):
        """An account that is on needs what its provider cannot do without."""
        for account in self.filtered(lambda account: account.state != "disabled"):
            adapter = account._adapter()
            if not adapter:
                raise ValidationError(
                    self.env._("%(name)s has no provider.", name=account.name)
                )
            if missing := account._missing_setup(adapter):
                raise ValidationError(missing)

    def _missing_setup(self, adapter):
        """Return why the account cannot be switched on, or ``False``.

        For a provider that needs more than a proof of who posts, it must override this
        method and say what is missing.
        """
        self.ensure_one()
        return self.has_door and self._missing_authentication(adapter)

    def _missing_authentication(self, adapter):
        """Return why nobody could prove to be the provider, or ``False``."""
        self.ensure_one()
        if adapter.signing_secrets and adapter.names_account:
            names = map(self._secret_field, adapter.signing_secrets)
            if all(map(self._has_secret, names)):
                return False
            return self.env._(
                "%(name)s cannot accept mail: its signing key is missing.",
                name=self.name,
            )
        if self.require_token or self.allowed_networks:
            return False
        return self.env._(
            "%(name)s signs nothing: require the account's address or allow only the "
            "provider's networks.",
            name=self.name,
        )

    # --- CRUD ---

    @api.model_create_multi
    def create(self, vals_list):
        # an account cannot be on before its secrets are stored, which needs its id
        states = [vals.get("state") or "disabled" for vals in vals_list]
        accounts = super().create([vals | {"state": "disabled"} for vals in vals_list])
        for account, state in zip(accounts, states, strict=True):
            if not account.reference:
                account.reference = f"{account.code}_{account.id}"
            self.env["mail.bridge.token"].sudo()._renew(account.sudo())
            if state != "disabled":
                account.state = state
        return accounts

    def copy_data(self, default=None):
        vals_list = super().copy_data(default)
        if "name" in (default or {}):
            return vals_list
        for account, vals in zip(self, vals_list, strict=True):
            vals["name"] = self.env._("%(name)s (copy)", name=account.name)
        return vals_list

    # --- Actions ---

    def action_enable(self):
        """Start to accept mail."""
        self._switch_on("enabled")

    def action_test_mode(self):
        """Accept mail, but keep it out of the records."""
        self._switch_on("test")

    def _switch_on(self, state):
        """Accept mail; who does so is responsible where nobody is."""
        person = self.env.user.filtered("active")  # no robot
        self.filtered(lambda account: not account.user_id).user_id = person
        self.write({"state": state})

    def action_disable(self):
        """Stop to accept mail; the provider is told to try again."""
        self.write({"state": "disabled"})

    def action_install_provider(self):
        """Install the addon of a provider in the catalogue."""
        self.ensure_one()
        self.check_access("write")
        if self.module_id and self.module_state != "installed":
            self.module_id.sudo().button_immediate_install()
        return {"type": "ir.actions.client", "tag": "reload"}

    def action_renew_token(self):
        """Replace the address; the old one works until the provider gave up on it."""
        for account in self:
            account.check_access("write")
            adapter = account._adapter()
            horizon = adapter and adapter.retry_horizon
            self.env["mail.bridge.token"].sudo()._renew(
                account.sudo(), *([horizon] if horizon else [])
            )
            account.message_post(body=self.env._("The account has a new address."))

    def action_view_messages(self):
        """Open the Inbox of this account."""
        return self._action_with_domain("mail_bridge.mail_bridge_message_action")

    def action_view_intakes(self):
        """Open the posts of this account."""
        return self._action_with_domain("mail_bridge.mail_bridge_intake_action")

    def action_view_notices(self):
        """Open the notices of this account."""
        return self._action_with_domain("mail_bridge.mail_bridge_notice_action")

    def _action_with_domain(self, xmlid):
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(xmlid)
        action["domain"] = [("account_id", "=", self.id)]
        action["context"] = {"default_account_id": self.id}
        return action

    # --- Business ---

    def _adapter(self):
        """Return the adapter that speaks this account's provider's dialect."""
        return registry.get(self.code) if len(self) == 1 else None

    @api.model
    def _secret_field(self, name):
        """Return the field that holds an adapter's secret.

        For a provider to keep a credential, it must add the field
        ``<code>_<name>`` to this model.
        """
        return f"{self.code}_{name}"

    def _adapter_options(self):
        """Return the plain settings the adapter needs (a dict).

        For a provider to have settings of its own, it must override this method and
        add them.
        """
        self.ensure_one()
        return {}

    def _secret_horizon(self):
        adapter = self._adapter()
        return adapter.retry_horizon if adapter else super()._secret_horizon()

    def _facts(self):
        """Return what the adapter may know of this account.

        :raises KeyRingError: this host cannot decrypt the secrets.
        """
        self.ensure_one()
        return provider_facts(self.code, self._live_secrets(), self._adapter_options())

    def _accepts_domain(self, address):
        """Tell whether a recipient is ours."""
        accepted = {
            domain.strip().lower().lstrip("@")
            for domain in re.split(r"[\s,;]+", self.accepted_domains or "")
            if domain.strip()
        }
        return not accepted or address.rpartition("@")[2].lower() in accepted

    @api.model
    def _is_inside(self, address):
        """Tell whether an address is one of ours: a user's, a company's, an alias'.

        :param address: normalized.
        """
        for model, names in INSIDE_FIELDS.items():
            self.env[model].flush_model(names)
        self.env.cr.execute(
            """SELECT 1 FROM mail_alias_domain WHERE name = %(domain)s
                UNION ALL
               SELECT 1 FROM res_partner p JOIN res_users u ON u.partner_id = p.id
                WHERE p.email_normalized = %(address)s AND u.active
                UNION ALL
               SELECT 1 FROM res_partner p JOIN res_company c ON c.partner_id = p.id
                WHERE p.email_normalized = %(address)s
                LIMIT 1""",
            {"domain": address.rpartition("@")[2], "address": address},
        )
        return bool(self.env.cr.fetchone())

    @api.model
    def _reply_token_key(self):
        """Return the key of the tokens in our reply addresses (bytes)."""
        return hmac(self.env(su=True), "mail_bridge-reply_token", "key").encode()

    def _note_first_post(self, moment):
        """Remember when the first post came; call it between two transactions.

        Not part of the work itself: two drains with the first mails of an account
        would undo one another's work for the sake of this date.
        """
        self.env.cr.execute(
            """UPDATE mail_bridge_account SET first_post_date = %s
                WHERE id = (SELECT id FROM mail_bridge_account
                             WHERE id = %s AND first_post_date IS NULL
                               FOR UPDATE SKIP LOCKED)""",
            (moment, self.id),
        )
        self.env.cr.commit()
        self.invalidate_recordset(["first_post_date"])

    def _responsible(self):
        """Return who is told: the account's user, if he is there and may see it."""
        user = self.user_id
        if user.active and user.has_group("mail_bridge.group_user"):
            return user
        return self.env.ref("base.user_admin")

    @api.ondelete(at_uninstall=False)
    def _unlink_except_waiting(self):
        waiting = [("account_id", "in", self.ids), ("state", "in", UNFINISHED)]
        if self.env["mail.bridge.intake"].sudo().search_count(waiting, limit=1):
            raise UserError(
                self.env._(
                    "Mail of this account is accepted and not processed yet. Archive "
                    "the account, or deal with its requests first."
                )
            )

    def _warn(self, summary, note=""):
        """Raise one activity on the account; an open one of the same kind serves."""
        self.ensure_one()
        if self.activity_ids.filtered(lambda activity: activity.summary == summary):
            return
        # the one who is told may be told by mail: by the queue, never by the caller
        queued = self.with_context(mail_notify_force_send=False)
        queued.activity_schedule(
            "mail.mail_activity_data_warning",
            summary=summary,
            note=note,
            user_id=self._responsible().id,
        )
        self.env.ref("mail.ir_cron_mail_scheduler_action").sudo()._trigger()
