# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import email_normalize

from ..engine import suppressed
from ..providers.suppression import SUPPRESSION_RULES, wanted

#: A permanent refusal (RFC 5321 §4.2.1).
PERMANENT = 500
LONGEST_PROOF = max(rule.within for rule in SUPPRESSION_RULES.values())
#: Takes JSON. An entry without an end keeps its reason; one that is over begins anew.
RENEW = """
    INSERT INTO mail_relay_suppression AS entry
           (company_id, email_normalized, scope, list_reference, reason, source, since,
            until, evidence, account_id, active, create_uid, write_uid, create_date,
            write_date)
    SELECT v.company_id, v.email_normalized, v.scope, v.list_reference, v.reason,
           v.source, v.since, v.until, v.evidence, v.account_id, true, %(uid)s, %(uid)s,
           now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
      FROM json_to_recordset(%(rows)s) AS v(
           company_id integer, email_normalized varchar, scope varchar,
           list_reference varchar, reason varchar, source varchar, since timestamp,
           until timestamp, evidence text, account_id integer)
  ORDER BY v.company_id, v.email_normalized, v.scope
        ON CONFLICT (company_id, email_normalized, scope,
                     coalesce(list_reference, '')) WHERE active
        DO UPDATE
       SET since = CASE WHEN entry.until < excluded.since THEN excluded.since
                        ELSE entry.since END,
           until = CASE WHEN entry.until IS NULL OR excluded.until IS NULL THEN NULL
                        ELSE greatest(entry.until, excluded.until) END,
           reason = excluded.reason, source = excluded.source,
           evidence = excluded.evidence, account_id = excluded.account_id,
           write_date = excluded.write_date
     WHERE entry.until IS NOT NULL
 RETURNING id"""
_COLUMNS = (
    "company_id",
    "email_normalized",
    "scope",
    "list_reference",
    "reason",
    "source",
    "since",
    "until",
    "evidence",
    "account_id",
)


class MailRelaySuppression(models.Model):
    """An address that gets no more mail: of which kind, why, since when, until when.

    Proofs make and renew entries (``providers.suppression``); a person may add some,
    and take any back by archiving it.
    """

    _name = "mail.relay.suppression"
    _description = "Mail Relay Suppression"
    _order = "since desc, id desc"
    _rec_name = "email_normalized"

    email_normalized = fields.Char(string="Address", required=True)
    scope = fields.Selection(
        [("all", "All mail"), ("marketing", "Marketing"), ("list", "One list")],
        required=True,
        default="all",
        help="Transactional mail still goes to an address that wants no marketing, "
        "unless the account says otherwise.",
    )
    list_reference = fields.Char(string="List")
    reason = fields.Char(required=True, default="manual")
    source = fields.Selection(
        [
            ("event", "Delivery event"),
            ("report", "Report by mail"),
            ("attempt", "Server's reply"),
            ("provider", "Provider's list"),
            ("import", "Import"),
            ("manual", "By hand"),
        ],
        required=True,
        default="manual",
    )
    since = fields.Datetime(required=True, default=fields.Datetime.now)
    until = fields.Datetime(help="Empty: until somebody takes it back.")
    evidence = fields.Text()
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company, index=True
    )
    account_id = fields.Many2one(
        "mail.bridge.account",
        ondelete="set null",
        index="btree_not_null",
        help="Through which it became known.",
    )
    active = fields.Boolean(default=True, help="Archived: somebody took it back.")
    recipient_ids = fields.One2many(
        "mail.relay.recipient",
        "suppression_id",
        string="Held Back",
        readonly=True,
        help="Deliveries that this entry has kept from the address.",
    )
    recipient_count = fields.Integer(compute="_compute_recipient_count")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_suppression_uniq
                   ON mail_relay_suppression
                      (company_id, email_normalized, scope,
                       coalesce(list_reference, ''))
                WHERE active"""
        )

    def _compute_recipient_count(self):
        groups = self.env["mail.relay.recipient"]._read_group(
            [("suppression_id", "in", self.ids)], ["suppression_id"], ["__count"]
        )
        counts = {entry.id: count for entry, count in groups}
        for entry in self:
            entry.recipient_count = counts.get(entry.id, 0)

    # --- By hand ---

    @api.constrains("scope", "list_reference")
    def _check_list(self):
        for entry in self:
            if (entry.scope == "list") != bool(entry.list_reference):
                raise ValidationError(
                    self.env._("An entry for one list names the list, others do not.")
                )

    @api.constrains("since", "until")
    def _check_until(self):
        if any(entry.until and entry.until <= entry.since for entry in self):
            raise ValidationError(self.env._("An entry ends after it begins."))

    @api.model_create_multi
    def create(self, vals_list):
        return super().create([self._normalized(vals) for vals in vals_list])

    def write(self, vals):
        return super().write(self._normalized(vals))

    @api.model
    def _normalized(self, vals):
        """Return values with the address as it is compared.

        :raises ValidationError: it is none.
        """
        if "email_normalized" not in vals:
            return vals
        address = email_normalize(vals["email_normalized"] or "")
        if not address:
            raise ValidationError(
                self.env._(
                    "Not a mail address: %(address)s", address=vals["email_normalized"]
                )
            )
        return vals | {"email_normalized": address}

    def action_view_recipients(self):
        """Open the deliveries that an entry has held back."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Held Back"),
            "res_model": "mail.relay.recipient",
            "view_mode": "list,form",
            "domain": [("suppression_id", "=", self.id)],
        }

    # --- Asking ---

    @api.model
    def _held_back(self, addresses, account, is_marketing=False, list_reference=""):
        """Return the entries that keep a mail from addresses, by address.

        Empty where it is Odoo's own blacklist that does.

        :param addresses: normalised.
        :param account: the account that would send the mail.
        """
        self.env.flush_all()
        strict = account.relay_suppress_transactional
        found = suppressed.find(self.env.cr, addresses, account.company_id.id)
        return {
            address: self.browse(entry.id or [])
            for address, entries in found.items()
            for entry in entries
            if entry.holds_back(is_marketing, list_reference or "", strict)
        }

    # --- Proofs ---

    @api.model
    def _note_bounces(self, recipients):
        """Make or renew entries for addresses that are proved to be dead.

        :param recipients: recipients whose truth has changed.
        """
        proved = recipients.filtered(_is_proof)
        moments = self._proofs(proved)
        rows = {}
        for item in proved:
            reason = _reason(item)
            found = wanted(reason, moments.get((item.company_id.id, *_key(item)), ()))
            if found:
                row = self._bounce_row(item, reason, found)
                rows[row["company_id"], row["email_normalized"]] = row
        self._renew(rows.values())

    @api.model
    def _bounce_row(self, item, reason, found):
        mail = item.relay_message_id
        said = f"{item.enhanced_code or item.smtp_code or ''} {item.failure_text or ''}"
        return {
            "company_id": item.company_id.id,
            "email_normalized": item.email_normalized,
            "scope": found.scope,
            "reason": reason,
            "source": "event" if item.stage == "remote" else "attempt",
            "since": found.since,
            "until": found.until,
            "evidence": f"{mail.message_id}: {said.strip()}",
            "account_id": mail.account_id.id or None,
        }

    @api.model
    def _proofs(self, recipients):
        """Return when it was proved, by company, address and reason; each mail once."""
        if not recipients:
            return {}
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT company_id, email_normalized, reason, bounce_class,
                      array_agg(coalesce(bounced_at, last_event_at, created_at))
                 FROM mail_relay_recipient
                WHERE email_normalized = ANY(%s) AND company_id = ANY(%s)
                  AND (state = 'bounced' OR state = 'failed' AND smtp_code >= %s)
                  AND coalesce(bounced_at, last_event_at, created_at) > %s
             GROUP BY company_id, email_normalized, reason, bounce_class""",
            (
                recipients.mapped("email_normalized"),
                recipients.company_id.ids,
                PERMANENT,
                fields.Datetime.now() - LONGEST_PROOF - timedelta(days=1),
            ),
        )
        found = {}
        for company, address, reason, kind, moments in self.env.cr.fetchall():
            key = company, address, _as_reason(reason, kind)
            found.setdefault(key, []).extend(moments)
        return found

    @api.model
    def _note_wishes(self, events):
        """Make entries for people who complained or unsubscribed.

        :param events: events about mails of ours.
        """
        rows = {}
        for event in events.filtered("email_normalized"):
            found = wanted(event.type, [event.occurred_at])
            rows[event.company_id.id, event.email_normalized] = {
                "company_id": event.company_id.id,
                "email_normalized": event.email_normalized,
                "scope": found.scope,
                "reason": event.type,
                "source": "report" if event.source == "report" else "event",
                "since": found.since,
                "until": found.until,
                "evidence": f"{event.message_id or event.reference}: {event.type}",
                "account_id": event.account_id.id,
            }
        if rows:
            self._renew(rows.values())
            self._blacklist({address for _company, address in rows})

    @api.model
    def _renew(self, rows):
        """Make or renew entries, set-based."""
        if not rows:
            return
        values = [{name: row.get(name) for name in _COLUMNS} for row in rows]
        self.env.flush_all()
        self.env.cr.execute(
            RENEW, {"uid": self.env.uid, "rows": json.dumps(values, default=str)}
        )
        self.invalidate_model()

    @api.model
    def _blacklist(self, addresses):
        """Put addresses on core's blacklist, which keeps mass mailings from them."""
        Blacklist = self.env["mail.blacklist"].sudo().with_context(active_test=False)
        known = Blacklist.search([("email", "in", sorted(addresses))])
        known.filtered(lambda entry: not entry.active).active = True
        new = sorted(addresses - set(known.mapped("email")))
        Blacklist.create([{"email": item} for item in new if email_normalize(item)])


def _is_proof(recipient):
    """Tell whether what happened to a mail may prove that the address is dead."""
    if recipient.state == "bounced":
        return recipient.bounce_class == "hard" or recipient.reason == "quota"
    is_refused = recipient.state == "failed" and recipient.smtp_code >= PERMANENT
    return is_refused and recipient.reason in ("quota", "unknown")


def _reason(recipient):
    return _as_reason(recipient.reason, recipient.bounce_class)


def _as_reason(reason, bounce_class):
    """Return the reason by which the rules are looked up."""
    if bounce_class == "hard" and SUPPRESSION_RULES.keys().isdisjoint((reason,)):
        return "invalid"
    return reason or ""


def _key(recipient):
    return recipient.email_normalized, _reason(recipient)
