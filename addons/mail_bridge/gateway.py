# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One mail's way through Odoo's gateway, and what became of it.

``mail.thread.message_process`` returns ``False`` for a duplicate, a bounce and a lost
mail alike. A run travels in the context (``mail_bridge_run``), takes part in parsing
and routing through the gateway's own hooks, and knows the truth afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.message import EmailMessage
from uuid import uuid4

from odoo.tools import email_normalize, email_split
from odoo.tools.mail import unfold_references

from .providers.authentication import (
    from_domain,
    is_aligned,
    read_reply_token,
    strip_reply_token,
)
from .providers.base import InboundMail, digest
from .providers.mime import STAND_IN_DOMAIN

CONTEXT_KEY = "mail_bridge_run"
OWN_MODEL = "mail.bridge.message"
#: Message-IDs of a mail that are looked up; core takes the last 32 of References.
MAX_REFERENCES = 64


def current_run(env) -> GatewayRun | None:
    """Return the run that the gateway works for, if it works for the bridge."""
    return env.context.get(CONTEXT_KEY)


class GatewayRun:
    """One call of ``message_process`` for one ``mail.bridge.message``.

    Compared by identity: environments with equal contexts are shared per transaction.

    :param is_proven: the domain of the one author in From vouches for the mail.
    :param released: a person answers for where the mail goes.
    :param forced: a route ``(model, res_id, values, alias)`` that a person chose.
    """

    def __init__(
        self,
        message,
        mail: InboundMail,
        recipients: tuple[str, ...],
        is_proven: bool,
        released: bool = False,
        forced: tuple | None = None,
    ) -> None:
        self.message = message
        self.account = message.account_id
        self.mail = mail
        self.recipients = recipients
        self.is_proven = is_proven
        self.forced = forced
        self.trust = "verified" if is_proven else "unverified"
        if released or forced:
            self.trust = "released"
        self.posted: tuple[str, int] | None = None  # model and id of the record
        self.repeated = []
        self.reason = ""
        self.is_bounce = False
        self.bounced_message = None
        self.is_refused = False
        self.writes_to_catchall = False
        self.held_route = None
        self.queued_mail = False
        self.fingerprint = ""
        self.has_stand_in = False  # the chatter knows the mail by another Message-ID
        self._answers_a_bounce = False
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
        values["message_id"] = _stand_in_id()
        self.fingerprint = _fingerprint(values)

    def before_route(self, values: dict) -> None:
        """Put the Message-ID back; let the envelope alone decide about routes."""
        values["message_id"] = self._message_id
        self._shown = {key: values.get(key) for key in ("to", "recipients")}
        routable = self.recipients or self._accepted(values["recipients"])
        shown_to = [one for one in email_split(values["to"] or "") if one in routable]
        values["recipients"] = _as_header(routable)
        values["to"] = _as_header(self.recipients or shown_to)
        self.is_bounce = bool(values.get("is_bounce"))
        self.bounced_message = values.get("bounced_message")

    def _accepted(self, header: str) -> list[str]:
        """Return whom the account takes mail for; all if nobody, a person let it in."""
        addresses = email_split(header or "")
        accepts = self.account._accepts_domain
        return [one for one in addresses if accepts(one)] or addresses

    # --- Routing ---

    def after_route(self, env, values: dict, routes: list[tuple]) -> list[tuple]:
        """Judge the sender, drop what was served before, keep what has no route."""
        values.update(self._shown)
        if self.is_bounce and self.bounced_message and not self.forced:
            return []
        own = (OWN_MODEL, self.message.id)
        routes = [route for route in routes if route[:2] != own]
        if self._answers_a_bounce and self.trust != "released":
            return self._into_the_inbox(env, values, "loop")
        if self._is_hijack(env, values, routes):
            return []
        if self._is_intruder(env, values, routes):
            return []
        routes = _one_per_record(routes)
        fresh = [route for route in routes if self._serve(env, route)]
        if self.held_route:
            return []
        if routes and not fresh:
            self.repeated = routes
            return []
        if not fresh:
            if first := self._entry_before(env):
                self.repeated = [(OWN_MODEL, first)]
                return []
            reason = "refused" if self.is_refused else "no_route"
            return self._into_the_inbox(env, values, reason)
        if self.trust == "released" and not self.forced:
            self.message._check_release(fresh)
        if any(self._is_another(bearer) for bearer in self._bearers(env)):
            if self._goes_in_circles():
                self._hold(fresh[0], "reused_message_id")
                return []
            values["message_id"] = _stand_in_id()
            self.has_stand_in = True
        self._strip_identity(env, values)
        return [self._without_identity(env, route) for route in fresh]

    def on_bounce_answer(self) -> None:
        """Core would swallow an answer to one of Odoo's own bounces."""
        self._answers_a_bounce = True

    def on_loop(self, env, values: dict, routes: list[tuple]) -> None:
        """Keep the mail of a sender that writes too much out of the records."""
        routes[:] = self._into_the_inbox(env, values, "loop")

    def _into_the_inbox(self, env, values: dict, reason: str) -> list[tuple]:
        self.reason = reason
        self._strip_identity(env, values)
        values.pop("parent_id", None)
        if self._bearers(env):  # an entry draws no answers out of a record
            values["message_id"] = _stand_in_id()
        return [(OWN_MODEL, self.message.id, None, env.uid, None)]

    def _is_hijack(self, env, values: dict, routes: list[tuple]) -> bool:
        """Tell whether a reply into a record must not count; if so, hold it.

        What core takes for the parent is not asked: it looks for it in another way
        than for the thread.
        """
        replies = [route for route in routes if _is_reply(route)]
        if not replies:
            return False
        parents = self._parents(env, values, replies)
        self._set_parent(env, values, parents)
        if self._is_vouched_for(values, parents):
            return False
        if all(self._has_token(env, route) for route in replies):
            self.trust = "token"
            return False
        if self._is_let_in(env, values, parents):
            return False
        return self._hold(replies[0], "unverified_reply")

    @staticmethod
    def _set_parent(env, values: dict, parents) -> None:
        """Answer what the mail says it answers; an answer to a note stays a note."""
        answered = unfold_references(values["in_reply_to"] or "")
        direct = parents.filtered(lambda parent: parent.message_id in answered)
        values.update(parent_id=False, is_internal=False)
        values.update(
            env["mail.thread"]._message_parse_extract_from_parent(
                (direct or parents)[:1]
            )
        )

    def _is_vouched_for(self, values: dict, parents) -> bool:
        """Tell whether somebody answers for the mail in this very thread.

        A signature that leaves out what the mail answers (Outlook's does) fits a mail
        that somebody else sent on as an answer: its author must have been asked here.
        """
        if self.trust != "verified":
            return self.trust == "released"
        verdicts = self.mail.verdicts
        if not verdicts.unthreaded_domains:
            return True
        if is_aligned(verdicts.for_replies(), from_domain(self.mail.mime)):
            return True
        if _were_sent_to(parents, email_normalize(values["email_from"])):
            return True
        self.trust = "unverified"
        return False

    def _is_let_in(self, env, values: dict, parents) -> bool:
        """Tell whether the account lets a reply in that nothing proves."""
        policy = self.account.reply_policy
        if policy == "standard" and not self.mail.verdicts.known:
            return self._is_outside_recipient(env, values["email_from"], parents)
        return policy == "open"

    def _hold(self, route: tuple, reason: str) -> bool:
        self.held_route, self.reason = route, reason
        return True

    @staticmethod
    def _parents(env, values: dict, replies: list[tuple]):
        """Return the messages in the replies' threads that the mail names."""
        named = unfold_references(values["references"] or "")
        named += unfold_references(values["in_reply_to"] or "")
        threads = {route[:2] for route in replies}
        found = env["mail.message"].sudo()
        found = found.search([("message_id", "in", named[-MAX_REFERENCES:])])
        return found.filtered(lambda parent: (parent.model, parent.res_id) in threads)

    def _is_intruder(self, env, values: dict, routes: list[tuple]) -> bool:
        """Tell whether an address of ours, not verified, opens a door for its owners.

        The alias believes the From line; if so, hold the mail.
        """
        closed = [route for route in routes if _is_closed(env, route)]
        if not closed or self.trust in ("verified", "released"):
            return False
        if not self._is_own_user(env, values):
            return False
        return self._hold(closed[0], "unverified_sender")

    def _has_token(self, env, route: tuple) -> bool:
        """Tell whether a recipient address carries our token for that record."""
        key = env["mail.bridge.account"]._reply_token_key()
        addresses = self.recipients or email_split(self._shown["recipients"] or "")
        return any(
            read_reply_token(key, address, route[0], route[1]) for address in addresses
        )

    @staticmethod
    def _is_outside_recipient(env, email_from: str, parents) -> bool:
        """Tell whether From is an outsider who was sent one of those messages."""
        sender = email_normalize(email_from)
        if not sender or env["mail.bridge.account"]._is_inside(sender):
            return False
        return _were_sent_to(parents, sender)

    # --- One Message-ID, several messages ---

    def _bearers(self, env):
        """Return the messages that bear the mail's Message-ID already.

        Core sends a reply to the newest message that bears an id it names. A second
        one would draw the replies out of the first one's record, so it gets a stand-in:
        an entry of the Inbox always, a record where the mails are not the same.
        """
        return (
            env["mail.message"].sudo().search([("message_id", "=", self._message_id)])
        )

    def _is_another(self, bearer) -> bool:
        """Tell whether a message is one of ours, or another mail that came in."""
        return bearer.bridge_message_id.fingerprint != self.fingerprint

    def _goes_in_circles(self) -> bool:
        """Tell whether a mail with a known Message-ID would come back for ever.

        Odoo's notifications bear the Message-ID of what they tell of. One that bears a
        stand-in has come back to us.
        """
        is_stand_in = self._message_id.endswith(f"@{STAND_IN_DOMAIN}>")
        return is_stand_in and self.trust != "released"

    # --- Served routes ---

    def _serve(self, env, route: tuple) -> bool:
        """Take a route for this mail; ``False`` where the mail took it before."""
        model, res_id, _values, _uid, alias = route
        if res_id:
            place = f"{model},{res_id}"
        else:
            place = f"alias,{alias.id}" if alias else f"{model},new,{self.message.id}"
        take = self._take if res_id else self._take_anew
        outcome, owner = take(env, place)
        if self.trust == "released":
            is_twice = outcome == "served" and self._has_posted(env, owner, route)
            return bool(self.forced) or not is_twice
        if outcome == "other_content":
            self._hold(route, "reused_message_id")
        return outcome == "fresh" and not self._stands_in(env, model, res_id)

    @staticmethod
    def _has_posted(env, owner: int, route: tuple) -> bool:
        """Tell whether another entry's mail stands where a route leads."""
        model, res_id = route[:2]
        posts = env[OWN_MODEL].sudo().browse(owner).exists().posted_ids
        return any(
            post.model == model and res_id in (post.res_id, 0, False) for post in posts
        )

    @staticmethod
    def _is_gone(env, owner: int) -> bool:
        """Tell whether the record that another entry's mail made was deleted."""
        entry = env[OWN_MODEL].sudo().browse(owner).exists()
        return entry.state == "routed" and not entry.posted_ids

    def _stands_in(self, env, model: str, res_id: int) -> bool:
        """Tell whether a record had that very mail before the bridge kept account."""
        place = [("model", "=", model), ("res_id", "=", res_id)]
        posts = env["mail.message"].sudo()
        same = [("message_id", "=", self._message_id), *place]
        return bool(res_id and posts.search_count(same, limit=1))

    def _entry_before(self, env) -> int:
        """Return the entry of the Inbox that holds this very mail already, if any."""
        places = ("inbox", str(self.account.id), *sorted(self.recipients))
        place = ",".join(places).lower()
        outcome, owner = self._take_anew(env, place)
        return owner if outcome == "served" else 0

    def _take_anew(self, env, place: str) -> tuple[str, int]:
        """Take a place, also one whose record was deleted since."""
        outcome, owner = self._take(env, place)
        if outcome != "served" or not self._is_gone(env, owner):
            return outcome, owner
        env["mail.bridge.served"]._take_over(self._message_id, place, self.message.id)
        return "fresh", self.message.id

    def _take(self, env, place: str) -> tuple[str, int]:
        return env["mail.bridge.served"]._take(
            self._message_id, place, self.fingerprint, self.message.id
        )

    # --- Identity ---

    def _is_own_user(self, env, values: dict) -> bool:
        """Tell whether From names one of us, where a From line alone proves nothing."""
        sender = email_normalize(values["email_from"] or "")
        if not sender or self.account.reply_policy == "open":
            return False
        return env["mail.bridge.account"]._is_inside(sender)

    def _strip_identity(self, env, values: dict) -> None:
        """Never act as an own user unless his domain vouches for him.

        A token proves the thread, and a person who releases a mail answers for its
        place; neither proves who wrote it.
        """
        self._strip_author = not self.is_proven and self._is_own_user(env, values)
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


def _as_header(addresses: Iterable[str]) -> str:
    return ",".join(strip_reply_token(address) for address in addresses)


def _is_reply(route: tuple) -> bool:
    """Tell whether a route leads into a record that the recipient does not name."""
    alias = route[4]
    return bool(route[1]) and not (alias and alias.alias_force_thread_id == route[1])


def _were_sent_to(messages, address: str) -> bool:
    """Tell whether one of the messages was sent to that (normalized) address."""
    return any(address in message._bridge_recipients() for message in messages)


def _stand_in_id() -> str:
    """Return a Message-ID that no other mail has."""
    return f"<{uuid4().hex}@{STAND_IN_DOMAIN}>"


def _fingerprint(values: dict) -> str:
    """Return what tells two mails with one Message-ID apart."""
    contents = [values.get(key) for key in ("email_from", "subject", "body")]
    contents += [attachment[1] for attachment in values.get("attachments") or ()]
    return digest(*map(_as_bytes, contents))


def _one_per_record(routes: list[tuple]) -> list[tuple]:
    """Leave out routes that lead into a record once more."""
    found: dict = {}
    for number, route in enumerate(routes):
        found.setdefault(route[:2] if route[1] else number, route)
    return list(found.values())


def _is_closed(env, route: tuple) -> bool:
    """Tell whether only some senders may take a route, told by their From line."""
    model, res_id, _values, _uid, alias = route
    if model == "mail.group" and res_id:  # asks itself; its alias is for everyone
        return env[model].sudo().browse(res_id).access_mode != "public"
    return bool(alias) and alias.alias_contact != "everyone"


def _as_bytes(content: str | bytes | EmailMessage | None) -> bytes:
    """Return a content as core has parsed it; an attached mail is a message there."""
    if isinstance(content, EmailMessage):
        return content.as_bytes()
    if isinstance(content, str):
        return content.encode(errors="replace")
    return content or b""
