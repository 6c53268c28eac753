# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO's webhooks against the real door: as form and as JSON, and who may post."""

import json
import secrets
import time

import pytest

from tests.support import posts, wire
from tests.support.posts import Post

TOKEN = f"webhook-{secrets.token_hex(12)}"


def event(**fields: object) -> dict[str, object]:
    """What SMTP2GO posts of a delivery, as its documentation shows it."""
    return {
        "event": "delivered",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sendtime": time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime()),
        "sender": "sales@bridge.example",
        "rcpt": f"{secrets.token_hex(5)}@outside.example",
        "auth": "api-0123",
        "host": "mx.outside.example [192.0.2.25]",
        "email_id": f"1u0SwL-{secrets.token_hex(4)}-JAB2",
        "message-id": f"<{secrets.token_hex(8)}@bridge.example>",
        "message": "250 2.0.0 Ok: queued as 4f7f4b3tWbzKy",
        "context": "Unavailable",
        **fields,
    }


def as_json(path: str, values: object, **headers: str) -> Post:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Post(path, "application/json", json.dumps(values).encode(), pairs)


def as_form(path: str, values: dict, **headers: str) -> Post:
    pairs = [(name, str(value)) for name, value in values.items()]
    made = posts.form(path, pairs)
    extra = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Post(path, made.content_type, made.body, extra)


@pytest.fixture
def account(bridge):
    return bridge.account("smtp2go")


def told(bridge, account) -> list[tuple]:
    """(type, recipient) of the events of an account, once its posts are settled."""
    assert all(row[1] == "done" for row in bridge.settled(account))
    return bridge.sql(
        """SELECT type, recipient FROM mail_bridge_event
            WHERE account_id = %s ORDER BY type, recipient""",
        account.id,
    )


@pytest.mark.parametrize("form", [as_form, as_json])
def test_an_event_is_acknowledged_and_stands_there_once(bridge, account, form):
    values = event()
    for _repetition in range(2):
        reply = bridge.post(form(account.path, values))
        assert (reply.status, reply.body) == (200, b"OK")
    assert told(bridge, account) == [("delivered", values["rcpt"])]


def test_the_same_event_as_form_and_as_json_is_one(bridge, account):
    values = event(event="bounce", bounce="hard", message="550 5.1.1 No such user")
    for form in (as_form, as_json):
        assert bridge.post(form(account.path, values)).status == 200
    assert told(bridge, account) == [("bounced", values["rcpt"])]


def test_a_list_and_processed_tell_of_each_recipient(bridge, account):
    values = event(event="processed", recipients=["a@out.example", "b@out.example"])
    del values["rcpt"]
    opened = event(event="opened", rcpt="c@out.example")
    assert bridge.post(as_json(account.path, [values, opened])).status == 200
    assert told(bridge, account) == [
        ("opened", "c@out.example"),
        ("queued", "a@out.example"),
        ("queued", "b@out.example"),
    ]


@pytest.mark.parametrize("form", [as_form, as_json])
def test_with_an_authorization_only_its_posts_count(bridge, form):
    account = bridge.account("smtp2go", smtp2go_webhook_auth=TOKEN)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X_Token": TOKEN}):
        assert bridge.post(form(account.path, event(), **headers)).status == 403
    assert bridge.intakes(account) == []
    genuine = form(account.path, event(), Authorization=f"Bearer {TOKEN}")
    assert bridge.post(genuine).status == 200
    assert len(bridge.intakes(account)) == 1


def test_the_address_without_its_token_takes_nothing(bridge, account):
    for path in ("/mailgate/smtp2go", f"/mailgate/smtp2go/{'a' * 32}"):
        assert bridge.post(as_json(path, event())).status == 403
    assert bridge.intakes(account) == []


def test_what_is_no_event_is_kept_as_dead(bridge, account):
    assert bridge.post(as_json(account.path, {"hello": "world"})).status == 200
    [(_id, state, _attempts, error)] = bridge.settled(account)
    assert state == "dead"
    assert "no event of SMTP2GO" in error


def test_mailguns_events_have_an_address_of_their_own(bridge):
    account = bridge.account("mailgun")
    address = f"{secrets.token_hex(5)}@outside.example"
    values = {
        "signature": posts.mailgun_proof(account.key),
        "event-data": {
            "event": "delivered",
            "id": secrets.token_urlsafe(16),
            "timestamp": time.time(),
            "recipient": address,
            "message": {"headers": {"message-id": "mail@bridge.example"}},
            "delivery-status": None,
        },
    }
    assert bridge.post(as_json(f"{account.path}/events", values)).status == 200
    assert told(bridge, account) == [("delivered", address)]
    forged = {**values, "signature": posts.mailgun_proof("another")}
    assert bridge.post(as_json(f"{account.path}/events", forged)).status == 403
    reply = wire.request(bridge.server.port, "GET", f"{account.path}/events")
    assert reply.status == 405
