# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What add-messages takes, refuses and says, after facts/relay.md §1.6 and §1.13."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.rest.answers import ApiError
from odoo.addons.mail_relay.rest.batch import ALREADY_SENT, read_batch

GOOD = {
    "id": "m1",
    "tenant_id": "t1",
    "account_id": "a1",
    "from": "app@client.example",
    "to": "ann@example.com",
    "subject": "Hello",
}


def message(**values):
    """A good message, but for some values; a key of ``...`` is left out."""
    return {k: v for k, v in {**GOOD, **values}.items() if v is not ...}


def read(*messages, **others):
    return read_batch({"messages": list(messages), **others}, 1000)


def reasons(*messages):
    return [one.reason for one in read(*messages).refused]


def refusal(call):
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.reply.status, json.loads(caught.value.reply.body)


def test_c30_at_most_a_thousand_messages():
    assert len(read(*[message(id=str(n)) for n in range(1000)]).items) == 1000
    status, body = refusal(lambda: read(*[GOOD] * 1001))
    assert status == 400
    text = "Cannot enqueue more than 1000 messages at once"
    assert body == {"detail": {"error": text, "rejected": None}}


def test_c30_an_empty_list_is_no_mistake():
    assert json.loads(read().answer().body) == {
        "ok": True,
        "queued": 0,
        "rejected": [],
    }


@pytest.mark.parametrize(
    "name", ["id", "tenant_id", "account_id", "from", "to", "subject"]
)
def test_c31_a_missing_key_is_named_where_another_message_is_good(name):
    assert reasons(GOOD, message(**{name: ...})) == [f"missing {name}"]
    assert reasons(GOOD, message(**{name: None})) == [f"missing {name}"]
    status, body = refusal(lambda: read(message(**{name: ...})))
    assert status == 422
    [error] = body["detail"]
    assert error["loc"] == ["body", "messages", 0, name]
    assert error["type"] == "missing"


@pytest.mark.parametrize("name", ["id", "tenant_id", "account_id", "from", "to"])
def test_c31_an_empty_value_is_missing_too(name):
    batch = read(message(**{name: ""}))
    assert [one.reason for one in batch.refused] == [f"missing {name}"]
    status, body = refusal(batch.answer)
    entry = {"reason": f"missing {name}"} | ({"id": "m1"} if name != "id" else {})
    assert status == 400
    assert body["detail"] == {"error": None, "rejected": [entry]}
    assert body["rejected"] == [entry]
    assert body["ok"] is False


def test_an_empty_subject_is_a_legal_mail():
    assert read(message(subject="")).items[0]["subject"] == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"priority": "urgent"},
        {"batch_code": "x" * 65},
        {"content_type": "rtf"},
        {"deferred_ts": "tomorrow"},
        {"deferred_ts": 10**20},
        {"attachments": [{"filename": "a", "storage_path": "b", "size": 1}]},
        {"attachments": [{"filename": "a"}]},
        {"to": 5},
        {"subject": "a\0b"},
    ],
)
def test_a_poisoned_message_spoils_no_other(bad):
    batch = read(GOOD, message(id="m2", **bad))
    assert [item["id"] for item in batch.items] == ["m1"]
    assert [(one.id, one.reason) for one in batch.refused] == [
        ("m2", "invalid payload")
    ]
    assert refusal(lambda: read(message(**bad)))[0] == 422


@pytest.mark.parametrize("raw", [None, 5, "text", []])
def test_a_message_that_is_no_object(raw):
    assert reasons(GOOD, raw) == ["invalid payload"]
    assert refusal(lambda: read(raw))[0] == 422


@pytest.mark.parametrize("body", [None, [], {}, {"messages": 5}, {"messages": None}])
def test_a_body_without_a_list_of_messages(body):
    assert refusal(lambda: read_batch(body, 1000))[0] == 422


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\x85"])
@pytest.mark.parametrize(
    "where", ["from", "subject", "reply_to", "return_path", "message_id", "to"]
)
def test_a_header_cannot_be_ended_from_within(where, end):
    value = f"a@client.example{end}Bcc: victim@example.com"
    assert reasons(GOOD, message(id="m2", **{where: value})) == ["invalid payload"]


@pytest.mark.parametrize(
    "headers", [{"X-A": "1\r\nBcc: v@x.example"}, {"X A": "1"}, {"X:A": "1"}, {"": ""}]
)
def test_header_fields_of_ones_own_cannot_add_another(headers):
    assert reasons(GOOD, message(headers=headers)) == ["invalid payload"]


def test_a_filename_cannot_add_a_header():
    files = [{"filename": 'a"\r\nX: y', "storage_path": "base64:YQ=="}]
    assert reasons(GOOD, message(attachments=files)) == ["invalid payload"]


@pytest.mark.parametrize(
    "values",
    [{"from": "nobody"}, {"from": "a@x, b@x"}, {"to": "nobody"}, {"return_path": "x"}],
)
def test_without_an_address_that_a_server_takes(values):
    assert reasons(GOOD, message(**values)) == ["invalid payload"]


def test_one_bad_recipient_among_good_ones_is_the_relays_matter():
    batch = read(message(to=["nobody", "ann@example.com"]))
    assert batch.items[0]["to"] == ["nobody", "ann@example.com"]


@pytest.mark.parametrize(
    ("given_priority", "default", "wanted"),
    [(..., ..., 2), (None, ..., 2), (..., "high", 1), (0, 3, 0), (None, 7, 3)],
)
def test_c34_default_priority(given_priority, default, wanted):
    others = {} if default is ... else {"default_priority": default}
    batch = read(message(priority=given_priority), **others)
    assert batch.items[0]["priority"] == wanted


def test_c34_a_default_priority_that_is_none():
    assert refusal(lambda: read(GOOD, default_priority="urgent"))[0] == 422


def test_c72_a_clients_key_implies_its_tenant():
    body = {"messages": [message(tenant_id=...)]}
    body["messages"].append(message(id="m2", tenant_id=..., to=...))
    batch = read_batch(body, 1000, implied_tenant="t9")
    assert batch.items[0]["tenant_id"] == "t9"
    assert [(one.tenant, one.reason) for one in batch.refused] == [("t9", "missing to")]


def test_c32_only_sent_before_is_no_mistake():
    batch = read(GOOD)
    batch.refuse(batch.items[0], ALREADY_SENT)
    assert json.loads(batch.answer().body) == {
        "ok": True,
        "queued": 0,
        "rejected": [{"id": "m1", "reason": "already sent"}],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*GOOD, "headers", "attachments"]), inner),
    max_leaves=8,
)


@given(values=st.dictionaries(st.sampled_from([*GOOD, "cc", "headers"]), JSON))
def test_whatever_a_message_holds_it_is_good_or_refused(values):
    batch = read(GOOD, {**GOOD, **values})
    assert len(batch.items) + len(batch.refused) == 2
    assert batch.items[0]["id"] == "m1"
