# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The table of routes and the shapes of requests, after facts/relay.md §1.3–§1.5."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.rest import payloads
from odoo.addons.mail_relay.rest.answers import ApiError, failure, success
from odoo.addons.mail_relay.rest.routes import ROUTES, find_route
from odoo.addons.mail_relay.rest.schema import Wrong


def refusal(call, *args):
    """The status and the JSON of what a call refuses with."""
    with pytest.raises(ApiError) as caught:
        call(*args)
    reply = caught.value.reply
    return reply.status, json.loads(reply.body)


def kinds(schema, value):
    """The types and places of the errors of a value."""
    with pytest.raises(Wrong) as caught:
        schema.read(value)
    return {error["loc"][-1]: error["type"] for error in caught.value.errors}


def test_there_are_26_routes_and_each_is_found():
    assert len(ROUTES) == len({(r.method, r.path) for r in ROUTES}) == 26
    for route in ROUTES:
        path = route.path.replace("{id}", "an id@x")
        for shown in (path, f"{path}/", f"/v1{path}", f"//{path[1:]}"):
            found, parts = find_route(route.method, shown)
            assert found is route
            assert parts == ({"id": "an id@x"} if "{id}" in route.path else {})


def test_administrators_alone_have_the_routes_of_the_instance():
    count = Counter(route.access for route in ROUTES)
    assert count == {"open": 1, "network": 1, "any": 13, "admin": 11}


@pytest.mark.parametrize("path", ["/", "/nothing", "/tenant", "/tenant/a/b/c"])
def test_c05_what_is_not_there_is_said_in_json(path):
    status, body = refusal(find_route, "GET", path)
    wanted = (405, "Method Not Allowed") if path == "/tenant" else (404, "Not Found")
    assert (status, body["detail"]) == wanted


def test_c05_a_wrong_method_is_told_the_right_ones():
    with pytest.raises(ApiError) as caught:
        find_route("PATCH", "/tenant/t1")
    assert caught.value.reply.status == 405
    assert dict(caught.value.reply.headers)["Allow"] == "DELETE, GET, PUT"


def test_c07_null_is_left_out_of_success_and_kept_in_a_refusal():
    assert success({"ok": True, "a": None, "b": [{"c": None}], "d": 0}).body == (
        b'{"ok":true,"b":[{}],"d":0}'
    )
    assert json.loads(ApiError(400, {"error": None}).reply.body) == {
        "detail": {"error": None}
    }


def test_c06_unknown_keys_are_ignored_but_in_attachments_and_auth():
    assert payloads.TENANT.read({"id": "t", "colour": 1}) == {"id": "t"}
    assert payloads.MESSAGES_QUERY.read({"tenant_id": "t", "page": "2"})
    bad = {"filename": "a", "storage_path": "b", "size": 1}
    assert kinds(payloads.ATTACHMENT, bad) == {"size": "extra_forbidden"}
    auth = {"client_auth": {"method": "none", "scheme": "x"}, "id": "t"}
    assert kinds(payloads.TENANT, auth) == {"scheme": "extra_forbidden"}


def test_c12_an_update_holds_what_was_given_alone():
    assert payloads.TENANT_UPDATE.read({"name": "N"}) == {"name": "N"}
    assert payloads.TENANT_UPDATE.read({"name": None}) == {"name": None}


def test_c20_an_account_needs_id_host_and_port():
    assert kinds(payloads.ACCOUNT, {}) == dict.fromkeys(
        ("id", "host", "port"), "missing"
    )
    full = {"id": "a", "host": "h", "port": "25", "name": "x", "timeout": 3}
    account = payloads.ACCOUNT.complete(payloads.ACCOUNT.read(full))
    assert (account["port"], account["ttl"]) == (25, 300)
    assert account["limit_behavior"] == "defer"
    assert "timeout" not in account


@pytest.mark.parametrize(
    ("given_value", "kind"),
    [
        ("x", "int_parsing"),
        (25.5, "int_type"),
        ({}, "int_type"),
        (0, "int_range"),
        (10**30, "int_range"),
    ],
)
def test_a_port_that_is_none(given_value, kind):
    body = {"id": "a", "host": "h", "port": given_value}
    assert kinds(payloads.ACCOUNT, body) == {"port": kind}


def test_no_error_repeats_a_secret():
    secret = {"method": "bearer", "token": ["s3cret-s3cret"], "password": 5}
    with pytest.raises(Wrong) as caught:
        payloads.TENANT.read({"id": "t", "client_auth": secret})
    assert "s3cret" not in str(caught.value.errors)
    assert "5" not in [error["input"] for error in caught.value.errors]


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_what_no_database_holds_is_refused(text):
    assert kinds(payloads.TENANT, {"id": "t", "name": text}) == {
        "name": "string_unicode"
    }


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, 0),
        (3, 3),
        (-7, 0),
        (99, 3),
        ("2", 2),
        ("-1", 0),
        ("immediate", 0),
        ("high", 1),
        ("medium", 2),
        ("low", 3),
    ],
)
def test_c34_priorities_are_numbers_or_names(value, wanted):
    assert payloads.priority(value, ()) == wanted


@pytest.mark.parametrize("value", ["urgent", "", "1.5", [], {}])
def test_c34_other_words_are_no_priority(value):
    with pytest.raises(Wrong):
        payloads.priority(value, ())


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a@x.example", ["a@x.example"]),
        ("a@x.example, b@x.example", ["a@x.example", "b@x.example"]),
        ("a@x.example; b@x.example", ["a@x.example", "b@x.example"]),
        (["a@x.example,b@x.example"], ["a@x.example", "b@x.example"]),
        ('"Doe, Jane" <j@x.example>', ['"Doe, Jane" <j@x.example>']),
        ("", []),
        (" , ", []),
        ([], []),
    ],
)
def test_c33_addresses_are_a_list_or_a_text_with_commas(value, wanted):
    assert payloads.addresses(value, ()) == wanted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=JSON, schema=st.sampled_from([r.body for r in ROUTES if r.body]))
def test_any_json_is_read_or_refused_with_errors_that_can_be_told(value, schema):
    try:
        schema.complete(schema.read(value))
    except Wrong as error:
        assert error.errors
        assert json.loads(failure(422, error.errors).body)["detail"]
