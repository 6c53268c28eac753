# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from datetime import datetime, timezone
from typing import NamedTuple

from odoo import api, fields, models

from ..const import MAX_MIME_BYTES
from ..rest.answers import ApiError, success
from ..rest.attachments import FetchFailed, decode, is_local, read_attachment
from ..rest.batch import ALREADY_SENT, INVALID, NOT_FOUND, read_batch
from ..rest.compose import File, bare_address, compose
from ..submission import Rcpt, Submission
from .mail_relay_client import is_suspended

#: The accounts that messages name, as their applications call them.
FIND_ACCOUNTS = """
    SELECT c.identifier, a.relay_client_reference, c.id, a.id, c.active,
           c.suspended_batches
      FROM mail_relay_client c
      JOIN mail_bridge_account a ON a.relay_client_id = c.id AND a.active
     WHERE c.company_id = %s AND c.identifier = ANY(%s)
       AND a.relay_client_reference = ANY(%s)"""
#: What was posted before under the same names.
FIND_KNOWN = """
    SELECT client_id, client_reference, id, state, relay_message_id
      FROM mail_relay_posting
     WHERE (client_id, client_reference)
           IN (SELECT * FROM unnest(%s, %s::varchar[]))"""
#: Mails that were not begun are taken back; what a dispatcher has claimed is its own.
TAKE_BACK = """
    DELETE FROM mail_relay_message WHERE id IN (
           SELECT id FROM mail_relay_message
            WHERE id = ANY(%s) AND sending_since IS NULL AND tries = 0
              AND (state = 'queued' OR state = 'held' AND hold_reason = 'suspended')
              AND (claimed_until IS NULL
                   OR claimed_until < now() AT TIME ZONE 'UTC')
              FOR UPDATE SKIP LOCKED)
    RETURNING id"""
#: Header fields of a mail that goes to many.
_BULK = ("list-unsubscribe", "list-id")


class Wanted(NamedTuple):
    """A message that may be sent: with which account; whether it has to wait."""

    item: dict
    account_id: int
    waits: bool


class MailRelayApi(models.AbstractModel):
    """Routes about messages, and taking them in."""

    _inherit = "mail.relay.api"

    @api.model
    def _rest_add_messages(self, caller, call):
        """Take messages over, each by itself."""
        most = self._number("batch_messages")
        batch = read_batch(call.payload, most, caller.identifier)
        wanted = self._with_accounts(caller, batch)
        ready = self._without_finished(batch, wanted)
        self._take_in(caller, batch, ready)
        self._note_refused(caller, batch)
        return batch.answer()

    @api.model
    def _with_accounts(self, caller, batch):
        """Return ``{(application's id, message's id): Wanted}``.

        Of two messages with one id the later one counts. Another application's account
        is as good as none.
        """
        tenants = {item["tenant_id"] for item in batch.items}
        if caller.client:
            tenants &= {caller.identifier}
        names = {item["account_id"] for item in batch.items}
        self.env.flush_all()
        values = (caller.company_id, list(tenants), list(names))
        self.env.cr.execute(FIND_ACCOUNTS, values)
        known = {row[:2]: row[2:] for row in self.env.cr.fetchall()}
        wanted = {}
        for item in batch.items:
            found = known.get((item["tenant_id"], item["account_id"]))
            if found is None:
                batch.refuse(item, NOT_FOUND)
            else:
                batch.queued += 1
                client_id, account_id, *suspension = found
                waits = is_suspended(*suspension, item["batch_code"])
                wanted[client_id, item["id"]] = Wanted(item, account_id, waits)
        return wanted

    @api.model
    def _without_finished(self, batch, wanted):
        """Return what may still be sent; the rest was sent before, or is being sent.

        Its application missed what became of it, so it is told again.
        """
        if not wanted:
            return wanted
        clients, references = map(list, zip(*wanted, strict=True))
        self.env.cr.execute(FIND_KNOWN, (clients, references))
        known = {row[:2]: row[2:] for row in self.env.cr.fetchall()}
        mails = [row[2] for row in known.values() if row[1] == "queued" and row[2]]
        taken_back = set()
        if mails:
            self.env.cr.execute(TAKE_BACK, (mails,))
            taken_back = {row[0] for row in self.env.cr.fetchall()}
            self.env["mail.relay.message"].invalidate_model()
        finished = {
            key: posting_id
            for key, (posting_id, state, mail_id) in known.items()
            if state in ("sent", "error")
            or (state == "queued" and mail_id and mail_id not in taken_back)
        }
        for key in finished:
            batch.refuse(wanted[key].item, ALREADY_SENT)
            batch.queued -= 1
        self.env["mail.relay.posting"].browse(finished.values())._tell_again()
        return {key: one for key, one in wanted.items() if key not in finished}

    @api.model
    def _take_in(self, caller, batch, ready):
        """Store messages, and hand those to the relay that lack nothing."""
        rows, submissions, names = {}, [], []
        for key, wanted in ready.items():
            refusal = self._refusal_of_sender(caller.company_id, wanted.item["from"])
            if refusal:
                batch.refuse(wanted.item, refusal)
                batch.queued -= 1
                continue
            composed = self._composed(wanted.item)
            if composed and len(composed.mime) > MAX_MIME_BYTES:
                batch.refuse(wanted.item, INVALID)
                batch.queued -= 1
                continue
            rows[key] = self._columns(key, wanted, composed)
            if composed:
                names.append(key)
                submissions.append(
                    submission_of(key[0], caller.company_id, wanted, composed)
                )
        mails = self.env["mail.relay.message"]._enqueue(submissions)
        for key, mail_id in zip(names, mails.ids, strict=True):
            rows[key]["relay_message_id"] = mail_id
        self.env["mail.relay.posting"]._store(list(rows.values()))

    @api.model
    def _refusal_of_sender(self, company_id, author):
        """Return why mail from an address is not taken, else an empty text."""
        company = self.env["res.company"].sudo().browse(company_id)
        relay = self.env["mail.relay.message"]
        return relay._from_refusal(company, bare_address(author))

    @api.model
    def _columns(self, key, wanted, composed):
        """Return the columns of a message; its contents only while they are needed."""
        item = wanted.item
        Posting = self.env["mail.relay.posting"]
        payload = without_contents(item) if composed else Posting._sealed(item)
        kept = {name: value for name, value in payload.items() if value is not None}
        return {
            "client_id": key[0],
            "client_reference": key[1],
            "state": "queued" if composed else "waiting",
            "account_id": wanted.account_id,
            "level": item["priority"],
            "batch_code": item["batch_code"] or None,
            "deferred_ts": item["deferred_ts"],
            "payload": json.dumps(kept),
            "next_attempt": None if composed else fields.Datetime.now(),
        }

    @api.model
    def _composed(self, item):
        """Return the mail of a message, ``None``: something of it is to be fetched.

        What stands in the message and is broken is left to the fetcher, too: it tells
        the application.
        """
        files = []
        for given in item["attachments"] or ():
            attachment = read_attachment(given)
            if not is_local(attachment):
                return None
            try:
                content = decode(attachment)
            except FetchFailed:
                return None
            files.append(File(attachment.name, content, attachment.media_type))
        return compose(item, datetime.now(timezone.utc), files)

    @api.model
    def _note_refused(self, caller, batch):
        """Keep what was refused, so that its application is also told by report.

        A message that was posted well before stays what it is.
        """
        named = [
            one
            for one in batch.refused
            if one.id and one.tenant and one.reason != ALREADY_SENT
        ]
        clients = {
            tenant: self._client(caller, tenant) for tenant in {o.tenant for o in named}
        }
        Posting = self.env["mail.relay.posting"]
        rows = {
            (client.id, one.id): (one, client)
            for one in named
            if (client := clients[one.tenant])
        }
        if rows:
            Posting._store_refused(
                [(client, one.id, one.reason) for one, client in rows.values()]
            )

    # --- What is there ---

    @api.model
    def _rest_list_messages(self, caller, call):
        """List messages, the newest where there are more than an answer may hold."""
        client = self._client(caller, call.arguments["tenant_id"])
        if not client:
            return success({"ok": True, "messages": []})
        most = self._number("listed_messages")
        domain = [("state", "in", ("waiting", "queued"))]
        found = self.env["mail.relay.posting"].search(
            [
                ("client_id", "=", client.id),
                *(domain if call.arguments["active_only"] else ()),
            ],
            order="created_at desc, id desc",
            limit=most + 1,
        )
        shown = found[:most].sorted(lambda one: (one.level, one.created_at, one.id))
        history = call.arguments["include_history"]
        messages = [
            one._record() | ({"history": one._history()} if history else {})
            for one in shown
        ]
        truncated = (("X-Relay-Truncated", "1"),) if len(found) > most else ()
        return success({"ok": True, "messages": messages}, truncated)

    @api.model
    def _rest_delete_messages(self, caller, call):
        ids = list(dict.fromkeys(call.payload.get("ids") or ()))
        client = self._client(caller, call.arguments["tenant_id"])
        found = client._postings([("client_reference", "in", ids)]) if client else ()
        known = {posting.client_reference for posting in found}
        if found:
            client._delete_postings(found)
        answer = {"removed": len(known), "not_found": []}
        strange = [one for one in ids if one not in known]
        return success({"ok": True, "unauthorized": strange} | answer)

    @api.model
    def _rest_cleanup_messages(self, caller, call):
        client = self._client(caller, call.arguments["tenant_id"])
        seconds = call.payload.get("older_than_seconds")
        if seconds is None:
            seconds = self._number("retention_days") * 86400
        removed = client._clean_up(seconds) if client else 0
        return success({"ok": True, "removed": removed})

    # --- Waiting ---

    @api.model
    def _rest_suspend(self, caller, call):
        client = self._client(caller, call.arguments["tenant_id"])
        if not client:
            raise ApiError(400, "tenant not found")
        client._suspend(call.arguments["batch_code"])
        return self._suspension(client, call.arguments["batch_code"])

    @api.model
    def _rest_activate(self, caller, call):
        client = self._client(caller, call.arguments["tenant_id"])
        code = call.arguments["batch_code"]
        if not client or not client._activate(code):
            raise ApiError(
                400,
                "tenant not found or cannot activate single batch from full suspension",
            )
        return self._suspension(client, code)

    @api.model
    def _suspension(self, client, batch_code):
        """Return what waits now."""
        own = [("client_id", "=", client.id), ("state", "in", ("waiting", "queued"))]
        if batch_code:
            own.append(("batch_code", "=", batch_code))
        return success(
            {
                "ok": True,
                "tenant_id": client.identifier,
                "batch_code": batch_code or None,
                "suspended_batches": client._suspended(),
                "pending_messages": self.env["mail.relay.posting"].search_count(own),
            }
        )


def without_contents(item):
    """Return a message without what stands in its mail anyway."""
    files = [
        {name: one[name] for name in one if name not in ("storage_path", "auth")}
        for one in item.get("attachments") or ()
    ]
    return {**item, "body": None, "attachments": files or None}


def submission_of(client_id, company_id, wanted, composed):
    """Return a message as the relay takes it; SMTP servers track nothing."""
    item = wanted.item
    given = {name.lower(): value for name, value in (item["headers"] or {}).items()}
    not_before = None
    if item["deferred_ts"]:
        moment = datetime.fromtimestamp(item["deferred_ts"], timezone.utc)
        not_before = moment.replace(tzinfo=None)
    return Submission(
        mime=composed.mime,
        envelope_sender=composed.envelope_sender,
        email_from=bare_address(item["from"]),
        recipients=tuple(map(Rcpt, composed.recipients)),
        message_id=composed.message_id,
        subject=item["subject"],
        company_id=company_id,
        account_id=wanted.account_id,
        client_id=client_id,
        client_reference=item["id"],
        priority=item["priority"],
        is_marketing=any(name in given for name in _BULK),
        list_reference=given.get("list-id", ""),
        not_before=not_before,
        track_opens=False,
        track_clicks=False,
        suspended=wanted.waits,
    )
