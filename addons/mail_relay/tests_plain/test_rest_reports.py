# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reports, attachments, metrics and the command log: their exact words."""

import hashlib
import json
import os
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from odoo.addons.mail_relay.rest import attachments, metrics, reports
from odoo.addons.mail_relay.rest.cache import Cache
from odoo.addons.mail_relay.rest.errand import Errand
from odoo.addons.mail_relay.rest.masking import masked


@pytest.mark.parametrize(
    ("kind", "facts", "keys"),
    [
        ("sent", (), {"id", "sent_ts"}),
        ("error", ("no",), {"id", "error_ts", "error"}),
        ("deferred", ("rate_limit",), {"id", "deferred_ts", "deferred_reason"}),
        (
            "bounce",
            ("hard", "550", "no such user"),
            {"id", "bounce_ts", "bounce_type", "bounce_code", "bounce_reason"},
        ),
    ],
)
def test_c60_the_keys_of_an_entry_are_exact(kind, facts, keys):
    entry = reports.entry(kind, "m1", 1795189915, *facts)
    assert set(entry) == keys
    assert isinstance(entry[reports.KEYS[kind][0]], int)
    assert json.loads(reports.report([entry])) == {"delivery_report": [entry]}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"7", b'{"ok":true}', b'{"error":["m1"],"not_found":[2]}'],
)
def test_c62_any_2xx_takes_all(body):
    assert reports.read_answer(200, body) == reports.Heard(True)
    assert reports.read_answer(204, body).taken


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_c62_nothing_else_does(status):
    heard = reports.read_answer(status, b'{"ok":true}')
    assert not heard.taken
    assert str(status) in heard.problem


@pytest.mark.parametrize(
    ("answer", "more", "after"),
    [
        ({"queued": 3}, True, 0),
        ({"queued": 0}, False, 0),
        ({"queued": "3"}, False, 0),
        ({"next_sync_after": 1795189915}, False, 1795189915),
        ({"next_sync_after": 1795189915.5}, False, 1795189915),
        ({"next_sync_after": 0}, False, 0),
        ({"next_sync_after": None, "queued": -1}, False, 0),
        ({"next_sync_after": 1e300, "queued": True}, True, 0),
    ],
)
def test_c63_what_a_client_says(answer, more, after):
    heard = reports.read_answer(200, json.dumps(answer).encode())
    assert (heard.taken, heard.has_more, heard.next_sync) == (True, more, after)


def test_the_waits_between_reports_grow_to_five_minutes():
    waits = [reports.backoff(n) for n in range(1, 10)]
    assert waits == sorted(waits)
    assert waits[-1] == 300


def read(**values):
    return attachments.read_attachment({"filename": "a.txt", **values})


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        ("base64:YQ==", "base64"),
        ("http://x.example/a", "http_url"),
        ("https://x.example/a", "http_url"),
        ("/srv/a", "filesystem"),
        ("volume:a/b", "endpoint"),
    ],
)
def test_c53_the_mode_is_seen_from_the_place(place, mode):
    assert read(storage_path=place).mode == mode
    assert read(storage_path=place, fetch_mode="endpoint").mode == "endpoint"


def test_c53_a_checksum_in_the_name():
    md5 = "0cc175b9c0f1b6a831c399e269772661"
    found = attachments.read_attachment(
        {"filename": f"a{{MD5:{md5}}}.txt", "storage_path": "base64:YQ=="}
    )
    assert (found.name, found.md5) == ("a.txt", md5)
    assert attachments.decode(found) == b"a"


@pytest.mark.parametrize(
    "values",
    [
        {"storage_path": "base64:*"},
        {"storage_path": "base64:YQ==", "content_md5": "0" * 32},
    ],
)
def test_c53_the_words_of_a_failure(values):
    with pytest.raises(attachments.FetchFailed) as caught:
        attachments.decode(read(**values))
    assert str(caught.value).startswith("Attachment fetch failed for a.txt: ")


def test_c53_only_files_below_the_folders_allowed(tmp_path: Path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    (allowed / "a").write_bytes(b"yes")
    (other / "b").write_bytes(b"no")
    (allowed / "link").symlink_to(other / "b")
    os.mkfifo(allowed / "pipe")

    def got(path, most=10):
        try:
            one = read(storage_path=str(path))
            return attachments.read_file(one, (allowed,), most)
        except attachments.FetchFailed as error:
            return str(error).partition(": ")[2]

    assert got(allowed / "a") == b"yes"
    assert got(allowed / "a", most=2) == "it has more than 2 bytes"
    for path in (other / "b", allowed / ".." / "other" / "b", allowed / "link"):
        assert got(path) == "its folder is not allowed"
    for path in (allowed / "none", allowed, allowed / "pipe", "/a\0b"):
        assert got(path) == "there is no such file"


def test_c61_the_three_ways_to_show_who_we_are():
    assert attachments.authorization(None) == {}
    assert attachments.authorization({"method": "none", "token": "x"}) == {}
    assert attachments.authorization({"method": "bearer", "token": "abc"}) == {
        "Authorization": "Bearer abc"
    }
    basic = {"method": "basic", "user": "u", "password": "p"}
    assert attachments.authorization(basic) == {"Authorization": "Basic dTpw"}


def test_c61_an_address_is_a_base_and_a_path():
    assert attachments.joined("https://x.example/a/", "/sync") == (
        "https://x.example/a/sync"
    )
    assert attachments.joined("https://x.example/a", "") == "https://x.example/a"
    assert attachments.joined("", "/sync") == ""


def test_c70_the_page_of_metrics():
    labels = ("t1", 'The "Firm"\n', "a\\1", "")
    family = metrics.Family(
        "gmp_sent_total", "counter", "Sent", metrics.LABELS, {labels: 3}
    )
    pending = metrics.Family("gmp_pending_messages", "gauge", "Waiting", (), {(): 2})
    assert metrics.render([family, pending]).decode().splitlines() == [
        "# HELP gmp_sent_total Sent",
        "# TYPE gmp_sent_total counter",
        r'gmp_sent_total{tenant_id="t1",tenant_name="The \"Firm\"\n",'
        r'account_id="a\\1",account_name=""} 3.0',
        "# HELP gmp_pending_messages Waiting",
        "# TYPE gmp_pending_messages gauge",
        "gmp_pending_messages 2.0",
    ]


def test_c71_no_secret_and_no_mail_in_the_command_log():
    payload = {
        "id": "a1",
        "password": "s3cret",
        "imap_password": "s3cret",
        "client_auth": {"method": "bearer", "token": "s3cret", "user": "u"},
        "messages": [{"subject": "Hi", "body": "s3cret", "api_key": ["s3cret"]}],
    }
    kept = masked(payload)
    assert "s3cret" not in json.dumps(kept)
    assert kept["client_auth"]["user"] == "u"
    assert kept["messages"][0] == {
        "subject": "Hi",
        "body": "[6 characters]",
        "api_key": "***",
    }


class Peer:
    """A server on this machine that gives what it is asked for, and counts."""

    def __init__(self) -> None:
        peer = self
        self.asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer("GET")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer("POST")

            def answer(self, method: str) -> None:
                peer.asked.append((method, self.path))
                self.send_response(404 if self.path == "/none" else 200)
                self.end_headers()
                self.wfile.write(b"content")

            def log_message(self, *_arguments) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.server.shutdown()
    made.server.server_close()


def errand(peer, *given, **values):
    facts = {
        "posting_id": 1,
        "owner": 1,
        "claimed_until": datetime(2026, 11, 21),
        "attachments": tuple(map(attachments.read_attachment, given)),
        "url": f"{peer.url}/attachments",
        "auth": {},
        "is_trusted": True,
        "networks": "",
        "folders": (),
        "most": 1000,
    }
    return Errand(**{**facts, **values})


MD5 = hashlib.md5(b"content").hexdigest()


def test_c53_what_has_a_checksum_is_fetched_once(peer):
    given = {"filename": "a", "storage_path": "v:a", "content_md5": MD5}
    for _ in range(2):
        [file] = errand(peer, given).run()
        assert file.content == b"content"
    assert peer.asked == [("POST", "/attachments")]
    errand(peer, given, owner=2).run()  # never another application's
    assert len(peer.asked) == 2


def test_c53_the_status_and_the_name_stand_in_the_error(peer):
    with pytest.raises(attachments.FetchFailed) as caught:
        errand(
            peer, {"filename": "a.txt", "storage_path": "v:a"}, url=f"{peer.url}/none"
        ).run()
    assert str(caught.value) == "Attachment fetch failed for a.txt: HTTP 404"


def test_a_url_of_an_application_leads_outside_alone(peer):
    given = {"filename": "a.txt", "storage_path": f"{peer.url}/x"}
    with pytest.raises(attachments.FetchFailed, match="not an allowed one"):
        errand(peer, given).run()
    with pytest.raises(attachments.FetchFailed, match="not an allowed one"):
        errand(peer, {"filename": "a", "storage_path": "v:a"}, is_trusted=False).run()
    assert peer.asked == []
    [file] = errand(peer, given, networks="127.0.0.0/8").run()
    assert file.content == b"content"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[::1]:1/",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "http://user:pw@127.0.0.1/",
        "http://",
        "http://[",
        "http://127.0.0.1:99999/",
        "http://0.0.0.0/",
    ],
)
def test_addresses_that_are_none_or_never_allowed(peer, url):
    given = {"filename": "a", "storage_path": url, "fetch_mode": "http_url"}
    with pytest.raises(attachments.FetchFailed):
        errand(peer, given, networks="169.254.0.0/16").run()


def test_the_cache_has_bounds():
    cache = Cache(max_bytes=10, seconds=60)
    for name in "abc":
        cache.put(name, b"12345")
    assert [cache.get(name) for name in "abc"] == [None, b"12345", b"12345"]
    cache.put("large", b"x" * 11)
    assert cache.get("large") is None
    old = Cache(max_bytes=10, seconds=-1)
    old.put("a", b"1")
    assert old.get("a") is None
