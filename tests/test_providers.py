# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Accounts at SMTP2GO and Mailgun in a running server: out by HTTP, and back.

The providers' host names lead to this machine, over real TLS; all else is the product.
"""

import base64
import email
import json
import secrets
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from odoo.addons.mail_bridge.tests_plain.api_stub import Asked, Said
from odoo.addons.mail_bridge_mailgun.tests_plain import mailgun_stub
from odoo.addons.mail_bridge_smtp2go.tests_plain import api_of

from tests.support import posts
from tests.support.bridge import Bridge, wait_for
from tests.support.posts import Post
from tests.support.provider_api import ProviderApi
from tests.support.smtp_sink import SmtpSink
from tools import database as databases
from tools.paths import RUN
from tools.server import server_wide_modules
from tools.shell import run_in_odoo

SMTP2GO, MAILGUN = "eu-api.smtp2go.com", "api.eu.mailgun.net"
PUBLIC = "https://odoo.bridge.example"
ADDONS = Path(__file__).parent / "support" / "odoo_addons"
ENQUEUE = """
from odoo.addons.mail_relay.submission import Rcpt, Submission
mail = env["mail.relay.message"]._enqueue([Submission(
    mime={mime!r}, envelope_sender="us@{domain}", email_from="us@{domain}",
    recipients=(Rcpt({address!r}),), message_id={message_id!r}, account_id={account},
)])
result = mail.id
"""


class Smtp2go:
    """SMTP2GO's interface; ``meanwhile`` is called before each answer."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.refusal: Said | None = None
        self.hooks = api_of.Webhooks()
        self.meanwhile = lambda: None

    def __call__(self, asked: Asked) -> Said:
        assert asked.headers["x-smtp2go-api-key"] == api_of.KEY
        self.meanwhile()
        if asked.path.startswith("/v3/webhook/"):
            return self.hooks(asked)
        if asked.path.startswith("/v3/stats/"):
            return api_of.said({"email_count": 7})
        if asked.path == "/v3/suppression/view":
            return api_of.said({"results": []})
        assert asked.path == "/v3/email/mime"
        if self.refusal:
            return self.refusal
        self.mails.append(base64.b64decode(asked.json["mime_email"]))
        name = f"1u0SwL-{len(self.mails)}-JAB2"
        return api_of.said(
            {"succeeded": 1, "failed": 0, "failures": [], "email_id": name}
        )


@pytest.fixture(scope="module")
def smtp2go():
    return Smtp2go()


@pytest.fixture(scope="module")
def mailgun():
    made = mailgun_stub.Mailgun()
    made.stub = SimpleNamespace(url=f"https://{MAILGUN}")  # where pages go on
    return made


@pytest.fixture(scope="module")
def interfaces(database, smtp2go, mailgun):
    hosts = {SMTP2GO: smtp2go, MAILGUN: mailgun}
    made = ProviderApi(hosts, RUN / "tests" / f"{database}-providers")
    yield made
    made.close()


@pytest.fixture(scope="module")
def asking_server(make_server, odoo, interfaces):
    return make_server(
        environment=interfaces.environment(),
        addons_path=",".join(map(str, [*odoo.addons_path(), ADDONS])),
        server_wide_modules=f"{server_wide_modules(odoo)},stand_in_names",
    )


@pytest.fixture
def bridge(asking_server, database, connection, server_log):
    server_log.watch(asking_server)
    made = Bridge(asking_server, database, connection).prepare()
    made.client.call("ir.config_parameter", "set_param", "web.base.url", PUBLIC)
    yield made
    made.close()


@pytest.fixture
def sender(bridge):
    """An account at SMTP2GO that sends."""
    return bridge.account("smtp2go", smtp2go_api_key=api_of.KEY, smtp2go_region="eu")


@pytest.fixture
def gunner(bridge):
    """An account at Mailgun that sends."""
    return bridge.account(
        "mailgun",
        mailgun_api_key=mailgun_stub.API_KEY,
        mailgun_domain=mailgun_stub.DOMAIN,
        mailgun_region="eu",
    )


@pytest.fixture
def enqueue(bridge, odoo):
    """Hand a mail to the relay for one account; its id and its recipient."""

    def hand_over(account=None, domain="bridge.example") -> tuple[int, str]:
        address = f"{secrets.token_hex(6)}@outside.example"
        mail = posts.make_mail(address, posts.unique(), sender=f"us@{domain}")
        code = ENQUEUE.format(
            mime=mail.as_bytes(),
            domain=domain,
            address=address,
            message_id=str(mail["Message-ID"]),
            account=account.id if account else 0,
        )
        config = bridge.server.folder / "odoo.conf"
        return run_in_odoo(odoo, config, bridge.database, code), address

    return hand_over


def truth(bridge: Bridge, mail: int) -> str:
    [(state,)] = bridge.sql(
        "SELECT state FROM mail_relay_recipient WHERE relay_message_id = %s", mail
    )
    return state


def becomes(bridge: Bridge, mail: int, state: str) -> None:
    def story() -> str:
        rows = bridge.sql("SELECT * FROM mail_relay_attempt")
        events = bridge.sql("SELECT type, state, error FROM mail_bridge_event")
        return f"{truth(bridge, mail)}, attempts {rows}, events {events}"

    wait_for(lambda: truth(bridge, mail) == state, 30, story)


def of_mail(bridge: Bridge, mail: int) -> tuple[str, str]:
    """Our reference of a mail, and the provider's."""
    [row] = bridge.sql(
        "SELECT reference, provider_reference FROM mail_relay_message WHERE id = %s",
        mail,
    )
    return row


def test_a_mail_goes_out_by_smtp2go_and_its_event_comes_back(
    bridge, smtp2go, sender, enqueue
):
    mail, address = enqueue(sender)
    becomes(bridge, mail, "sent")
    reference, name = of_mail(bridge, mail)
    taken = email.message_from_bytes(smtp2go.mails[-1])
    assert taken["To"] == address
    assert taken["X-Mail-Bridge-Reference"] == reference
    event = {
        "event": "delivered",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rcpt": address,
        "email_id": name,
        "message": "250 2.0.0 Ok",
    }
    body = json.dumps(event).encode()
    assert bridge.post(Post(sender.path, "application/json", body)).status == 200
    becomes(bridge, mail, "delivered")


def test_nothing_is_open_while_a_provider_is_waited_for(bridge, smtp2go, sender):
    held = []

    def look() -> None:
        """Who keeps a transaction since before this request, beside Odoo's cron?"""
        time.sleep(0.5)
        with databases.cursor(bridge.connection) as cr:
            cr.execute(
                """SELECT query FROM pg_stat_activity
                    WHERE datname = %s AND state LIKE 'idle in transaction%%'
                      AND xact_start < clock_timestamp() - interval '0.4 s'
                      AND query NOT LIKE '%%ir_cron%%'""",
                [bridge.database],
            )
            held.extend(cr.fetchall())

    smtp2go.meanwhile = look
    try:
        action = bridge.client.call(
            "mail.bridge.account", "action_register_events", [sender.id]
        )
    finally:
        smtp2go.meanwhile = lambda: None
    assert action["params"]["type"] == "success"
    assert smtp2go.hooks.urls == [f"{PUBLIC}{sender.path}"]
    assert held == []
    chatter = bridge.client.search_read(
        "mail.message",
        [("model", "=", "mail.bridge.account"), ("res_id", "=", sender.id)],
        ["body"],
        order="id desc",
        limit=1,
    )
    assert "posts events to this account now" in chatter[0]["body"]


def test_news_that_never_came_are_asked_for(bridge, mailgun, gunner, enqueue):
    mail, address = enqueue(gunner)
    becomes(bridge, mail, "sent")
    reference, _name = of_mail(bridge, mail)
    bridge.sql(
        """UPDATE mail_relay_recipient SET sent_at = sent_at - interval '8 hours',
                  last_event_at = last_event_at - interval '8 hours'
            WHERE relay_message_id = %s""",
        mail,
    )
    mailgun.events.append(
        {
            "event": "delivered",
            "id": secrets.token_urlsafe(12),
            "timestamp": time.time() - 7 * 3600,
            "recipient": address,
            "message": {"headers": {"message-id": "rewritten@mg.example.com"}},
            "user-variables": {"mail_bridge_reference": reference},
            "delivery-status": {"code": 250, "message": "OK"},
        }
    )
    bridge.run_cron("mail_relay.ir_cron_reconcile")
    becomes(bridge, mail, "delivered")
    assert bridge.sql(
        "SELECT source FROM mail_bridge_event WHERE reference = %s", reference
    ) == [("reconcile",)]


def test_suppressions_go_both_ways(bridge, mailgun, gunner, enqueue):
    dead = f"{secrets.token_hex(6)}@outside.example"
    mailgun.lists["bounces"][dead] = {
        "address": dead,
        "code": "550",
        "error": "no such user",
        "created_at": "Fri, 20 Nov 2026 10:00:00 UTC",
    }
    bridge.run_cron("mail_relay.ir_cron_import_suppressions")
    [found] = bridge.client.search_read(
        "mail.relay.suppression", [("email_normalized", "=", dead)], []
    )
    assert (found["scope"], found["source"]) == ("all", "provider")
    assert "no such user" in found["evidence"]

    own = f"{secrets.token_hex(6)}@outside.example"
    entry = bridge.client.create("mail.relay.suppression", email_normalized=own)
    wait_for(lambda: own in mailgun.lists["bounces"], 30)
    bridge.client.write("mail.relay.suppression", entry, active=False)
    bridge.client.write("mail.relay.suppression", found["id"], active=False)
    wait_for(lambda: not {own, dead} & mailgun.lists["bounces"].keys(), 30)


@pytest.fixture
def route(bridge, sender):
    """A From domain whose mail goes to SMTP2GO, and to an SMTP server behind it."""
    with SmtpSink() as sink:
        behind = bridge.account("smtp", smtp_host="127.0.0.1", smtp_port=sink.port)
        domain = f"{secrets.token_hex(4)}.example"
        lines = [
            (0, 0, {"sequence": number, "account_id": account.id})
            for number, account in enumerate((sender, behind))
        ]
        bridge.client.create(
            "mail.relay.route", name=domain, from_domain=domain, line_ids=lines
        )
        yield domain, behind, sink


def test_where_smtp2go_refuses_the_key_the_next_account_sends(
    bridge, smtp2go, sender, route, enqueue
):
    domain, behind, sink = route
    smtp2go.refusal = api_of.error("API_EXCEPTION", "API key not found", status=401)
    mail, address = enqueue(domain=domain)
    try:
        becomes(bridge, mail, "sent")
    finally:
        smtp2go.refusal = None
    assert [taken.recipients for taken in sink.wait(1)] == [(address,)]
    assert bridge.sql(
        """SELECT account_id, outcome FROM mail_relay_attempt
            WHERE relay_message_id = %s ORDER BY id""",
        mail,
    ) == [(sender.id, "not_sent"), (behind.id, "accepted")]
    [(account, trace)] = bridge.sql(
        "SELECT account_id, route_trace FROM mail_relay_message WHERE id = %s", mail
    )
    assert account == behind.id
    assert "API key not found" in trace


def test_after_an_answer_that_nobody_understands_no_other_account_sends(
    bridge, smtp2go, route, enqueue
):
    domain, _behind, sink = route
    smtp2go.refusal = Said(502, b"<html>Bad gateway</html>")
    mail, _address = enqueue(domain=domain)
    try:
        wait_for(
            lambda: bridge.sql(
                """SELECT 1 FROM mail_relay_message
                    WHERE id = %s AND state = 'in_doubt'""",
                mail,
            ),
            30,
        )
    finally:
        smtp2go.refusal = None
    assert sink.taken == []
