# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import functools
import json
import uuid
from collections import defaultdict
from email.utils import parseaddr

from psycopg2.extras import execute_values

from odoo import api, fields, models
from odoo.tools import email_normalize

from odoo.addons.mail_bridge.const import CHUNK_BYTES
from odoo.addons.mail_bridge.providers.headers import storable

from ..const import MAX_MIME_BYTES, MAX_RECIPIENTS
from ..engine import suppressed
from ..exceptions import RelayRefused
from ..providers.smtp_address import ascii_domain, wire_address
from ..providers.states import RANKS, Truth
from ..routing import choose
from ..submission import IMMEDIATE, LOW

REJECTED = Truth("rejected")
_PENDING = Truth("pending")


def domain_of(address):
    """Return the domain of an address as limits and routes compare it."""
    return ascii_domain((address or "").rpartition("@")[2].strip(" >").lower())


class MailRelayMessage(models.Model):
    _inherit = "mail.relay.message"

    @api.model
    def _enqueue(self, submissions):
        """Take mails over, in this transaction; the dispatchers are called after it.

        What cannot be sent to a recipient is written down at him: nobody is left out
        in silence.

        :param submissions: values of ``submission.Submission``.
        :return: the mails, in the same order.
        :raises RelayRefused: a mail without recipients, too large, for too many, or
            through the account of another company.
        """
        for item in submissions:
            self._check_submission(item)
        obstacles = functools.cache(self._account_obstacles)
        rows = [self._row(item, self._chosen(item, obstacles)) for item in submissions]
        recipients = [self._recipient_rows(item) for item in submissions]
        self._refuse_suppressed(submissions, recipients)
        for row, people in zip(rows, recipients, strict=True):
            self._set_start(row, people)
        mails = self.browse(self._insert("mail_relay_message", rows))
        self._insert_bodies(mails.ids, [item.mime for item in submissions])
        self._insert(
            "mail_relay_recipient",
            [
                {"relay_message_id": mail_id} | person
                for mail_id, people in zip(mails.ids, recipients, strict=True)
                for person in people
            ],
        )
        self.env.cr.postcommit.add(self._wake_all)
        self._call_later({item.not_before for item in submissions if item.not_before})
        return mails

    @api.model
    def _call_later(self, moments):
        """Have a dispatcher called when mails become due that must wait until then."""
        now = fields.Datetime.now()
        later = {moment.replace(microsecond=0) for moment in moments if moment > now}
        crons = self._drains()[:1]
        if later and crons:
            crons._trigger(sorted(later))

    def _wake_all(self):
        """Call who sends, and who tells of those that nothing is sent to."""
        self._wake()
        self.env["mail.relay.recipient"]._wake()

    @api.model
    def _check_submission(self, item):
        if not item.recipients:
            raise RelayRefused(self.env._("The mail has no recipient."))
        if len(item.recipients) > MAX_RECIPIENTS:
            raise RelayRefused(
                self.env._("The mail has more than %s recipients.", MAX_RECIPIENTS)
            )
        if len(item.mime) > MAX_MIME_BYTES:
            raise RelayRefused(
                self.env._("The mail has more than %s bytes.", MAX_MIME_BYTES)
            )
        company = item.company_id or self.env.company.id
        if item.account_id and self._wished_account(item).company_id.id != company:
            raise RelayRefused(
                self.env._("The account of the mail belongs to another company.")
            )

    @api.model
    def _wished_account(self, item):
        """Return the account that a submission names for itself, if it is there."""
        account_id = item.account_id or item.default_account_id
        return self.env["mail.bridge.account"].sudo().browse(account_id or []).exists()

    # --- Route ---

    @api.model
    def _chosen(self, item, obstacles_of):
        """Return the accounts that shall send a mail, and why."""
        company = item.company_id or self.env.company.id
        from_domain = domain_of(author_address(item))
        obstacles = obstacles_of(company, from_domain)
        if item.account_id:
            return choose([item.account_id], "chosen by the sender", obstacles)
        domains = {domain_of(rcpt.address) for rcpt in item.recipients}
        facts = (from_domain, domains, item.model, item.is_marketing, item.priority)
        return self._by_route(company, facts, obstacles, item.default_account_id)

    def _choice_of_row(self):
        """Choose for a mail that stands in the queue."""
        self.ensure_one()
        self.env.cr.execute(
            "SELECT coalesce(domains, '{}') FROM mail_relay_message WHERE id = %s",
            (self.id,),
        )
        (domains,) = self.env.cr.fetchone()
        company = self.company_id.id
        obstacles = self._account_obstacles(company, self.from_domain or "")
        facts = (
            self.from_domain or "",
            domains,
            self.model or "",
            self.is_marketing,
            self.level,
        )
        return self._by_route(company, facts, obstacles, self.account_id.id)

    @api.model
    def _by_route(self, company_id, facts, obstacles, default_account_id):
        """Return the accounts of the first route that matches, else the default.

        :param facts: arguments of ``RouteFacts.matches``.
        """
        for route in self.env["mail.relay.route"]._facts(company_id):
            if route.matches(*facts):
                why = f"route {route.name}"
                return choose(route.account_ids, why, obstacles, route.id)
        if default_account_id:
            return choose([default_account_id], "default", obstacles)
        accounts = self.env["mail.bridge.account"].sudo()
        own = [("company_id", "=", company_id), ("relay_client_id", "=", False)]
        accounts = accounts.search([*accounts._sending_domain(), *own])
        return choose(accounts.ids, "no route: first account", obstacles)

    @api.model
    def _account_obstacles(self, company_id, from_domain):
        """Return why accounts cannot send now, by id; those that can are absent.

        For a rule to keep mails of a domain from an account, it must override this
        method and add the account.
        """
        accounts = self.env["mail.bridge.account"].sudo()
        accounts = accounts.with_context(active_test=False)
        found = accounts.search([("code", "in", accounts._sending_codes())])
        told = {account.id: account._sending_obstacle() for account in found}
        for account in found.filtered(lambda item: item.company_id.id != company_id):
            told[account.id] = self.env._("it belongs to another company")
        return {account_id: why for account_id, why in told.items() if why}

    # --- Rows ---

    @api.model
    def _row(self, item, choice):
        """Return the columns of a mail.

        For a model to be linked to mails, it must override this method and add its
        column.

        :param item: a ``Submission``.
        :param choice: ``routing.Choice``.
        """
        company = item.company_id or self.env.company.id
        account = self.env["mail.bridge.account"].sudo().browse(choice.account_ids[:1])
        if not account and not choice.route_id:
            # What its author named cannot send now: the mail waits for it.
            wished = self._wished_account(item)
            account = wished.filtered(lambda one: one.company_id.id == company)
        now = fields.Datetime.now()
        return self._tracking(item, account) | {
            "reference": item.reference or uuid.uuid4().hex,
            "state": "held" if item.suspended else "queued",
            "hold_reason": "suspended" if item.suspended else None,
            "company_id": company,
            "account_id": account.id or None,
            "account_chain": json.dumps(choice.account_ids[1:]),
            "is_pinned": bool(item.account_id),
            "route_id": choice.route_id or None,
            "route_trace": json.dumps(choice.trace),
            "client_reference": item.client_reference or None,
            "owner_key": -item.client_id or company,
            "level": min(max(item.priority, IMMEDIATE), LOW),
            "created_at": now,
            "not_before": item.not_before,
            "next_attempt": max(item.not_before or now, now),
            "attempts": 0,
            "tries": 0,
            "generation": 0,
            "possible_duplicates": 0,
            "message_id": item.message_id,
            "subject": item.subject,
            "email_from": item.email_from,
            "from_domain": domain_of(author_address(item)),
            "envelope_sender": item.envelope_sender,
            "size": len(item.mime),
            "is_marketing": item.is_marketing,
            "list_reference": item.list_reference or None,
            "mail_mail_id": item.mail_mail_id or None,
            "mail_message_id": item.mail_message_id or None,
            "model": item.model or None,
            "res_id": item.res_id or None,
            "variant": item.variant or None,
        }

    @api.model
    def _tracking(self, item, account):
        """Return what is tracked: as the sender wants it, else as the account."""
        given = {"track_opens": item.track_opens, "track_clicks": item.track_clicks}
        return {
            name: account[f"relay_{name}"] if value is None else value
            for name, value in given.items()
        }

    @api.model
    def _recipient_rows(self, item):
        """Return the columns of the recipients of a mail, each address once."""
        company = item.company_id or self.env.company.id
        now = fields.Datetime.now()
        people = {}
        for rcpt in item.recipients:
            address = storable(rcpt.address).strip()
            local, at, _domain = address.rpartition("@")
            people.setdefault(
                f"{local}{at}{domain_of(address)}" if at else address,
                {
                    "company_id": company,
                    "address": address,
                    "email_normalized": email_normalize(address) or address.lower(),
                    "domain": domain_of(address),
                    "partner_id": rcpt.partner_id or None,
                    "trace_id": rcpt.trace_id or 0,
                    "variables": json.dumps(rcpt.variables) if rcpt.variables else None,
                    "created_at": now,
                    "told_rank": RANKS[_PENDING],
                    **truth_columns(_PENDING),
                },
            )
        rows = list(people.values())
        self._refuse_malformed(rows)
        return rows

    @api.model
    def _refuse_malformed(self, rows):
        for row in rows:
            if wire_address(row["address"]) is None:
                row |= truth_columns(REJECTED) | {
                    "reason": "malformed",
                    "failure_text": self.env._("This is not a mail address."),
                }

    @api.model
    def _refuse_suppressed(self, submissions, recipients):
        """Mark who must not get a mail; asked once more before it is sent.

        One question for all mails of a company.

        :param recipients: rows of each submission; all of one have its company.
        """
        addresses = defaultdict(set)
        for rows in recipients:
            for row in rows:
                addresses[row["company_id"]].add(row["email_normalized"])
        found = {
            company: suppressed.find(self.env.cr, wanted, company)
            for company, wanted in addresses.items()
        }
        for item, rows in zip(submissions, recipients, strict=True):
            for row in rows:
                entries = found[row["company_id"]].get(row["email_normalized"], ())
                self._refuse_by(entries, item, row)

    @api.model
    def _refuse_by(self, entries, item, row):
        """Mark one recipient where an entry keeps the mail from him."""
        for entry in entries:
            if entry.holds_back(item.is_marketing, item.list_reference, False):
                row |= truth_columns(REJECTED) | {
                    "reason": "suppressed",
                    "suppression_id": entry.id,
                    "failure_text": entry.reason,
                }

    @api.model
    def _set_start(self, row, people):
        """Let a mail that nobody can get end where it starts."""
        left = [person for person in people if person["state"] == "pending"]
        row["domains"] = sorted({person["domain"] for person in left})
        if not left:
            row |= {"state": "done", "hold_reason": None, "done_at": row["created_at"]}

    # --- Insert ---

    @api.model
    def _insert(self, table, rows):
        """Insert rows and return their ids in the same order."""
        if not rows:
            return []
        columns = sorted(set().union(*rows))
        values = [[_clean(row.get(name)) for name in columns] for row in rows]
        if len(rows) == 1:
            marks = ", ".join(["%s"] * len(columns))
            self.env.cr.execute(
                f"""INSERT INTO {table} ({", ".join(columns)}) VALUES ({marks})
                 RETURNING id""",
                values[0],
            )
            return [self.env.cr.fetchone()[0]]
        # No order is promised for RETURNING, so the ids come first.
        self.env.cr.execute(
            f"SELECT nextval('{table}_id_seq') FROM generate_series(1, %s)",
            (len(rows),),
        )
        ids = [row[0] for row in self.env.cr.fetchall()]
        execute_values(
            self.env.cr._obj,
            f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES %s",
            [[row_id, *row] for row_id, row in zip(ids, values, strict=True)],
            page_size=500,
        )
        return ids

    @api.model
    def _insert_bodies(self, ids, bodies):
        """Write the MIME of mails: small ones together, large ones in chunks."""
        small = []
        for mail_id, mime in zip(ids, bodies, strict=True):
            if len(mime) < CHUNK_BYTES:
                small.append((mail_id, 0, "", 0, mime))
            else:
                self._write_chunks(mail_id, 0, "", mime)
        if small:
            execute_values(
                self.env.cr._obj,
                """INSERT INTO mail_relay_message_body
                          (message_id, part, name, seq, data) VALUES %s""",
                small,
                page_size=50,
            )


def author_address(item):
    """Return the address in the From of a mail."""
    return parseaddr(item.email_from)[1] or item.envelope_sender


def _clean(value):
    return storable(value) if isinstance(value, str) else value


def truth_columns(truth):
    """Return the columns of a truth."""
    return {
        "state": truth.state,
        "bounce_class": truth.bounce_class or None,
        "rank": RANKS[truth],
    }
