# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The form reader: exact bytes, every part, bounded work."""

import time
import tracemalloc
from contextlib import suppress
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.sansio import multipart as werkzeug_multipart

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import forms
from odoo.addons.mail_bridge.providers.base import WebhookRequest, utcnow
from odoo.addons.mail_bridge.providers.forms import (
    UploadFile,
    encode_form,
    read_form,
    reduce_form,
    trim_utf8,
)
from odoo.addons.mail_bridge.tests_plain.contract import memory_mapped
from odoo.addons.mail_bridge.tests_plain.forms_of import Item, multipart, urlencoded

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"

names = st.text(
    st.characters(exclude_characters='"\\%\r\n', codec="utf-8"), max_size=20
)
contents = st.binary(max_size=80)
plain_items = st.lists(
    st.builds(Item, names, contents, st.none(), st.just("")), max_size=8
)
items = st.lists(
    st.builds(Item, names, contents, st.none() | names, st.just("")), max_size=8
)


def shown(form):
    return [(part.name, part.content, part.filename) for part in form.parts]


class TestBothKinds:
    @given(items)
    def test_multipart_comes_back(self, posted):
        form = read_form(*multipart(posted))
        assert shown(form) == [(i.name.strip(), *i[1:3]) for i in posted] or (
            # A quoted name keeps its spaces.
            shown(form) == [tuple(i[:3]) for i in posted]
        )

    @given(plain_items)
    def test_urlencoded_comes_back(self, posted):
        assert shown(read_form(*urlencoded(posted))) == [tuple(i[:3]) for i in posted]

    @given(st.binary(max_size=200), st.sampled_from([URLENCODED, MULTIPART]))
    def test_any_bytes_are_a_form_or_an_error(self, body, content_type):
        with suppress(PayloadError):
            read_form(content_type, body)

    @pytest.mark.parametrize("encode", [multipart, urlencoded])
    def test_bytes_that_are_not_utf8_survive(self, encode):
        content = bytes(range(256)) * 10
        assert (
            read_form(*encode([Item("body-mime", content)])).single("body-mime")
            == content
        )

    @pytest.mark.parametrize("encode", [multipart, urlencoded])
    def test_a_field_over_ten_megabytes_survives(self, encode):
        content = b"line of a mail\r\n\xff+%41" * 600_000
        content_type, body = encode([Item("a", b"1"), Item("body-mime", content)])
        form = read_form(content_type, memory_mapped(body))
        assert form.single("body-mime") == content
        assert form.single("a") == b"1"

    @pytest.mark.parametrize("view", [memoryview, bytearray, memory_mapped])
    def test_any_buffer_will_do(self, view):
        content_type, body = multipart([Item("a", b"1\x00")])
        assert read_form(content_type, view(body)).single("a") == b"1\x00"

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/json", "multipart/mixed"]
    )
    def test_other_content_types_are_no_forms(self, content_type):
        with pytest.raises(PayloadError):
            read_form(content_type, b"a=1")

    def test_the_type_may_be_in_capitals(self):
        assert read_form("Application/X-WWW-Form-Urlencoded; charset=x", b"a=1")


class TestLookUp:
    form = read_form(URLENCODED, b"a=1&b=2&a=3&c=&A=4")

    def test_repeated_names_keep_their_order(self):
        assert self.form.getlist("a") == [b"1", b"3"]
        assert self.form.first("a") == b"1"
        assert self.form.last("a") == b"3"
        assert self.form.last("none", b"-") == self.form.first("none", b"-") == b"-"

    def test_single_means_exactly_one(self):
        assert self.form.single("b") == b"2"
        assert self.form.single("c") == b""
        for name in ("a", "none"):
            with pytest.raises(PayloadError, match=name):
                self.form.single(name)

    def test_names_are_exact(self):
        assert self.form.getlist("A") == [b"4"]
        assert "B" not in self.form and "b" in self.form

    def test_content_does_not_show(self):
        assert "canary" not in repr(read_form(URLENCODED, b"a=canary"))


class TestMultipart:
    def test_files_without_a_name_are_not_lost(self):
        form = read_form(
            *multipart(
                [
                    Item("attachment-1", b"one", "", "text/pdf"),
                    Item("attachment-2", b"two", "..", "text/pdf"),
                    Item("field", b"three"),
                ]
            )
        )
        assert [(f.name, f.filename, f.content) for f in form.files] == [
            ("attachment-1", "", b"one"),
            ("attachment-2", "..", b"two"),
        ]
        assert form.files[0].content_type == "text/pdf"

    @pytest.mark.parametrize(
        ("disposition", "filename"),
        [
            (b'filename="a;b\\"c.txt"', 'a;b"c.txt'),
            (b"filename*=utf-8''gr%C3%BC%C3%9Fe.txt", "grüße.txt"),
            ('filename="grüße.txt"'.encode(), "grüße.txt"),
            ('filename="grüße.txt"'.encode("latin-1"), "grüße.txt"),
            (b'filename="%22q%22.txt"', '"q".txt'),
            (b"filename=bare.txt", "bare.txt"),
        ],
    )
    def test_file_names(self, disposition, filename):
        head = b'Content-Disposition: form-data; name="f"; ' + disposition
        body = b"--b\r\n" + head + b"\r\n\r\nx\r\n--b--"
        assert read_form(MULTIPART, body).files[0].filename == filename

    def test_folded_headers_and_bare_line_feeds(self):
        body = (
            b"preamble\n--b \nContent-Disposition: form-data;\n name=f\nX-A: 1\n\n"
            b"x\ny\n--b\nContent-Disposition: form-data; name=g\n\n\n--b--\nepilogue"
        )
        form = read_form(MULTIPART, body)
        assert [(p.name, p.content) for p in form.parts] == [("f", b"x\ny"), ("g", b"")]
        assert ("X-A", "1") in form.parts[0].headers

    def test_a_part_without_headers_or_name_is_kept(self):
        form = read_form(MULTIPART, b"--b\r\n\r\nx\r\n--b\r\nX: y\r\n\r\nz\r\n--b--")
        assert [(p.name, p.content) for p in form.parts] == [("", b"x"), ("", b"z")]

    def test_an_empty_part_without_its_own_line_break(self):
        head = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n'
        [part] = read_form(MULTIPART, head + b"--b--").parts
        assert (part.name, part.content, part.size) == ("f", b"", 0)

    def test_what_looks_like_a_boundary_is_content(self):
        content = b"--b\r\n--bc\r\n-- b\r\n --b\r\nx--b"
        head = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n'
        form = read_form(MULTIPART, head + content[5:] + b"\r\n--b--")
        assert form.single("f") == content[5:]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"--b",
            b"--b\r\n",
            b"--b\r\nContent-Disposition: form-data; name=a\r\n",
            b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx",
            b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b\r\n",
            b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\nx\r\n--b--",
            b"--b\r\n" + b"\r\n--bb" * 1000,
        ],
    )
    def test_cut_or_endless_forms_are_errors(self, body):
        with pytest.raises(PayloadError):
            read_form(MULTIPART, body)

    @pytest.mark.parametrize("boundary", ["", '""', "b" * 300, '"\xe9"', '" b "'])
    def test_a_boundary_must_be_usable(self, boundary):
        with pytest.raises(PayloadError):
            read_form(f"multipart/form-data; boundary={boundary}", b"--b--")

    def test_no_parts_at_all(self):
        assert read_form(MULTIPART, b"--b--").parts == ()

    @given(plain_items.filter(len))
    def test_the_same_as_werkzeug(self, posted):
        """On well-formed forms, two readers written apart agree byte by byte."""
        content_type, body = multipart(posted, "xYz")
        decoder = werkzeug_multipart.MultipartDecoder(b"xYz")
        decoder.receive_data(body)
        decoder.receive_data(None)
        found, event = [], decoder.next_event()
        while not isinstance(event, werkzeug_multipart.Epilogue):
            if isinstance(event, werkzeug_multipart.Field | werkzeug_multipart.File):
                found.append([event.name, b""])
            elif isinstance(event, werkzeug_multipart.Data):
                found[-1][1] += event.data
            event = decoder.next_event()
        ours = read_form(content_type, body)
        assert [[part.name, part.content] for part in ours.parts] == found


class TestUrlencoded:
    @pytest.mark.parametrize(
        ("body", "parts"),
        [
            (b"", []),
            (b"&&", []),
            (b"a", [("a", b"")]),
            (b"a=b=c&=d", [("a", b"b=c"), ("", b"d")]),
            (b"a+b=c+d%2B", [("a b", b"c d+")]),
            (b"a=%zz%4&b=%", [("a", b"%zz%4"), ("b", b"%")]),
            (b"a;b=1", [("a;b", b"1")]),
            (b"\xfc=\xfc&%FC=%FC", [("ü", b"\xfc"), ("ü", b"\xfc")]),
            ("ü=ü".encode(), [("ü", "ü".encode())]),
        ],
    )
    def test_odd_forms(self, body, parts):
        form = read_form(URLENCODED, body)
        assert [(part.name, part.content) for part in form.parts] == parts

    @given(st.text("ab=&%+;41\xe9", max_size=60))
    def test_the_same_as_the_library(self, text):
        theirs = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
        ours = read_form(URLENCODED, text.encode("latin-1"))
        assert [part.content.decode("latin-1") for part in ours.parts] == [
            value for _name, value in theirs
        ]

    @given(
        st.lists(
            st.sampled_from([b"%41", b"%c3", b"%", b"=", b"\r\n", b"\n", b" ", b"+"])
            | st.binary(max_size=3)
        )
    )
    def test_escapes_are_undone_as_the_library_does(self, pieces):
        raw = b"".join(pieces).replace(b"&", b"")
        [part] = read_form(URLENCODED, b"a=" + raw).parts
        assert part.content == unquote_to_bytes(raw.replace(b"+", b" "))

    def test_an_escape_at_every_border_of_a_piece(self, monkeypatch):
        monkeypatch.setattr(forms, "_PIECE", 16)
        content = bytes(range(256))
        for shift in range(4):
            posted = [Item("a", b"x" * shift + content)]
            assert read_form(*urlencoded(posted)).single("a") == posted[0].content


class TestLimits:
    def test_ten_thousand_fields_and_no_more(self):
        posted = [Item(f"f{n}", b"") for n in range(10_000)]
        for encode in (urlencoded, multipart):
            assert len(read_form(*encode(posted)).parts) == 10_000
            with pytest.raises(PayloadError, match="too many"):
                read_form(*encode([*posted, Item("one", b"more")]))

    def test_two_thousand_files_and_no_more(self):
        posted = [Item(f"f{n}", b"", "x") for n in range(2_000)]
        assert len(read_form(*multipart(posted)).files) == 2_000
        with pytest.raises(PayloadError, match="too many"):
            read_form(*multipart([*posted, Item("one", b"more", "x")]))

    def test_names_are_bounded(self):
        with pytest.raises(PayloadError):
            read_form(URLENCODED, b"x" * 20_000)
        with pytest.raises(PayloadError):
            read_form(*multipart([Item("x" * 20_000, b"")]))

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (URLENCODED, b"a=" + b"%41" * 10_000_000),
            (URLENCODED, b"&" * 30_000_000),
            (MULTIPART, b"--b\r\n\r\n" + b"\r\n--bb" * 5_000_000),
            (MULTIPART, b"--b\r\n" + b"a\r\n" * 10_000_000),
            (MULTIPART, b"--b" * 10_000_000),
            (
                MULTIPART,
                b"--b\r\nContent-Disposition: f%s\r\n\r\n\r\n" % (b";" * 15_000) * 2000,
            ),
            (
                MULTIPART,
                b"--b\r\nContent-Disposition: f; a%s=b\r\n\r\n\r\n"
                % (b" " * 15_000)
                * 250,
            ),
            (f"{MULTIPART}; a{' ' * 60_000}=b", b"--b--"),
        ],
        ids=[
            "escapes",
            "ampersands",
            "boundaries",
            "headers",
            "no-lines",
            "options",
            "blanks",
            "blanks in the request's own header",
        ],
    )
    def test_a_hostile_form_costs_little(self, content_type, body):
        """To find out that the proof is missing, not to read it all."""
        start = time.process_time()
        with suppress(PayloadError):
            read_form(content_type, body).named("token")
        assert time.process_time() - start < 2

    def test_a_form_that_is_none_is_read_once_for_all_accounts(self):
        head = b"--b\r\nContent-Disposition: f%s\r\n\r\n\r\n" % (b";" * 15_000)
        headers = (("Content-Type", MULTIPART),)
        request = WebhookRequest(
            "POST", "/mailgate/x", headers, head * 20, "192.0.2.1", utcnow()
        )
        start = time.process_time()
        for _account in range(100):
            with pytest.raises(PayloadError, match="cut off"):
                _ = request.form
        assert time.process_time() - start < 2

    def test_reading_copies_nothing(self):
        body = multipart([Item("body-mime", b"x" * 30_000_000), Item("token", b"t")])
        tracemalloc.start()
        assert read_form(*body).single("token") == b"t"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000


class TestWriting:
    @given(st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=40)), max_size=6))
    def test_an_encoded_form_comes_back(self, fields):
        fields = [(name.encode("utf-8", "replace").decode(), v) for name, v in fields]
        form = read_form(*encode_form(fields))
        assert [(part.name, part.content) for part in form.parts] == fields

    def test_a_form_with_files_comes_back(self):
        file = UploadFile("attachment-1", 'ü"\r\n.txt', "text/plain", b"\r\n\xff")
        form = read_form(*encode_form([("a", "ü"), ("b", b"\xfc")], [file]))
        assert form.single("a") == "ü".encode()
        assert form.single("b") == b"\xfc"
        assert form.files[0].content == file.content
        assert form.files[0].content_type == "text/plain"

    @pytest.mark.parametrize("encode", [multipart, urlencoded])
    def test_a_reduced_form_keeps_what_must_stay(self, encode):
        posted = [Item("big", b"\xc3\xbc" * 500_000), Item("small", b"s")]
        posted += [Item(f"filler-{n}", b"f" * 900) for n in range(2000)]
        posted += [Item("token", b"%d" % n * 60_000) for n in range(10)]
        content_type, body = encode(posted)
        kept = reduce_form(
            content_type, read_form(content_type, body), ("token",), 65536, 1_000_000
        )
        assert len(kept) < 1_150_000
        form = read_form(content_type, kept)
        assert form.getlist("token") == [b"0" * 60_000, b"1" * 60_000]
        assert form.single("small") == b"s"
        assert form.single("big").decode() == "ü" * 32768
        assert form.single("filler-0") == b"f" * 900

    def test_a_reduced_form_has_empty_files(self):
        file = Item("attachment-1", b"x" * 100, "ü.bin", "image/png")
        content_type, body = multipart([file])
        form = read_form(
            content_type,
            reduce_form(content_type, read_form(content_type, body), (), 10, 10_000),
        )
        assert [(p.filename, p.content_type, p.content) for p in form.files] == [
            ("ü.bin", "image/png", b"")
        ]

    @given(st.text(), st.integers(0, 20))
    def test_trimming_tears_no_character(self, text, cut):
        text = text.encode("utf-8", "replace").decode()
        data = text.encode()[:cut]
        assert data[: len(data) - 3] in trim_utf8(data) or len(data) < 4
        assert text.startswith(trim_utf8(data).decode())
