# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Bad input: each has a defined answer, nothing is lost, and the queue goes on."""

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import posts, wire
from tests.support.posts import Post, make_mail, unique
from tools.paths import ADDONS

MAKERS = ADDONS / "mail_bridge" / "tests_plain" / "bad_mails.py"
CPU_SECONDS = 2.0


def bad_mails() -> dict:
    """{name: function of the recipient} of the bombs that the plain tests use too."""
    spec = importlib.util.spec_from_file_location("bad_mails", MAKERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BAD_MAILS


@pytest.fixture
def desk(bridge):
    return bridge.alias()


@pytest.fixture
def mailgun(bridge):
    return bridge.account("mailgun")


@pytest.fixture
def improvmx(bridge):
    return bridge.account("improvmx")


@pytest.fixture
def raw(bridge):
    return bridge.account("raw")


def assert_dead_letter(bridge, account, post: Post) -> None:
    """Acknowledged, kept with its body, dead at once, and somebody is told."""
    reply = bridge.post(post)
    assert reply.status == 200
    [(intake, state, attempts, error)] = bridge.settled(account)
    assert (state, attempts) == ("dead", 1)
    assert error
    assert stored_body(bridge, intake) == post.body
    [form] = bridge.client.call(
        "mail.bridge.account", "read", [account.id], ["activity_ids", "problem_count"]
    )
    assert form["activity_ids"]
    assert form["problem_count"] == 1


def stored_body(bridge, intake: int) -> bytes:
    chunks = bridge.sql(
        """SELECT data FROM mail_bridge_intake_body
            WHERE intake_id = %s AND part = 0 ORDER BY seq""",
        intake,
    )
    return b"".join(bytes(row[0]) for row in chunks)


def assert_arrives(bridge, account, post: Post, subject: str) -> str:
    """Acknowledged, kept byte for byte, once in the chatter; the text there."""
    assert bridge.post(post).status == 200
    text = arrived_text(bridge, subject)
    [(intake, state, _attempts, _error)] = bridge.settled(account)
    assert state == "done"
    assert stored_body(bridge, intake) == post.body
    return text


def files_of(bridge, subject: str) -> dict[str, bytes]:
    """The attachments of the mail in the chatter: {name: content}."""
    [(post_id, _lead)] = bridge.arrived(subject)
    [post] = bridge.client.call("mail.message", "read", [post_id], ["attachment_ids"])
    rows = bridge.client.call(
        "ir.attachment", "read", post["attachment_ids"], ["name", "datas"]
    )
    return {row["name"]: base64.b64decode(row["datas"]) for row in rows}


def assert_rejected(bridge, account, post: Post) -> None:
    """Not proven to be the provider's: 403, which makes Mailgun try again."""
    assert bridge.post(post).status == 403
    assert bridge.intakes(account) == []


def signed(mailgun, fields: dict, **more) -> dict:
    return {**fields, **posts.mailgun_proof(mailgun.key), **more}


# ------------------------------------------------- malformed before a good signature


def test_an_empty_body_proves_nothing_at_mailgun(bridge, mailgun):
    post = Post("/mailgate/mailgun", posts.URLENCODED, b"")
    assert_rejected(bridge, mailgun, post)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "a/b; c=\x7f"])
def test_a_form_under_a_wrong_content_type_proves_nothing(bridge, desk, mailgun, kind):
    body = mailgun.post(desk, make_mail(desk, unique())).body
    assert_rejected(bridge, mailgun, Post("/mailgate/mailgun", kind, body))


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=wrong"])
def test_a_multipart_without_its_boundary_proves_nothing(
    bridge, desk, mailgun, boundary
):
    post = mailgun.post(desk, make_mail(desk, unique(), files=[("a", b"x")]))
    kind = f"multipart/form-data{boundary}"
    assert_rejected(bridge, mailgun, Post(post.path, kind, post.body))


def wrong_signatures(good: dict[str, str]) -> dict[str, bytes]:
    """Bodies whose proof is of a wrong type; a JSON body is one of Mailgun's too."""
    block = {"timestamp": good["timestamp"], "token": good["token"]}
    values = [[good["signature"]], {"a": good["signature"]}, 17, True, None, ""]
    bodies = {
        f"{type(value).__name__} {bool(value)}": json.dumps(
            {"signature": {**block, "signature": value}}
        )
        for value in values
    }
    bodies["no block"] = json.dumps({"signature": good["signature"]})
    bodies["a list"] = json.dumps([good])
    bodies["a number as time"] = json.dumps(
        {"signature": {**good, "timestamp": int(good["timestamp"])}}
    )
    return {name: text.encode() for name, text in bodies.items()}


@pytest.mark.parametrize("kind", wrong_signatures(posts.mailgun_proof("x")))
def test_a_signature_of_a_wrong_type_proves_nothing(bridge, mailgun, kind):
    body = wrong_signatures(posts.mailgun_proof(mailgun.key))[kind]
    post = Post("/mailgate/mailgun", "application/json", body)
    assert_rejected(bridge, mailgun, post)


def odd_numbers() -> dict[str, str]:
    """The present second, written so that `int()` or `float()` would still take it."""
    now = str(int(time.time()))
    return {
        "full width": now.translate({48 + n: 0xFF10 + n for n in range(10)}),
        "arabic": now.translate({48 + n: 0x660 + n for n in range(10)}),
        "underscore": f"{now[:1]}_{now[1:]}",
        "blank": f" {now}",
        "plus": f"+{now}",
        "exponent": f"{now}e0",
        "point": f"{now}.0",
        "hexadecimal": hex(int(now)),
    }


@pytest.mark.parametrize("kind", odd_numbers())
def test_a_timestamp_that_is_no_number_proves_nothing(bridge, desk, mailgun, kind):
    fields = posts.mailgun_fields(make_mail(desk, unique()), desk)
    proof = _sign_text(mailgun.key, odd_numbers()[kind])
    post = posts.form("/mailgate/mailgun", fields | proof)
    assert_rejected(bridge, mailgun, post)


def _sign_text(key: str, stamp: str) -> dict[str, str]:
    token = secrets.token_hex(25)
    message = f"{stamp}{token}".encode()
    signature = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
    return {"timestamp": stamp, "token": token, "signature": signature}


# -------------------------------------------------- malformed after a good signature


def test_an_empty_body_at_a_secret_address_is_a_dead_letter(bridge, improvmx):
    assert_dead_letter(bridge, improvmx, Post(improvmx.path, "application/json", b""))


def test_an_empty_raw_mail_is_a_dead_letter(bridge, raw, desk):
    assert_dead_letter(bridge, raw, posts.raw_mail(raw.path, desk, b""))


def test_raw_mail_under_a_wrong_content_type_is_a_dead_letter(bridge, raw, desk):
    mime = make_mail(desk, unique()).as_bytes()
    post = posts.raw_mail(raw.path, desk, mime)
    assert_dead_letter(bridge, raw, Post(raw.path, "text/html", mime, post.headers))


@pytest.mark.parametrize("cut", [1, 50, 0.5, 0.99])
def test_truncated_json_is_a_dead_letter(bridge, desk, improvmx, cut):
    post = improvmx.post(desk, make_mail(desk, unique()))
    end = cut if isinstance(cut, int) else int(len(post.body) * cut)
    cut_off = Post(post.path, post.content_type, post.body[:end])
    assert_dead_letter(bridge, improvmx, cut_off)


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": ["a", "list"]},
        {"headers": ["From: a@b.example"]},
        {"headers": {"From": {"name": ["b"]}}},
        {"attachments": "none"},
        {"attachments": [["a"]]},
        {"attachments": [{"name": ["a"], "content": "YQ=="}]},
        {"from": 17},
        {"return-path": [1]},
    ],
    ids=lambda wrong: json.dumps(wrong)[:40],
)
def test_a_value_of_a_wrong_type_is_a_dead_letter(bridge, desk, improvmx, wrong):
    data = posts.improvmx_data(make_mail(desk, unique()), desk) | wrong
    if "from" in wrong:
        data["headers"] = {"Delivered-To": desk}
    assert_dead_letter(bridge, improvmx, posts.as_json(improvmx.path, data))


@pytest.mark.parametrize(
    "value", ["[]", '"text"', "17", "null", "NaN", '{"a":1,"a":2}']
)
def test_json_that_is_no_mail_is_a_dead_letter(bridge, improvmx, value):
    post = Post(improvmx.path, "application/json", value.encode())
    assert_dead_letter(bridge, improvmx, post)


@pytest.mark.parametrize("headers", ["no JSON", "{}", "17", '[["A"]]', '[["A", 1]]'])
def test_message_headers_that_are_none_are_a_dead_letter(
    bridge, desk, mailgun, headers
):
    fields = posts.mailgun_fields(make_mail(desk, unique()), desk)
    fields = signed(mailgun, fields, **{"message-headers": headers})
    assert_dead_letter(bridge, mailgun, posts.form("/mailgate/mailgun", fields))


@pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
def test_a_proof_that_stands_there_twice_is_a_dead_letter(bridge, desk, mailgun, name):
    """A header of the mail may be called `token`; the key tells which is Mailgun's."""
    fields = signed(mailgun, posts.mailgun_fields(make_mail(desk, unique()), desk))
    pairs = [*fields.items(), (name, "17")]
    assert_dead_letter(bridge, mailgun, posts.form("/mailgate/mailgun", pairs))


@pytest.mark.parametrize("name", ["recipient", "sender"])
def test_an_envelope_that_stands_there_twice_is_a_dead_letter(
    bridge, desk, mailgun, name
):
    fields = signed(mailgun, posts.mailgun_fields(make_mail(desk, unique()), desk))
    pairs = [*fields.items(), (name, f"other@{desk.partition('@')[2]}")]
    assert_dead_letter(bridge, mailgun, posts.form("/mailgate/mailgun", pairs))


@pytest.mark.parametrize("cut", [2000, 6000, 3])
def test_a_multipart_that_breaks_off_is_sent_again(bridge, desk, mailgun, cut):
    """Cut in a file, in a field, in its end: Mailgun repeats after 403.

    The signature does not cover the content. A torn mail that was acknowledged would
    take the token that the whole one comes with.
    """
    subject = unique()
    files = [("attachment-1", "a.bin", "application/octet-stream", os.urandom(5000))]
    fields = signed(mailgun, posts.mailgun_fields(make_mail(desk, subject), desk))
    post = posts.form("/mailgate/mailgun", fields, files)
    assert_rejected(
        bridge, mailgun, Post(post.path, post.content_type, post.body[:-cut])
    )
    assert bridge.post(post).status == 200
    assert bridge.arrived(subject)


# ---------------------------------------------------------------- strange, but a mail


def arrived_text(bridge, subject: str) -> str:
    [(post_id, _lead)] = bridge.arrived(subject)
    [(body,)] = bridge.sql("SELECT body FROM mail_message WHERE id = %s", post_id)
    return body


def test_ten_thousand_form_fields_are_a_form(bridge, desk, mailgun):
    subject = unique()
    fields = signed(mailgun, posts.mailgun_fields(make_mail(desk, subject), desk))
    pairs = list(fields.items())
    pairs += [(f"X-{number}", "x") for number in range(10_000 - len(pairs))]
    assert_arrives(bridge, mailgun, posts.form("/mailgate/mailgun", pairs), subject)


def test_a_hundred_thousand_form_fields_are_refused(bridge, desk, mailgun):
    fields = signed(mailgun, posts.mailgun_fields(make_mail(desk, unique()), desk))
    pairs = [*fields.items(), *((f"X-{number}", "x") for number in range(100_000))]
    assert_rejected(bridge, mailgun, posts.form("/mailgate/mailgun", pairs))


@pytest.mark.parametrize("code", ["mailgun", "improvmx"])
def test_a_line_break_in_a_header_ends_no_header(bridge, desk, code):
    account, subject = bridge.account(code), unique()
    evil = f"{subject}\r\nX-Evil: yes\r\n\r\nanother body"
    mail = make_mail(desk, subject)
    if code == "mailgun":
        fields = posts.mailgun_fields(mail, desk)
        headers = json.loads(fields["message-headers"])
        changed = [[k, evil if k == "Subject" else v] for k, v in headers]
        fields |= {"message-headers": json.dumps(changed), "subject": evil}
        post = posts.form("/mailgate/mailgun", signed(account, fields))
    else:
        data = posts.improvmx_data(mail, desk)
        data["subject"] = data["headers"]["Subject"] = evil
        post = posts.as_json(account.path, data)
    assert bridge.post(post).status == 200
    assert [row[1] for row in bridge.settled(account)] == ["done"]
    [(lead, name)] = bridge.sql(
        "SELECT id, name FROM crm_lead WHERE name LIKE %s", f"{subject}%"
    )
    assert "\n" not in name
    [(body,)] = bridge.sql(
        """SELECT body FROM mail_message
            WHERE model = 'crm.lead' AND res_id = %s AND message_type = 'email'""",
        lead,
    )
    assert "A text." in body
    assert "another body" not in body


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_nul_bytes_are_taken_out(bridge, desk, code):
    account = bridge.account(code)
    subject = unique()
    mail = make_mail(desk, subject, "before NUL after\n", files=[("a", b"\0content\0")])
    post = account.post(desk, mail)
    if code == "mailgun":
        fields = posts.mailgun_fields(mail, desk)
        fields |= {"body-plain": "before \0 after\n", "subject": f"{subject}\0"}
        files = [("attachment-1", "a\0b", "application/octet-stream", b"\0content\0")]
        post = posts.form("/mailgate/mailgun", signed(account, fields), files)
    elif code == "improvmx":
        data = posts.improvmx_data(mail, desk)
        data["text"] = "before \0 after\n"
        data["attachments"][0]["name"] = "a\0b"
        post = posts.as_json(account.path, data)
    else:
        body = post.body.replace(b"NUL", b"\0").replace(b"Subject: ", b"Subject: \0")
        post = Post(post.path, post.content_type, body, post.headers)
    text = assert_arrives(bridge, account, post, subject)
    assert "before" in text
    assert "after" in text
    assert list(files_of(bridge, subject).values()) == [b"\0content\0"]


def test_a_thousand_nested_parts_arrive(bridge, desk, raw):
    subject = unique()
    levels = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"
        for n in range(1000)
    )
    mime = (
        f"From: a@outside.example\r\nTo: {desk}\r\nSubject: {subject}\r\n"
        f"{levels}Content-Type: text/plain\r\n\r\nDeep down\r\n"
    ).encode()
    assert_arrives(bridge, raw, posts.raw_mail(raw.path, desk, mime), subject)


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_five_thousand_recipients_arrive(bridge, desk, code):
    account, subject = bridge.account(code), unique()
    crowd = ", ".join([desk, *(f"a{n}@elsewhere.example" for n in range(5000))])
    post = account.post(desk, make_mail(crowd, subject))
    assert "A text." in assert_arrives(bridge, account, post, subject)


def test_an_envelope_of_five_thousand_arrives_once(bridge, desk, raw):
    subject = unique()
    crowd = ",".join([f"a{n}@x.example" for n in range(2000)] + [desk])
    mime = make_mail(desk, subject).as_bytes()
    assert_arrives(bridge, raw, posts.raw_mail(raw.path, crowd, mime), subject)
    assert len(bridge.arrived(subject)) == 1


def test_an_unknown_charset_arrives(bridge, desk, raw):
    subject = unique()
    mail = make_mail(desk, subject, "Grusswort ASCII\n").as_bytes()
    mime = mail.replace(b'charset="utf-8"', b'charset="klingon"')
    assert mime != mail
    post = posts.raw_mail(raw.path, desk, mime)
    assert "Grusswort ASCII" in assert_arrives(bridge, raw, post, subject)


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_a_file_name_leads_nowhere(bridge, desk, code):
    account, subject = bridge.account(code), unique()
    files = [("../../x", b"one"), ("/etc/passwd", b"two"), ("..\\..\\y.exe", b"three")]
    post = account.post(desk, make_mail(desk, subject, files=files))
    assert_arrives(bridge, account, post, subject)
    names = files_of(bridge, subject)
    assert sorted(names.values()) == [b"one", b"three", b"two"]
    for name in names:
        assert "/" not in name
        assert "\\" not in name
        assert not name.startswith(".")


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_a_mail_without_message_id_arrives_once(bridge, desk, code):
    """The same mail in a second post gets the same Message-ID from us."""
    account, subject = bridge.account(code), unique()
    mail = make_mail(desk, subject)
    del mail["Message-ID"]
    wanted = [account.post(desk, mail) for _ in range(2)]
    assert {bridge.post(post).status for post in wanted} == {200}
    bridge.settled(account)
    assert len(bridge.chatter(subject)) == 1


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_a_mail_without_from_arrives(bridge, desk, code):
    account, subject = bridge.account(code), unique()
    mail = make_mail(desk, subject)
    if code == "mailgun":
        fields = posts.mailgun_fields(mail, desk)
        headers = [x for x in json.loads(fields["message-headers"]) if x[0] != "From"]
        fields |= {"message-headers": json.dumps(headers), "sender": ""}
        del fields["from"]
        post = posts.form("/mailgate/mailgun", signed(account, fields))
    elif code == "improvmx":
        data = posts.improvmx_data(mail, desk)
        del data["from"], data["headers"]["From"]
        post = posts.as_json(account.path, data)
    else:
        del mail["From"]
        post = account.post(desk, mail)
    assert "A text." in assert_arrives(bridge, account, post, subject)


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 1 Jan 2085 00:00:00 +0000", "x"]
)
def test_a_strange_date_arrives(bridge, desk, code, date):
    account, subject = bridge.account(code), unique()
    post = account.post(desk, make_mail(desk, subject, Date=date))
    assert "A text." in assert_arrives(bridge, account, post, subject)
    assert bridge.messages(subject)[0]["state"] == "routed"


# --------------------------------------------------------------------- slow senders


def test_a_request_that_stops_in_its_body_stores_nothing(bridge, desk, mailgun):
    post = mailgun.post(desk, make_mail(desk, unique()))
    headers = [
        ("Content-Type", post.content_type),
        ("Content-Length", str(len(post.body))),
    ]
    with wire.Wire(bridge.server.port) as connection:
        connection.send(wire.head("POST", post.path, headers) + post.body[:-10])
    time.sleep(1)
    assert bridge.intakes(mailgun) == []
    assert bridge.post(post).status == 200


# ----------------------------------------------------------------------------- bombs


def cpu_seconds(pids: list[int]) -> float:
    """The processor time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def bomb(name: str, desk: str) -> bytes:
    """A bomb of a sender of its own: Odoo holds back who writes too much."""
    sender = f"{secrets.token_hex(5)}@sender.example"
    return bad_mails()[name](desk).replace(b"erika@sender.example", sender.encode())


@contextlib.contextmanager
def within_limits(bridge) -> Iterator[None]:
    """Neither the door nor the drains need more time, and no worker dies of it."""
    kinds = {"door": bridge.server.http_workers, "drains": bridge.server.cron_workers}
    before = {kind: (pids := find(), cpu_seconds(pids)) for kind, find in kinds.items()}
    yield
    for kind, find in kinds.items():
        pids, seconds = before[kind]
        assert find() == pids, kind
        assert cpu_seconds(pids) - seconds <= CPU_SECONDS, kind


@pytest.mark.parametrize("name", bad_mails())
def test_a_bomb_arrives_in_time(bridge, desk, raw, name):
    """In the chatter, as the original it was, for two seconds of processor time."""
    mime = bomb(name, desk)
    with within_limits(bridge):
        assert bridge.post(posts.raw_mail(raw.path, desk, mime)).status == 200
        [(intake, *outcome)] = bridge.settled(raw)
    assert outcome == ["done", 1, None]
    [(state, size)] = bridge.sql(
        "SELECT state, size FROM mail_bridge_message WHERE intake_id = %s", intake
    )
    # What looks like the report of a failed delivery makes no record.
    assert state == ("unrouted" if name.startswith("delivery_status") else "routed")
    assert size == len(mime)
    assert stored_body(bridge, intake) == mime


#: What the provider has read of a mail, and posts as fields.
PARSED_BOMBS = {
    "HTML of 5 MB": {"html": "<p>word</p>" * 450_000},
    "HTML 100 000 deep": {"html": "<div>" * 100_000 + "word"},
    "text of 5 MB": {"text": "word " * 1_000_000},
    "100 000 headers": {"headers": {f"X-{n}": "x" for n in range(100_000)}},
}


def parsed_bomb(account, mail, desk: str, parts: dict) -> Post:
    """The post of a mail some of whose parts are these."""
    if account.code == "improvmx":
        data = posts.improvmx_data(mail, desk)
        return posts.as_json(
            account.path,
            data | parts | {"headers": data["headers"] | parts.get("headers", {})},
        )
    names = {"html": "body-html", "text": "body-plain"}
    fields = posts.mailgun_fields(mail, desk)
    headers = json.loads(fields["message-headers"])
    headers += parts.get("headers", {}).items()
    fields |= {"message-headers": json.dumps(headers)}
    fields |= {names[part]: value for part, value in parts.items() if part in names}
    return posts.form("/mailgate/mailgun", signed(account, fields))


@pytest.mark.parametrize("code", ["mailgun", "improvmx"])
@pytest.mark.parametrize("name", PARSED_BOMBS)
def test_a_bomb_among_the_fields_arrives_in_time(bridge, desk, code, name):
    account, subject = bridge.account(code), unique()
    mail = make_mail(desk, subject)
    post = parsed_bomb(account, mail, desk, PARSED_BOMBS[name])
    with within_limits(bridge):
        assert bridge.post(post).status == 200
        [(intake, *outcome)] = bridge.settled(account)
    assert outcome == ["done", 1, None]
    assert stored_body(bridge, intake) == post.body
    assert len(bridge.chatter(subject)) == 1


def test_a_content_type_of_blanks_costs_the_door_little(bridge, mailgun):
    """Reached before anything is proven; some readers take a square of its length."""
    workers = bridge.server.http_workers()
    before = cpu_seconds(workers)
    for _ in range(4):
        kind = f"multipart/form-data; boundary=b; a{' ' * 60_000}=b"
        assert_rejected(bridge, mailgun, Post("/mailgate/mailgun", kind, b"--b--"))
    assert cpu_seconds(workers) - before <= CPU_SECONDS


def test_all_bombs_at_once_hold_nothing_up(bridge, desk, raw):
    for name in bad_mails():
        post = posts.raw_mail(raw.path, desk, bomb(name, desk))
        assert bridge.post(post).status == 200
    subject = unique("Behind all bombs")
    assert bridge.post(raw.post(desk, make_mail(desk, subject))).status == 200
    bridge.arrived(subject, 300)
    rows = bridge.settled(raw, 300)
    assert {row[1] for row in rows} == {"done"}
