# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The MIME builder: parse(build(x)) = x, read by the standard library."""

import email
import email.policy
import os
import re
import time
import tracemalloc
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.headers import safe_filename
from odoo.addons.mail_bridge.providers.mime import (
    TYPE_HEADER,
    Attachment,
    MailParts,
    build_mime,
    is_timeless,
    rename_notes,
    split_mime,
    with_message_id,
)
from odoo.addons.mail_bridge.tests_plain.contract import MAIL
from odoo.addons.mail_bridge.tests_plain.test_headers import anything, writable

GENERATED = re.compile(r"<[0-9a-f]{64}@mail-bridge\.invalid>")

header_names = st.sampled_from(
    ["Received", "Subject", "X-Spam", "X-Custom", "Comments", "X-Custom"]
)
types = st.sampled_from(
    [
        *("application/pdf", "image/png", "text/plain", "text/html", "text/csv"),
        *("application/octet-stream", "audio/x-wav", "video/mp4", "text/calendar"),
        *("font/woff2", "model/stl", "message/rfc822", "message/delivery-status"),
        *("multipart/signed", "application/vnd.ms-excel", "chemical/x-pdb"),
    ]
)
file_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
    max_size=30,
)
ids = st.text("abc123.@+-_$", min_size=1, max_size=20)
attachments = st.builds(
    Attachment,
    st.binary(max_size=200),
    types,
    file_names,
    st.just("") | ids,
    st.booleans(),
)
bodies = st.none() | st.text(st.characters(codec="utf-8"), max_size=200)
mails = st.builds(
    MailParts,
    st.lists(st.tuples(header_names, writable), max_size=6).map(tuple),
    bodies,
    bodies,
    st.lists(attachments, max_size=5).map(tuple),
)


def parsed(parts: MailParts) -> email.message.EmailMessage:
    return email.message_from_bytes(build_mime(parts), policy=email.policy.SMTP)


def as_odoo_reads(message):
    """The parts as Odoo's gateway reads them: a walk, ``get_content``."""
    return [
        (part, part.get_content())
        for part in message.walk()
        if part.get_content_maintype() != "multipart"
    ]


class TestRoundTrip:
    @given(mails)
    def test_what_is_built_is_parsed(self, parts):
        found = split_mime(build_mime(parts))
        assert found.headers[: len(parts.headers)] == parts.headers
        assert (found.text or "") == (parts.text or "")
        assert (found.html or "") == (parts.html or "")
        by_content = sorted((a.content, a.content_id) for a in found.attachments)
        assert by_content == sorted(
            (a.content, a.content_id) for a in parts.attachments
        )
        for item in found.attachments:
            [*originals] = [a for a in parts.attachments if a.content == item.content]
            assert item.content_type.partition(";")[0] in {
                o.content_type for o in originals
            }
            names = {safe_filename(o.filename) for o in originals}
            assert item.filename in names or "" in names

    @given(mails)
    def test_the_parser_finds_no_defect(self, parts):
        for part in parsed(parts).walk():
            assert not part.defects

    @given(mails)
    def test_odoo_reads_every_part(self, parts):
        """No part is of a type that ``email.contentmanager`` has no reader for."""
        found = as_odoo_reads(parsed(parts))
        bodies_count = bool(parts.text or not parts.html) + bool(parts.html)
        assert len(found) == bodies_count + len(parts.attachments)

    @given(
        st.builds(
            MailParts,
            st.lists(st.tuples(anything, anything), max_size=4).map(tuple),
            st.none() | anything,
            st.none() | anything,
            st.lists(
                st.builds(
                    Attachment,
                    st.binary(max_size=20),
                    anything,
                    anything,
                    anything,
                    st.booleans(),
                ),
                max_size=3,
            ).map(tuple),
        )
    )
    def test_no_parts_crash_it(self, parts):
        mime = build_mime(parts)
        assert b"\r\n\r\n" in mime
        count = sum(
            part.get_content_maintype() != "multipart"
            for part in email.message_from_bytes(mime).walk()
        )
        assert count >= max(1, len(parts.attachments))

    def test_twice_the_same(self):
        assert build_mime(MAIL) == build_mime(MAIL)
        assert split_mime(build_mime(split_mime(build_mime(MAIL)))).text == MAIL.text


class TestStructure:
    def shape(self, message):
        if not message.is_multipart():
            return message.get_content_type()
        children = [self.shape(part) for part in message.iter_parts()]
        return {message.get_content_subtype(): children}

    def test_text_alone(self):
        assert self.shape(parsed(MailParts(text="x"))) == "text/plain"

    def test_html_alone(self):
        assert self.shape(parsed(MailParts(text="", html="x"))) == "text/html"

    def test_nothing_at_all(self):
        assert self.shape(parsed(MailParts())) == "text/plain"

    def test_everything(self):
        assert self.shape(parsed(MAIL)) == {
            "mixed": [
                {
                    "alternative": [
                        "text/plain",
                        {"related": ["text/html", "image/png"]},
                    ]
                },
                "application/pdf",
            ]
        }

    def test_an_image_belongs_to_the_html_only_if_it_is_shown(self):
        image = Attachment(b"x", "image/png", "a.png", "cid 1@x")
        for html, related in (
            ('<img src="cid:cid%201@x">', True),
            ('<img src="cid:other">', False),
            ("cid 1@x", False),
        ):
            shape = self.shape(parsed(MailParts(html=html, attachments=(image,))))
            assert ("related" in shape) == related

    def test_an_image_that_is_called_inline_belongs_to_it_anyway(self):
        image = Attachment(b"x", "image/png", "a.png", "c@x", inline=True)
        shape = self.shape(parsed(MailParts(html="<p>", attachments=(image,))))
        assert shape == {"related": ["text/html", "image/png"]}

    def test_an_inline_image_without_html_is_an_attachment(self):
        image = Attachment(b"x", "image/png", "a.png", "c", inline=True)
        shape = self.shape(parsed(MailParts(text="x", attachments=(image,))))
        assert shape == {"mixed": ["text/plain", "image/png"]}

    def test_the_boundary_is_not_in_the_content(self):
        mime = build_mime(MAIL)
        boundary = re.search(rb'boundary="([^"]+)"', mime)[1]
        text = f"--{boundary.decode()}--\r\nX"
        again = split_mime(build_mime(replace(MAIL, text=text)))
        assert again.text == text
        assert len(again.attachments) == 2


class TestHeaders:
    def test_the_original_description_of_the_body_is_kept_aside(self):
        parts = MailParts(
            (
                ("MIME-Version", "1.0"),
                ("Content-Type", 'multipart/mixed; boundary="x"'),
                ("Content-Transfer-Encoding", "8bit"),
                ("Content-Language", "de"),
            ),
            "text",
        )
        message = parsed(parts)
        assert message.get_content_type() == "text/plain"
        assert len(message.get_all("Content-Type")) == 1
        prefix = "X-Mail-Bridge-Original-"
        assert message[prefix + "Content-Type"] == 'multipart/mixed; boundary="x"'
        assert message["Content-Language"] == "de"

    def test_repeated_headers_keep_their_order(self):
        received = [f"from host{n}" for n in range(5)]
        parts = MailParts((*(("Received", value) for value in received), ("To", "a@b")))
        assert parsed(parts).get_all("Received") == received

    def test_a_missing_message_id_is_computed_from_the_mail(self):
        parts = replace(MAIL, headers=MAIL.headers[:-1])
        one = parsed(parts)["Message-ID"]
        assert GENERATED.fullmatch(one)
        assert parsed(parts)["Message-ID"] == one
        hops = (("Received", "another way"), *parts.headers)
        assert parsed(replace(parts, headers=hops))["Message-ID"] == one
        for other in (
            replace(parts, text="other"),
            replace(parts, attachments=parts.attachments[:1]),
            replace(parts, headers=parts.headers[:-1]),
        ):
            assert parsed(other)["Message-ID"] != one

    @pytest.mark.parametrize("value", ["", "  "])
    def test_an_empty_message_id_is_none(self, value):
        message = parsed(MailParts((("Message-ID", value),)))
        assert len(message.get_all("Message-ID")) == 1
        assert GENERATED.fullmatch(message["Message-ID"])

    def test_the_date_comes_from_the_mail_if_it_has_one(self):
        moment = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
        mime = build_mime(MailParts(), moment)
        assert b"\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\n" in mime
        assert build_mime(MAIL, moment) == build_mime(MAIL)

    def test_the_same_words_another_day_are_another_mail(self):
        first = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
        after = {n: first + timedelta(minutes=n) for n in (0, 9, 24 * 60)}

        def ids(*headers):
            built = (build_mime(MailParts(headers), day) for day in after.values())
            return [split_mime(mime).header("message-id") for mime in built]

        at_once, soon, next_day = ids(("Subject", "Door 3 was opened"))
        assert at_once == soon != next_day
        assert len(set(ids(("Date", "Fri, 20 Nov 2026 12:00:00 +0000")))) == 1
        assert len(set(ids(("Message-ID", "<constant@device.example>")))) == 1


class TestBodies:
    @pytest.mark.parametrize(
        "text",
        [
            "plain\r\n",
            "unix\nlines\n",
            "bare\rreturn",
            "no end",
            "From here\r\n.\r\n--x\r\n",
            "trailing \t\r\n",
            "x" * 5000,
            "umlaut ü",
            "nul \0 and \x1a",
            "\ufeffbom",
            "\u2028\u0085",
        ],
    )
    def test_texts_come_back_exactly(self, text):
        assert split_mime(build_mime(MailParts(text=text))).text == text
        assert split_mime(build_mime(MailParts(html=text))).html == text

    @pytest.mark.parametrize("text", ["unix\nlines\n", "bare\rreturn", "\r\n\n\r\r"])
    def test_no_line_of_the_mail_ends_otherwise_than_in_crlf(self, text):
        mime = build_mime(MailParts(text=text))
        assert mime.count(b"\r") == mime.count(b"\n") == mime.count(b"\r\n")

    def test_a_plain_text_stays_readable(self):
        assert b"\r\n\r\nHello,\r\nsee below.\r\n" in build_mime(MAIL)

    def test_a_7bit_part_has_no_long_line_and_no_high_byte(self):
        mime = build_mime(MailParts(text="é" * 3000, html="x" * 3000))
        assert mime.isascii()
        assert max(map(len, mime.split(b"\r\n"))) <= 998


class TestAttachments:
    def only(self, *args, **more):
        parts = MailParts((), "text", None, (Attachment(*args, **more),))
        return parsed(parts).get_payload(1)

    @pytest.mark.parametrize(
        "mail",
        [
            b"From: a@b\n\nbare line feeds\n",
            b"From: a@b\r\nSubject:  two  spaces \r\n\r\n\xff\xfe\0" + b"x" * 5000,
            b"no mail at all",
            b"",
            build_mime(MAIL),
        ],
    )
    def test_an_attached_mail_keeps_its_bytes(self, mail):
        part = self.only(mail, "message/rfc822", "forwarded.eml")
        assert part.get_content_type() == "application/octet-stream"
        assert part[TYPE_HEADER] == "message/rfc822"
        assert part.get_filename() == "forwarded.eml"
        assert part.get_content() == mail

    def test_an_attached_mail_adds_nothing_to_the_text(self):
        message = parsed(
            MailParts(
                text="x", attachments=(Attachment(b"\r\ninner", "message/rfc822"),)
            )
        )
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/mixed",
            "text/plain",
            "application/octet-stream",
        ]

    @pytest.mark.parametrize(
        ("content", "declared", "charset"),
        [
            ("ü".encode(), "", "utf-8"),
            ("ü".encode(), "utf-8", "utf-8"),
            (b"\xfc", "", "iso-8859-1"),
            (b"\xfc", "utf-8", "iso-8859-1"),
            (b"\xfc", "windows-1252", "windows-1252"),
            ("語".encode("shift_jis"), "shift_jis", "shift_jis"),
            (b"\xff\xfea\0", "utf-16", "utf-16"),
            (b"a\0\xff", "utf-16", "iso-8859-1"),
            (b"a\0", "utf-16", "iso-8859-1"),
            (b"x", "klingon", "iso-8859-1"),
            (b"x", "zlib_codec", "iso-8859-1"),
            (b"x", "punycode", "iso-8859-1"),
            (b"x", "c" * 100_000, "iso-8859-1"),
        ],
    )
    def test_odoo_gives_back_the_bytes_of_a_text(self, content, declared, charset):
        kind = f"text/csv; charset={declared}" if declared else "text/csv"
        part = self.only(content, kind, "a.csv")
        assert part.get_content_charset() == charset
        assert part.get_content().encode(charset) == content
        assert (part[TYPE_HEADER] is None) == (declared in ("", charset))

    def test_parameters_of_a_type_are_kept(self):
        kind = 'text/calendar; method=REQUEST; charset="UTF-8"; name="x.ics"'
        part = self.only(b"BEGIN", kind, "invite.ics")
        assert part.get_param("method") == "REQUEST"
        assert part.get_param("name") is None
        assert part.get_filename() == "invite.ics"

    @pytest.mark.parametrize(
        "kind", ["", "x", "a/b/c", "text", "/", "te xt/plain", "\r\nX: y", "ü/ü", "*/*"]
    )
    def test_a_type_that_is_none(self, kind):
        part = self.only(b"\xff", kind, "x.bin")
        assert part.get_content_type() == "application/octet-stream"
        assert part.get_content() == b"\xff"

    def test_a_nameless_file_gets_a_name(self):
        assert self.only(b"x", "application/pdf").get_filename() == "attachment-1.pdf"
        assert self.only(b"x", "foo/bar", "..").get_filename() == "attachment-1"

    def test_content_ids_lose_their_brackets_and_breaks(self):
        part = self.only(b"x", "image/png", "x.png", "<a\r\nb>@c")
        assert part["Content-ID"] == "<ab@c>"

    def test_a_delivery_report_stays_one(self):
        status = b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; a@b\r\n"
        inner = b"Message-ID: <lost@x>\nSubject: \xff\n\n" + b"x" * 2000
        parts = MailParts(
            (("Content-Type", 'multipart/report; report-type="delivery-status"'),),
            "It failed",
            None,
            (
                Attachment(status, "message/delivery-status"),
                Attachment(inner, "message/rfc822", "original.eml"),
                Attachment(b"x", "image/png", "logo.png"),
            ),
        )
        mime = build_mime(parts)
        message = parsed(parts)
        assert message.get_content_type() == "multipart/report"
        kinds = [part.get_content_type() for part in message.iter_parts()]
        assert kinds == [
            "text/plain",
            "message/delivery-status",
            "message/rfc822",
            "image/png",
        ]
        delivery = message.get_payload(1).get_payload(1)
        assert delivery["Final-Recipient"] == "rfc822; a@b"
        assert message.get_payload(2).get_payload(0)["Message-ID"] == "<lost@x>"
        assert inner in mime and status in mime
        assert message.get_payload(2).get_filename() == "original.eml"


class TestSize:
    def test_a_large_mail_takes_little_memory_and_time(self):
        content = os.urandom(25_000_000)
        parts = MailParts((), "x", None, (Attachment(content, "video/mp4", "x.mp4"),))
        start = time.process_time()
        tracemalloc.start()
        mime = build_mime(parts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * len(content)  # and the content itself: 4 times
        assert time.process_time() - start < 5
        assert split_mime(mime).attachments[0].content == content

    def test_blanks_in_the_types_of_files(self):
        kind = f"text/plain; a{' ' * 15_000}=b"
        items = tuple(Attachment(b"x", kind, f"{n}.txt") for n in range(100))
        start = time.process_time()
        build_mime(MailParts((), "x", None, items))
        assert time.process_time() - start < 2

    def test_many_small_parts(self):
        items = tuple(Attachment(b"x", "image/png", f"{n}.png") for n in range(2000))
        start = time.process_time()
        build_mime(MailParts((), "x", "<p>" * 100_000, items))
        assert time.process_time() - start < 2


class TestFileNames:
    def test_names_that_may_stand_are_not_touched(self):
        for name in ("見積書" * 25 + ".pdf", "e\u0301.pdf", "a (1).pdf", "x" * 255):
            items = (Attachment(b"x", "application/pdf", name),)
            assert rename_notes(items) == ()
            [file] = split_mime(build_mime(MailParts((), "t", None, items))).attachments
            assert file.filename == name

    def test_each_other_name_is_noted(self):
        names = (".bashrc", "a/b.pdf", "fine.pdf", "", "COM1.txt", "..", "x" * 300)
        items = [Attachment(b"x", "application/pdf", name) for name in names]
        notes = rename_notes(items)
        stand = ["bashrc", "b.pdf", "_COM1.txt", "attachment-6.pdf", "x" * 255]
        assert list(notes) == [f"An attachment was renamed to “{n}”." for n in stand]


class TestRawMessageId:
    @pytest.mark.parametrize(
        "mime",
        [
            b"Message-ID: <a@b>\r\n\r\nx",
            b"From: a\nMESSAGE-ID:<a@b>\n\nx",
            b"From: a\r\nMessage-Id:\t<a@b>",
        ],
    )
    def test_a_mail_that_has_one_is_not_touched(self, mime):
        assert with_message_id(mime) is mime

    @pytest.mark.parametrize(
        "mime",
        [
            b"From: a\r\n\r\nMessage-ID: <body@b>",
            b"From: a\nX-Message-ID: <a@b>\n\nx",
            b"From: a\nMessage-ID:\n\nx",
            b"\r\n\r\n",
            b"no header",
        ],
    )
    def test_a_mail_without_gets_one_in_front(self, mime):
        found = with_message_id(mime)
        assert found.endswith(mime)
        line = found.removesuffix(mime).decode()
        assert GENERATED.search(line) and line.endswith("\r\n")
        assert with_message_id(mime) == found

    def test_the_way_of_a_mail_does_not_change_it(self):
        one = with_message_id(b"Received: one\r\nFrom: a@b\r\n\r\nx")
        other = with_message_id(b"Received: other\r\nFrom:  a@b\r\n\r\nx")
        assert one.split(b"\r\n")[0] == other.split(b"\r\n")[0]
        third = with_message_id(b"From: a@c\r\n\r\nx")
        assert one.split(b"\r\n")[0] != third.split(b"\r\n")[0]

    def test_the_same_words_another_day_are_another_mail(self):
        days = [datetime(2026, 11, day, tzinfo=timezone.utc) for day in (20, 21)]
        naive = days[0].replace(tzinfo=None)
        for mime, count in (
            (b"From: a@b\r\n\r\nDoor 3", 2),
            (b"From: a@b\r\nDate:\r\n\r\nDoor 3", 2),
            (b"Date:\r\n Fri, 20 Nov 2026 12:00:00 +0000\r\n\r\nDoor 3", 1),
            (b"Message-ID: <a@b>\r\n\r\nDoor 3", 1),
        ):
            assert len({with_message_id(mime, day) for day in days}) == count
            assert with_message_id(mime, naive) == with_message_id(mime, days[0])
            assert is_timeless(mime) == (count == 2)
