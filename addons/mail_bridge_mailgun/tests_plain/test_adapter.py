# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's posts as documented and as seen, each oddity of facts/providers.md §1.1."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path

import pytest

from odoo.addons.mail_bridge.exceptions import PayloadError, SignatureError
from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.mime import split_mime
from odoo.addons.mail_bridge.tests_plain.contract import NOW, now_and_then
from odoo.addons.mail_bridge.tests_plain.forms_of import Item, multipart, urlencoded
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter

SAMPLES = Path(__file__).parent / "samples"
KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a697887"
ACCOUNT = AccountFacts(
    secrets={"signing_key": (KEY,), "api_key": ("api-4711",)},
    options={"trust_verdicts": False},
)
WITHOUT_API_KEY = replace(ACCOUNT, secrets={"signing_key": (KEY,)})
TRUSTING = replace(ACCOUNT, options={"trust_verdicts": True})
adapter = MailgunAdapter()


def proof(moment=NOW, token=TOKEN) -> dict[str, str]:
    """The signature block, made without the code under test."""
    stamp = str(int(moment.timestamp()))
    mac = hmac.new(KEY.encode(), (stamp + token).encode(), hashlib.sha256)
    return {"timestamp": stamp, "token": token, "signature": mac.hexdigest()}


def items_of(name: str) -> list[Item]:
    """A sample's form, signed."""
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    items = [
        Item(key, (v if isinstance(v, str) else json.dumps(v)).encode())
        for key, v in sample["fields"]
    ]
    items += [
        Item(key, base64.b64decode(content), filename, kind)
        for key, filename, kind, content in sample["files"]
    ]
    return items + [Item(key, value.encode()) for key, value in proof().items()]


def changed(items, name, *contents) -> list[Item]:
    """The items, all of a name replaced by plain fields with these contents."""
    others = [item for item in items if item.name != name]
    return others + [
        Item(name, c if isinstance(c, bytes) else c.encode()) for c in contents
    ]


def request_of(items, path="/mailgate/mailgun") -> WebhookRequest:
    encode = multipart if any(i.filename is not None for i in items) else urlencoded
    content_type, body = encode(items)
    return WebhookRequest(
        "POST", path, (("Content-Type", content_type),), body, "192.0.2.1", NOW
    )


def parse(items, account=ACCOUNT, fetched=None):
    request = request_of(items)
    adapter.verify(request, account)
    [mail] = adapter.parse(request, fetched or {}, account)
    return mail


def with_header(items, name, value) -> list[Item]:
    """The items of a mail that has one more header, as Mailgun posts it: twice."""
    found = next(item for item in items if item.name == "message-headers")
    headers = [*json.loads(found.content), [name, value]]
    items = changed(items, "message-headers", json.dumps(headers))
    return [Item(name, value.encode()), *items]


class TestForward:
    mail = parse(items_of("forward_multipart"))
    parts = split_mime(mail.mime)

    def test_the_envelope(self):
        assert self.mail.envelope_sender == "bounce-9f2@mail.customer.example"
        assert self.mail.envelope_recipients == ("support@mg.inbound.example",)
        assert self.mail.provider_reference == TOKEN
        assert not self.mail.is_original
        assert self.mail.notes == ()

    def test_headers_are_those_of_the_mail_and_not_of_the_form(self):
        names = [name for name, _value in self.parts.headers]
        assert names[:5] == [
            "X-Mailgun-Incoming",
            "X-Envelope-From",
            "Received",
            "Dkim-Signature",
            "Received",
        ]
        assert "body-plain" not in names and "timestamp" not in names
        assert self.parts.header("from") == "Vera Źmuda <vera@customer.example>"
        assert self.parts.header("references").count("<") == 2
        assert self.parts.header("message-id") == "<CAH7x@mail.customer.example>"
        assert self.parts.header("date") == "Fri, 20 Nov 2026 11:58:31 +0100"

    def test_the_bodies(self):
        assert self.parts.text == "It burns.\r\n\r\n> earlier mail\r\n"
        assert "<b>burns</b>" in self.parts.html
        assert self.mail.stripped_text == "It burns."

    def test_the_files(self):
        found = {item.filename: item for item in self.parts.attachments}
        assert found["Łog.txt"].content == b"A\xb3\n"
        assert "iso-8859-2" in found["Łog.txt"].content_type
        assert found["fire.png"].content_id == "fire@1"
        assert found["fire.png"].inline
        assert found["forwarded.eml"].content == b"Subject: old\n\nbody\n"
        assert found["forwarded.eml"].content_type == "message/rfc822"

    def test_without_files_the_form_is_urlencoded(self):
        items = items_of("forward_plain")
        assert request_of(items).content_type.endswith("urlencoded")
        parts = split_mime(parse(items).mime)
        assert parts.text == "For 40 chairs.\r\n"
        assert parts.html is None and not parts.attachments

    def test_the_minimal_post_is_enough(self):
        mail = parse(items_of("minimal"))
        parts = split_mime(mail.mime)
        assert parts.header("from") == "ada@customer.example"
        assert parts.header("to") == "sales@mg.inbound.example"
        assert parts.header("subject") == "Hällo"
        assert parts.header("message-id").endswith("@mail-bridge.invalid>")
        assert parts.header("date") == "Fri, 20 Nov 2026 12:00:00 +0000"
        assert parts.text == "Is anybody there?"
        assert mail.mime == parse(items_of("minimal")).mime

    def test_the_same_minimal_post_the_next_day_is_another_mail(self):
        request = request_of(items_of("minimal"))
        ids = []
        for seconds in (0, 60, 86_400):
            later = replace(request, received_at=now_and_then(seconds))
            [mail] = adapter.parse(later, {}, ACCOUNT)
            ids.append(split_mime(mail.mime).header("message-id"))
        assert ids[0] == ids[1] != ids[2]

    def test_headers_without_message_headers(self):
        """The fields in capitals are the mail's headers then."""
        items = changed(items_of("forward_multipart"), "message-headers")
        parts = split_mime(parse(items).mime)
        assert parts.header("references").count("<") == 2
        assert parts.header("cc") == "third@elsewhere.example"

    def test_the_null_sender(self):
        for value in ("", "<>"):
            items = changed(items_of("forward_plain"), "sender", value)
            assert parse(items).envelope_sender == ""

    def test_several_recipients(self):
        items = changed(items_of("minimal"), "recipient", "a@b.example, c@d.example")
        assert parse(items).envelope_recipients == ("a@b.example", "c@d.example")

    def test_several_html_parts_are_all_kept(self):
        items = items_of("forward_plain")
        items += [Item("body-html", b"<p>one</p>"), Item("body-html", b"<p>two</p>")]
        html = split_mime(parse(items).mime).html
        assert html.index("one") < html.index("two")

    def test_stripped_fields_may_be_missing(self):
        assert parse(items_of("minimal")).stripped_text == ""

    def test_no_text_and_no_html(self):
        items = changed(items_of("forward_plain"), "body-plain")
        assert split_mime(parse(items).mime).text == ""

    def test_the_provider_s_own_answers(self):
        assert adapter.stored_answer("MB1").body == b"OK"
        answers = (adapter.answers.rejected, adapter.answers.try_again)
        assert [answer.status for answer in answers] == [403, 503]  # never 406


class TestFiles:
    def test_more_announced_than_came(self):
        items = changed(items_of("forward_multipart"), "attachment-count", "5")
        mail = parse(items)
        assert len(split_mime(mail.mime).attachments) == 3
        assert "5" in mail.notes[0] and "3" in mail.notes[0]

    @pytest.mark.parametrize("count", ["", "x", "-1", "１", "9" * 50, "1.0"])
    def test_an_odd_count_does_not_matter(self, count):
        items = changed(items_of("forward_multipart"), "attachment-count", count)
        assert len(split_mime(parse(items).mime).attachments) == 3

    @pytest.mark.parametrize("name", ["", ".", "..", "path/", "path\\..", "\\\\s\\a\\"])
    def test_files_with_useless_names_are_kept(self, name):
        items = [
            *items_of("forward_plain"),
            Item("attachment-1", b"x", name, "text/pdf"),
        ]
        [item] = split_mime(parse(items).mime).attachments
        assert item.content == b"x"
        assert item.filename.startswith("attachment-1")

    def test_a_file_without_any_name_is_kept(self):
        items = items_of("forward_multipart")
        items = [item for item in items if item.name != "attachment-1"]
        items += [Item("attachment-1", b"\x00x", None, "application/zip")]
        contents = [i.content for i in split_mime(parse(items).mime).attachments]
        assert b"\x00x" in contents

    def test_a_windows_path_is_cut_off(self):
        items = items_of("forward_plain")
        items.append(Item("attachment-1", b"x", "\\\\share\\mail\\fwd.msg", "a/b"))
        mail = parse(items)
        assert split_mime(mail.mime).attachments[0].filename == "fwd.msg"
        assert mail.notes == ("An attachment was renamed to “fwd.msg”.",)

    def test_files_of_other_names_are_kept(self):
        items = [
            *items_of("forward_plain"),
            Item("inline-1", b"x", "x.png", "image/png"),
        ]
        assert split_mime(parse(items).mime).attachments[0].content == b"x"

    def test_files_keep_the_order_of_their_numbers(self):
        items = items_of("forward_plain")
        items += [
            Item(f"attachment-{n}", b"", f"{n}.txt", "text/plain") for n in (10, 2, 1)
        ]
        names = [item.filename for item in split_mime(parse(items).mime).attachments]
        assert names == ["1.txt", "2.txt", "10.txt"]

    def test_repeated_and_empty_content_ids(self):
        items = items_of("forward_multipart")
        ids = (
            '{"": "attachment-1", "": "attachment-3", '
            '"<fire@1>": "attachment-2", "<fire@1>": "attachment-3"}'
        )
        items = changed(items, "content-id-map", ids)
        found = split_mime(parse(items).mime).attachments
        assert sorted(item.content_id for item in found) == ["", "fire@1", "fire@1"]

    @pytest.mark.parametrize(
        "ids",
        ["", "x", "[]", "null", '{"<a>": 1}', '{"<a>": ["attachment-1"]}', "[" * 10**5],
    )
    def test_a_broken_map_costs_no_file(self, ids):
        items = changed(items_of("forward_multipart"), "content-id-map", ids)
        assert len(split_mime(parse(items).mime).attachments) == 3


class TestShadows:
    """A sender names headers of the mail like Mailgun's fields."""

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "body-mime",
                "message-url",
                "attachments",
                "attachment-1",
                "attachment-count",
            ),
            *(
                "content-id-map",
                "stripped-text",
                "event",
                "domain",
                "signature-x",
            ),
        ],
    )
    def test_a_header_is_not_taken_for_a_field(self, name):
        evil = "https://storage.mailgun.net/v3/domains/evil.example/messages/KEY"
        items = with_header(items_of("forward_plain"), name, evil)
        items = [
            i for i in items if i.name != "stripped-text" or i.content == evil.encode()
        ]
        request = request_of(items)
        assert adapter.missing(request, ACCOUNT) == []
        mail = parse(items)
        parts = split_mime(mail.mime)
        assert parts.text == "For 40 chairs.\r\n"
        assert parts.header(name) == evil
        assert not parts.attachments
        assert mail.stripped_text in ("", "For 40 chairs.")

    @pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("value", [b"1795176000", b"x" * 50, b"\xff", b""])
    def test_a_second_proof_is_genuine_and_a_dead_letter(self, name, first, value):
        """A sender names a header ``token``: the post is kept for a person to see."""
        items, shadow = items_of("forward_plain"), Item(name, value)
        request = request_of([shadow, *items] if first else [*items, shadow])
        again = request_of([*items, shadow] if first else [shadow, *items])
        adapter.verify(request, ACCOUNT)
        assert adapter.dedupe_key(request) == adapter.dedupe_key(again)
        assert adapter.content_hash(request) == adapter.content_hash(again)
        with pytest.raises(PayloadError):
            adapter.missing(request, ACCOUNT)
        with pytest.raises(PayloadError):
            adapter.parse(request, {}, ACCOUNT)

    def test_all_three_twice(self):
        shadows = [Item(name, b"1795176000") for name in proof()]
        adapter.verify(request_of([*shadows, *items_of("forward_plain")]), ACCOUNT)

    def test_two_proofs_that_prove_nothing(self):
        """Neither pieces of two genuine proofs, nor one that is genuine but stale."""
        one, other = proof(), proof(now_and_then(60), "0" * 50)
        items = [i for i in items_of("forward_plain") if i.name not in one]
        pieces = [("timestamp", one), ("token", other), ("signature", one)]
        stale = proof(now_and_then(-90_000), "1" * 50)
        for pairs in (pieces, [*pieces, *((name, stale) for name in stale)]):
            shadows = [Item(name, values[name].encode()) for name, values in pairs]
            with pytest.raises(SignatureError):
                adapter.verify(request_of([*items, *shadows]), ACCOUNT)

    @pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
    def test_trying_ends(self, name):
        """Nobody has proved anything yet, so the work must be bounded."""
        for shadows in ([Item(name, b"1")] * 2, [Item(name, b"1" * 100_000)]):
            with pytest.raises(SignatureError, match=r"too (often|long)"):
                adapter.verify(
                    request_of([*items_of("forward_plain"), *shadows]), ACCOUNT
                )

    @pytest.mark.parametrize("name", ["recipient", "sender", "body-plain", "from"])
    def test_a_header_never_beats_a_field_of_mailgun(self, name):
        genuine = parse(items_of("forward_plain"))
        mail = parse(with_header(items_of("forward_plain"), name, "evil@example.com"))
        assert mail.envelope_recipients == genuine.envelope_recipients
        assert mail.envelope_sender == genuine.envelope_sender
        assert split_mime(mail.mime).text == split_mime(genuine.mime).text

    def test_a_header_that_says_the_same_costs_nothing(self):
        items = items_of("forward_plain")
        for name in ("recipient", "sender", "body-plain"):
            value = next(i.content for i in items if i.name == name).decode()
            items = with_header(items, name, value)
        genuine, mail = parse(items_of("forward_plain")), parse(items)
        assert mail.envelope_recipients == genuine.envelope_recipients
        assert mail.envelope_sender == genuine.envelope_sender
        assert split_mime(mail.mime).text.strip() == "For 40 chairs."

    def test_the_only_recipient_counts_though_a_header_says_the_same(self):
        """Were a form a table, the header and the field would be one."""
        items = with_header(items_of("forward_plain"), "recipient", "a@b.example")
        mail = parse(changed(items, "recipient", "a@b.example"))
        assert mail.envelope_recipients == ("a@b.example",)

    def test_headers_of_a_stored_mail_and_of_one_with_files(self):
        evil = "https://storage.mailgun.net/v3/domains/evil.example/messages/KEY"
        items = with_header(items_of("store_notify"), "message-url", evil)
        [fetch] = adapter.missing(request_of(items), ACCOUNT)
        assert fetch.url == TestStore.URL
        items = with_header(items_of("forward_multipart"), "content-id-map", "x")
        items = with_header(items, "stripped-text", "evil")
        mail = parse(with_header(items, "attachment-count", "9"))
        ids = {i.filename: i.content_id for i in split_mime(mail.mime).attachments}
        assert ids["fire.png"] == "fire@1"
        assert mail.stripped_text == "It burns." and not mail.notes

    def test_the_proof_of_the_account_above_is_no_content(self):
        items = items_of("forward_plain")
        one, other = ([*items, Item("parent-signature", b)] for b in (b"a", b"b"))
        assert adapter.content_hash(request_of(one)) == adapter.content_hash(
            request_of(other)
        )

    @pytest.mark.parametrize("name", ["recipient", "sender", "message-headers"])
    def test_a_second_envelope_is_a_dead_letter(self, name):
        items = [Item(name, b"evil@example.com"), *items_of("forward_plain")]
        with pytest.raises(PayloadError):
            parse(items)

    def test_a_second_body_mime_is_a_dead_letter(self):
        with pytest.raises(PayloadError):
            parse([*raw_items(b"From: a@b\r\n\r\nx"), Item("body-mime", b"From: c@d")])

    def test_a_second_message_url_is_a_dead_letter(self):
        items = [*items_of("store_notify"), Item("message-url", b"https://x")]
        with pytest.raises(PayloadError):
            adapter.missing(request_of(items), ACCOUNT)


class TestMessageHeaders:
    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                "x",
                "null",
                "{}",
                "17",
                '["a"]',
                '[["a"]]',
                '[["a", "b", "c"]]',
            ),
            *(
                '[["a", null]]',
                '[["a", 1]]',
                '[["a", ["b"]]]',
                '[[{}, "b"]]',
                "[" * 10**5,
            ),
        ],
    )
    def test_what_is_no_list_of_pairs_is_a_dead_letter(self, text):
        with pytest.raises(PayloadError):
            parse(changed(items_of("forward_plain"), "message-headers", text))

    def test_no_headers_at_all(self):
        parts = split_mime(
            parse(changed(items_of("forward_plain"), "message-headers", "[]")).mime
        )
        assert parts.header("from") == "Ada <ada@customer.example>"
        assert parts.header("subject") == "An offer, please"

    def test_line_breaks_do_not_make_headers(self):
        items = with_header(
            items_of("forward_plain"), "X-A", "b\r\nBcc: evil@example.com"
        )
        items = with_header(items, "X-B\r\nBcc", "evil@example.com")
        parts = split_mime(parse(items).mime)
        assert parts.header("bcc") == ""
        assert parts.header("x-a") == "b Bcc: evil@example.com"

    def test_folded_and_encoded_values(self):
        value = "=?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?_an_alle?="
        items = with_header(items_of("forward_plain"), "X-Subject", value)
        assert split_mime(parse(items).mime).header("x-subject") == "grüße an alle"


def raw_items(mime: bytes) -> list[Item]:
    fields = {"recipient": "r@mg.inbound.example", "sender": "s@x.example", **proof()}
    return [*(Item(k, v.encode()) for k, v in fields.items()), Item("body-mime", mime)]


class TestRaw:
    MIME = b"From: \xfc@x\r\nSubject: \xff\xfe\r\n\r\n8-bit \xe9\0 +%41&=\r\n"

    @pytest.mark.parametrize("encode", [urlencoded, multipart])
    def test_bytes_come_through(self, encode):
        content_type, body = encode(raw_items(self.MIME))
        request = replace(
            request_of([]), headers=(("Content-Type", content_type),), body=body
        )
        adapter.verify(request, ACCOUNT)
        [mail] = adapter.parse(request, {}, ACCOUNT)
        assert mail.mime == self.MIME
        assert mail.is_original
        assert mail.envelope_recipients == ("r@mg.inbound.example",)
        assert mail.size == len(self.MIME)

    def test_as_a_file(self):
        """Some senders of forms post a long field as a file."""
        items = [i for i in raw_items(b"") if i.name != "body-mime"]
        items.append(Item("body-mime", self.MIME, "mail.eml", "message/rfc822"))
        assert parse(items).mime == self.MIME

    def test_with_parsed_headers_beside_it(self):
        headers = json.dumps([["X-Mailgun-Spf", "Pass"], ["From", "a@b"]])
        items = [*raw_items(self.MIME), Item("message-headers", headers.encode())]
        mail = parse(items, TRUSTING)
        assert mail.mime == self.MIME and mail.is_original
        assert mail.verdicts.spf == "pass"

    def test_a_header_of_that_name_is_not_the_mail(self):
        items = [*items_of("minimal"), Item("body-mime", b"From: evil@x")]
        assert split_mime(parse(items).mime).text == "Is anybody there?"
        items = with_header(items_of("forward_plain"), "body-mime", "From: evil@x")
        mail = parse(changed(items, "body-plain"))
        assert not mail.is_original
        assert split_mime(mail.mime).header("from") == "Ada <ada@customer.example>"

    def test_verdicts_need_posted_headers(self):
        mime = b"X-Mailgun-Spf: Pass\r\nFrom: a@b\r\n\r\nx"
        assert not parse(raw_items(mime), TRUSTING).verdicts.known

    @pytest.mark.parametrize("mime", [b"", b" \r\n"])
    def test_an_empty_mail_is_a_dead_letter(self, mime):
        with pytest.raises(PayloadError):
            parse(raw_items(mime))


class TestStore:
    URL = (
        "https://storage-us-east4.api.mailgun.net"
        "/v3/domains/mg.inbound.example/messages/BAABAAVq_7-xQ=="
    )
    MIME = "From: shop@customer.example\r\nSubject: Order 7\r\n\r\nü\r\n"

    def test_what_is_to_be_fetched(self):
        [fetch] = adapter.missing(request_of(items_of("store_notify")), ACCOUNT)
        assert fetch.url == self.URL
        assert fetch.hosts == ("storage-us-east4.api.mailgun.net",)
        assert fetch.auth == ("api", "api-4711")
        assert ("Accept", "message/rfc2822") in fetch.headers
        assert fetch.tries > 3  # of a few minutes
        assert "4711" not in repr(fetch)

    def test_the_fetched_mail_is_the_mail(self):
        answer = json.dumps({"body-mime": self.MIME, "sender": "x"}).encode()
        mail = parse(items_of("store_notify"), fetched={"original": answer})
        assert mail.mime == self.MIME.encode()
        assert mail.is_original and not mail.notes
        assert mail.envelope_recipients == ("orders@mg.inbound.example",)

    def test_a_damaged_mail_is_not_called_original(self):
        answer = json.dumps({"body-mime": "Subject: \ufffd\r\n\r\nx"}).encode()
        mail = parse(items_of("store_notify"), fetched={"original": answer})
        assert not mail.is_original and mail.notes

    @pytest.mark.parametrize(
        "answer",
        [
            *(
                b"",
                b"[]",
                b"{}",
                b"From: x",
                b'{"body-mime": 1}',
                b'{"body-mime": null}',
            ),
            *(
                b'{"body-mime": ""}',
                b"\xff",
                b'{"message": "not found"}',
            ),
        ],
    )
    def test_where_no_mail_can_be_had_the_parts_serve_and_say_so(self, answer):
        """Gone after three days, a wrong API key, an answer that makes no sense."""
        mail = parse(items_of("store_notify"), fetched={"original": answer})
        assert split_mime(mail.mime).text == "See the attachment.\r\n"
        assert not mail.is_original
        assert "could not be fetched" in mail.notes[-1]
        assert mail == parse(items_of("store_notify"))

    def test_without_an_api_key_the_parts_serve(self):
        request = request_of(items_of("store_notify"))
        assert adapter.missing(request, WITHOUT_API_KEY) == []
        mail = parse(items_of("store_notify"), WITHOUT_API_KEY)
        assert split_mime(mail.mime).text == "See the attachment.\r\n"
        assert "API key" in mail.notes[0]

    @pytest.mark.parametrize(
        "host",
        [
            "storage.mailgun.net",
            "storage-us-west1.api.mailgun.net",
            "api.mailgun.net",
            "sw.api.mailgun.net",
            "se.api.mailgun.net",
            "api.mailgun.org",
            "storage.eu.mailgun.net",
            "storage-europe-west1.api.mailgun.net",
            "api.eu.mailgun.net",
        ],
    )
    def test_the_hosts_of_both_regions(self, host):
        url = f"https://{host}/v3/domains/a.example/messages/KEY"
        items = changed(items_of("store_notify"), "message-url", url)
        [fetch] = adapter.missing(request_of(items), ACCOUNT)
        assert fetch.hosts == (host,)

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.mailgun.net/v3/domains/a/messages/K",
            "https://evil.tld?api.mailgun.net/v3/domains/a/messages/K",
            "https://evil.tld/v3/domains/a/messages/K#api.mailgun.net",
            "https://api.mailgun.net.evil.tld/v3/domains/a/messages/K",
            "https://evilmailgun.net/v3/domains/a/messages/K",
            "https://api.mailgun-net/v3/domains/a/messages/K",
            "https://api-mailgun.net/v3/domains/a/messages/K",
            "https://evil.mailgun.net/v3/domains/a/messages/K",
            "https://api.mailgun.net@evil.tld/v3/domains/a/messages/K",
            "https://user:pass@api.mailgun.net/v3/domains/a/messages/K",
            "https://api.mailgun.net:8443/v3/domains/a/messages/K",
            "https://api.mailgun.net:443/v3/domains/a/messages/K",
            "https://api.mailgun.net\\@evil.tld/v3/domains/a/messages/K",
            "https://api.mailgun.net\n.evil.tld/v3/domains/a/messages/K",
            "https://api.mailgun.net./v3/domains/a/messages/K",
            "https://api.mailgun.net/v3/domains/a/messages/K?x=1",
            "https://api.mailgun.net/v3/domains/a/messages/../../../x",
            "https://api.mailgun.net/v3/domains/../messages/K",
            "https://api.mailgun.net/v3/domains/a/messages/K%2f..%2fx",
            "https://api.mailgun.net/v3/routes",
            "https://ａpi.mailgun.net/v3/domains/a/messages/K",
            "HTTPS://api.mailgun.net/v3/domains/a/messages/K",
            "https://169.254.169.254/v3/domains/a/messages/K",
            "file:///etc/passwd",
            "x",
        ],
    )
    def test_no_other_place_gets_the_key(self, url):
        items = changed(items_of("store_notify"), "message-url", url)
        with pytest.raises(PayloadError):
            adapter.missing(request_of(items), ACCOUNT)

    def test_a_forwarded_mail_needs_nothing(self):
        assert adapter.missing(request_of(items_of("forward_multipart")), ACCOUNT) == []


class TestVerdicts:
    def test_nothing_is_believed_unasked(self):
        mail = parse(items_of("forward_multipart"))
        assert not mail.verdicts.known
        assert mail.spam.flagged is None and mail.spam.score is None

    def test_what_mailgun_says(self):
        mail = parse(items_of("forward_multipart"), TRUSTING)
        assert (mail.verdicts.spf, mail.verdicts.dkim) == ("pass", "pass")
        assert mail.verdicts.spf_domain == "mail.customer.example"
        assert mail.verdicts.dkim_domains == ("customer.example",)
        assert mail.verdicts.source == "mailgun"
        assert (mail.spam.flagged, mail.spam.score) == (False, 1.7)

    @pytest.mark.parametrize(
        "name",
        [
            "X-Mailgun-Spf",
            "X-Mailgun-Dkim-Check-Result",
            "x-mailgun-spf",
            "X-MAILGUN-SFLAG",
        ],
    )
    def test_what_stands_twice_is_not_believed(self, name):
        items = with_header(items_of("forward_multipart"), name, "Pass")
        mail = parse(items, TRUSTING)
        if "spf" in name.lower():
            assert mail.verdicts.spf == "policy"
        elif "dkim" in name.lower():
            assert mail.verdicts.dkim == "policy" and mail.verdicts.dkim_domains == ()
        else:
            assert mail.spam.flagged is None

    def test_no_sender_takes_a_failed_check_away(self):
        items = items_of("forward_plain")
        for name in ("X-Mailgun-Spf", "X-Mailgun-Dkim-Check-Result"):
            for value in ("Fail", "Pass"):
                items = with_header(items, name, value)
        verdicts = parse(items, TRUSTING).verdicts
        assert verdicts.known and "pass" not in (verdicts.spf, verdicts.dkim)

    def test_no_sender_takes_the_mark_of_spam_away(self):
        items = with_header(items_of("forward_plain"), "X-Mailgun-Sflag", "Yes")
        items = with_header(items, "X-Mailgun-Sflag", "No")
        assert parse(items, TRUSTING).spam.flagged is True

    def test_a_second_dkim_signature_leaves_the_domain_open(self):
        items = items_of("forward_multipart")
        items = with_header(items, "DKIM-Signature", "v=1; d=evil.example; b=x")
        verdicts = parse(items, TRUSTING).verdicts
        assert verdicts.dkim == "pass" and verdicts.dkim_domains == ()

    @pytest.mark.parametrize(
        "tags", ["d=a.example; d=b.example", "d=", "d=a b.example", "xd=a.example", ""]
    )
    def test_a_signature_without_one_domain(self, tags):
        items = with_header(
            items_of("forward_plain"), "X-Mailgun-Dkim-Check-Result", "Pass"
        )
        items = with_header(items, "Dkim-Signature", f"v=1; {tags}; b=x")
        assert parse(items, TRUSTING).verdicts.dkim_domains == ()

    @pytest.mark.parametrize(
        ("value", "spf"),
        [
            ("Fail", "fail"),
            ("SoftFail", "softfail"),
            ("neutral", "neutral"),
            ("Yes", ""),
            ("", ""),
        ],
    )
    def test_words(self, value, spf):
        items = with_header(items_of("forward_plain"), "X-Mailgun-Spf", value)
        assert parse(items, TRUSTING).verdicts.spf == spf

    @pytest.mark.parametrize(
        "score", ["nan", "inf", "1e999", "1_0", "１", "", "9" * 400]
    )
    def test_an_odd_score_is_none(self, score):
        items = with_header(items_of("forward_plain"), "X-Mailgun-Sscore", score)
        assert parse(items, TRUSTING).spam.score is None

    def test_a_failed_check_names_no_domain(self):
        items = with_header(
            items_of("forward_plain"), "X-Mailgun-Dkim-Check-Result", "Fail"
        )
        items = with_header(items, "Dkim-Signature", "v=1; d=customer.example; b=x")
        verdicts = parse(items, TRUSTING).verdicts
        assert verdicts.dkim == "fail" and verdicts.dkim_domains == ()


class TestProof:
    def test_the_key_that_verifies(self):
        adapter.verify(request_of(items_of("minimal")), ACCOUNT)
        other = replace(ACCOUNT, secrets={"signing_key": ("other",)})
        with pytest.raises(SignatureError):
            adapter.verify(request_of(items_of("minimal")), other)

    def test_a_retry_hours_later_is_accepted(self):
        """Mailgun repeats for eight hours and does not sign again."""
        request = request_of(items_of("minimal"))
        adapter.verify(replace(request, received_at=now_and_then(8 * 3600)), ACCOUNT)
        with pytest.raises(SignatureError):
            adapter.verify(replace(request, received_at=now_and_then(90_000)), ACCOUNT)

    @pytest.mark.parametrize(
        ("token", "key"),
        [
            (TOKEN, TOKEN),
            ("x", None),
            ("ü" * 50, None),
            ("", None),
            ("t" * 5000, None),
            ("sha256:" + "0" * 60, None),
        ],
    )
    def test_the_token_is_the_key(self, token, key):
        items = items_of("minimal")
        for name, value in proof(token=token).items():
            items = changed(items, name, value)
        request = request_of(items)
        adapter.verify(request, ACCOUNT)
        found = adapter.dedupe_key(request)
        assert found == key or (key is None and found.startswith("sha256:"))

    @pytest.mark.parametrize("moved", [-3, -2, -1, 1, 2, 3])
    def test_digits_do_not_move_between_time_and_token(self, moved):
        """The signature covers both without a border between them."""
        items = items_of("minimal")
        signed = proof(token="123" + TOKEN)
        joined = signed["timestamp"] + signed["token"]
        border = len(signed["timestamp"]) + moved
        items = changed(items, "timestamp", joined[:border])
        items = changed(items, "token", joined[border:])
        items = changed(items, "signature", signed["signature"])
        with pytest.raises(SignatureError, match=r"too old|future|seconds"):
            adapter.verify(request_of(items), ACCOUNT)

    def test_a_repetition_may_be_signed_anew(self):
        items = items_of("minimal")
        again = items
        for name, value in proof(now_and_then(60)).items():
            again = changed(again, name, value)
        one, other = request_of(items), request_of(again)
        assert adapter.content_hash(one) == adapter.content_hash(other)

    def test_no_form(self):
        for content_type in ("text/plain", "multipart/mixed; boundary=x", ""):
            request = replace(
                request_of(items_of("minimal")),
                headers=(("Content-Type", content_type),),
            )
            with pytest.raises(SignatureError):
                adapter.verify(request, ACCOUNT)


class TestWrongAddress:
    def test_the_old_event_webhooks(self):
        items = [Item(k, v.encode()) for k, v in proof().items()]
        items += [Item("event", b"delivered"), Item("recipient", b"a@b.example")]
        request = request_of(items)
        adapter.verify(request, ACCOUNT)
        with pytest.raises(PayloadError, match="legacy event webhook"):
            adapter.parse(request, {}, ACCOUNT)


class TestTooLarge:
    def reduced(self, items, account=ACCOUNT, fetched=None):
        request = request_of(items)
        kept = replace(
            request, body=adapter.reduce(request), truncated=True, size=70_000_000
        )
        assert adapter.dedupe_key(kept) == TOKEN
        [mail] = adapter.parse(kept, fetched or {}, account)
        return mail, adapter.missing(kept, account)

    def test_files_go_and_are_counted(self):
        mail, _missing = self.reduced(items_of("forward_multipart"))
        parts = split_mime(mail.mime)
        assert parts.attachments == () and parts.text.startswith("It burns.")
        assert parts.header("references").count("<") == 2
        assert "3 attachments" in mail.notes[0]
        assert mail.truncated and mail.size == 70_000_000

    def test_raw_mail_is_cut(self):
        mime = b"From: a@b.example\r\nSubject: s\r\n\r\n" + b"\xff" * 3_000_000
        mail, _missing = self.reduced(raw_items(mime))
        assert mime.startswith(mail.mime) and 60_000 < len(mail.mime) < 70_000
        assert mail.truncated and not mail.is_original

    def test_a_stored_mail_can_still_be_fetched(self):
        items = changed(items_of("store_notify"), "body-plain", b"x" * 3_000_000)
        answer = json.dumps({"body-mime": TestStore.MIME}).encode()
        mail, [fetch] = self.reduced(items, fetched={"original": answer})
        assert fetch.url == TestStore.URL
        assert mail.mime == TestStore.MIME.encode()
        assert mail.is_original and not mail.truncated
        assert mail.size == len(mail.mime)


class TestBadInput:
    """The list of the order of work: each is defined, and nothing is lost."""

    def test_ten_thousand_fields(self):
        items = items_of("forward_plain")
        items += [Item(f"X-{n}", b"v") for n in range(10_000 - len(items))]
        assert split_mime(parse(items).mime).text == "For 40 chairs.\r\n"
        with pytest.raises(SignatureError, match="too many"):
            adapter.verify(request_of([*items, Item("X-More", b"v")]), ACCOUNT)

    def test_five_thousand_recipients(self):
        many = ", ".join(f"u{n}@b.example" for n in range(5000))
        mail = parse(changed(items_of("minimal"), "recipient", many))
        assert len(mail.envelope_recipients) == 5000

    def test_nul_bytes(self):
        items = with_header(items_of("forward_plain"), "X-Nul", "a\0b")
        items = changed(items, "body-plain", b"a\0b")
        items.append(Item("attachment-1", b"\0", "a\0b.txt", "text/plain"))
        mail = parse(items)
        parts = split_mime(mail.mime)
        assert parts.header("x-nul") == "ab"
        assert parts.text == "a\0b"
        assert [(a.filename, a.content) for a in parts.attachments] == [
            ("ab.txt", b"\0")
        ]

    def test_no_from_and_no_message_id(self):
        items = changed(items_of("forward_plain"), "message-headers", '[["To", "a@b"]]')
        items = changed(changed(items, "from"), "sender", "")
        mail = parse(items)
        parts = split_mime(mail.mime)
        assert parts.header("from") == "" and mail.envelope_sender == ""
        assert parts.header("message-id")

    def test_a_date_in_the_future_stays(self):
        items = with_header(
            changed(items_of("forward_plain"), "message-headers", "[]"),
            "Date",
            "Fri, 20 Nov 2099 12:00:00 +0000",
        )
        assert "2099" in split_mime(parse(items).mime).header("date")

    def test_text_that_is_not_utf8(self):
        items = changed(items_of("forward_plain"), "body-plain", b"gr\xfc\xdfe")
        assert split_mime(parse(items).mime).text == "grüße"

    @pytest.mark.parametrize("cut", range(0, 100, 7))
    def test_a_cut_form_proves_nothing_or_is_read(self, cut):
        request = request_of(items_of("forward_multipart"))
        body = request.body[: len(request.body) * cut // 100]
        with pytest.raises(SignatureError):
            adapter.verify(replace(request, body=body), ACCOUNT)


class TestDeliveryReport:
    def test_a_report_can_be_handled_by_odoo(self):
        """A bounce that comes in through a route keeps its machine-readable parts."""
        items = items_of("forward_plain")
        kind = 'multipart/report; report-type=delivery-status; boundary="x"'
        items = with_header(items, "Content-Type", kind)
        status = b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\n"
        items += [Item("attachment-1", status, "", "message/delivery-status")]
        items += [Item("attachment-2", b"Message-ID: <m@x>\n\nx", "", "message/rfc822")]
        mail = parse(items)
        assert status in mail.mime
        assert b"\r\nContent-Type: multipart/report;" in mail.mime
