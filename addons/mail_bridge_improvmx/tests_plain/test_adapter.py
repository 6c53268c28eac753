# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""ImprovMX's posts as documented and as its library makes them."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from odoo.addons.mail_bridge.providers.base import AccountFacts, WebhookRequest
from odoo.addons.mail_bridge.providers.evidence import with_server_results
from odoo.addons.mail_bridge.providers.mime import split_mime
from odoo.addons.mail_bridge.tests_plain.contract import NOW
from odoo.addons.mail_bridge_improvmx.adapter import ImprovmxAdapter

SAMPLES = Path(__file__).parent / "samples"
ACCOUNT = AccountFacts()
WITH_KEY = AccountFacts(secrets={"api_key": ("sk_4711",)})
adapter = ImprovmxAdapter()


def sample(name: str) -> dict:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def request_of(data) -> WebhookRequest:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = (("Content-Type", "application/json"), ("User-Agent", "python-requests"))
    return WebhookRequest(
        "POST", "/mailgate/improvmx", headers, body, "15.237.103.194", NOW
    )


def parse(data, account=ACCOUNT, fetched=None):
    request = request_of(data)
    adapter.verify(request, account)
    [mail] = adapter.parse(request, fetched or {}, account)
    return mail


def attachment(**item):
    """The one attachment of a mail that holds this item, and the mail's notes."""
    data = {**sample("documented"), "attachments": [item], "inlines": []}
    mail = parse(data)
    return split_mime(mail.mime).attachments[0], mail.notes


def test_a_name_that_cannot_stand_is_noted():
    found, notes = attachment(
        name=".profile", type="a/b", content="", encoding="base64"
    )
    assert found.filename == "profile"
    assert notes == ("An attachment was renamed to “profile”.",)


class TestDocumented:
    mail = parse(sample("documented"))
    parts = split_mime(mail.mime)

    def test_the_envelope(self):
        assert self.mail.envelope_sender == "bounce@customer.example"
        assert self.mail.envelope_recipients == ("info@inbound.example",)
        assert self.mail.provider_reference == "muster-1@customer.example"
        assert not self.mail.is_original and not self.mail.notes

    def test_headers_from_lists_and_from_fields(self):
        headers = self.parts.headers
        assert [v[:6] for k, v in headers if k == "Received"] == ["from c", "from b"]
        assert headers[0] == ("X-Forwarding-Service", "ImprovMX v3.0.0")
        assert self.parts.header("from") == "Vera Źmuda <vera@customer.example>"
        assert self.parts.header("to") == (
            "Info desk <info@inbound.example>, second@inbound.example"
        )
        assert self.parts.header("cc") == '"Grüße, Ltd" <cc@elsewhere.example>'
        assert self.parts.header("subject") == "Ein Muster"
        assert self.parts.header("date") == "Fri, 20 Nov 2026 11:00:00 +0000"
        assert self.parts.header("message-id") == "<muster-1@customer.example>"

    def test_bodies_and_files(self):
        assert self.parts.text == "Guten Tag.[image: pixel.png]"
        assert "cid:pixel_1" in self.parts.html
        inline, offer = self.parts.attachments
        assert (inline.content_id, inline.inline) == ("pixel_1", True)
        assert inline.content == b"\x89PNG\r\n\x1a\n\x00\xff"
        assert (offer.filename, offer.content) == ("Angebot.pdf", b"%PDF-1\xff")


class TestLibrary:
    mail = parse(sample("library"))
    parts = split_mime(mail.mime)

    def test_delivered_to_may_be_an_object(self):
        assert self.mail.envelope_recipients == ("info@inbound.example",)
        assert self.mail.envelope_sender == "bounce@customer.example"

    def test_headers_stand_only_once(self):
        names = [name.lower() for name, _value in self.parts.headers]
        for name in ("from", "to", "subject", "date", "message-id"):
            assert names.count(name) == 1
        assert self.parts.header("message-id") == "<lib-1@customer.example>"

    def test_each_way_of_content(self):
        found = {a.filename: a.content for a in self.parts.attachments}
        assert found == {
            "umlaut.csv": "a;ü\r\n".encode(),
            "b64.txt": b"gr\xfc\xc3\x9fe",
            "old.eml": b"Subject: old\n\nbody\n",
            "packed.zip": b"PK\x03\x04",
            "text.pdf": b"%PDF-1",
        }

    def test_a_file_that_was_decoded_as_text_is_noted(self):
        assert [note for note in self.mail.notes if "text.pdf" in note]
        assert not [note for note in self.mail.notes if "packed.zip" in note]

    def test_html_alone(self):
        assert self.parts.text is None
        assert self.parts.html == "<p>only html</p>"


class TestContent:
    @pytest.mark.parametrize("content", ["%%%", "abc", "ü", "A" * 5])
    def test_what_is_no_base64_is_kept_as_it_came(self, content):
        item, notes = attachment(type="image/png", name="x.png", content=content)
        assert item.content == content.encode()
        assert "x.png" in notes[0]

    def test_no_content_at_all(self):
        item, notes = attachment(type="image/png", name="x.png", content=None)
        assert item.content == b"" and not notes

    def test_base64_lines(self):
        data = bytes(range(256)) * 10
        text = base64.encodebytes(data).decode().replace("\n", "\r\n")
        item, _notes = attachment(type="a/b", name="x", encoding="base64", content=text)
        assert item.content == data

    def test_a_text_whose_type_is_in_capitals(self):
        item, notes = attachment(type="TEXT/Plain", name="x.txt", content="ü")
        assert item.content == "ü".encode() and not notes

    def test_a_path_as_name(self):
        item, _notes = attachment(type="text/plain", name="../../x", content="y")
        assert item.filename == "x"

    def test_no_type_and_no_name(self):
        item, _notes = attachment(content="AA==")
        assert item.content == b"\0"
        assert item.content_type == "application/octet-stream"


class TestEnvelope:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ("a@b.example", ("a@b.example",)),
            ("<a@b.example>", ("a@b.example",)),
            (["a@b.example", "old@c.example"], ("a@b.example",)),
            ({"name": None, "email": "a@b.example"}, ("a@b.example",)),
            ([{"name": "x, y", "email": "a@b.example"}], ("a@b.example",)),
            ("", ()),
            (None, ()),
            ([], ()),
        ],
    )
    def test_the_topmost_delivered_to(self, value, found):
        data = sample("documented")
        data["headers"]["Delivered-To"] = value
        assert parse(data).envelope_recipients == found

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ({"name": None, "email": ""}, ""),
            ({"name": None, "email": None}, ""),
            ("<>", ""),
            ("a@b.example", "a@b.example"),
            (None, None),
        ],
    )
    def test_the_return_path(self, value, found):
        data = {**sample("documented"), "return-path": value}
        assert parse(data).envelope_sender == found


class TestForgedResults:
    def test_only_the_topmost_results_are_those_of_improvmx(self):
        """A sender writes ImprovMX's name into results of his own."""
        data = sample("documented")
        forged = "mx1.improvmx.com; dmarc=pass header.from=bank.example"
        data["headers"]["Authentication-Results"].append(forged)
        headers = split_mime(parse(data).mime).headers
        [own] = [v for k, v in headers if k.lower() == "authentication-results"]
        assert "spf=pass" in own and "dmarc" not in own
        assert forged in [value for _name, value in headers]

    @pytest.mark.parametrize(
        "first", ["authentication-results", "AUTHENTICATION-RESULTS"]
    )
    def test_results_in_two_spellings_prove_nothing(self, first):
        """Whichever of them comes first, and not as if nobody had looked either."""
        data = sample("documented")
        forged = "mx1.improvmx.com; dmarc=pass header.from=bank.example"
        data["headers"] = {first: forged, **data["headers"]}
        mail = with_server_results(parse(data), "mx1.improvmx.com")
        assert mail.verdicts.known and mail.verdicts.dmarc == "policy"
        assert "pass" not in (mail.verdicts.spf, mail.verdicts.dkim)
        assert any("spellings" in note for note in mail.notes)


class TestOriginal:
    MIME = b"From: \xfc@x\r\nDKIM-Signature: v=1\r\n\r\nbody \xff"

    def test_what_is_fetched(self):
        request = request_of(sample("library"))
        assert adapter.missing(request, ACCOUNT) == []
        [fetch] = adapter.missing(request, WITH_KEY)
        assert fetch.url == "https://api.improvmx.com/v3/raw/abc123?e=1"
        assert fetch.hosts == ("api.improvmx.com",)
        assert fetch.auth == ("api", "sk_4711")

    def test_the_original_is_the_mail(self):
        mail = parse(sample("library"), WITH_KEY, {"original": self.MIME})
        assert mail.mime == self.MIME
        assert mail.is_original and not mail.notes
        assert mail.envelope_recipients == ("info@inbound.example",)

    @pytest.mark.parametrize("fetched", [{}, {"original": b""}, {"original": b"\r\n"}])
    def test_else_the_parts_serve_and_say_so(self, fetched):
        mail = parse(sample("library"), WITH_KEY, fetched)
        assert split_mime(mail.mime).html == "<p>only html</p>"
        assert not mail.is_original
        assert any("could not be fetched" in note for note in mail.notes)

    def test_without_a_key_nothing_was_promised(self):
        notes = parse(sample("library")).notes
        assert not any("could not be fetched" in note for note in notes)

    def test_a_reduced_post_still_leads_to_the_original(self):
        request = request_of(sample("library"))
        reduced = replace(request, body=adapter.reduce(request), truncated=True)
        assert adapter.missing(reduced, WITH_KEY)
        [mail] = adapter.parse(reduced, {"original": self.MIME}, WITH_KEY)
        assert mail.mime == self.MIME and not mail.truncated and mail.is_original

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.improvmx.com/x",
            "https://improvmx.com.evil.example/x",
            "https://evil.example/improvmx.com/x",
            "https://evil.example?improvmx.com/x",
            "https://evilimprovmx.com/x",
            "https://api.improvmx-com/x",
            "https://api.improvmx.com@evil.example/x",
            "https://u:p@api.improvmx.com/x",
            "https://api.improvmx.com:8443/x",
            "https://api.improvmx.com./x",
            "https://api.improvmx.com\\.evil.example/x",
            "https://api.improvmx.com/x y",
            "https://a.b.improvmx.com/x",
            "https://s3.amazonaws.com/improvmx/x",
            "https://api.improvmx.com/größe",
            "//api.improvmx.com/x",
            "x",
        ],
    )
    def test_no_other_place_gets_the_key_and_the_parts_serve(self, url):
        data = {**sample("library"), "raw_url": url}
        assert adapter.missing(request_of(data), WITH_KEY) == []
        mail = parse(data, WITH_KEY)
        assert split_mime(mail.mime).html == "<p>only html</p>"
        assert any("could not be fetched" in note for note in mail.notes)


class TestRepetition:
    def test_a_new_address_of_the_original_is_no_new_content(self):
        one = sample("library")
        other = {**one, "raw_url": "https://api.improvmx.com/v3/raw/other"}
        keys = {adapter.dedupe_key(request_of(data)) for data in (one, other)}
        assert len(keys) == 1

    def test_what_is_no_json_is_known_again(self):
        keys = {adapter.dedupe_key(request_of(b)) for b in (b"{", b"{", b"[", b"")}
        assert len(keys) == 3

    def test_the_message_id_alone_does_not_count(self):
        """Or whoever guesses one could suppress the mail."""
        one = sample("library")
        other = {**one, "text": "other"}
        assert adapter.dedupe_key(request_of(one)) != adapter.dedupe_key(
            request_of(other)
        )


class TestTooLarge:
    def test_texts_are_cut_and_files_are_named_as_missing(self):
        data = sample("documented")
        data["text"] = "ü" * 500_000
        data["attachments"][0]["content"] = "A" * 4_000_000
        request = request_of(data)
        kept = adapter.reduce(request)
        assert len(kept) < 1_100_000
        reduced = replace(request, body=kept, truncated=True, size=4_500_000)
        [mail] = adapter.parse(reduced, {}, ACCOUNT)
        parts = split_mime(mail.mime)
        assert set(parts.text) == {"ü"} and len(parts.text) > 1000
        assert parts.attachments == ()
        assert "2 attachments" in mail.notes[0]
        assert mail.size == 4_500_000
