# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import time
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import ormcache

from odoo.addons.mail_bridge.exceptions import MailBridgeError
from odoo.addons.mail_bridge.keyring import KeyRingError
from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field
from odoo.addons.mail_bridge.providers import dkim_signing
from odoo.addons.mail_bridge.providers.authentication import normal_domain
from odoo.addons.mail_bridge.providers.redaction import redact

from ..providers import domaincheck

#: Name servers to ask instead of the system's: addresses, the first maybe with #port.
NAMESERVERS_PARAMETER = "mail_relay.nameservers"
#: Seconds for one call of the scheduled check.
CHECK_SECONDS = 60.0
#: What the enqueuer knows of a domain; it changes with these.
_FACTS = {"name", "active", "company_id", "state", "account_ids", "dkim_selector"}


class DomainFacts(NamedTuple):
    """A domain as plain values; ``signs``: with its own key, which DNS shows."""

    id: int
    name: str
    is_verified: bool
    signs: bool
    selector: str
    account_ids: frozenset[int]


class MailRelaySendingDomain(models.Model):
    """A domain of From addresses: the records it must publish, and whether it does."""

    _name = "mail.relay.sending.domain"
    _description = "Mail Relay Sending Domain"
    _inherit = ["mail.thread", "mail.bridge.secret.mixin"]
    _order = "name, id"
    _check_company_auto = True

    name = fields.Char(
        string="Domain",
        required=True,
        tracking=True,
        help="What stands behind the @ of From addresses.",
    )
    reference = fields.Char(related="name", string="Reference")
    active = fields.Boolean(default=True, tracking=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    account_ids = fields.Many2many(
        "mail.bridge.account",
        "mail_relay_sending_domain_account_rel",
        string="Only Through",
        domain="[('can_send', '=', True), ('company_id', '=', company_id)]",
        check_company=True,
        help="Mail from this domain leaves through these accounts alone, whatever the "
        "routes say. The records that their providers ask for are added. Empty: all.",
    )
    state = fields.Selection(
        [
            ("new", "New"),
            ("pending", "Pending"),
            ("verified", "Verified"),
            ("failing", "Failing"),
        ],
        default="new",
        required=True,
        readonly=True,
        copy=False,
        tracking=True,
        help="Failing: the domain was verified, and one of its records is gone since.",
    )
    checked_at = fields.Datetime(string="Checked", readonly=True, copy=False)
    findings = fields.Text(
        readonly=True, copy=False, help="What could not be asked at the last check."
    )
    record_ids = fields.One2many(
        "mail.relay.sending.record", "domain_id", string="Records to Publish"
    )
    spf_term = fields.Char(
        string="SPF Permission",
        help="What permits the sending servers in the domain's SPF record: "
        "include:mailgun.org, include:spf.smtp2go.com, ip4:192.0.2.10, mx. Providers "
        "name theirs.",
    )
    dkim_private_key = secret_field("DKIM Private Key", "Signs the domain's mail.")
    dkim_public_key = fields.Text(string="DKIM Key", readonly=True, copy=False)
    dkim_selector = fields.Char(string="DKIM Selector", readonly=True, copy=False)
    signs = fields.Boolean(
        compute="_compute_signs",
        help="Mail is signed here once DNS shows the domain's own key.",
    )

    @api.depends("record_ids.state", "record_ids.purpose", "record_ids.origin")
    def _compute_signs(self):
        for domain in self:
            keys = domain.record_ids.filtered(lambda one: one._is_own_key())
            domain.signs = bool(keys) and set(keys.mapped("state")) == {"ok"}

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_sending_domain_name_uniq
                   ON mail_relay_sending_domain (company_id, name) WHERE active"""
        )

    @api.model
    def _outside_secret(self, reference, name):
        """A key is made here, with the public key that goes to DNS."""
        return None

    @api.model
    def _check_free(self, name, company_id):
        """Say in words what the unique index says (it also sees what others do now)."""
        same = [("name", "=", name), ("company_id", "=", company_id)]
        if self.search_count([*same, ("id", "not in", self.ids)], limit=1):
            raise ValidationError(self.env._("%s is a sending domain already.", name))

    # --- CRUD ---

    @api.model_create_multi
    def create(self, vals_list):
        self.env.registry.clear_cache()
        vals_list = [vals | self._named(vals) for vals in vals_list]
        for vals in vals_list:
            company_id = vals.get("company_id") or self.env.company.id
            self._check_free(vals.get("name"), company_id)
        domains = super().create(vals_list)
        domains._set_own_records()
        return domains

    def write(self, vals):
        if vals.keys() & _FACTS:
            self.env.registry.clear_cache()
        vals = vals | self._named(vals)
        if "name" in vals:
            for domain in self:
                domain._check_free(vals["name"], domain.company_id.id)
            vals |= {"state": "new", "checked_at": False}
        result = super().write(vals)
        if vals.keys() & {"name", "spf_term", "dkim_public_key"}:
            self._set_own_records()
        return result

    def unlink(self):
        self.env.registry.clear_cache()
        return super().unlink()

    @api.model
    def _named(self, vals):
        if "name" not in vals:
            return {}
        name = normal_domain((vals["name"] or "").strip().lstrip("@"))
        if "." not in name:
            raise ValidationError(self.env._("%s is not a domain.", vals["name"]))
        return {"name": name}

    # --- Records ---

    def _own_records(self):
        """Return what the domain itself must publish: purpose → (host, value)."""
        self.ensure_one()
        told = self.record_ids.filtered(lambda one: one.origin != "own")
        records = {"dmarc": (f"_dmarc.{self.name}", "v=DMARC1; p=none")}
        if self.spf_term or "spf" not in told.mapped("purpose"):
            records["spf"] = (self.name, self.spf_term or "")
        if self.dkim_public_key:
            host = f"{self.dkim_selector}._domainkey.{self.name}"
            records["dkim"] = (host, f"v=DKIM1; k=rsa; p={self.dkim_public_key}")
        return records

    def _set_own_records(self):
        for domain in self:
            wanted = [
                domaincheck.Wanted(purpose, "TXT", host, value)
                for purpose, (host, value) in domain._own_records().items()
            ]
            domain._set_records("own", wanted)

    def _set_records(self, origin, wanted):
        """Replace the records of an origin; those that stay keep their verdict."""
        self.ensure_one()
        Record = self.env["mail.relay.sending.record"].sudo()
        old = self.sudo().record_ids.filtered(lambda one: one.origin == origin)
        known = {one._wanted(): one for one in old}
        gone = [one.id for key, one in known.items() if key not in set(wanted)]
        Record.browse(gone).unlink()
        Record.create(
            [
                {"domain_id": self.id, "origin": origin, **item._asdict()}
                for item in dict.fromkeys(wanted)
                if item not in known
            ]
        )

    def action_make_key(self):
        """Make a DKIM key of the domain's own; mail is signed once DNS shows it."""
        self.check_access("write")
        for domain in self:
            private, public = dkim_signing.make_key()
            number = fields.Datetime.now().strftime("%Y%m%d%H%M%S")
            domain.sudo().dkim_private_key = private
            domain.write({"dkim_selector": f"odoo{number}", "dkim_public_key": public})

    def action_drop_key(self):
        """Sign no more: the provider does, or nobody."""
        self.check_access("write")
        self.sudo().write({"dkim_private_key": False})
        self.write({"dkim_selector": False, "dkim_public_key": False})

    def _private_key(self):
        """Return the private key (PEM), empty: this host cannot read it."""
        self.ensure_one()
        try:
            return (self.sudo()._live_secrets().get("dkim_private_key") or [""])[0]
        except KeyRingError:
            return ""

    # --- Check ---

    def action_check(self):
        """Ask DNS, and the providers, now."""
        self.check_access("write")
        for domain in self:
            domain._check()
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    @api.model
    def _cron_check(self):
        """Check all domains, those first that were not for the longest time."""
        end = time.monotonic() + CHECK_SECONDS
        for domain in self.search([], order="checked_at NULLS FIRST, id"):
            if time.monotonic() > end:
                break
            domain.exists()._check()

    def _check(self):
        """Ask with no transaction open, then note what was found."""
        if not self:
            return
        accounts = self.env["mail.bridge.account"]
        failures = self._ask_providers()
        records = self.record_ids
        wanted = [record._wanted() for record in records]
        ask = self._lookup()
        accounts._end_transaction()
        found = domaincheck.check(wanted, ask)
        for record, one in zip(records, found, strict=True):
            if record.exists():
                record._note(one)
        failures += [one.published for one in found if one.state == "unknown"]
        if domain := self.exists():
            domain._note_checked(failures)
        accounts._end_transaction()

    def _ask_providers(self):
        """Take over the records that providers want; return what went wrong."""
        wanted, failures = [], []
        accounts = self.account_ids.sudo()
        accounts = accounts.filtered(lambda one: one._offers("domain_records"))
        for account in accounts:
            try:
                told = account._ask("domain_records", self.name)
            except (MailBridgeError, KeyRingError) as error:
                failures.append(f"{account.name}: {redact(str(error))}")
            else:
                wanted += [domaincheck.Wanted(*one) for one in told]
        if not failures and self.exists():
            self._set_records("provider", wanted)
            self._set_own_records()
        return failures

    @api.model
    def _lookup(self):
        parameters = self.env["ir.config_parameter"].sudo()
        servers = (parameters.get_param(NAMESERVERS_PARAMETER) or "").split()
        port = next((one.partition("#")[2] for one in servers if "#" in one), "53")
        hosts = [one.partition("#")[0] for one in servers]
        return domaincheck.lookup(hosts, int(port))

    def _note_checked(self, failures):
        """Judge by the verdicts; what could not be asked keeps its last one."""
        states = set(self.record_ids.mapped("state"))
        values = {
            "checked_at": fields.Datetime.now(),
            "findings": "\n".join(dict.fromkeys(failures)) or False,
        }
        if states == {"ok"}:
            state = "verified"
        elif "new" in states and not states & {"missing", "wrong"}:
            state = self.state
        else:
            state = "failing" if self.state in ("verified", "failing") else "pending"
        if state != self.state:
            values["state"] = state
        self.sudo().write(values)

    # --- For the enqueuer ---

    @api.model
    @ormcache("company_id")
    def _facts(self, company_id):
        """Return the domains of a company as plain values, by name."""
        domains = self.sudo().search([("company_id", "=", company_id)])
        return {
            domain.name: DomainFacts(
                id=domain.id,
                name=domain.name,
                is_verified=domain.state == "verified",
                signs=domain.signs,
                selector=domain.dkim_selector or "",
                account_ids=frozenset(domain.account_ids.ids),
            )
            for domain in domains
        }
