# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The interface for other applications over HTTP: C01–C39, C71 of facts/relay.md §1.15.

What is asked and answered; sending and reporting are in test_relay_api_delivery.py.
"""

import json
import secrets
import time

import pytest

from tests.support import wire
from tests.support.application import Application, RelayApi

OPEN = ("GET", "/health")
#: Method, path with a tenant's id where it has one, body: all but add-messages.
SCOPED = (
    ("POST", "/commands/suspend?tenant_id={}", ...),
    ("POST", "/commands/activate?tenant_id={}", ...),
    ("POST", "/commands/delete-messages?tenant_id={}", {"ids": ["m1"]}),
    ("POST", "/commands/cleanup-messages?tenant_id={}", {"older_than_seconds": 0}),
    (
        "POST",
        "/account",
        {"id": "a1", "tenant_id": "{}", "host": "evil.example", "port": 25},
    ),
    ("GET", "/accounts?tenant_id={}", ...),
    ("DELETE", "/account/a1?tenant_id={}", ...),
    ("GET", "/messages?tenant_id={}", ...),
    ("GET", "/tenant/{}", ...),
    ("PUT", "/tenant/{}", {"name": "Mine now"}),
)
ADMIN = (
    ("POST", "/tenant", {"id": "{}", "name": "Mine now"}),
    ("GET", "/tenants", ...),
    ("GET", "/tenants/sync-status", ...),
    ("DELETE", "/tenant/{}", ...),
    ("POST", "/tenant/{}/api-key", ...),
    ("DELETE", "/tenant/{}/api-key", ...),
    ("GET", "/instance", ...),
    ("PUT", "/instance", {"name": "Mine now"}),
    ("POST", "/instance/reload-bounce", ...),
    ("GET", "/command-log?tenant_id={}", ...),
    ("GET", "/command-log/export?tenant_id={}", ...),
)
OWN = (
    ("GET", "/status", ...),
    ("POST", "/commands/run-now?tenant_id={}", ...),
)
#: Nothing is there: mail to it waits.
NOWHERE = 9


@pytest.fixture(scope="module")
def module_server(make_server):
    """Two HTTP workers, mounted at a second place."""
    return make_server(
        workers=2, environment={"MAIL_RELAY_PREFIX": "/mailproxy/v1, /other"}
    )


@pytest.fixture(scope="module")
def keys(odoo, module_server, database):
    """A key of the instance in each of two companies."""
    from tools.shell import run_in_odoo

    module_server.start()
    return run_in_odoo(
        odoo,
        module_server.folder / "odoo.conf",
        database,
        """
        other = env["res.company"].create({"name": "Other"})
        Key = env["mail.bridge.key"]
        result = [
            Key._issue(["relay:admin"], name="instance", company_id=company)[1]
            for company in (1, other.id)
        ]
        """,
    )


@pytest.fixture
def relay(server, keys):
    return RelayApi(server.port, keys[0])


@pytest.fixture
def tenant(relay):
    """An application with an account that leads nowhere."""
    made = relay.tenant(f"t-{secrets.token_hex(4)}", name="The Firm")
    made.account("a1", NOWHERE)
    return made


def filled(value, name):
    """A path or body with the tenant's id in it."""
    if isinstance(value, dict):
        return {key: filled(one, name) for key, one in value.items()}
    return value.replace("{}", name) if isinstance(value, str) else value


# ------------------------------------------------------------- transport and keys


@pytest.mark.parametrize("prefix", ["/relay", "/relay/v1", "/mailproxy/v1", "/other"])
def test_c01_the_prefix_is_configurable(relay, prefix):
    other = RelayApi(relay.port, relay.token, prefix)
    assert other.get("/health") == {"status": "ok"}
    assert other.get("/status") == {"ok": True, "active": True}
    assert other.get("/status/") == {"ok": True, "active": True}
    assert other.ask("GET", "//tenants/").status == 200


def test_c01_health_is_also_found_outside_the_version(relay):
    assert RelayApi(relay.port, "", "/mailproxy").get("/health") == {"status": "ok"}


@pytest.mark.parametrize("name", ["X-API-Token", "x-api-token", "X-Api-TOKEN"])
def test_c02_the_header_in_any_case(relay, tenant, name):
    for token in (relay.token, tenant.token):
        headers = [(name, token)]
        assert wire.request(relay.port, "GET", "/relay/status", headers).status == 200


def test_c02_only_hashes_are_stored(bridge, relay, tenant):
    for token in (relay.token, tenant.token):
        assert len(token) == 43
        [(shown,)] = bridge.sql(
            "SELECT k::text FROM mail_bridge_key k WHERE prefix = %s", token[:8]
        )
        assert token not in shown


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "ü" * 43])
def test_c03_without_a_key_nothing_is_open(relay, token):
    for method, path, body in (*SCOPED, *ADMIN, *OWN):
        answer = RelayApi(relay.port, token).ask(
            method, filled(path, "t1"), filled(body, "t1")
        )
        assert answer.status == 401
        assert answer.json == {"detail": "Invalid or missing API token"}


def test_c03_a_key_of_one_application_at_anothers(relay, tenant):
    other = relay.tenant(f"o-{secrets.token_hex(4)}")
    for method, path, body in SCOPED:
        answer = tenant.ask(method, filled(path, other.name), filled(body, other.name))
        assert answer.status == 401, (path, answer.raw)
        assert answer.json == {"detail": "Token not authorized for this tenant"}
    assert relay.get(f"/tenant/{other.name}")["name"] == other.name


def test_c03_a_key_of_an_application_at_the_instances(relay, tenant):
    for method, path, body in ADMIN:
        answer = tenant.ask(
            method, filled(path, tenant.name), filled(body, tenant.name)
        )
        assert answer.status == 403, (path, answer.raw)
        assert answer.json == {
            "detail": "Admin token required, tenant tokens not allowed for this "
            "operation"
        }


def test_c03a_messages_through_anothers_account_are_refused(relay, tenant):
    other = relay.tenant(f"o-{secrets.token_hex(4)}")
    other.account("theirs", NOWHERE)
    bad = tenant.message("m2", tenant_id=other.name, account_id="theirs")
    answer = tenant.add(tenant.message("m1"), bad)
    assert answer["rejected"] == [
        {"id": "m2", "reason": "account not found for tenant"}
    ]
    assert other.messages() == {}
    assert list(tenant.messages()) == ["m1"]
    for path in ("/commands/suspend", "/commands/activate"):
        assert tenant.ask("POST", path, tenant_id=other.name).status == 401


def test_companies_see_nothing_of_each_other(relay, tenant, keys):
    """Over all routes, with the key of another company's instance."""
    tenant.add(tenant.message("m1"))
    before = seen(relay, tenant)
    stranger = RelayApi(relay.port, keys[1])
    assert len({route[:2] for route in (*SCOPED, *ADMIN, *OWN)}) + 3 == 26
    for method, path, body in (*SCOPED, *ADMIN, *OWN):
        answer = stranger.ask(
            method, filled(path, tenant.name), filled(body, tenant.name)
        )
        assert answer.status in (200, 400, 404), (path, answer.raw)
        assert b"addMessages" not in answer.raw  # the log of the others' commands
        if tenant.name.encode() in answer.raw and "command-log" not in path:
            assert answer.status == 404, (path, answer.raw)
    body = {"messages": [tenant.message("m1", subject="Theirs"), tenant.message("m2")]}
    answer = stranger.ask("POST", "/commands/add-messages", body)
    assert answer.status == 400
    assert {one["reason"] for one in answer.json["rejected"]} == {
        "account not found for tenant"
    }
    assert tenant.name not in stranger.ask("GET", "/metrics").raw.decode()
    assert seen(relay, tenant) == before


def seen(relay, tenant):
    """What nobody else may have changed."""
    messages = tenant.messages().values()
    return (
        relay.get(f"/tenant/{tenant.name}"),
        tenant.get("/accounts"),
        [(one["id"], one["message"]["subject"]) for one in messages],
        tenant.token,
    )


def test_c04_health_and_metrics_are_open_here(relay):
    assert RelayApi(relay.port, "").get("/health") == {"status": "ok"}
    answer = RelayApi(relay.port, "").ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/plain; version=0.0.4"
    assert relay.ask("GET", "/metrics").status == 200


def test_c04_metrics_are_for_their_networks_alone(client, relay, tenant):
    name = ("mail_relay.metrics_networks", "192.0.2.0/24")
    client.call("ir.config_parameter", "set_param", *name)
    try:
        assert RelayApi(relay.port, "").ask("GET", "/metrics").status == 401
        assert tenant.ask("GET", "/metrics").status == 403
        assert relay.ask("GET", "/metrics").status == 200
    finally:
        client.call("ir.config_parameter", "set_param", name[0], False)


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "", 404, "Not Found"),
        ("GET", "/tenant", 405, "Method Not Allowed"),
        ("DELETE", "/health", 405, "Method Not Allowed"),
        ("GET", "/commands/add-messages", 405, "Method Not Allowed"),
    ],
)
def test_c05_no_such_route_or_method(relay, method, path, status, detail):
    answer = relay.ask(method, path)
    assert (answer.status, answer.json) == (status, {"detail": detail})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"messages": NaN}', b"[" * 10_000]
)
def test_c05_malformed_json(relay, body):
    for path in ("/commands/add-messages", "/tenant", "/account"):
        answer = relay.ask("POST", path, body)
        assert answer.status == 422
        assert answer.json["detail"][0]["type"] == "json_invalid"


def test_c06_unknown_keys(relay, tenant):
    known = {"tenant_id": tenant.name, "page": 3}
    assert tenant.get("/messages", **known)["messages"] == []
    body = {"messages": [tenant.message("m1", colour="red")], "dry_run": True}
    assert tenant.post("/commands/add-messages", body)["queued"] == 1
    odd = {"filename": "a", "storage_path": "base64:YQ==", "size": 1}
    assert tenant.submit(tenant.message("m2", attachments=[odd])).status == 422
    auth = {"client_auth": {"method": "none", "scheme": "x"}}
    answer = relay.ask("PUT", f"/tenant/{tenant.name}", auth)
    assert answer.status == 422
    assert answer.json["detail"][0]["type"] == "extra_forbidden"


def test_c07_null_is_left_out_and_everything_is_json(relay, tenant):
    tenant.add(tenant.message("m1"))
    for path in ("/messages", "/accounts"):
        answer = tenant.ask("GET", path, tenant_id=tenant.name)
        assert b"null" not in answer.raw
        assert answer.json["ok"] is True
    assert b"null" not in relay.ask("GET", "/tenants").raw
    for method, path in (("GET", "/x"), ("PUT", "/health"), ("POST", "/tenant")):
        assert "detail" in relay.ask(method, path).json


def test_c07_an_error_of_ours_is_json_too(relay, client, server_log, tenant):
    name = "mail_relay.instance"
    client.call("ir.config_parameter", "set_param", name, "no JSON")
    server_log.expect(r"JSONDecodeError|Exception during request")
    try:
        answer = relay.ask("GET", "/instance")
    finally:
        client.call("ir.config_parameter", "set_param", name, False)
    assert (answer.status, answer.json) == (500, {"detail": "Internal Server Error"})


def test_c08_without_a_tenant_the_instance_is_told_what_is_missing(relay):
    for method, path, body in SCOPED:
        if "tenant_id={}" not in path:
            continue
        answer = relay.ask(method, path.partition("?")[0], body)
        assert answer.status == 422, path
        assert answer.json["detail"][0]["loc"] == ["query", "tenant_id"]


def test_c09_an_unknown_tenant_has_nothing(relay):
    for path in ("/accounts", "/messages"):
        found = relay.get(path, tenant_id="nobody")
        assert found == {"ok": True, path.strip("/"): []}


# ------------------------------------------------------------------------ tenants


def test_c10_a_tenant_is_registered_once(relay, client):
    name = f"t-{secrets.token_hex(4)}"
    first = relay.post("/tenant", {"id": name})
    assert first["ok"] is True
    assert len(first["api_key"]) == 43
    assert relay.post("/tenant", {"id": name}) == {"ok": True}
    assert relay.ask("POST", "/tenant", {}).status == 422
    client.call("ir.config_parameter", "set_param", "mail_relay.reissue_keys", "1")
    again = relay.post("/tenant", {"id": name})
    client.call("ir.config_parameter", "set_param", "mail_relay.reissue_keys", False)
    assert relay.ask("GET", "/status", token=again["api_key"]).status == 200
    assert relay.ask("GET", "/status", token=first["api_key"]).status == 401


def test_c11_a_tenant_is_read_changed_and_deleted(relay, tenant):
    path = f"/tenant/{tenant.name}"
    assert relay.get(path)["id"] == tenant.name
    assert tenant.get(path)["name"] == "The Firm"
    assert relay._good(relay.ask("PUT", path, {"name": "New"})) == {"ok": True}
    missing = {"detail": "Tenant 'nobody' not found"}
    for method, body in (("GET", ...), ("PUT", {"name": "x"}), ("DELETE", ...)):
        answer = relay.ask(method, "/tenant/nobody", body)
        assert (answer.status, answer.json) == (404, missing)
    assert relay.ask("PUT", path, {}).status == 404


def test_c12_only_what_is_given_is_changed(relay, bridge):
    name = f"t-{secrets.token_hex(4)}"
    auth = {"method": "basic", "user": "u", "password": "hidden-password"}
    full = {
        "id": name,
        "name": "Whole",
        "client_auth": auth,
        "client_base_url": "https://app.example.com",
        "client_sync_path": "/sync",
        "rate_limits": {"hourly": 5},
        "large_file_config": {"enabled": True, "max_size_mb": 3, "action": "reject"},
    }
    relay.post("/tenant", full)
    relay.post("/tenant", {"id": name, "name": "Whole"})
    before = relay.get(f"/tenant/{name}")
    assert before["client_attachment_path"] == "/mail-proxy/attachments"
    assert before["client_auth"] == {"method": "basic", "user": "u"}
    relay.ask("PUT", f"/tenant/{name}", {"active": False})
    relay.post("/tenant", {"id": name, "active": True, "client_sync_path": "/other"})
    after = relay.get(f"/tenant/{name}")
    for shown in (before, after):
        shown.pop("updated_at")
    assert after == before | {"client_sync_path": "/other"}
    assert "hidden-password" not in json.dumps([before, relay.get("/tenants")])
    dump = bridge.sql("SELECT c::text FROM mail_relay_client c")
    dump += bridge.sql("SELECT c::text FROM mail_relay_command c")
    assert "hidden-password" not in str(dump)


def test_c12_a_rewriting_of_large_files_is_refused_and_not_pretended(relay, tenant):
    config = {"large_file_config": {"enabled": True, "action": "rewrite"}}
    assert tenant.ask("PUT", f"/tenant/{tenant.name}", config).status == 422


def test_c13_keys_are_replaced_and_revoked(relay, tenant):
    path = f"/tenant/{tenant.name}/api-key"
    new = relay.post(path)["api_key"]
    assert relay.ask("GET", "/status", token=new).status == 200
    assert tenant.ask("GET", "/status").status == 401
    assert relay._good(relay.ask("DELETE", path)) == {"ok": True}
    assert relay.ask("GET", "/status", token=new).status == 401
    for method in ("POST", "DELETE"):
        assert relay.ask(method, "/tenant/nobody/api-key").status == 404


def test_c14_deleting_a_tenant_deletes_what_is_its_own(relay, tenant, bridge):
    tenant.add(tenant.message("m1"), tenant.message("m2", to="", id="m2"))
    tables = {
        "mail_relay_posting": "client_id",
        "mail_relay_report": "client_id",
        "mail_relay_command": "client_id",
        "mail_relay_message": "client_id",
        "mail_bridge_account": "relay_client_id",
        "mail_bridge_key": "relay_client_id",
    }
    [(number,)] = bridge.sql(
        "SELECT id FROM mail_relay_client WHERE identifier = %s", tenant.name
    )

    def counts():
        return {
            table: bridge.sql(
                f"SELECT count(*) FROM {table} WHERE {column} = %s", number
            )[0][0]
            for table, column in tables.items()
        }

    assert all(counts().values()), counts()
    path = f"/tenant/{tenant.name}"
    assert relay._good(relay.ask("DELETE", path)) == {"ok": True}
    assert relay.ask("DELETE", path).status == 404
    assert set(counts().values()) == {0}
    assert tenant.ask("GET", "/status").status == 401


def test_c15_tenants_and_when_they_are_called(relay, tenant):
    quiet = relay.tenant(f"q-{secrets.token_hex(4)}", active=False)
    every = {one["id"] for one in relay.get("/tenants")["tenants"]}
    active = relay.get("/tenants", active_only="true")["tenants"]
    assert {tenant.name, quiet.name} <= every
    assert quiet.name not in {one["id"] for one in active}
    status = relay.get("/tenants/sync-status")
    assert status["sync_interval_seconds"] == 300
    [mine] = [one for one in status["tenants"] if one["id"] == tenant.name]
    assert mine == {
        "id": tenant.name,
        "name": "The Firm",
        "active": True,
        "next_sync_due": True,
        "in_dnd": False,
    }


# ----------------------------------------------------------------------- accounts


def test_c20_an_account_is_declared_and_changed(relay, tenant):
    other = {"id": "a2", "host": "smtp.example.com", "port": 2525}
    tenant.post("/account", other)  # its own tenant is implied
    accounts = tenant.get("/accounts", tenant_id=tenant.name)["accounts"]
    [found] = [one for one in accounts if one["id"] == "a2"]
    assert (found["ttl"], found["limit_behavior"]) == (300, "defer")
    assert found["tenant_id"] == tenant.name
    changed = other | {"port": 587, "limit_per_hour": 7, "limit_behavior": "reject"}
    tenant.post("/account", changed)
    accounts = tenant.get("/accounts", tenant_id=tenant.name)["accounts"]
    [found] = [one for one in accounts if one["id"] == "a2"]
    assert (found["port"], found["limit_per_hour"]) == (587, 7)
    assert found["limit_behavior"] == "reject"
    for name in ("host", "port"):
        body = {key: value for key, value in other.items() if key != name}
        answer = tenant.ask("POST", "/account", body)
        assert answer.status == 422
        assert answer.json["detail"][0]["loc"] == ["body", name]
    answer = relay.ask("POST", "/account", other)
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["body", "tenant_id"]


def test_c20_a_host_that_is_none_is_refused_in_words(tenant, server_log):
    server_log.expect(r"WARNING odoo.http: smtp.example.com:25 is no server")
    body = {"id": "a2", "host": "smtp.example.com:25", "port": 25}
    answer = tenant.ask("POST", "/account", body)
    assert answer.status == 422
    assert "smtp.example.com:25" in answer.json["detail"]


def test_c21_accounts_are_listed_without_secrets_and_deleted(relay, tenant, bridge):
    secret = f"pw-{secrets.token_hex(8)}"
    tenant.account("a2", NOWHERE, user="u", password=secret, imap_password=secret)
    answer = tenant.ask("GET", "/accounts", tenant_id=tenant.name)
    assert secret not in answer.raw.decode()
    assert not {"password", "imap_user", "imap_password", "imap_ssl"} & set(
        answer.json["accounts"][0]
    )
    tenant.add(tenant.message("m1", account_id="a2"), tenant.message("m2"))
    bad = {"detail": "account not found or not owned by tenant"}
    answer = tenant.ask("DELETE", "/account/none", tenant_id=tenant.name)
    assert (answer.status, answer.json) == (400, bad)
    good = tenant.ask("DELETE", "/account/a2", tenant_id=tenant.name)
    assert (good.status, good.json) == (200, {"ok": True})
    assert list(tenant.messages()) == ["m2"]
    assert secret not in str(bridge.sql("SELECT c::text FROM mail_relay_command c"))


@pytest.mark.parametrize(
    ("use_tls", "port", "kept"),
    [
        (None, 465, "auto"),
        (None, 587, "auto"),
        (True, 465, "implicit"),
        (True, 587, "starttls"),
        (False, 465, "auto"),
        (False, 587, "auto"),
    ],
)
def test_c22_what_use_tls_means(tenant, bridge, use_tls, port, kept):
    """``auto``: TLS from the start on 465, elsewhere STARTTLS where it is offered."""
    tenant.account("a1", port, use_tls=use_tls)
    [(tls,)] = bridge.sql(
        """SELECT smtp_tls FROM mail_bridge_account a
             JOIN mail_relay_client c ON c.id = a.relay_client_id
            WHERE c.identifier = %s""",
        tenant.name,
    )
    assert tls == kept
    [shown] = tenant.get("/accounts", tenant_id=tenant.name)["accounts"]
    assert shown.get("use_tls") is use_tls


def test_c23_other_keys_of_an_account_are_accepted(tenant):
    others = {"name": "Mine", "timeout": 30, "is_pec_account": False}
    body = {"id": "a2", "tenant_id": tenant.name, "host": "h.example", "port": 25}
    assert tenant.post("/account", body | others) == {"ok": True}


# ----------------------------------------------------------------------- messages


def test_c30_a_thousand_messages_and_no_more(tenant, client):
    batch = [tenant.message(f"m{n}") for n in range(1001)]
    answer = tenant.submit(*batch)
    text = "Cannot enqueue more than 1000 messages at once"
    assert answer.status == 400
    assert answer.json == {"detail": {"error": text, "rejected": None}}
    assert tenant.add() == {"ok": True, "queued": 0, "rejected": []}
    assert tenant.add(*batch[:1000])["queued"] == 1000
    name = "mail_relay.batch_messages"
    client.call("ir.config_parameter", "set_param", name, "2")
    assert "more than 2 messages" in tenant.submit(*batch[:3]).raw.decode()
    client.call("ir.config_parameter", "set_param", name, False)


def test_c31_reasons_of_refusals(relay, tenant):
    good = tenant.message("good")
    wanted = {}
    bad = []
    for name in ("tenant_id", "account_id", "from", "to", "subject"):
        bad.append(tenant.message(f"no-{name}", **{name: ...}))
        wanted[f"no-{name}"] = f"missing {name}"
    bad.append(tenant.message("other", account_id="a9"))
    wanted["other"] = "account not found for tenant"
    bad.append(tenant.message("odd", subject="a\r\nBcc: v@example.com"))
    wanted["odd"] = "invalid payload"
    body = {"messages": [*bad, tenant.message("", id=...), good]}
    answer = relay.post("/commands/add-messages", body)
    assert answer["queued"] == 1
    reasons = {one.get("id"): one["reason"] for one in answer["rejected"]}
    assert reasons == wanted | {None: "missing id"}


def test_c31_all_refused_says_so_where_clients_look(tenant):
    answer = tenant.submit(tenant.message("m1", account_id="a9"))
    entry = {"id": "m1", "reason": "account not found for tenant"}
    assert answer.status == 400
    assert answer.json == {
        "detail": {"error": None, "rejected": [entry]},
        "ok": False,
        "rejected": [entry],
    }


def test_c32_a_message_that_waits_is_replaced(tenant):
    later = int(time.time()) + 3600
    tenant.add(tenant.message("m1", deferred_ts=later, subject="Old"))
    tenant.add(tenant.message("m1", deferred_ts=later + 60, subject="New", priority=0))
    [found] = tenant.messages().values()
    assert found["message"]["subject"] == "New"
    assert (found["priority"], found["deferred_ts"]) == (0, later + 60)


def test_c32_the_same_message_at_the_same_instant_is_one(tenant, bridge):
    posts = [lambda: tenant.submit(tenant.message("m1"))] * 6
    answers = wire.at_once(posts)
    assert {one.status for one in answers} == {200}
    [(mails,)] = bridge.sql(
        """SELECT count(*) FROM mail_relay_message m
             JOIN mail_relay_client c ON c.id = m.client_id
            WHERE c.identifier = %s AND m.state = 'queued'""",
        tenant.name,
    )
    assert (mails, list(tenant.messages())) == (1, ["m1"])


def test_c33_what_is_listed_of_addresses(tenant):
    message = tenant.message(
        "m1", to="ann@example.com, ben@example.com", cc=["cy@example.com"], bcc=[]
    )
    tenant.add(message)
    shown = tenant.messages()["m1"]["message"]
    assert shown["to"] == ["ann@example.com", "ben@example.com"]
    assert shown["cc"] == ["cy@example.com"]


def test_c34_priorities(tenant):
    cases = {"a": -5, "b": "high", "c": None, "d": 77, "e": ...}
    batch = [tenant.message(name, priority=value) for name, value in cases.items()]
    tenant.add(*batch, default_priority="low")
    shown = {name: one["priority"] for name, one in tenant.messages().items()}
    assert shown == {"a": 0, "b": 1, "c": 3, "d": 3, "e": 3}
    assert tenant.submit(tenant.message("f", priority="urgent")).status == 422
    tenant.add(tenant.message("g"))
    assert tenant.messages()["g"]["priority"] == 2


def test_c35_batch_codes_have_64_characters(tenant):
    tenant.add(tenant.message("m1", batch_code="x" * 64))
    assert tenant.messages()["m1"]["batch_code"] == "x" * 64
    assert tenant.submit(tenant.message("m2", batch_code="x" * 65)).status == 422


def test_c36_messages_are_listed_in_the_order_of_sending(tenant, client):
    for name, level in (("a", 3), ("b", 0), ("c", 2), ("d", 0)):
        tenant.add(tenant.message(name, priority=level))
    tenant.submit(tenant.message("bad", to="", priority=0))
    listed = tenant.messages()
    assert list(listed) == ["b", "d", "c", "bad", "a"]
    found = listed["b"]
    assert len(found["pk"]) == 22
    assert found["tenant_id"] == tenant.name
    assert (found["tenant_name"], found["account_id"]) == ("The Firm", "a1")
    assert not {"sent_ts", "error_ts", "error", "history"} & set(found)
    refused = listed["bad"]
    assert refused["error"] == "missing to"
    assert refused["sent_ts"] == refused["error_ts"]
    assert list(tenant.messages(active_only="true")) == ["b", "d", "c", "a"]
    history = tenant.messages(include_history="1")["bad"]["history"]
    assert [one["event_type"] for one in history] == ["error"]
    assert isinstance(history[0]["event_ts"], int)
    name = "mail_relay.listed_messages"
    client.call("ir.config_parameter", "set_param", name, "2")
    answer = tenant.ask("GET", "/messages", tenant_id=tenant.name)
    client.call("ir.config_parameter", "set_param", name, False)
    assert len(answer.json["messages"]) == 2
    assert answer.header("X-Relay-Truncated") == "1"


def test_c37_only_ones_own_messages_are_deleted(relay, tenant):
    other = relay.tenant(f"o-{secrets.token_hex(4)}")
    other.account("a1", NOWHERE)
    other.add(other.message("theirs"))
    tenant.add(tenant.message("m1"), tenant.message("m2"))
    pk = tenant.messages()["m2"]["pk"]
    answer = tenant.post(
        "/commands/delete-messages",
        {"ids": ["m1", "theirs", "none", pk]},
        tenant_id=tenant.name,
    )
    assert answer == {
        "ok": True,
        "removed": 1,
        "not_found": [],
        "unauthorized": ["theirs", "none", pk],
    }
    assert list(tenant.messages()) == ["m2"]
    assert list(other.messages()) == ["theirs"]
    tenant.add(tenant.message("m1"))  # its name is free again


def test_c38_cleaning_up_needs_a_body_and_spares_what_nobody_was_told(tenant):
    path = "/commands/cleanup-messages"
    assert tenant.ask("POST", path, tenant_id=tenant.name).status == 422
    tenant.submit(tenant.message("m1", to=""))
    body = {"older_than_seconds": 0}
    assert tenant.post(path, body, tenant_id=tenant.name) == {"ok": True, "removed": 0}
    assert tenant.post(path, {}, tenant_id=tenant.name)["removed"] == 0


def test_c39_batches_and_tenants_are_suspended(relay, tenant):
    tenant.add(
        tenant.message("m1", batch_code="spring"),
        tenant.message("m2", batch_code="autumn"),
        tenant.message("m3"),
    )

    def command(name, **query):
        answer = tenant.ask("POST", f"/commands/{name}", **query)
        return answer.json if answer.status == 200 else (answer.status, answer.json)

    assert command("suspend", batch_code="spring") == {
        "ok": True,
        "tenant_id": tenant.name,
        "batch_code": "spring",
        "suspended_batches": ["spring"],
        "pending_messages": 1,
    }
    assert command("suspend", tenant_id=tenant.name) == {
        "ok": True,
        "tenant_id": tenant.name,
        "suspended_batches": ["*"],
        "pending_messages": 3,
    }
    assert command("suspend", batch_code="autumn")["suspended_batches"] == ["*"]
    assert command("activate", batch_code="spring") == (
        400,
        {
            "detail": "tenant not found or cannot activate single batch from full "
            "suspension"
        },
    )
    assert command("activate")["suspended_batches"] == []
    for name, text in (
        ("suspend", "tenant not found"),
        ("activate", "tenant not found or cannot activate single batch from full "),
    ):
        answer = relay.ask("POST", f"/commands/{name}", tenant_id="nobody")
        assert answer.status == 400
        assert answer.json["detail"].startswith(text)


# -------------------------------------------------------------------------- ops


def test_c71_the_command_log_without_secrets(relay, tenant):
    secret = f"pw-{secrets.token_hex(8)}"
    since = int(time.time())
    tenant.account("a1", NOWHERE, password=secret)
    tenant.add(tenant.message("m1", body=secret))
    log = relay.get("/command-log", tenant_id=tenant.name, since_ts=since - 1)
    assert log["ok"] is True
    assert log["total"] == len(log["commands"]) >= 2
    newest = log["commands"][0]
    assert newest["endpoint"] == "addMessages"
    assert newest["response_status"] == 200
    assert newest["payload"]["messages"][0]["id"] == "m1"
    assert set(newest) == {
        "id",
        "command_ts",
        "endpoint",
        "tenant_id",
        "payload",
        "response_status",
    }
    export = relay.get("/command-log/export", tenant_id=tenant.name)["commands"]
    assert set(export[0]) == {"endpoint", "tenant_id", "payload", "command_ts"}
    assert export[-1]["endpoint"] == "addMessages"
    assert secret not in json.dumps([log, export])
    one = relay.get(
        "/command-log", tenant_id=tenant.name, endpoint_filter="addAccount", limit=1
    )
    assert [entry["endpoint"] for entry in one["commands"]] == ["addAccount"]
    assert relay.ask("GET", "/command-log", limit="many").status == 422


def test_c71_the_instance(relay):
    instance = relay.get("/instance")
    assert instance["bounce_imap_port"] == 993
    assert "api_token" not in instance
    answer = relay.ask("PUT", "/instance", {"name": "Ours", "bounce_enabled": True})
    assert (answer.status, answer.json) == (200, {"ok": True})
    assert relay.get("/instance")["name"] == "Ours"
    assert relay.ask("PUT", "/instance", {"bounce_imap_port": "x"}).status == 422
    token = relay.ask("PUT", "/instance", {"api_token": "guess-me"})
    assert token.status == 422
    reload = relay.ask("POST", "/instance/reload-bounce")
    assert reload.json == {"ok": True, "error": None}


def test_c72_with_its_own_key_a_tenant_need_not_be_named(tenant):
    assert tenant.get("/accounts")["accounts"][0]["id"] == "a1"
    answer = tenant.add(tenant.message("m1", tenant_id=...))
    assert answer["queued"] == 1
    assert [one["id"] for one in tenant.get("/messages")["messages"]] == ["m1"]


def test_an_address_that_an_application_sets_leads_outside_alone(relay, tenant):
    """A report to its own network is refused (SSRF), and the mail is not lost."""
    with Application() as inside:
        path = f"/tenant/{tenant.name}"
        tenant._good(tenant.ask("PUT", path, {"client_base_url": inside.url}))
        tenant.submit(tenant.message("m1", to=""))
        tenant.post("/commands/run-now")
        time.sleep(3)
        assert inside.reports == []
        relay.ask("PUT", path, {"client_base_url": inside.url})
        tenant.post("/commands/run-now")
        assert inside.wait_for("m1", "error_ts")["error"] == "missing to"
