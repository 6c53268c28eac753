# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""PostgreSQL away: providers are told to try again, and their retry arrives."""

import http.client
import threading
import time

import pytest

from tests.support import wire
from tests.support.bridge import Bridge, wait_for
from tests.support.posts import mailgun_raw, make_mail, unique

pytestmark = pytest.mark.own_postgres

# Odoo itself complains loudly while it has no database; none of that is ours.
NO_DATABASE = (
    r"odoo\.(sql_db|http|service|modules|registry|addons\.base)",
    r"werkzeug|longpolling|bus",
    # Ours: stored and acknowledged, but the crons will only look by themselves.
    r"mail_bridge\.reception: the drains could not be woken",
)
CODES = ("mailgun", "improvmx", "raw")


@pytest.fixture
def bridge(make_server, database, connection, server_log):
    """Accounts made through a server that is stopped again; `server` is not set up."""
    server_log.expect(*NO_DATABASE)
    server = make_server(db_name=None)
    made = Bridge(server, database, connection).prepare()
    yield made
    made.close()
    made.server.stop()


def every_path(bridge) -> dict[str, tuple]:
    """A genuine post, and its subject, for each path that providers post to."""
    desk = bridge.alias()
    found = {}
    for code in CODES:
        account, subject = bridge.account(code), unique(code)
        found[code] = (account.post(desk, make_mail(desk, subject)), subject)
        if code == "mailgun":
            subject = unique("mime")
            mime = make_mail(desk, subject).as_bytes()
            post = mailgun_raw(account.key, desk, mime)
            found["mailgun, raw"] = (post, subject)
            subject = unique("token")
            bridge.client.write("mail.bridge.account", account.id, require_token=True)
            path = bridge.path_of(account.id)
            bridge.client.write("mail.bridge.account", account.id, require_token=False)
            post = account.post(desk, make_mail(desk, subject)).at(path)
            found["mailgun, token"] = (post, subject)
            subject = unique("token and mime")
            mime = make_mail(desk, subject).as_bytes()
            post = mailgun_raw(account.key, desk, mime).at(f"{path}/mime")
            found["mailgun, token, raw"] = (post, subject)
    return found


def assert_try_again(reply) -> None:
    assert reply.status == 503
    assert int(reply.header("Retry-After")) > 0
    assert reply.header("Set-Cookie") is None
    assert "html" not in (reply.header("Content-Type") or "")


def test_odoo_started_without_a_database(bridge, make_server, postgres, server_log):
    """Started while PostgreSQL is down, and workers killed while it is down."""
    found = every_path(bridge)
    bridge.server.stop()
    bridge.close()
    postgres.stop()
    server = make_server(db_name=None)
    server_log.watch(server)
    bridge.server = server
    for _round in range(3):
        for post, _subject in found.values():
            assert_try_again(bridge.post(post))
        for code in (*CODES, "demo"):
            assert_try_again(wire.request(server.port, "POST", f"/mailgate/{code}"))
        for victim in server.http_workers():
            server.kill_worker(victim)
        # A connection may have been with a victim; the next worker takes the next.
        wait_for(lambda: answers(bridge, found))
    postgres.start()
    for post, subject in found.values():
        wait_for(lambda post=post: bridge.post(post).status == 200, 60)
        assert len(bridge.arrived(subject, 90)) == 1


def answers(bridge, found) -> bool:
    post, _subject = next(iter(found.values()))
    try:
        return bool(bridge.post(post).status)
    except (OSError, http.client.HTTPException):
        return False


def test_the_database_goes_away_under_load(bridge, postgres, server_log):
    """Crashed while four clients post; each repeats what was not acknowledged."""
    server_log.watch(bridge.server)
    assert_survives_a_crash(bridge, postgres)


def test_the_database_goes_away_from_a_server_with_a_fixed_one(
    bridge, make_server, database, postgres, server_log
):
    """With `db_name`; a supervisor starts Odoo again where it ends itself (19.0)."""
    bridge.server.stop()
    server = make_server(db_name=database)
    server_log.watch(server)
    bridge.server = server
    assert_survives_a_crash(bridge, postgres)


def assert_survives_a_crash(bridge, postgres) -> None:
    desk = bridge.alias()
    accounts = [bridge.account(code) for code in CODES]
    wanted = {}
    for number in range(120):
        account, subject = accounts[number % 3], unique("Load")
        wanted[subject] = account.post(desk, make_mail(desk, subject))
    statuses: list[int] = []
    pending = list(wanted.values())
    half = threading.Event()
    senders = [
        threading.Thread(
            target=send_all, args=(bridge, pending, statuses, half), daemon=True
        )
        for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    assert half.wait(60)
    bridge.close()
    postgres.crash()
    time.sleep(3)
    postgres.start()
    for sender in senders:
        while sender.is_alive():
            bridge.server.start()  # as a supervisor does
            sender.join(1)
    assert set(statuses) <= {200, 503}
    assert 503 in statuses
    for subject in wanted:
        assert len(bridge.arrived(subject, 300)) == 1


def send_all(bridge, pending, statuses, half) -> None:
    """Post until everything was acknowledged; retry after anything else."""
    while True:
        try:
            post = pending.pop()
        except IndexError:
            return
        if len(pending) < 60:
            half.set()
        try:
            reply = bridge.post(post)
        except (OSError, http.client.HTTPException):
            pending.insert(0, post)
            time.sleep(0.2)
            continue
        statuses.append(reply.status)
        if reply.status != 200:
            pending.insert(0, post)
            time.sleep(0.2)


def test_other_errors_are_no_concern_of_the_guard(bridge):
    """Pages of Odoo itself keep their 404."""
    reply = wire.request(bridge.server.port, "GET", "/no/such/page")
    assert reply.status == 404
