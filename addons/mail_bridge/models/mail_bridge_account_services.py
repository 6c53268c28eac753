# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
import logging
import time

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.modules import module

from ..exceptions import MailBridgeError, PermanentError
from ..keyring import KeyRingError
from ..providers.redaction import redact
from ..providers.services import OwnAddresses
from .mail_bridge_queue import CONFLICTS
from .mail_bridge_token import URL_TOKEN

_logger = logging.getLogger(__name__)

#: A scheduled action asks no further provider after this many seconds.
ASK_SECONDS = 20.0


class MailBridgeAccount(models.Model):
    """What people, and scheduled actions, have the provider do beside sending.

    Nobody waits for a provider with a transaction open: what was written before is
    committed first, and what it answers is written in the next one.
    """

    _inherit = "mail.bridge.account"

    can_register_events = fields.Boolean(compute="_compute_services")
    can_register_inbound = fields.Boolean(compute="_compute_services")
    has_networks = fields.Boolean(compute="_compute_services")
    has_statistics = fields.Boolean(compute="_compute_services")
    statistics = fields.Json(readonly=True, copy=False)
    statistics_date = fields.Datetime(string="Counted", readonly=True, copy=False)
    statistics_lines = fields.Text(compute="_compute_statistics_lines")

    @api.depends("code")
    def _compute_services(self):
        for account in self:
            account.can_register_events = account._offers("register_events")
            account.can_register_inbound = account._offers("register_inbound")
            account.has_networks = account._offers("networks")
            account.has_statistics = account._offers("statistics")

    @api.depends("statistics")
    def _compute_statistics_lines(self):
        labels = self._figure_labels()
        for account in self:
            told = account.statistics or {}
            shown = [(labels[name], told[name]) for name in labels if name in told]
            account.statistics_lines = json.dumps(shown)

    def _figure_labels(self):
        """Return ``{figure: label}`` in the order in which they are shown."""
        return {
            "cycle_start": self.env._("Billing cycle from"),
            "cycle_end": self.env._("Billing cycle to"),
            "quota": self.env._("Mails the plan allows"),
            "quota_used": self.env._("Used of it"),
            "quota_left": self.env._("Left of it"),
            "sent": self.env._("Sent"),
            "rejected": self.env._("Rejected"),
            "bounced_hard": self.env._("Hard bounces"),
            "bounced_soft": self.env._("Soft bounces"),
            "bounce_percent": self.env._("Bounces, percent"),
            "complained": self.env._("Complaints"),
            "complaint_percent": self.env._("Complaints, percent"),
            "unsubscribed": self.env._("Unsubscribed"),
            "opened": self.env._("Opened"),
            "clicked": self.env._("Clicked"),
        }

    # --- Actions ---

    def action_register_events(self):
        """Let the provider's webhooks post events to this account."""
        return self._action_register("events")

    def action_register_inbound(self):
        """Let the provider post the mail that it receives to this account."""
        return self._action_register("inbound")

    def action_unregister_events(self):
        """Remove this account's webhooks at the provider."""
        return self._action_unregister("events")

    def action_unregister_inbound(self):
        """Remove this account's route at the provider."""
        return self._action_unregister("inbound")

    def action_add_networks(self):
        """Allow the addresses that the provider posts from, besides those there are."""
        self._check_offers("networks")
        found, failure = self._attempt(self._ask, "networks")
        known = (self.allowed_networks or "").split()
        if found:
            self.allowed_networks = "\n".join(dict.fromkeys([*known, *found]))
        done = self.env._("The provider posts from %s", ", ".join(found or ()))
        return self._tell(done, failure)

    def action_refresh_statistics(self):
        """Ask the provider for its figures."""
        self._check_offers("statistics")
        figures, failure = self._attempt(self._ask, "statistics")
        if figures is not None:
            self._keep_statistics(figures)
        return self._tell(self.env._("The figures are those of now."), failure)

    def _action_register(self, purpose):
        self._check_offers(f"register_{purpose}")
        is_public, why_not = self._public_address()
        if not is_public:
            raise UserError(why_not)
        _none, failure = self._attempt(
            self._ask, "register", self._own_addresses(), purpose
        )
        done = {
            "events": self.env._("The provider posts events to this account now."),
            "inbound": self.env._("The provider posts mail to this account now."),
        }
        return self._note_and_tell(done[purpose], failure)

    def _action_unregister(self, purpose):
        self._check_offers(f"register_{purpose}")
        count, failure = self._attempt(
            self._ask, "unregister", self._own_addresses(), purpose
        )
        done = {
            "events": self.env._("Webhooks removed at the provider: %s", count),
            "inbound": self.env._("Routes removed at the provider: %s", count),
        }
        return self._note_and_tell(done[purpose], failure)

    def _note_and_tell(self, done, failure):
        self.message_post(body=failure or done)
        return self._tell(done, failure)

    def _tell(self, done, failure):
        """Return the notification of an outcome; the form is read anew behind it."""
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "danger" if failure else "success",
                "message": failure or done,
                "sticky": bool(failure),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    # --- Scheduled ---

    @api.model
    def _cron_statistics(self):
        """Ask the providers that count for their figures."""
        accounts = self._offering("statistics")
        self._ask_in_turn(accounts.sorted("statistics_date"), self._refresh_statistics)

    @api.model
    def _refresh_statistics(self, account):
        account._keep_statistics(account._ask("statistics"))

    def _keep_statistics(self, figures):
        self.write(
            {"statistics": dict(figures), "statistics_date": fields.Datetime.now()}
        )

    # --- Business ---

    def _offers(self, service):
        """Tell whether the account's provider offers a service."""
        adapter = self._adapter()
        return bool(adapter and service in adapter.offers)

    @api.model
    def _offering(self, service):
        """Return the accounts that are on and can use a service of their provider."""
        accounts = self.search([("state", "!=", "disabled")])
        return accounts.filtered(
            lambda account: account._offers(service) and account._has_credentials()
        )

    def _has_credentials(self):
        """Tell whether the account has what every service of its provider needs."""
        names = map(self._secret_field, self._adapter().services_need)
        return all(map(self._has_secret, names))

    def _check_offers(self, service):
        self.ensure_one()
        self.check_access("write")
        if not self._offers(service):
            raise UserError(self.env._("This provider offers nothing like it."))

    def _own_addresses(self):
        """Return where this account takes posts now, and where it did."""
        self.ensure_one()
        account = self.sudo()
        base = account.get_base_url().rstrip("/")
        paths = [f"/mailgate/{account.code}"] if account.can_omit_token else []
        tokens = account._live_secrets().get(URL_TOKEN) or []
        paths += [f"/mailgate/{account.code}/{token}" for token in tokens]
        url = account.webhook_url
        retired = tuple(base + path for path in paths if base + path != url)
        uuid = self.env["ir.config_parameter"].sudo().get_param("database.uuid")
        return OwnAddresses(url, f"{uuid}-{account.id}"[-64:], retired)

    def _ask(self, method, *values):
        """Return what the adapter answers, which is asked with no transaction open.

        :param method: of ``providers.services.ProviderServices``.
        :raises MailBridgeError: it cannot be asked now, or refuses.
        :raises KeyRingError: this host cannot read the credentials.
        """
        ask = getattr(self._adapter(), method)
        facts = self.sudo()._facts()
        self._end_transaction()
        return ask(facts, *values)

    def _attempt(self, work, *values):
        """Return ``(outcome, None)`` of work at a provider, or ``(None, why not)``."""
        self.ensure_one()
        try:
            return work(*values), None
        except (MailBridgeError, KeyRingError) as error:
            return None, self.env._(
                "The provider did not do it: %s", redact(str(error))
            )

    @api.model
    def _end_transaction(self):
        """Commit what was done so far, so that no lock outlives it."""
        self.env.flush_all()
        if not module.current_test:  # a test's transaction is never committed
            self.env.cr.commit()

    @api.model
    def _ask_in_turn(self, accounts, work, seconds=ASK_SECONDS):
        """Do the work of a scheduled action for each account, as far as time allows.

        What one provider refuses holds up no other.

        :param work: a function of the account.
        :return: the accounts that were done.
        """
        end = time.monotonic() + seconds
        done = self.browse()
        for account in accounts:
            if time.monotonic() > end:
                break
            try:
                work(account)
                done += account
            except (MailBridgeError, KeyRingError) as error:
                account._note_refusal(error)
            except CONFLICTS as error:  # the same may succeed the next time
                _logger.info("Account %s: %s", account.id, error)
                self.env.cr.rollback()
                self.env.invalidate_all()
            self._end_transaction()
        return done

    def _note_refusal(self, error):
        """Tell of a refusal that waiting cannot mend; of others only the log."""
        words = redact(str(error))  # a provider may repeat our address, a credential
        _logger.info("Account %s: %s", self.id, words)
        if isinstance(error, PermanentError):
            self._warn(self.env._("The provider refuses this account"), words)
