# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The relay of a running server: accounts at sinks, mails for it, and their fate."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.bridge import Bridge, wait_for
from tests.support.smtp_sink import SmtpSink
from tools import database as databases

#: States in which no dispatcher will touch a mail by itself.
AT_REST = ("done", "dead", "held", "cancelled")
ENQUEUE = r"""
from odoo.addons.mail_relay.submission import Rcpt, Submission
template = {template!r}
submissions = []
for spec in json.loads({specs!r}):
    spec = {{**json.loads(template), **spec}}
    to = tuple(Rcpt(address) for address in spec.pop("to"))
    text = "Hello, and on it goes.\r\n" * spec.pop("lines", 1)
    mime = (
        f"From: {{spec['email_from']}}\r\nTo: {{to[0].address}}\r\n"
        f"Subject: {{spec['subject']}}\r\nMessage-ID: {{spec['message_id']}}\r\n"
        f"Date: Sat, 21 Nov 2026 04:00:00 +0000\r\n\r\n{{text}}\r\n"
    )
    submissions.append(Submission(mime=mime.encode(), recipients=to, **spec))
result = env["mail.relay.message"]._enqueue(submissions).ids
"""
DISPATCHERS = """
env["res.config.settings"].create({{"mail_relay_dispatch_count": {count}}}).execute()
"""


@dataclass(frozen=True)
class Fate:
    """What became of a mail; ``people`` are states by address, ``log`` its attempts as
    (outcome, stage, code).
    """

    id: int
    state: str
    attempts: int
    account_id: int
    error: str
    people: dict[str, str]
    log: list[tuple[str, str, int]]


class Relay:
    """Accounts, mails and what became of them, in the database of a running server."""

    def __init__(self, bridge: Bridge, shell: Callable[[str], Any]) -> None:
        self.bridge = bridge
        self._shell = shell

    def account(self, sink: SmtpSink | int, **values: Any) -> int:
        """An enabled account at a sink, or at a port where perhaps nobody listens."""
        port = sink if isinstance(sink, int) else sink.port
        given = {
            "name": f"Relay {secrets.token_hex(3)}",
            "code": "smtp",
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            **values,
        }
        client = self.bridge.client
        account = client.create("mail.bridge.account", **given)
        client.call("mail.bridge.account", "action_enable", [account])
        return account

    def limit(self, account: int, count: int, period: str, domain: str = "") -> int:
        """A limit of an account."""
        return self.bridge.client.create(
            "mail.relay.limit",
            account_id=account,
            count=count,
            period=period,
            domain=domain,
        )

    def route(self, *accounts: int, **values: Any) -> str:
        """A route over accounts; the From domain that takes it."""
        domain = f"{secrets.token_hex(4)}.example"
        lines = [(0, 0, {"account_id": account}) for account in accounts]
        given = {"name": domain, "from_domain": domain, "line_ids": lines, **values}
        self.bridge.client.create("mail.relay.route", **given)
        return domain

    def set_dispatchers(self, count: int) -> None:
        """Let so many dispatchers run, as the setting does."""
        self._shell(DISPATCHERS.format(count=count))

    def send(self, specs: Iterable[Mapping[str, Any]], **common: Any) -> list[int]:
        """Put mails into the queue in one transaction; their ids.

        :param specs: arguments of ``Submission`` with ``to``, addresses, in place of
            the recipients, and ``lines``, of the text.
        """
        domain = common.pop("from_domain", "shop.example")
        made = []
        for spec in specs:
            word = secrets.token_hex(8)
            made.append(
                {"message_id": f"<{word}@{domain}>", "subject": f"Mail {word}", **spec}
            )
        sender = f"sales@{domain}"
        template = {"email_from": sender, "envelope_sender": sender, **common}
        return self._shell(
            ENQUEUE.format(template=json.dumps(template), specs=json.dumps(made))
        )

    def send_one(self, *to: str, **values: Any) -> int:
        """Put one mail into the queue; its id."""
        [mail] = self.send([{"to": to or ["ann@customer.example"]}], **values)
        return mail

    # -- looking ------------------------------------------------------------

    def fate(self, mail: int) -> Fate:
        """What is known of a mail now."""
        [row] = self.bridge.sql(
            """SELECT state, attempts, account_id, coalesce(error, '')
                 FROM mail_relay_message WHERE id = %s""",
            mail,
        )
        people = self.bridge.sql(
            """SELECT address, state FROM mail_relay_recipient
                WHERE relay_message_id = %s""",
            mail,
        )
        log = self.bridge.sql(
            """SELECT outcome, coalesce(stage, ''), smtp_code FROM mail_relay_attempt
                WHERE relay_message_id = %s ORDER BY id""",
            mail,
        )
        return Fate(mail, *row, dict(people), log)

    def tried(self, mail: int, times: int = 1, seconds: float = 30) -> Fate:
        """Wait until a mail was tried so often and is on the wire no more."""

        def look() -> Fate | None:
            found = self.fate(mail)
            ready = len(found.log) >= times and found.state not in ("sending",)
            return found if ready else None

        return wait_for(look, seconds, lambda: f"{self.fate(mail)}")

    def rested(self, mails: Iterable[int], seconds: float = 60) -> Counter[str]:
        """Wait until mails are in states of rest; how many are in which."""
        ids = list(mails)

        def look() -> Counter[str] | None:
            found = self.states(ids)
            return found if set(found) <= set(AT_REST) else None

        return wait_for(look, seconds, lambda: f"not at rest: {self.states(ids)}")

    def states(self, mails: Iterable[int]) -> Counter[str]:
        """How many of some mails are in which state."""
        rows = self.bridge.sql(
            "SELECT state FROM mail_relay_message WHERE id = ANY(%s)", list(mails)
        )
        return Counter(state for (state,) in rows)

    def door(self, account: int, domain: str = "") -> tuple[float, int]:
        """Seconds until an account's door opens (0: open), and its failures."""
        rows = self.bridge.sql(
            """SELECT greatest(0, extract(epoch FROM
                          opens_at - (now() AT TIME ZONE 'UTC')))::float8, failures
                 FROM mail_relay_gate WHERE account_id = %s AND domain = %s""",
            account,
            domain,
        )
        return (rows[0][0] or 0.0, rows[0][1]) if rows else (0.0, 0)

    # -- time ---------------------------------------------------------------

    def pass_time(self, *mails: int) -> None:
        """Let the time come for which mails wait, and that of leases and questions."""
        self.bridge.sql(
            """UPDATE mail_relay_message SET next_attempt = now() AT TIME ZONE 'UTC'
                WHERE state = 'queued' AND (%s = '{}' OR id = ANY(%s))
                  AND next_attempt > now() AT TIME ZONE 'UTC'""",
            list(mails),
            list(mails),
        )
        self.call()

    def end_leases(self) -> None:
        """Let two minutes pass for mails whose dispatcher is dead."""
        self.bridge.sql(
            """UPDATE mail_relay_message
                  SET claimed_until = (now() AT TIME ZONE 'UTC') - interval '1 second'
                WHERE state IN ('sending', 'in_doubt')"""
        )

    def call(self) -> None:
        """Call the dispatchers, as Odoo does once a minute."""
        self.bridge.sql(
            """INSERT INTO ir_cron_trigger (cron_id, call_at)
               SELECT id, now() AT TIME ZONE 'UTC' FROM ir_cron
                WHERE active AND (cron_name LIKE 'Mail Relay: dispatch%%'
                                  OR cron_name LIKE 'Mail Relay: %% in doubt')"""
        )
        with databases.cursor(self.bridge.connection) as cr:
            cr.execute("SELECT pg_notify('cron_trigger', %s)", [self.bridge.database])
