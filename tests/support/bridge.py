# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The suite set up in a database, and what became of the mails posted to it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlparse

import psycopg2

from tests.support import posts, wire
from tests.support.posts import Post
from tools import database as databases
from tools.client import OdooClient
from tools.postgres import Connection
from tools.server import OdooServer

DOMAIN = "bridge.example"
TERMINAL = ("done", "dead")
#: The scheduled actions that process posts.
DRAINS = (
    "ir_cron_process_intake",
    "ir_cron_process_intake_2",
    "ir_cron_fetch",
    "ir_cron_apply_events",
)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Account:
    """An enabled account: its provider posts to `path` and signs with `key`."""

    id: int
    code: str
    path: str
    key: str = ""

    def post(self, recipient: str, mail: Any) -> Post:
        """The post of this account's provider for a mail."""
        if self.code == "mailgun":
            return posts.mailgun_mail(self.key, recipient, mail).at(self.path)
        if self.code == "improvmx":
            return posts.improvmx_mail(self.path, recipient, mail)
        return posts.raw_mail(self.path, recipient, mail.as_bytes(), self.key)


class Bridge:
    """Accounts, aliases and outcomes in the database of a running server."""

    def __init__(
        self, server: OdooServer, database: str, connection: Connection
    ) -> None:
        self.server = server
        self.database = database
        self.connection = connection
        self._link: Any = None

    @cached_property
    def client(self) -> OdooClient:
        """The administrator, signed in."""
        return OdooClient(self.server.base_url, self.database)

    # -- setting up ---------------------------------------------------------

    def prepare(self) -> Bridge:
        """Make the alias domain, unless an earlier test has; ask nobody outside."""
        if not self.sql("SELECT 1 FROM mail_alias_domain WHERE name = %s", DOMAIN):
            domain = self.client.create("mail.alias.domain", name=DOMAIN)
            self.client.write("res.company", 1, alias_domain_id=domain)
            # Odoo would look every new lead's company up at its own service.
            enrich = ("crm.iap.lead.enrich.setting", "manual")
            self.client.call("ir.config_parameter", "set_param", *enrich)
        return self

    def alias(self, model: str = "crm.lead", **values: Any) -> str:
        """A new alias for new records of `model`; its address."""
        name = f"desk-{secrets.token_hex(4)}"
        [(model_id,)] = self.sql("SELECT id FROM ir_model WHERE model = %s", model)
        [(domain,)] = self.sql(
            "SELECT id FROM mail_alias_domain WHERE name = %s", DOMAIN
        )
        self.client.create(
            "mail.alias",
            alias_name=name,
            alias_model_id=model_id,
            alias_domain_id=domain,
            **values,
        )
        return f"{name}@{DOMAIN}"

    def account(self, code: str, **values: Any) -> Account:
        """An enabled account with a signing key where the provider signs."""
        key = ""
        if code == "mailgun":
            key = values.setdefault(
                "mailgun_signing_key", f"key-{secrets.token_hex(16)}"
            )
        elif code == "raw":
            key = values.get("raw_signing_key", "")
        values.setdefault("name", f"{code} {secrets.token_hex(3)}")
        account = self.client.create("mail.bridge.account", code=code, **values)
        self.client.call("mail.bridge.account", "action_enable", [account])
        return Account(account, code, self.path_of(account), key)

    def path_of(self, account_id: int) -> str:
        """The path of an account's webhook URL, as its form shows it."""
        [shown] = self.client.call(
            "mail.bridge.account", "read", [account_id], ["webhook_url"]
        )
        return urlparse(shown["webhook_url"]).path

    def post(self, post: Post) -> wire.Reply:
        """Send a post once."""
        return post.to(self.server.port)

    def post_at_once(self, wanted: Iterable[Post]) -> list[wire.Reply]:
        """Send posts at the same instant, each on a connection of its own."""
        return wire.at_once([lambda one=one: self.post(one) for one in wanted])

    def run_cron(self, xmlid: str) -> None:
        """Run a scheduled action now, as its form's button does."""
        module, _, name = xmlid.partition(".")
        [(cron,)] = self.sql(
            "SELECT res_id FROM ir_model_data WHERE module = %s AND name = %s",
            module,
            name,
        )
        self.client.call("ir.cron", "method_direct_trigger", [cron])

    def let_a_minute_pass(self) -> None:
        """Call the drains, as their scheduled actions do once a minute."""
        self.call_cron(*DRAINS)

    def call_cron(self, *names: str) -> None:
        """Let scheduled actions of ours run, even after a run that is going on."""
        self.sql(
            """INSERT INTO ir_cron_trigger (cron_id, call_at)
               SELECT res_id, now() AT TIME ZONE 'UTC' FROM ir_model_data
                WHERE module IN ('mail_bridge', 'mail_relay') AND model = 'ir.cron'
                  AND name = ANY(%s)""",
            list(names),
        )
        with databases.cursor(self.connection) as cr:
            cr.execute("SELECT pg_notify('cron_trigger', %s)", [self.database])

    # -- looking ------------------------------------------------------------

    def sql(self, query: str, *values: Any) -> list[tuple]:
        """Run one statement from outside Odoo and commit it; its rows."""
        try:
            return self._run(query, values)
        except psycopg2.OperationalError:
            self._link = None  # PostgreSQL was away since the last call
            return self._run(query, values)

    def _run(self, query: str, values: tuple) -> list[tuple]:
        if self._link is None:
            self._link = psycopg2.connect(self.connection.dsn(self.database))
            self._link.autocommit = True
        with self._link.cursor() as cr:
            cr.execute(query, values or None)
            return cr.fetchall() if cr.description else []

    def close(self) -> None:
        """Give the connection back."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def intakes(self, account: Account) -> list[tuple]:
        """(id, state, attempts, error) of everything an account has stored."""
        return self.sql(
            """SELECT id, state, attempts, error FROM mail_bridge_intake
                WHERE account_id = %s ORDER BY id""",
            account.id,
        )

    def chatter(self, subject: str, model: str = "crm.lead") -> list[tuple]:
        """(mail.message id, record id) of mails in the chatter of records."""
        return self.sql(
            """SELECT id, res_id FROM mail_message
                WHERE subject = %s AND model = %s AND message_type = 'email'
                ORDER BY id""",
            subject,
            model,
        )

    def messages(self, subject: str, *fields: str) -> list[dict]:
        """The Inbox entries with a subject, oldest first."""
        wanted = ["state", "reason", "note", "res_model", "res_id", *fields]
        return self.client.search_read(
            "mail.bridge.message", [("subject", "=", subject)], wanted, order="id"
        )

    # -- waiting ------------------------------------------------------------

    def arrived(self, subject: str, seconds: float = 20, count: int = 1) -> list[tuple]:
        """Wait until a mail stands in the chatter of leads; `chatter` of it."""
        return wait_for(
            lambda: found if len(found := self.chatter(subject)) >= count else None,
            seconds,
            lambda: f"{subject!r} is not in the chatter: {self._story(subject)}",
        )

    def settled(self, account: Account, seconds: float = 60) -> list[tuple]:
        """Wait until all posts of an account are in a terminal state; `intakes`."""

        def look() -> list[tuple] | None:
            found = self.intakes(account)
            return found if all(row[1] in TERMINAL for row in found) else None

        return wait_for(look, seconds, lambda: f"not settled: {self.intakes(account)}")

    def _story(self, subject: str) -> str:
        entries = self.sql(
            "SELECT state, reason, note FROM mail_bridge_message WHERE subject = %s",
            subject,
        )
        troubles = self.sql(
            """SELECT id, state, attempts, error FROM mail_bridge_intake
                WHERE state != 'done' ORDER BY id DESC LIMIT 5"""
        )
        return f"inbox {entries}, unfinished {troubles}"


def wait_for(
    look: Callable[[], Result | None],
    seconds: float = 20,
    problem: Callable[[], str] = lambda: "the condition never came true",
) -> Result:
    """Look until there is a result; its value. AssertionError after `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(problem())
