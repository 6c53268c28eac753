# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timezone

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import email_normalize

from odoo.addons.mail_bridge.exceptions import PermanentError
from odoo.addons.mail_bridge.providers.redaction import redact
from odoo.addons.mail_bridge.providers.suppression import Suppression

from ..providers.suppression import SUPPRESSION_RULES

#: Entries that one call tells providers of.
TOLD_AT_ONCE = 100
#: A provider's reason → ours, as the rules know it. What somebody entered there by
#: hand has no rule: it counts for all mail until it is lifted there.
OUR_REASONS = {
    "bounced": "invalid",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "manual": "manual",
}
#: And back; any other reason of ours says that the address is dead.
THEIR_REASONS = {
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "manual": "manual",
}
#: What core's blacklist follows.
WISHES = ("complained", "unsubscribed")


class MailRelaySuppression(models.Model):
    """The two ways: what providers' lists hold, and what the providers are told.

    A provider holds mail back by itself. So what a person enters here for all mail, or
    takes back, must stand in its list as well; and what stands there, here.
    """

    _inherit = "mail.relay.suppression"

    listed_at = fields.Datetime(
        string="Last Listed",
        readonly=True,
        copy=False,
        help="When the entry was last found in the provider's list.",
    )
    provider_state = fields.Selection(
        [("waiting", "To Be Told"), ("told", "Told"), ("refused", "Refused")],
        string="Providers",
        readonly=True,
        copy=False,
        help="Whether the providers know what was entered here, or taken back.",
    )
    provider_error = fields.Char(string="Provider's Refusal", readonly=True, copy=False)

    def init(self):
        result = super().init()
        self.env.cr.execute(
            """CREATE INDEX IF NOT EXISTS mail_relay_suppression_waiting_idx
                   ON mail_relay_suppression (id) WHERE provider_state = 'waiting'"""
        )
        return result

    # --- What people do ---

    @api.model_create_multi
    def create(self, vals_list):
        entries = super().create(vals_list)
        entries.filtered(lambda entry: entry._is_by_hand())._let_providers_know()
        return entries

    def write(self, vals):
        if "active" not in vals:
            return super().write(vals)
        active = self.filtered("active")
        result = super().write(vals)
        changed = self.filtered(lambda entry: entry.active != (entry in active))
        known = changed.filtered(lambda entry: not entry.active or entry._is_by_hand())
        known._let_providers_know()
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_listed(self):
        if self.filtered(lambda entry: entry.active and entry._is_listed()):
            raise UserError(
                self.env._(
                    "The provider's list holds this address, too. Archive the entry: "
                    "then the provider is told."
                )
            )

    def action_tell_providers(self):
        """Tell the providers again what they refused."""
        self.check_access("write")
        self._let_providers_know()

    def _is_by_hand(self):
        return self.source == "manual" and self.scope == "all"

    def _is_listed(self):
        return bool(self.listed_at or self.provider_state == "told")

    def _let_providers_know(self):
        accounts = self.env["mail.bridge.account"].sudo()._offering("suppress")
        told = self.filtered(lambda entry: accounts.filtered(entry._concerns))
        self.write({"provider_state": False, "provider_error": False})
        if told:
            told.provider_state = "waiting"
            cron = self.env.ref("mail_relay.ir_cron_tell_providers")
            cron.sudo()._trigger()

    # --- To the providers ---

    @api.model
    def _cron_tell_providers(self):
        """Tell providers what people entered and took back."""
        accounts = self.env["mail.bridge.account"]._offering("suppress")
        waiting = [
            ("provider_state", "=", "waiting"),
            ("company_id", "in", accounts.company_id.ids),
            ("account_id", "in", [False, *accounts.ids]),
        ]
        known = self.with_context(active_test=False)
        entries = known.search(waiting, limit=TOLD_AT_ONCE, order="id")
        told = {entry.id: entry.active for entry in entries}
        refusals = {}
        done = accounts._ask_in_turn(
            accounts, lambda account: entries._tell(account, refusals)
        )
        entries.invalidate_recordset()
        for entry in entries.exists():
            concerned = accounts.filtered(entry._concerns)
            if entry.active == told[entry.id] and concerned <= done:
                entry._note_told(refusals.get(entry.id))
        if len(entries) == TOLD_AT_ONCE and done == accounts:
            self.env.ref("mail_relay.ir_cron_tell_providers")._trigger()

    def _concerns(self, account):
        """Tell whether an account's provider should know of this entry."""
        if account.company_id != self.company_id:
            return False
        return not self.account_id or self.account_id == account

    def _tell(self, account, refusals):
        """Tell one account's provider of all entries that concern it.

        :param refusals: gets why an entry was refused, by its id.
        :raises TemporaryError: the provider cannot be asked now.
        """
        for entry in self.filtered(lambda entry: entry._concerns(account)):
            reason = THEIR_REASONS.get(entry.reason, "bounced")
            if entry.source == "manual":
                reason = "manual"
            try:
                if entry.active:
                    account._ask("suppress", [entry._as_item(reason)])
                else:
                    account._ask("unsuppress", entry.email_normalized, reason)
            except PermanentError as error:
                refusals[entry.id] = f"{account.name}: {redact(str(error))}"

    def _as_item(self, reason):
        since = self.since.replace(tzinfo=timezone.utc)
        return Suppression(self.email_normalized, reason, since, self.evidence or "")

    def _note_told(self, refusal):
        state = "refused" if refusal else "told"
        self.write({"provider_state": state, "provider_error": refusal or False})

    # --- From the providers ---

    @api.model
    def _import_listed(self, account, items, seen_at):
        """Make or renew entries for what stands in a provider's list.

        What a person took back and the provider does not know yet stays taken back.

        :param items: ``providers.suppression.Suppression`` values.
        """
        rows = {}
        for item in items:
            for row in _rows(account, item, seen_at):
                rows[row["email_normalized"], row["scope"], row["list_reference"]] = row
        addresses = sorted({address for address, _scope, _list in rows})
        entries = self.with_context(active_test=False).search(
            [
                ("company_id", "=", account.company_id.id),
                ("email_normalized", "in", addresses),
            ]
        )
        for entry in entries.filtered(lambda entry: entry._is_taken_back()):
            rows.pop(entry._place(), None)
        there = {entry._place() for entry in entries.filtered("active")}
        self._renew(list(rows.values()))
        self._blacklist(
            {
                place[0]
                for place, row in rows.items()
                if row["reason"] in WISHES and place not in there
            }
        )
        self._note_listed(account, addresses, seen_at)

    def _is_taken_back(self):
        return not self.active and self.provider_state == "waiting"

    def _place(self):
        return self.email_normalized, self.scope, self.list_reference or None

    @api.model
    def _note_listed(self, account, addresses, seen_at):
        self.env.cr.execute(
            """UPDATE mail_relay_suppression SET listed_at = %s
                WHERE company_id = %s AND email_normalized = ANY(%s) AND active""",
            (seen_at, account.company_id.id, addresses),
        )
        self.invalidate_model(["listed_at"])

    @api.model
    def _lift_unlisted(self, account, seen_at):
        """Archive what came from a provider's list and stands there no more."""
        self.env.cr.execute(
            """UPDATE mail_relay_suppression SET active = false
                WHERE account_id = %s AND source = 'provider' AND active
                  AND listed_at < %s""",
            (account.id, seen_at),
        )
        self.invalidate_model(["active"])


def _rows(account, item, seen_at):
    """Yield the entries for one item of a list: one, or one for each kind of mail."""
    address = email_normalize(item.address)
    if not address:  # a whole domain, which only the provider holds back
        return
    reason = OUR_REASONS[item.reason]
    rule = SUPPRESSION_RULES.get(reason)
    since = item.since and item.since.astimezone(timezone.utc).replace(tzinfo=None)
    row = {
        "company_id": account.company_id.id,
        "email_normalized": address,
        "scope": rule.scope if rule else "all",
        "list_reference": None,
        "reason": reason,
        "source": "provider",
        "since": min(since or seen_at, seen_at),
        # listed now: that proves it anew
        "until": seen_at + rule.lasts if rule and rule.lasts else None,
        "evidence": item.evidence,
        "account_id": account.id,
    }
    for tag in item.tags:
        yield row | {"scope": "list", "list_reference": tag}
    if not item.tags:
        yield row
