# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The door beside `website`, which has its own ways to match and to fail."""

import secrets

import pytest

from tests.support import posts, wire
from tests.support.posts import make_mail, unique
from tools import database as databases

CODES = ("mailgun", "improvmx", "raw")


@pytest.fixture(scope="module")
def database(odoo, connection, database):
    """A database with crm, the suite, and a website."""
    databases.install(odoo, connection, database, ["website"])
    return database


@pytest.fixture
def desk(bridge):
    return bridge.alias()


def assert_plain(reply) -> None:
    """Nothing of a web page: no cookie, no redirection, no HTML."""
    assert reply.header("Set-Cookie") is None
    assert reply.header("Location") is None
    assert "html" not in (reply.header("Content-Type") or "")
    assert b"<" not in reply.body


@pytest.mark.parametrize("code", CODES)
def test_a_genuine_post_stands_in_the_chatter(bridge, desk, code):
    account, subject = bridge.account(code), unique(code)
    reply = bridge.post(account.post(desk, make_mail(desk, subject)))
    assert reply.status == 200
    assert_plain(reply)
    assert len(bridge.arrived(subject)) == 1


def test_raw_mime_at_the_secret_address(bridge, desk):
    account, subject = bridge.account("mailgun", require_token=True), unique()
    post = posts.mailgun_raw(account.key, desk, make_mail(desk, subject).as_bytes())
    assert bridge.post(post.at(f"{account.path}/mime")).status == 200
    assert bridge.arrived(subject)


def test_an_address_with_a_slash_too_many_is_no_redirection(bridge, desk):
    """`http_routing` would answer 301, which no provider follows."""
    account = bridge.account("improvmx")
    for path in (f"{account.path}/", account.path.replace("/improvmx/", "//improvmx/")):
        subject = unique()
        reply = bridge.post(account.post(desk, make_mail(desk, subject)).at(path))
        assert reply.status == 200
        assert_plain(reply)
        assert bridge.arrived(subject)


def test_each_answer_is_ours(bridge, desk):
    mailgun = bridge.account("mailgun")
    port, token = bridge.server.port, secrets.token_urlsafe(24)
    post = mailgun.post(desk, make_mail(desk, unique()))
    forged = posts.form("/mailgate/mailgun", {"recipient": desk})
    replies = {
        "forged": (403, bridge.post(forged)),
        "wrong token": (403, bridge.post(post.at(f"/mailgate/mailgun/{token}"))),
        "unknown": (404, wire.request(port, "POST", "/mailgate/nobody")),
        "method": (405, wire.request(port, "GET", "/mailgate/mailgun")),
        "no such path": (503, bridge.post(post.at("/mailgate/mailgun/x/y/z"))),
        "no provider": (503, bridge.post(post.at("/mailgate/"))),
    }
    for name, (status, reply) in replies.items():
        assert reply.status == status, name
        assert_plain(reply)
    bridge.client.call("mail.bridge.account", "action_disable", [mailgun.id])
    assert bridge.post(post).status == 503


def test_a_visitor_who_reads_german_is_not_redirected(bridge, desk):
    languages = bridge.client.search_read(
        "res.lang", [("code", "=", "de_DE"), ("active", "in", (True, False))], ["id"]
    )
    bridge.client.write("res.lang", languages[0]["id"], active=True)
    [site] = bridge.client.search_read("website", [], ["language_ids"], limit=1)
    both = [(6, 0, [*site["language_ids"], languages[0]["id"]])]
    bridge.client.write("website", site["id"], language_ids=both)
    german = (("Accept-Language", "de"), ("User-Agent", "Mailgun"))
    for code in CODES:
        account, subject = bridge.account(code), unique(code)
        post = account.post(desk, make_mail(desk, subject))
        sent = posts.Post(
            post.path, post.content_type, post.body, post.headers + german
        )
        reply = bridge.post(sent)
        assert reply.status == 200
        assert_plain(reply)
        assert bridge.arrived(subject)
        nowhere = bridge.post(sent.at(f"/mailgate/{code}/x/y/z"))
        assert nowhere.status == 503
        assert_plain(nowhere)
