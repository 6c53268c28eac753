"""The fixtures themselves: a prefork server that survives what tests do to it."""

import os
import time

import pytest

from tests.support.faults import AWAY
from tools import database as databases
from tools import first_mails
from tools.client import OdooClient
from tools.console import Failure

pytestmark = pytest.mark.own_postgres


def test_workers_come_back_after_a_kill(server):
    before = server.http_workers()
    assert len(before) == 4
    assert len(server.cron_workers()) >= 1
    server.kill_worker(before[0])
    _wait_until(lambda: len(set(server.http_workers()) - {before[0]}) == 4)


def test_client_and_shell_see_the_same_database(client, shell):
    lead_id = client.create("crm.lead", name="House")
    assert shell(f"result = env['crm.lead'].browse({lead_id}).name") == "House"


def test_server_answers_again_after_a_crash_of_postgres(
    make_server, database, postgres, server_log
):
    # Without `-d`: the master of 19.0 ends where it finds no PostgreSQL for `-d`.
    server = make_server(db_name=None)
    server_log.watch(server)
    server_log.expect(*AWAY)
    assert _can_sign_in(server, database)
    postgres.crash()
    assert not _can_sign_in(server, database)
    postgres.start()
    _wait_until(lambda: _can_sign_in(server, database))
    server.stop()


def test_first_mails_of_an_interrupted_run_are_not_taken_for_ours(client):
    old = client.create("crm.lead", name=first_mails.SUBJECT)
    client.call("crm.lead", "message_post", [old], message_type="email", body="x")
    assert first_mails.present(client) is None
    lead = first_mails.deliver(client)["lead"]
    assert lead != old
    assert first_mails.present(client) == {"lead": lead}


def test_browser_shows_the_web_client(page):
    assert page.locator(".o_main_navbar").is_visible()


def _can_sign_in(server, database) -> bool:
    try:
        return bool(OdooClient(server.base_url, database).uid)
    except Exception:
        return False


def test_database_of_somebody_else_is_never_dropped(connection, monkeypatch):
    """`PGHOST=… DB=production make test` must not cost anybody his database."""
    name = f"production_{os.getpid()}"
    with databases.cursor(connection) as cr:
        cr.execute(f"CREATE DATABASE {name}")
    for variable, value in connection.environment().items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(Failure, match="not of our making"):
        databases.drop(connection, name)
    assert databases.exists(connection, name)
    monkeypatch.delenv("PGHOST")
    databases.drop(connection, name)  # in a server of ours everything is ours
    monkeypatch.setenv("PGHOST", connection.host)
    databases.create(connection, name)
    databases.drop(connection, name)
    assert not databases.exists(connection, name)


def _wait_until(condition, seconds=30):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError("the condition never came true")
