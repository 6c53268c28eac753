# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Applications' mail on its way, and what they are told: C16, C32–C70, relay.md §1.15.

One HTTP worker answers: an application that calls back from inside the handler of a
report would wait for ever if that worker, or a row it needs, were held meanwhile.
"""

import base64
import email
import email.policy
import secrets
import statistics
import threading
import time

import pytest

from tests.support.application import Application, RelayApi, Tenant
from tests.support.bridge import wait_for
from tests.support.smtp_sink import SmtpSink
from tools.database import cursor
from tools.shell import run_in_odoo


@pytest.fixture(scope="module")
def module_server(make_server):
    """One HTTP worker."""
    return make_server(workers=1, max_cron_threads=4)


@pytest.fixture(scope="module")
def admin_key(odoo, module_server, database):
    """The instance's key."""
    config = module_server.start().folder / "odoo.conf"
    code = "result = env['mail.bridge.key']._issue(['relay:admin'], name='i')[1]"
    return run_in_odoo(odoo, config, database, code)


@pytest.fixture
def relay(server, admin_key):
    return RelayApi(server.port, admin_key)


@pytest.fixture
def app():
    with Application() as made:
        yield made


@pytest.fixture
def sink():
    with SmtpSink() as made:
        yield made


@pytest.fixture
def tenant(relay, app, sink) -> Tenant:
    """An application that is told, and its account."""
    made = relay.tenant(f"t-{secrets.token_hex(4)}", app)
    made.account("a1", sink.port)
    yield made
    relay.ask("DELETE", f"/tenant/{made.name}")


@pytest.fixture
def setting(client):
    """Set a setting of the interface until the end of the test."""
    names = []

    def set_it(name, value):
        names.append(f"mail_relay.{name}")
        client.call("ir.config_parameter", "set_param", names[-1], value)

    yield set_it
    for name in names:
        client.call("ir.config_parameter", "set_param", name, False)


def content(taken):
    """A mail as its reader sees it."""
    return email.message_from_bytes(taken.data, policy=email.policy.default)


def somebody():
    """An address of its own: one that bounces is suppressed for all that follow."""
    return f"to-{secrets.token_hex(4)}@example.com"


def let_a_minute_pass(bridge):
    """Call the reporter, as its scheduled action does once a minute."""
    bridge.sql(
        """INSERT INTO ir_cron_trigger (cron_id, call_at)
           SELECT res_id, now() AT TIME ZONE 'UTC' FROM ir_model_data
            WHERE module = 'mail_relay' AND name = 'ir_cron_report'"""
    )
    with cursor(bridge.connection) as cr:
        cr.execute("SELECT pg_notify('cron_trigger', %s)", [bridge.database])


def run_now(tenant):
    tenant.post("/commands/run-now")


# ------------------------------------------------------------------------ sending


def test_c16_an_archived_tenant_neither_sends_nor_is_called(relay, tenant, app, sink):
    path = f"/tenant/{tenant.name}"
    relay.ask("PUT", path, {"active": False})
    tenant.add(tenant.message("m1"))
    run_now(tenant)
    time.sleep(2)
    assert (sink.taken, app.reports) == ([], [])
    relay.ask("PUT", path, {"active": True})
    assert sink.wait(1)
    assert app.wait_for("m1", "sent_ts")


def test_c33_what_arrives_is_what_was_posted(tenant, sink):
    tenant.add(
        tenant.message(
            "m1",
            to="Ann <ann@example.com>, ben@example.com",
            cc=["cy@example.com"],
            bcc="eve@example.com",
            return_path="bounce@client.example",
            reply_to="desk@client.example",
            headers={"X-Number": 7},
            message_id="<mine@client.example>",
            subject="Größe",
        ),
        tenant.message("m2", subject=""),
    )
    mails = {content(one)["Message-ID"]: one for one in sink.wait(2)}
    taken = mails.pop("<mine@client.example>")
    assert taken.sender == "bounce@client.example"
    assert set(taken.recipients) == {
        f"{name}@example.com" for name in ("ann", "ben", "cy", "eve")
    }
    mail = content(taken)
    assert b"eve@" not in taken.data
    assert (mail["Subject"], mail["X-Number"]) == ("Größe", "7")
    assert mail["Reply-To"] == "desk@client.example"
    [other] = mails.values()
    assert content(other)["Date"]
    assert other.sender == "app@client.example"


def test_c32_what_was_sent_is_told_again_and_not_sent_again(tenant, app, sink):
    tenant.add(tenant.message("m1"))
    first = app.wait_for("m1", "sent_ts")
    answer = tenant.add(tenant.message("m1", subject="Again"))
    assert answer == {
        "ok": True,
        "queued": 0,
        "rejected": [{"id": "m1", "reason": "already sent"}],
    }
    assert app.wait_for("m1", "sent_ts", count=2) == first
    assert len(sink.taken) == 1


def test_c32_what_is_replaced_is_sent_once(tenant, sink):
    later = int(time.time()) + 3600
    tenant.add(tenant.message("m1", deferred_ts=later, subject="Old"))
    tenant.add(tenant.message("m1", subject="New"))
    [taken] = sink.wait(1)
    time.sleep(1)
    assert content(taken)["Subject"] == "New"
    assert len(sink.taken) == 1


def test_c35_not_before_its_time(tenant, sink):
    moment = int(time.time()) + 3
    tenant.add(tenant.message("m1", deferred_ts=moment))
    offset = time.time() - time.monotonic()
    [taken] = sink.wait(1, timeout=20)
    assert moment <= taken.moment + offset < moment + 4


def test_c39_what_is_suspended_waits(tenant, sink):
    tenant.post("/commands/suspend", batch_code="spring")
    tenant.add(tenant.message("m1", batch_code="spring"), tenant.message("m2"))
    sink.wait(1)
    time.sleep(1)
    assert [content(one)["Subject"] for one in sink.taken] == ["Mail m2"]
    tenant.post("/commands/suspend")
    tenant.add(tenant.message("m3"))
    time.sleep(1)
    assert len(sink.taken) == 1
    tenant.post("/commands/activate")
    assert len(sink.wait(3)) == 3


def test_c40_from_the_answer_to_the_wire_in_less_than_a_second(tenant, sink):
    delays = []
    for number in range(1, 6):
        tenant.add(tenant.message(f"m{number}"))
        start = time.monotonic()
        delays.append(sink.wait(number)[-1].moment - start)
        time.sleep(1)
    assert statistics.median(delays) < 1, delays
    assert tenant.post("/commands/run-now", tenant_id="whoever") == {"ok": True}


def test_c50_what_is_urgent_overtakes_a_backlog(tenant, sink):
    tenant.post("/commands/suspend")
    backlog = [tenant.message(f"m{n:02}", priority=3) for n in range(30)]
    tenant.add(*backlog, tenant.message("now", priority="immediate"))
    tenant.post("/commands/activate")
    order = [content(one)["Subject"] for one in sink.wait(31)]
    assert order.index("Mail now") < 4, order
    # four connections at once: nearly in the order of arrival
    numbers = [int(name[-2:]) for name in order if name != "Mail now"]
    assert all(abs(place - number) < 8 for place, number in enumerate(numbers)), order


def test_c51_what_is_beyond_a_limit_waits_or_is_refused(tenant, app, sink):
    limit = {"limit_per_hour": 2, "limit_behavior": "reject"}
    tenant.account("a1", sink.port, **limit)
    tenant.add(*[tenant.message(f"m{n}") for n in range(4)])
    sink.wait(2)
    limited = wait_for(
        lambda: [e for e in app.entries() if "error" in e][1:] and app.entries()
    )
    errors = {entry["error"] for entry in limited if "error" in entry}
    assert errors == {"rate_limit_exceeded"}
    assert len(sink.taken) == 2
    with SmtpSink() as other:
        tenant.account("a2", other.port, limit_per_hour=1)
        tenant.add(*[tenant.message(f"w{n}", account_id="a2") for n in range(3)])
        other.wait(1)
        time.sleep(1)
        assert len(other.taken) == 1
        waiting = tenant.messages(active_only="1")
        assert len([name for name in waiting if name.startswith("w")]) == 2


def test_c52_for_now_and_for_good(tenant, app, sink, bridge):
    nobody, late = somebody(), somebody()
    sink.fail("rcpt", "550 5.1.1 no such user", match=nobody)
    sink.fail("rcpt", "451 4.3.0 later", match=late)
    tenant.add(tenant.message("bad", to=nobody))
    assert app.wait_for("bad", "error")["error"] == "550 5.1.1 no such user"
    tenant.add(tenant.message("late", to=late))
    late = app.wait_for("late", "deferred_ts")
    assert set(late) == {"id", "deferred_ts", "deferred_reason"}
    assert 40 <= late["deferred_ts"] - time.time() <= 70
    bridge.sql(
        """UPDATE mail_relay_message SET attempts = 5,
                  next_attempt = now() AT TIME ZONE 'UTC'
            WHERE client_reference = 'late' AND state = 'queued'"""
    )
    run_now(tenant)
    final = app.wait_for("late", "error")["error"]
    assert final.startswith("Max retries (5) exceeded: ")
    assert "later" in final
    found = tenant.messages()["late"]
    assert found["message"]["retry_count"] == 6


def test_c52_some_refused_are_named(tenant, app, sink):
    nobody = somebody()
    sink.fail("rcpt", "550 5.1.1 no such user", match=nobody)
    tenant.add(tenant.message("m1", to=["ann@example.com", nobody]))
    error = app.wait_for("m1", "error")["error"]
    assert error.startswith(f"{nobody}: ")
    assert error.endswith("(accepted for 1 of 2)")
    assert sink.taken[0].recipients == ("ann@example.com",)


def test_c52_a_login_that_fails_burns_no_message(relay, app):
    with SmtpSink(credentials={"u": "right"}, auth_in_clear=True) as sink:
        tenant = relay.tenant(f"t-{secrets.token_hex(4)}", app)
        tenant.account("a1", sink.port, user="u", password="wrong")
        tenant.add(tenant.message("m1"))
        wait_for(lambda: "AUTH" in sink.verbs())
        time.sleep(1)
        assert not [e for e in app.entries("m1") if "error" in e]
        tenant.account("a1", sink.port, user="u", password="right")


@pytest.fixture
def folder(tmp_path, setting):
    setting("attachment_folders", str(tmp_path))
    setting("private_networks", "127.0.0.0/8")
    return tmp_path


def test_c53_attachments_from_everywhere(tenant, app, sink, folder):
    (folder / "plan.txt").write_bytes(b"from a file")
    app.files["volume:a/b"] = (200, b"from the endpoint")
    app.files["/web/c"] = (200, b"from the web")
    packed = base64.b64encode(b"from the message").decode()
    places = {
        "endpoint": "volume:a/b",
        "http_url": f"{app.url}/web/c",
        "base64": f"base64:{packed}",
        "filesystem": str(folder / "plan.txt"),
    }
    files = [
        {"filename": f"{mode}.txt", "storage_path": place}
        for mode, place in places.items()
    ]
    files[1]["auth"] = {"method": "bearer", "token": "web-token"}
    tenant.add(tenant.message("m1", attachments=files))
    [taken] = sink.wait(1)
    parts = list(content(taken).iter_attachments())
    assert {p.get_filename(): p.get_payload(decode=True) for p in parts} == {
        "endpoint.txt": b"from the endpoint",
        "http_url.txt": b"from the web",
        "base64.txt": b"from the message",
        "filesystem.txt": b"from a file",
    }
    assert {one[:2] for one in app.asked} == {
        ("POST", "volume:a/b"),
        ("GET", "/web/c"),
    }
    [web] = [headers for method, _place, headers in app.asked if method == "GET"]
    assert web["Authorization"] == "Bearer web-token"


@pytest.mark.parametrize("status", [404, 503])
def test_c53_what_cannot_be_fetched(tenant, app, sink, bridge, status):
    app.files["volume:gone"] = (status, b"no")
    auth = {"method": "basic", "user": "u", "password": "hidden-password"}
    files = [{"filename": "gone.pdf", "storage_path": "volume:gone", "auth": auth}]
    message = tenant.message("m1", attachments=files)
    tenant.add(message)
    error = app.wait_for("m1", "error")["error"]
    assert error == f"Attachment fetch failed for gone.pdf: HTTP {status}"
    assert tenant.messages()["m1"]["error_ts"]
    assert "hidden-password" not in str(
        bridge.sql("SELECT p::text FROM mail_relay_posting p")
    )
    app.files["volume:gone"] = (200, b"here it is")
    assert tenant.add(message)["queued"] == 1  # clients look for these words
    assert app.wait_for("m1", "sent_ts")
    assert b"gone.pdf" in sink.taken[0].data


def test_c53_no_other_file_of_the_server(tenant, app, folder):
    files = [{"filename": "p", "storage_path": "/etc/passwd"}]
    tenant.add(tenant.message("m1", attachments=files))
    error = app.wait_for("m1", "error")["error"]
    assert error == "Attachment fetch failed for p: its folder is not allowed"


# ------------------------------------------------------------------------ reports


def test_c60_exact_keys_and_times(tenant, app, sink, bridge):
    nobody = somebody()
    sink.fail("rcpt", "550 5.1.1 no such user", match=nobody)
    before = int(time.time())
    tenant.add(tenant.message("good"), tenant.message("bad", to=nobody))
    sent = app.wait_for("good", "sent_ts")
    error = app.wait_for("bad", "error_ts")
    assert set(sent) == {"id", "sent_ts"}
    assert set(error) == {"id", "error_ts", "error"}
    for moment in (sent["sent_ts"], error["error_ts"]):
        assert type(moment) is int
        assert before - 1 <= moment <= time.time() + 1
    assert all(set(report.body) == {"delivery_report"} for report in app.reports)
    assert all(report.path == "/mail-proxy/sync" for report in app.reports)


def test_c60_a_bounce_after_the_mail_was_sent(tenant, app, odoo, server, database):
    address = somebody()
    tenant.add(tenant.message("m1", to=address))
    app.wait_for("m1", "sent_ts")
    run_in_odoo(
        odoo,
        server.folder / "odoo.conf",
        database,
        f"""
        from datetime import datetime, timezone
        from odoo.addons.mail_bridge.providers.delivery import DeliveryEvent, Reply
        posting = env["mail.relay.posting"].search(
            [("client_id.identifier", "=", {tenant.name!r})])
        mail = posting.relay_message_id
        event = DeliveryEvent(
            "bounced", {address!r}, datetime.now(timezone.utc),
            reference=mail.reference, bounce_class="hard",
            reply=Reply("remote", 550, "5.1.1", "user unknown"))
        env["mail.bridge.event"]._store(mail.account_id, [event], "report")
        result = 1
        """,
    )
    bounce = app.wait_for("m1", "bounce_ts")
    assert set(bounce) == {
        "id",
        "bounce_ts",
        "bounce_type",
        "bounce_code",
        "bounce_reason",
    }
    assert (bounce["bounce_type"], bounce["bounce_code"]) == ("hard", "5.1.1")
    assert bounce["bounce_reason"] == "user unknown"
    kinds = [sorted(set(entry) - {"id"})[0] for entry in app.entries("m1")]
    assert kinds == ["sent_ts", "bounce_code"]
    found = tenant.messages()["m1"]
    assert found["bounce_type"] == "hard"
    assert "error_ts" not in found


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"method": "none"}, None),
        ({"method": "bearer", "token": "abc-def"}, "Bearer abc-def"),
        ({"method": "basic", "user": "u", "password": "p"}, "Basic dTpw"),
    ],
)
def test_c61_how_we_show_who_we_are(relay, app, auth, header):
    values = {"client_auth": auth, "client_sync_path": "/mine"}
    tenant = relay.tenant(f"t-{secrets.token_hex(4)}", app, **values)
    tenant.submit(tenant.message("m1", to=""))
    app.wait_for("m1", "error")
    report = app.reports[-1]
    assert report.path == "/mine"
    assert report.headers.get("Authorization") == header
    assert report.headers["Content-Type"] == "application/json"


def test_c61_without_an_address_reports_go_to_the_common_one(relay, app, setting):
    setting("sync_url", f"{app.url}/common")
    tenant = relay.tenant(f"t-{secrets.token_hex(4)}")
    tenant.submit(tenant.message("m1", to=""))
    app.wait_for("m1", "error")
    assert app.reports[-1].path == "/common"


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"error": ["m1"], "not_found": ["m1"], "queued": 0}),
        (200, b"<html>fine</html>"),
        (204, b""),
    ],
)
def test_c62_any_2xx_takes_all(tenant, app, answer):
    app.answer = answer
    tenant.submit(tenant.message("m1", to=""))
    app.wait_for("m1", "error")
    told = tenant.wait("m1", lambda one: one.get("reported_ts"))
    assert told["reported_ts"] >= told["error_ts"]
    run_now(tenant)
    app.wait_reports(2)
    assert len(app.entries("m1")) == 1


def test_c62_what_was_not_taken_is_told_again(tenant, app, bridge, relay):
    run_now(tenant)
    app.wait_reports(1)
    wait_for(lambda: sync_status(relay, tenant).get("last_sync_ts"))
    app.answer = (500, b"no")
    tenant.submit(tenant.message("m1", to=""))
    first = app.wait_for("m1", "error")
    assert "reported_ts" not in tenant.messages()["m1"]
    app.answer = (200, {"ok": True})
    time.sleep(6)
    let_a_minute_pass(bridge)
    assert app.wait_for("m1", "error", count=2) == first
    tenant.wait("m1", lambda one: one.get("reported_ts"))


def test_c63_more_mail_is_asked_for_at_once(tenant, app):
    answers = [(200, {"queued": 2}), (200, {"queued": 1}), (200, {"queued": 0})]
    app.answer = lambda _report: answers.pop(0) if answers else (200, {})
    run_now(tenant)
    reports = app.wait_reports(3)
    assert reports[2].moment - reports[0].moment < 10
    time.sleep(1.5)
    assert len(app.reports) == 3


def test_c63_a_wish_to_be_left_alone_counts_for_empty_reports(tenant, app, relay):
    until = int(time.time()) + 3600
    app.answer = (200, {"queued": 5, "next_sync_after": until})
    run_now(tenant)
    app.wait_reports(1)
    wait_for(lambda: sync_status(relay, tenant)["in_dnd"])
    time.sleep(1.5)
    assert len(app.reports) == 1
    tenant.submit(tenant.message("m1", to=""))  # news are told all the same
    app.wait_for("m1", "error")
    wait_for(lambda: sync_status(relay, tenant)["in_dnd"])
    count = len(app.reports)
    app.answer = (200, {"next_sync_after": 0})
    run_now(tenant)
    app.wait_reports(count + 1)
    wait_for(lambda: not sync_status(relay, tenant)["in_dnd"])


def sync_status(relay, tenant):
    found = relay.get("/tenants/sync-status")["tenants"]
    return next(one for one in found if one["id"] == tenant.name)


def test_c64_an_application_is_asked_every_five_minutes(tenant, app, bridge, relay):
    run_now(tenant)
    assert app.wait_reports(1)[0].entries == []
    wait_for(lambda: not sync_status(relay, tenant)["next_sync_due"])
    let_a_minute_pass(bridge)
    time.sleep(1.5)
    assert len(app.reports) == 1
    bridge.sql(
        """UPDATE mail_relay_client
              SET last_sync_at = last_sync_at - interval '301 s'
            WHERE identifier = %s""",
        tenant.name,
    )
    let_a_minute_pass(bridge)
    assert len(app.wait_reports(2)) == 2


def test_c64_what_was_sent_is_told_at_once(tenant, app, sink):
    run_now(tenant)
    app.wait_reports(1)
    tenant.add(tenant.message("m1"))
    [taken] = sink.wait(1)
    app.wait_for("m1", "sent_ts")
    offset = time.time() - time.monotonic()
    assert app.reports[-1].moment - (taken.moment + offset) < 5


def test_c65_an_application_calls_back_from_inside_its_report(tenant, app, sink):
    """With one HTTP worker, and for the very message that it is being told of."""
    said = []
    guard = threading.Lock()

    def answer(report):
        with guard:
            names = [entry["id"] for entry in report.entries]
            if "m1" in names and not said:
                said.append(
                    tenant.submit(
                        tenant.message("m2"),
                        tenant.message("m1", subject="Again"),
                    )
                )
                said.append(tenant.ask("GET", "/messages", tenant_id=tenant.name))
        return 200, {"ok": True, "queued": 0}

    app.answer = answer
    start = time.monotonic()
    tenant.add(tenant.message("m1"))
    app.wait_for("m1", "sent_ts")
    app.wait_for("m2", "sent_ts")
    assert time.monotonic() - start < 20
    assert [one.status for one in said] == [200, 200]
    assert said[0].json["rejected"] == [{"id": "m1", "reason": "already sent"}]
    assert len(sink.wait(2)) == 2


def test_c66_messages_are_kept_for_a_week_after_their_last_report(
    tenant, app, bridge, shell
):
    tenant.submit(tenant.message("old", to=""), tenant.message("new", to=""))
    for name in ("old", "new"):
        app.wait_for(name, "error")
        tenant.wait(name, lambda one: one.get("reported_ts"))
    bridge.sql(
        """UPDATE mail_relay_posting SET reported_at = reported_at - interval '8 days'
            WHERE client_reference = 'old'"""
    )
    shell("result = env['mail.relay.client']._gc_reported()")
    assert list(tenant.messages()) == ["new"]


def test_c38_cleaning_up_what_was_reported(tenant, app):
    tenant.submit(tenant.message("m1", to=""))
    app.wait_for("m1", "error")
    tenant.wait("m1", lambda one: one.get("reported_ts"))
    query = {"tenant_id": tenant.name}
    path = "/commands/cleanup-messages"
    assert tenant.post(path, {"older_than_seconds": 3600}, **query)["removed"] == 0
    assert tenant.post(path, {"older_than_seconds": 0}, **query)["removed"] == 1
    assert tenant.messages() == {}


def test_c67_what_is_refused_is_told_too(tenant, app):
    bad = tenant.message("bad", subject="a\nb")
    answer = tenant.add(tenant.message("good"), bad)
    assert answer["rejected"] == [{"id": "bad", "reason": "invalid payload"}]
    entry = app.wait_for("bad", "error")
    assert set(entry) == {"id", "error_ts", "error"}
    assert entry["error"] == "invalid payload"


# ---------------------------------------------------------------------------- ops


def test_c70_metrics(relay, tenant, app, sink):
    labels = f'{{tenant_id="{tenant.name}",tenant_name="{tenant.name}",account_id="a1"'
    names = ("sent", "errors", "deferred", "rate_limited")
    page = relay.ask("GET", "/metrics").raw.decode()
    for name in names:
        series = [
            line
            for line in page.splitlines()
            if line.startswith(f"gmp_{name}_total{labels}")
        ]
        assert [line.rpartition(" ")[2] for line in series] == ["0.0"]
        default = f'gmp_{name}_total{{tenant_id="default",tenant_name="default",'
        assert default in page
        assert f"# TYPE gmp_{name}_total counter" in page
    tenant.add(tenant.message("m1"))
    app.wait_for("m1", "sent_ts")
    page = relay.ask("GET", "/metrics").raw.decode()
    [line] = [x for x in page.splitlines() if x.startswith(f"gmp_sent_total{labels}")]
    assert line.endswith(" 1.0")
    assert "\ngmp_pending_messages 0.0\n" in page or "gmp_pending_messages " in page
    assert "\nmail_relay_unreported_events " in page
    assert 'mail_relay_submitted_messages{state="sent"}' in page
