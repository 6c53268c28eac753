# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import functools
import logging
from dataclasses import replace

from odoo import api, models

from odoo.addons.mail_bridge.providers import dkim_signing

from ..senders import rewrite_from
from .mail_relay_enqueue import REJECTED, author_address, domain_of, truth_columns

_logger = logging.getLogger(__name__)


class MailRelayMessage(models.Model):
    """What sending domains mean for a mail: may it leave, signed by whom."""

    _inherit = "mail.relay.message"

    @api.model
    def _enqueue(self, submissions):
        key_of = functools.cache(self._signing_key)
        items = [self._from_allowed_address(item) for item in submissions]
        return super()._enqueue([self._signed(item, key_of) for item in items])

    # --- Policy ---

    @api.model
    def _is_verified_sender(self, company, address):
        domains = self.env["mail.relay.sending.domain"]._facts(company.id)
        facts = domains.get(domain_of(address))
        return bool(facts and facts.is_verified)

    @api.model
    def _company_of(self, item):
        return (
            self.env["res.company"]
            .sudo()
            .browse(item.company_id or self.env.company.id)
        )

    @api.model
    def _rewriting_address(self, company):
        """Return the address that stands in for others, if it may."""
        address = company.mail_relay_from_address
        is_rewritten = company.mail_relay_from_policy == "rewrite"
        return (
            address
            if is_rewritten and self._is_verified_sender(company, address)
            else ""
        )

    @api.model
    def _from_refusal(self, company, address):
        """Return why mail from an address may not leave, else an empty text."""
        policy = company.mail_relay_from_policy or "allow"
        if policy == "allow" or self._is_verified_sender(company, address):
            return ""
        if self._rewriting_address(company):
            return ""
        return self.env._(
            "%(domain)s is not a verified sending domain of %(company)s.",
            domain=domain_of(address) or address,
            company=company.name,
        )

    @api.model
    def _from_allowed_address(self, item):
        """Return a mail with another From where its own is not verified, by policy."""
        company, author = self._company_of(item), author_address(item)
        address = self._rewriting_address(company)
        if not address or self._is_verified_sender(company, author):
            return item
        mime, sender = rewrite_from(item.mime, item.email_from, address)
        own_envelope = item.envelope_sender == author
        envelope = address if own_envelope else item.envelope_sender
        return replace(item, mime=mime, email_from=sender, envelope_sender=envelope)

    @api.model
    def _recipient_rows(self, item):
        rows = super()._recipient_rows(item)
        why = self._from_refusal(self._company_of(item), author_address(item))
        for row in rows if why else ():
            if row["state"] == "pending":
                row |= truth_columns(REJECTED)
                row |= {"reason": "unverified_domain", "failure_text": why}
        return rows

    @api.model
    def _account_obstacles(self, company_id, from_domain):
        told = super()._account_obstacles(company_id, from_domain)
        domains = self.env["mail.relay.sending.domain"]._facts(company_id)
        facts = domains.get(from_domain)
        if not facts or not facts.account_ids:
            return told
        accounts = self.env["mail.bridge.account"].sudo()
        others = accounts.with_context(active_test=False).search(
            [("id", "not in", list(facts.account_ids))]
        )
        why = self.env._("mail from %s leaves through others", from_domain)
        return dict.fromkeys(others.ids, why) | told

    # --- Signature ---

    @api.model
    def _signing_key(self, company_id, domain):
        """Return (selector, private key) of a domain that signs, else ``None``."""
        facts = self.env["mail.relay.sending.domain"]._facts(company_id).get(domain)
        if not facts or not facts.signs:
            return None
        key = (
            self.env["mail.relay.sending.domain"].sudo().browse(facts.id)._private_key()
        )
        if not key:
            _logger.warning("No DKIM key of %s can be read: mail is not signed", domain)
            return None
        return facts.selector, key

    @api.model
    def _signed(self, item, key_of):
        domain = domain_of(author_address(item))
        found = key_of(self._company_of(item).id, domain)
        if not found:
            return item
        try:
            return replace(item, mime=dkim_signing.sign(item.mime, domain, *found))
        except ValueError as error:
            _logger.warning("Mail %s is not signed: %s", item.message_id, error)
            return item
