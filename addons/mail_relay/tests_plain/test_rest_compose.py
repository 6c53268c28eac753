# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The mail that a client's message becomes, read again with Python's own parser."""

import email
import email.policy
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.rest.batch import read_batch
from odoo.addons.mail_relay.rest.compose import File, compose

NOW = datetime(2026, 11, 21, 3, 30, tzinfo=timezone.utc)
GOOD = {
    "id": "m1",
    "tenant_id": "t1",
    "account_id": "a1",
    "from": "app@client.example",
    "to": "ann@example.com",
    "subject": "Hello",
    "body": "Good morning\n",
}


def make(files=(), **values):
    """The finished mail of a message, and the mail as a reader sees it."""
    [item] = read_batch({"messages": [{**GOOD, **values}]}, 10).items
    composed = compose(item, NOW, files)
    return composed, email.message_from_bytes(
        composed.mime, policy=email.policy.default
    )


def test_c33_date_and_message_id_are_made():
    composed, mail = make()
    assert mail["Date"] == "Sat, 21 Nov 2026 03:30:00 +0000"
    assert mail["Message-ID"] == composed.message_id
    assert composed.message_id.endswith("@client.example>")
    assert make()[0].message_id != composed.message_id


@pytest.mark.parametrize("shown", ["<id-1@app.example>", "id-1@app.example"])
def test_c33_a_message_id_is_kept(shown):
    assert make(message_id=shown)[1]["Message-ID"] == "<id-1@app.example>"


def test_c33_bcc_is_in_the_envelope_alone():
    composed, mail = make(
        to=["Ann <ann@example.com>", "ben@example.com"],
        cc="cy@example.com, dee@example.com",
        bcc=["eve@example.com", "ann@example.com"],
        headers={"Bcc": "mallory@example.com"},
    )
    assert composed.recipients == tuple(
        f"{name}@example.com" for name in ("ann", "ben", "cy", "dee", "eve")
    )
    assert "Bcc" not in mail
    assert b"eve@" not in composed.mime
    assert b"mallory" not in composed.mime
    assert mail["To"] == "Ann <ann@example.com>, ben@example.com"
    assert mail["Cc"] == "cy@example.com, dee@example.com"


def test_c33_return_path_is_the_envelope_sender_and_no_header():
    composed, mail = make(return_path="bounce@client.example")
    assert composed.envelope_sender == "bounce@client.example"
    assert "Return-Path" not in mail
    assert make(**{"from": "App <app@client.example>"})[0].envelope_sender == (
        "app@client.example"
    )


def test_c33_reply_to_and_headers():
    _composed, mail = make(
        reply_to="desk@client.example",
        headers={"X-Number": 7, "X-None": None, "Content-Type": "text/x", "To": "v@x"},
    )
    assert mail["Reply-To"] == "desk@client.example"
    assert mail["X-Number"] == "7"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_all("To") == ["ann@example.com"]


def test_html_is_one_part():
    _composed, mail = make(content_type="html", body="<p>Grüße</p>")
    assert mail.get_content_type() == "text/html"
    assert mail.get_content().strip() == "<p>Grüße</p>"


def test_words_beyond_ascii():
    composed, mail = make(
        subject="Größe " * 30,
        **{"from": '"Jörg, \\"J\\"" <j@client.example>'},
        to="Ω <omega@bücher.example>",
    )
    assert composed.mime.isascii()
    assert mail["Subject"].strip() == ("Größe " * 30).strip()
    assert mail["From"].addresses[0].display_name == 'Jörg, "J"'
    assert mail["To"].addresses[0].addr_spec == "omega@xn--bcher-kva.example"
    assert max(map(len, composed.mime.split(b"\r\n"))) <= 998


def test_attachments_keep_their_bytes_and_names():
    files = [
        File("plan.pdf", bytes(range(256)) * 9, "application/pdf"),
        File("Übersicht \N{SNOWMAN}.txt", b"", "nonsense"),
        File("inner.eml", b"From: x\r\n\r\n", "message/rfc822"),
    ]
    composed, mail = make(files)
    parts = list(mail.iter_attachments())
    assert [p.get_filename() for p in parts] == [file.name for file in files]
    assert [p.get_payload(decode=True) for p in parts] == [f.content for f in files]
    assert [p.get_content_type() for p in parts] == [
        "application/pdf",
        *["application/octet-stream"] * 2,
    ]
    assert mail.get_body().get_content().strip() == "Good morning"
    assert composed.mime.endswith(b"--\r\n")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(body=TEXT)
def test_any_body_arrives_with_lines_that_smtp_takes(body):
    composed, mail = make(body=body)
    assert composed.mime.isascii()
    assert b"\n" not in composed.mime.replace(b"\r\n", b"")
    assert b"\r" not in composed.mime.replace(b"\r\n", b"")
    assert max(map(len, composed.mime.split(b"\r\n"))) <= 998
    arrived = mail.get_payload(decode=True).decode(mail.get_content_charset())
    lines = body.replace("\r\n", "\n").replace("\r", "\n").encode()
    assert arrived.replace("\r\n", "\n").rstrip("\n").encode() == lines.rstrip(b"\n")


HOSTILE = st.text(st.sampled_from('aB:,;<>()"\\@ .é=?_Ω\t-'), min_size=1)


@given(subject=HOSTILE, name=HOSTILE, field=HOSTILE)
def test_no_text_makes_another_header(subject, name, field):
    values = {
        "subject": subject,
        "from": f'"{name}" <app@client.example>',
        "headers": {"X-Field": field},
    }
    batch = read_batch({"messages": [GOOD, {**GOOD, **values}]}, 10)
    for item in batch.items:
        mail = email.message_from_bytes(compose(item, NOW).mime)
        assert set(mail.keys()) <= {
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "X-Field",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        }
        assert mail["To"] == "ann@example.com"
