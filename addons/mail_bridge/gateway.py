# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One mail's way through Odoo's gateway, and what became of it.

``mail.thread.message_process`` returns ``False`` for a duplicate, a bounce and a lost
mail alike. A run travels in the context (``mail_bridge_run``), takes part in parsing
and routing through the gateway's own hooks, and knows the truth afterwards.
"""

from __future__ import annotations

from uuid import uuid4

from odoo.tools import email_normalize, email_split

from .providers.authentication import read_reply_token, strip_reply_token
from .providers.base import InboundMail, digest

CONTEXT_KEY = "mail_bridge_run"
OWN_MODEL = "mail.bridge.message"


def current_run(env) -> GatewayRun | None:
    """Return the run that the gateway works for, if it works for the bridge."""
    return env.context.get(CONTEXT_KEY)


class GatewayRun:
    """One call of ``message_process`` for one ``mail.bridge.message``.

    Compared by identity: environments with equal contexts are shared per transaction.

    :param trust: ``verified``, ``unverified``, or ``released`` where a person answers
        for the mail.
    :param forced: a route ``(model, res_id, values)`` that a person chose.
    """

    def __init__(
        self,
        message,
        mail: InboundMail,
        recipients: tuple[str, ...],
        trust: str,
        forced: tuple | None = None,
    ) -> None:
        self.message = message
        self.account = message.account_id
        self.mail = mail
        self.recipients = recipients
        self.trust = trust
        self.forced = forced
        self.posted = []
        self.routes = []
        self.repeated = []
        self.reason = ""
        self.is_bounce = False
        self.bounced_message = None
        self.quarantine = None
        self.queued_mail = False
        self._message_id = ""
        self._shown = {}
        self._strip_author = False

    # --- Parsing ---

    def on_parsed(self, values: dict) -> None:
        """Take the Message-ID and the recipients out of core's sight.

        Core drops a second mail with a known Message-ID, which is right for one
        mailbox and wrong for a provider that posts once per recipient. The routes
        served are kept in a table of ours instead.
        """
        self._message_id = values["message_id"]
        values["message_id"] = f"<{uuid4().hex}@mail-bridge.invalid>"

    def before_route(self, values: dict) -> None:
        """Put the Message-ID back; let the envelope alone decide about routes."""
        values["message_id"] = self._message_id
        self._shown = {key: values.get(key) for key in ("to", "recipients")}
        addresses = self.recipients or email_split(values["recipients"] or "")
        routable = ",".join(strip_reply_token(address) for address in addresses)
        values["recipients"] = routable
        if self.recipients:
            values["to"] = routable
        self.is_bounce = bool(values.get("is_bounce"))
        self.bounced_message = values.get("bounced_message")

    # --- Routing ---

    def after_route(self, env, values: dict, routes: list[tuple]) -> list[tuple]:
        """Judge the sender, drop what was served before, keep what has no route."""
        values.update(self._shown)
        if self.is_bounce and self.bounced_message:
            return []
        own = (OWN_MODEL, self.message.id)
        routes = [route for route in routes if route[:2] != own]
        if routes and self._is_hijack(env, values, routes):
            return []
        fresh = [route for route in routes if self._serve(env, values, route)]
        if self.quarantine:
            return []
        if routes and not fresh:
            self.repeated = routes
            return []
        if not fresh:
            if first := self._entry_before(env, values):
                self.repeated, self.reason = [(OWN_MODEL, first)], ""
                return []
            self.reason = self.reason or "no_route"
            fresh = [self._own_route(env)]
            values.pop("parent_id", None)
        self._strip_identity(env, values)
        self.routes = [self._without_identity(env, route) for route in fresh]
        return self.routes

    def _own_route(self, env) -> tuple:
        return OWN_MODEL, self.message.id, None, env.uid, None

    def on_loop(self, env, routes: list[tuple]) -> None:
        """Keep the mail of a sender that writes too much out of the records."""
        self.reason = "loop"
        routes[:] = [self._own_route(env)]
        self.routes = routes

    def _is_hijack(self, env, values: dict, routes: list[tuple]) -> bool:
        """Tell whether a reply into a record must not count; if so, quarantine it."""
        replies = [route for route in routes if values.get("parent_id") and route[1]]
        if not replies or self.trust in ("verified", "released"):
            return False
        if all(self._has_token(env, route) for route in replies):
            self.trust = "token"
            return False
        if self.account.reply_policy == "open":
            return False
        if self.account.reply_policy == "standard" and not self.mail.verdicts.known:
            parent = env["mail.message"].sudo().browse(values["parent_id"])
            if self._is_outside_recipient(env, values["email_from"], parent):
                return False
        self.reason = "unverified_reply"
        self.quarantine = replies[0]
        return True

    def _has_token(self, env, route: tuple) -> bool:
        """Tell whether a recipient address carries our token for that record."""
        key = env["mail.bridge.account"]._reply_token_key()
        addresses = self.recipients or email_split(self._shown["recipients"] or "")
        return any(
            read_reply_token(key, address, route[0], route[1]) for address in addresses
        )

    def _is_outside_recipient(self, env, email_from: str, parent) -> bool:
        """Tell whether From is an outsider who was sent that very message."""
        sender = email_normalize(email_from)
        if not sender or env["mail.bridge.account"]._is_inside(sender):
            return False
        return sender in parent._bridge_recipients()

    # --- Served routes ---

    def _serve(self, env, values: dict, route: tuple) -> bool:
        """Take a route for this mail; ``False`` where the mail took it before."""
        model, res_id, _values, _uid, alias = route
        if res_id:
            place = f"{model},{res_id}"
            known = (
                env["mail.message"]
                .sudo()
                .search_count(
                    [
                        ("message_id", "=", self._message_id),
                        ("model", "=", model),
                        ("res_id", "=", res_id),
                    ],
                    limit=1,
                )
            )
            if known:
                return False
        else:
            place = f"alias,{alias.id}" if alias else f"{model},new,{self.message.id}"
        outcome, _owner = self._take(env, values, place)
        if outcome == "other_content" and self.trust != "released":
            self.quarantine = route
            self.reason = "reused_message_id"
        return outcome == "fresh" or self.trust == "released"

    def _entry_before(self, env, values: dict) -> int:
        """Return the entry of the Inbox that holds this very mail already, if any."""
        place = ",".join(("inbox", str(self.account.id), *sorted(self.recipients)))
        outcome, owner = self._take(env, values, place.lower())
        return owner if outcome == "served" else 0

    def _take(self, env, values: dict, place: str) -> tuple[str, int]:
        return env["mail.bridge.served"]._take(
            self._message_id, place, self._fingerprint(values), self.message.id
        )

    @staticmethod
    def _fingerprint(values: dict) -> str:
        """Return what tells two mails with one Message-ID apart."""
        parts = [str(values.get("body") or "").encode()]
        for attachment in values.get("attachments") or ():
            content = attachment[1]
            parts.append(content.encode() if isinstance(content, str) else content)
        return digest(*[part or b"" for part in parts])

    # --- Identity ---

    def _strip_identity(self, env, values: dict) -> None:
        """Never act as an own user on the strength of a From line alone."""
        sender = email_normalize(values["email_from"] or "")
        self._strip_author = (
            self.trust == "unverified"
            and self.account.reply_policy != "open"
            and bool(sender)
            and env["mail.bridge.account"]._is_inside(sender)
        )
        if self._strip_author:
            values["author_id"] = False
        values["bridge_message_id"] = self.message.id

    def _without_identity(self, env, route: tuple) -> tuple:
        if not self._strip_author:
            return route
        model, res_id, custom_values, _uid, alias = route
        return model, res_id, custom_values, env.ref("base.user_root").id, alias

    def after_author_search(self, values: dict) -> dict:
        """Keep 19.0 from finding the author again after routing."""
        if self._strip_author:
            values["author_id"] = False
        return values
