# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from urllib.parse import urlsplit

import requests

from odoo import api, fields, models
from odoo.tools import config

from odoo.addons.mail_bridge_guard.redaction import mask_path

from .mail_bridge_secret import ADMIN, secret_outside, secret_variable
from .mail_bridge_token import URL_TOKEN
from .res_config_settings import guard_is_loaded

#: Message-IDs of the test button's mails, which prove nothing of the provider.
TEST_MAIL_DOMAIN = "test.mail-bridge.invalid"
#: How long the account waits for its own address to answer, seconds.
SAMPLE_TIMEOUT = 15


class MailBridgeAccount(models.Model):
    """Setting an account up: what is done, what is missing, and a mail to try it."""

    _inherit = "mail.bridge.account"

    is_installed = fields.Boolean(compute="_compute_is_installed")
    key_problem = fields.Char(compute="_compute_key_problem", groups=ADMIN)
    checklist = fields.Json(compute="_compute_checklist", groups=ADMIN)
    secret_variables = fields.Char(
        compute="_compute_secret_variables",
        groups=ADMIN,
        help="The environment variables that may give this account's credentials.",
    )
    secrets_outside = fields.Char(
        compute="_compute_secret_variables",
        groups=ADMIN,
        help="Those of them that do.",
    )

    @api.depends("module_id", "module_state", "code")
    def _compute_is_installed(self):
        for account in self:
            module_state = account.sudo().module_state
            account.is_installed = account.code != "none" or module_state == "installed"

    def _compute_key_problem(self):
        self.key_problem = self.env["mail.bridge.secret"]._is_ready()

    @api.depends("reference", "code")
    def _compute_secret_variables(self):
        for account in self:
            variables = {
                name: secret_variable(account.reference, name)
                for name in (account._secret_names() if account.reference else ())
            }
            known = (f"{account.code}_", *([URL_TOKEN] if account.has_door else []))
            own = [v for name, v in variables.items() if name.startswith(known)]
            given = filter(account._secret_outside, variables)
            account.secret_variables = ", ".join(sorted(own))
            account.secrets_outside = ", ".join(variables[name] for name in given)

    @api.depends("state", "code", "require_token", "allowed_networks")
    def _compute_checklist(self):
        for account in self:
            adapter = account._adapter()
            account.checklist = (
                [*account._setup_steps(adapter), *account._traffic_steps()]
                if adapter and account._origin  # also while it is edited
                else []
            )

    def _setup_steps(self, adapter):
        """Return the steps before a mail can come or go (see :func:`setup_step`)."""
        return [
            *self._provider_steps(adapter),
            *self._server_steps(),
            *(self._address_steps() if self.has_door else ()),
            setup_step(
                self.state != "disabled",
                self.env._("The account is switched on"),
                self.env._("Press Enable, or Test Mode to keep mails in the Inbox.")
                if self.can_receive
                else self.env._("Press Enable."),
            ),
        ]

    def _provider_steps(self, adapter):
        """Return what the account needs of its provider.

        For a provider that needs more, it must override this method and add steps.
        """
        if not self.has_door:
            return []
        missing = self._missing_authentication(adapter)
        label = self.env._("The provider can prove who it is")
        return [setup_step(not missing, label, missing)]

    def _address_steps(self):
        """Return what the address needs that providers post to."""
        address, why_not = self._public_address()
        label = self.env._("The address is public and encrypted")
        return [setup_step(address, label, why_not), *self._token_steps()]

    def _token_steps(self):
        """Return what is wrong with an address that the environment gives, if it is."""
        if not secret_outside(self.reference, URL_TOKEN):
            return []
        return [
            setup_step(
                self._secret_outside(URL_TOKEN),
                self.env._("The address of the environment is a secret"),
                self.env._(
                    "%(variable)s needs 22 letters, digits, - and _ or more; until "
                    "then it does not count.",
                    variable=secret_variable(self.reference, URL_TOKEN),
                ),
                fault=True,
            )
        ]

    def _server_steps(self):
        """Return what this server needs, whatever the account."""
        keys = self.key_problem
        hint = self.env._(
            "%(why)s. Give it the key ring in MAIL_BRIDGE_KEYS.", why=keys
        )
        label = self.env._("This server reads the credentials")
        return [
            setup_step(not keys, label, hint, fault=True),
            *(self._intake_steps() if self.has_door else ()),
        ]

    def _intake_steps(self):
        """Return what this server needs to take posts."""
        active = self.env["mail.bridge.intake"]._has_all_drains()
        return [
            setup_step(
                guard_is_loaded(),
                self.env._("The guard is loaded server-wide"),
                self.env._(
                    "Add mail_bridge_guard to server_wide_modules in odoo.conf and "
                    "restart; without it mail may be lost while the database is away."
                ),
                fault=True,
            ),
            setup_step(
                config["max_cron_threads"] and active,
                self.env._("Scheduled actions process the mail"),
                self.env._(
                    "Set max_cron_threads (4 or more) in odoo.conf and keep the "
                    "scheduled actions 'Mail Bridge: process intake' and 'Mail Bridge: "
                    "fetch what posts point to' active."
                ),
                fault=True,
            ),
        ]

    def _traffic_steps(self):
        """Return the steps that mails themselves tick off."""
        return [
            *(self._arrival_steps() if self.can_receive else self._event_steps()),
            setup_step(
                not self.open_notice_count,
                self.env._("All notices are solved"),
                self.env._("Open them (button above) and mark them as solved."),
                fault=True,
            ),
        ]

    def _event_steps(self):
        """Return the step that the first delivery ticks off, where mail only goes."""
        if not self.can_report:
            return []
        told = [("account_id", "=", self._origin.id), ("source", "=", "webhook")]
        return [
            setup_step(
                self.env["mail.bridge.event"].search_count(told, limit=1),
                self.env._("The provider told what became of a mail"),
                self.env._(
                    "Register the webhooks (tab At the Provider), then send a mail "
                    "through this account."
                ),
            )
        ]

    def _arrival_steps(self):
        # the test button's mails do not count: the provider had no part in them
        real = [
            ("account_id", "=", self._origin.id),
            ("message_id_header", "not like", f"@{TEST_MAIL_DOMAIN}>"),
        ]
        Message = self.env["mail.bridge.message"]
        return [
            setup_step(
                Message.search_count(real, limit=1),
                self.env._("The provider delivered a first mail"),
                self.env._(
                    "Enter the address (tab Receiving) at the provider, then write a "
                    "real mail: a test mail does not go through the provider."
                ),
            ),
            setup_step(
                Message.search_count([*real, ("state", "=", "routed")], limit=1),
                self.env._("A real mail found its record"),
                self.env._("Write a mail to an address that has an alias in Odoo."),
            ),
        ]

    def _public_address(self):
        """Return whether providers may reach us, and what speaks against it."""
        url = urlsplit(self.get_base_url())
        host = url.hostname or ""
        if (
            host == "localhost"
            or host.endswith(".localhost")
            or host.startswith("127.")
        ):
            return False, self.env._(
                "web.base.url is %(url)s, which only this machine can reach.",
                url=self.get_base_url(),
            )
        if url.scheme != "https":
            return False, self.env._(
                "web.base.url is not https: the mails travel readable for others."
            )
        return True, ""

    # --- Actions ---

    @api.model
    def health_warnings(self):
        """Return what threatens mail on this server (dicts of title and text).

        Only administrators can do something about it; others get an empty list.
        """
        if not self.env.user.has_group(ADMIN):
            return []
        warnings = []
        if not guard_is_loaded():
            warnings.append(
                {
                    "title": self.env._("Mail Bridge Guard is not loaded server-wide."),
                    "text": self.env._(
                        "While the database is away some providers drop mail for good. "
                        "Add it to server_wide_modules in odoo.conf and restart."
                    ),
                }
            )
        if problem := self.env["mail.bridge.secret"]._is_ready():
            warnings.append(
                {
                    "title": self.env._("Credentials cannot be read."),
                    "text": self.env._(
                        "%(why)s. Mail is answered with 'try again later'.", why=problem
                    ),
                }
            )
        if not self.env["mail.bridge.intake"]._has_all_drains():
            warnings.append(
                {
                    "title": self.env._("Mail is not processed."),
                    "text": self.env._(
                        "A scheduled action of Mail Bridge ('process intake', 'fetch "
                        "what posts point to') is switched off. Mail waits."
                    ),
                }
            )
        return warnings

    def action_view_problems(self):
        """Open the posts of this account that could not be processed."""
        action = self.action_view_intakes()
        action["context"] = {"search_default_problems": 1}
        return action

    def action_test_connection(self):
        """Open the wizard that sends a test mail through the real address."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Send a Test Mail"),
            "res_model": "mail.bridge.test.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_account_id": self.id},
        }

    # --- Business ---

    def _post_sample(self, sample):
        """Post a sample to the account's own address, as its provider would.

        :param sample: ``providers.base.SamplePost``.
        :return: ``(status, local)``: what the address answered, and whether that was
            only our own port, because ``web.base.url`` does not answer from here.
        :raises requests.RequestException: nobody answers at either.
        """
        self.ensure_one()
        path = self.sudo()._webhook_path()
        public = self.get_base_url()
        local = f"http://127.0.0.1:{config['http_port']}"
        headers = dict(sample.headers)
        try:
            return self._post(public + path, sample.body, headers), False
        except requests.RequestException:
            headers["Host"] = urlsplit(public).netloc
            return self._post(local + path, sample.body, headers), True

    @api.model
    def _post(self, url, body, headers):
        try:
            response = requests.post(
                url,
                data=body,
                headers=headers,
                timeout=SAMPLE_TIMEOUT,
                allow_redirects=False,
            )
            return response.status_code
        except requests.RequestException as error:
            # the address is a credential; so is the exception that names it
            raise type(error)(mask_path(str(error))) from None


def setup_step(done, label, hint, fault=False):
    """Return one line of the checklist; the hint only where something is to do."""
    if done:
        return {"state": "done", "label": label}
    state = "fault" if fault else "todo"
    return {"state": state, "label": label, "hint": hint or ""}
