# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mail that a post only points to: fetched once, over real TLS, from a stand-in.

The names of the providers' hosts lead to this machine (see support/odoo_addons) and
the product's documented switch lets it connect there; all else is the real thing.
"""

import base64
import json
import os
import secrets
import time
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.support import posts
from tests.support.bridge import Account, Bridge, wait_for
from tests.support.faults import REFUSED, raising_trigger
from tests.support.origin import SILENCE, Origin
from tests.support.posts import make_mail, unique
from tools.paths import RUN
from tools.server import server_wide_modules

API_KEY = f"api-{secrets.token_hex(16)}"
MAILGUN = "storage-us-east4.api.mailgun.net"
IMPROVMX = "api.improvmx.com"
ADDONS = Path(__file__).parent / "support" / "odoo_addons"


@pytest.fixture(scope="module")
def origin(database):
    made = Origin([MAILGUN, IMPROVMX], RUN / "tests" / f"{database}-origin")
    yield made
    made.close()


@pytest.fixture(scope="module")
def fetching_server(make_server, odoo, origin):
    return make_server(
        environment=origin.environment(),
        addons_path=",".join(map(str, [*odoo.addons_path(), ADDONS])),
        server_wide_modules=f"{server_wide_modules(odoo)},stand_in_names",
    )


@pytest.fixture
def bridge(fetching_server, database, connection, server_log):
    server_log.watch(fetching_server)
    made = Bridge(fetching_server, database, connection).prepare()
    yield made
    made.close()


@pytest.fixture
def desk(bridge):
    return bridge.alias()


@dataclass
class Stored:
    """A mail that stays at its provider; the post only says where (`path`)."""

    account: Account
    post: posts.Post
    subject: str
    mail: EmailMessage
    path: str

    def visits(self, origin: Origin) -> list[dict[str, str]]:
        """The headers of each request for it."""
        return [headers for _host, path, headers in origin.seen if path == self.path]


@pytest.fixture
def make_stored(bridge, desk, origin):
    """What `store(notify=…)` posts: no files, but where the original is."""

    def make(answers=(), **values) -> Stored:
        account = bridge.account("mailgun", **values)
        subject = unique("Stored")
        mail = make_mail(desk, subject, files=[("file.bin", os.urandom(30_000))])
        path = f"/v3/domains/bridge.example/messages/{secrets.token_urlsafe(30)}"
        body = json.dumps({"body-mime": mail.as_string(), "subject": subject})
        origin.pages[path] = [*answers, (200, body.encode())]
        listed = [{"url": "x", "content-type": "x/y", "name": "file.bin", "size": 3}]
        fields = posts.mailgun_fields(mail, desk) | {
            "domain": "bridge.example",
            "message-url": f"https://{MAILGUN}{path}",
            "attachments": json.dumps(listed),
            **posts.mailgun_proof(account.key),
        }
        post = posts.form("/mailgate/mailgun", fields)
        return Stored(account, post, subject, mail, path)

    return make


@pytest.fixture
def make_pointed(bridge, desk, origin):
    """What ImprovMX posts: the parts, and where the original is."""

    def make(answers=()) -> Stored:
        account = bridge.account("improvmx", improvmx_api_key=API_KEY)
        subject = unique("Pointed")
        mail = make_mail(desk, subject, files=[("file.bin", os.urandom(3000))])
        mail["X-Only-In-The-Original"] = "yes"
        path = f"/raw/{secrets.token_urlsafe(30)}"
        origin.pages[path] = [*answers, (200, mail.as_bytes())]
        data = posts.improvmx_data(mail, desk)
        del data["headers"]["X-Only-In-The-Original"]
        data["raw_url"] = f"https://{IMPROVMX}{path}"
        post = posts.as_json(account.path, data)
        return Stored(account, post, subject, mail, path)

    return make


def files_of(bridge, subject: str) -> list[str]:
    [(post_id, _lead)] = bridge.arrived(subject, 30)
    rows = bridge.sql(
        """SELECT a.name FROM ir_attachment a
             JOIN message_attachment_rel r ON r.attachment_id = a.id
            WHERE r.message_id = %s""",
        post_id,
    )
    return [row[0] for row in rows]


def try_again(bridge, account) -> None:
    """Let the next try happen now, and wait until it has begun."""
    before = bridge.intakes(account)[0][2]
    hurry(bridge, account)
    wait_for(lambda: bridge.intakes(account)[0][2] > before)


def hurry(bridge, account) -> None:
    """Make the next try due; one that is under way may be the last one needed."""
    bridge.sql(
        """UPDATE mail_bridge_intake SET next_attempt = now() AT TIME ZONE 'UTC'
            WHERE account_id = %s AND state IN ('pending', 'failed')""",
        account.id,
    )
    bridge.let_a_minute_pass()


# ------------------------------------------------------------------------- Mailgun


def test_a_stored_mail_is_fetched_and_stands_in_the_chatter(
    bridge, make_stored, origin
):
    stored = make_stored(mailgun_api_key=API_KEY)
    assert bridge.post(stored.post).status == 200
    assert files_of(bridge, stored.subject) == ["file.bin"]
    [headers] = stored.visits(origin)
    basic = base64.b64encode(f"api:{API_KEY}".encode()).decode()
    assert headers["Authorization"] == f"Basic {basic}"
    assert headers["Accept"] == "message/rfc2822"


def test_a_retry_does_not_fetch_twice(bridge, make_stored, origin, server_log):
    server_log.expect(REFUSED)
    stored = make_stored(mailgun_api_key=API_KEY)
    with raising_trigger(bridge, "crm_lead", stored.subject):
        assert bridge.post(stored.post).status == 200
        wait_for(lambda: bridge.intakes(stored.account)[0][1] == "failed")
        for _ in range(2):
            try_again(bridge, stored.account)
    hurry(bridge, stored.account)
    assert files_of(bridge, stored.subject) == ["file.bin"]
    assert len(stored.visits(origin)) == 1


def test_the_provider_being_away_delays_the_mail(bridge, make_stored, origin):
    stored = make_stored([(503, b""), (429, b"")], mailgun_api_key=API_KEY)
    assert bridge.post(stored.post).status == 200
    wait_for(lambda: bridge.intakes(stored.account)[0][1] == "failed")
    assert bridge.chatter(stored.subject) == []
    for _ in range(2):
        try_again(bridge, stored.account)
    assert files_of(bridge, stored.subject) == ["file.bin"]
    assert len(stored.visits(origin)) == 3


def test_a_post_whose_tries_took_their_worker_with_them_is_fetched_no_more(
    bridge, make_stored, origin
):
    stored = make_stored([(503, b"")], mailgun_api_key=API_KEY)
    assert bridge.post(stored.post).status == 200
    wait_for(lambda: bridge.intakes(stored.account)[0][1] == "failed")
    bridge.sql(
        "UPDATE mail_bridge_intake SET attempts = %s WHERE account_id = %s",
        12,
        stored.account.id,
    )
    hurry(bridge, stored.account)
    [(_id, state, _attempts, error)] = bridge.settled(stored.account)
    assert (state, "503" in error) == ("dead", True)
    assert len(stored.visits(origin)) == 1


def test_without_an_api_key_the_parts_serve_and_the_mail_says_so(
    bridge, make_stored, origin
):
    stored = make_stored()
    assert bridge.post(stored.post).status == 200
    assert files_of(bridge, stored.subject) == []
    [entry] = bridge.messages(stored.subject)
    assert "API key" in entry["note"]
    assert stored.visits(origin) == []


def test_the_api_key_goes_to_no_other_host(bridge, make_stored, origin):
    stored = make_stored(mailgun_api_key=API_KEY)
    fields = posts.mailgun_fields(stored.mail, "x@bridge.example")
    fields |= {
        "message-url": f"https://{IMPROVMX}{stored.path}",
        **posts.mailgun_proof(stored.account.key),
    }
    assert bridge.post(posts.form("/mailgate/mailgun", fields)).status == 200
    [(_id, state, _attempts, error)] = bridge.settled(stored.account)
    assert state == "dead"
    assert error
    assert stored.visits(origin) == []


# ------------------------------------------------------------------------ ImprovMX


def test_the_original_is_preferred_to_the_parts(bridge, make_pointed, origin):
    pointed = make_pointed()
    assert bridge.post(pointed.post).status == 200
    assert files_of(bridge, pointed.subject) == ["file.bin"]
    assert len(pointed.visits(origin)) == 1
    [entry] = bridge.messages(pointed.subject)
    url = f"/mail_bridge/message/{entry['id']}/original.eml"
    eml = bridge.client.http.get(bridge.server.base_url + url, timeout=30)
    assert eml.content == pointed.mail.as_bytes()


@pytest.mark.parametrize("status", [404, 500])
def test_where_the_original_fails_the_parts_serve_and_the_mail_says_so(
    bridge, make_pointed, origin, status
):
    pointed = make_pointed([(status, b"")] * 3)
    assert bridge.post(pointed.post).status == 200
    for _ in range(2):
        wait_for(lambda: bridge.intakes(pointed.account)[0][1] == "failed")
        assert bridge.chatter(pointed.subject) == []
        try_again(bridge, pointed.account)
    assert files_of(bridge, pointed.subject) == ["file.bin"]
    [entry] = bridge.messages(pointed.subject)
    assert "original" in entry["note"]
    assert len(pointed.visits(origin)) == 3


def test_one_failure_does_not_cost_the_original(bridge, make_pointed, origin):
    pointed = make_pointed([(503, b"")])
    assert bridge.post(pointed.post).status == 200
    wait_for(lambda: bridge.intakes(pointed.account)[0][1] == "failed")
    try_again(bridge, pointed.account)
    assert files_of(bridge, pointed.subject) == ["file.bin"]
    [entry] = bridge.messages(pointed.subject)
    assert not entry["note"]
    assert len(pointed.visits(origin)) == 2


# ---------------------------------------------------------------------------- both


def test_silent_peers_hold_up_nobody_else(bridge, make_stored, desk, origin):
    """More of them than errands at once; other mail arrives as on an idle server."""
    slow = [make_stored([(SILENCE, b"")], mailgun_api_key=API_KEY) for _ in range(10)]
    for stored in slow:
        assert bridge.post(stored.post).status == 200
    wait_for(lambda: sum(len(stored.visits(origin)) for stored in slow) >= 8)
    waiting = bridge.sql(
        """SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'
              AND state_change < now() - interval '1 second'"""
    )
    assert waiting == [(0,)]
    account = bridge.account("raw")
    for _ in range(3):
        subject = unique("Meanwhile")
        start = time.monotonic()
        assert bridge.post(account.post(desk, make_mail(desk, subject))).status == 200
        bridge.arrived(subject, 30)
        assert time.monotonic() - start < 5
    origin.held.set()
    for stored in slow:
        hurry(bridge, stored.account)
        assert files_of(bridge, stored.subject) == ["file.bin"]
    origin.held.clear()


def test_no_key_stands_in_the_log(bridge, make_stored, make_pointed, fetching_server):
    for made in (make_stored(mailgun_api_key=API_KEY), make_pointed([(500, b"")])):
        assert bridge.post(made.post).status == 200
        wait_for(lambda made=made: bridge.intakes(made.account)[0][1] != "pending")
        hurry(bridge, made.account)
        bridge.arrived(made.subject, 30)
    assert API_KEY not in fetching_server.log_text()
