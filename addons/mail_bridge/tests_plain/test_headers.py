# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Header lines and file names: what goes in comes out, and never as a second line."""

import email
import email.policy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.headers import (
    clean_text,
    header_line,
    one_line,
    parameter,
    safe_filename,
)

#: Every character that Python knows, halves of characters included.
anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
#: Text that a sender may write in a header and that stands for itself.
writable = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
    max_size=200,
).filter(lambda text: "=?" not in text and text == text.strip())


def parsed(line: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(line + b"\r\nbody", policy=email.policy.SMTP)


class TestValues:
    @given(writable)
    def test_unstructured_values_come_back(self, value):
        assert str(parsed(header_line("Subject", value))["Subject"]) == value
        assert str(parsed(header_line("X-Any", value))["X-Any"]) == value

    @given(st.lists(st.text("ab=/+ ü", min_size=1, max_size=40), max_size=40))
    def test_long_values_come_back(self, words):
        value = " ".join(" ".join(words).split())
        line = header_line("Subject", value)
        assert str(parsed(line)["Subject"]) == value
        assert max(map(len, line.split(b"\r\n"))) <= 998

    @pytest.mark.parametrize(
        "value",
        [
            "x" * 5000,
            "x" * 5000 + " y",
            "ü" * 5000,
            "a  b   c " * 300 + "d",
            "tab\tseparated",
            "\u0007bell and \u0085 and \u2028 here",
            "=?utf-8?q?already?= encoded ü",
        ],
    )
    def test_awkward_values_come_back(self, value):
        line = header_line("Subject", value)
        assert str(parsed(line)["Subject"]) == value
        assert max(map(len, line.split(b"\r\n"))) <= 998

    def test_encoded_words_are_left_to_the_reader(self):
        line = header_line("Subject", "=?utf-8?q?gr=C3=BC=C3=9Fe?=")
        assert line == b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n"

    def test_plain_values_are_not_touched(self):
        value = '"O\'Hara, Q" <q@example.com> (home);  "x'
        assert header_line("From", value) == f"From: {value}\r\n".encode()

    @pytest.mark.parametrize(
        "name",
        ["Message-ID", "References", "Received", "DKIM-Signature", "List-Unsubscribe"],
    )
    def test_what_machines_read_is_never_encoded(self, name):
        value = "<" + "x" * 1200 + "@ü.example> b"
        line = header_line(name, value)
        assert value.encode() in line.replace(b"\r\n", b"")

    def test_a_folded_value_is_unfolded(self):
        assert one_line("a\r\n b\n\tc\r\nd\re\0f") == "a b\tc d ef"


class TestAddresses:
    @pytest.mark.parametrize(
        ("value", "addresses"),
        [
            ('"Jörg Müller" <j@x.example>', [("Jörg Müller", "j@x.example")]),
            ("Jörg Müller <j@x.example>", [("Jörg Müller", "j@x.example")]),
            ('"Müller, \\"J\\"" <j@x.example>', [('Müller, "J"', "j@x.example")]),
            (
                'Ünal <a@x.example>, "B, C" <b@x.example>, c@x.example',
                [
                    ("Ünal", "a@x.example"),
                    ("B, C", "b@x.example"),
                    ("", "c@x.example"),
                ],
            ),
            (
                "Ämter: a@x.example, Ü <b@x.example>;",
                [("", "a@x.example"), ("Ü", "b@x.example")],
            ),
            ("ü@home <a@x.example>", [("ü@home", "a@x.example")]),
            ("名" * 60 + " <a@x.example>", [("名" * 60, "a@x.example")]),
        ],
        ids=range(7),
    )
    def test_names_come_back(self, value, addresses):
        line = header_line("To", value)
        assert line.isascii()
        header = parsed(line)["To"]
        assert [(a.display_name, a.addr_spec) for a in header.addresses] == addresses

    def test_an_address_itself_stays_utf8(self):
        line = header_line("To", "jörg@bücher.example")
        assert "jörg@bücher.example".encode() in line

    @given(writable.filter(lambda t: t and not set(t) & set('"\\<>()[],;:@.')))
    def test_any_name_comes_back(self, name):
        [address] = parsed(header_line("From", f'"{name}" <a@x.example>'))[
            "From"
        ].addresses
        assert address.display_name.split() == name.split()

    @pytest.mark.parametrize(
        "value",
        [
            *('"' * 100_001 + "ü", "<" * 100_000 + "ü", "(" * 100_000 + "ü"),
            *("ü," * 50_000, '"ü\\' * 30_000, "ü " * 100_000, "ü\\" * 100_000),
            *('"ü" ' * 50_000, "ü<a" * 50_000),
        ],
        ids=lambda value: value[:4].encode().hex(),
    )
    def test_hostile_lists_cost_little(self, value):
        start = time.process_time()
        header_line("To", value)
        assert time.process_time() - start < 1


class TestLines:
    @given(anything, anything)
    def test_no_value_ends_its_line(self, name, value):
        line = header_line(name, value)
        assert line.endswith(b"\r\n")
        for rest in line[:-2].split(b"\r\n")[1:]:
            assert rest[:1] in (b" ", b"\t")
        flat = line.replace(b"\r\n ", b"").replace(b"\r\n\t", b"")
        assert flat.count(b"\r") == flat.count(b"\n") == 1
        assert b"\0" not in line
        assert len(list(parsed(line).keys())) == 1

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("Subject\r\nBcc", "Subject--Bcc"),
            ("X:Y", "X-Y"),
            ("", "X-Unnamed"),
            ("From ", "From-"),
            ("Ü", "-"),
        ],
    )
    def test_names_are_cleaned(self, name, written):
        assert header_line(name, "x").split(b":")[0].decode() == written

    def test_a_megabyte_costs_little(self):
        start = time.process_time()
        for value in ("x" * 10**6, "x " * 500_000, "ü " * 300_000, "\t" * 10**6):
            header_line("Subject", value)
            header_line("References", value)
        assert time.process_time() - start < 2


class TestFileNames:
    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("../../x", "x"),
            ("..\\..\\x.exe", "x.exe"),
            ("C:\\Users\\a\\report.pdf", "report.pdf"),
            ("/etc/passwd", "passwd"),
            ("..", ""),
            ("dir/", ""),
            (".htaccess", "htaccess"),
            ("report.pdf. . ", "report.pdf"),
            ("a\r\nb\0c\x1b.txt", "abc.txt"),
            ("invoice\u202efdp.exe", "invoicefdp.exe"),
            ("u\u0308.txt", "u\u0308.txt"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("console.txt", "console.txt"),
            ("a\ud800.txt", "a\ufffd.txt"),
            ("👩‍👩‍👧.png", "👩‍👩‍👧.png"),
            ("見" * 80 + ".pdf", "見" * 80 + ".pdf"),
            ("ü" * 200 + ".pdf", "ü" * 125 + ".pdf"),
            ("x" * 300, "x" * 255),
            ("." + "e" * 300, "e" * 255),
            ("", ""),
        ],
    )
    def test_names(self, name, safe):
        assert safe_filename(name) == safe

    @given(anything)
    def test_any_name_is_bounded_and_bare(self, name):
        safe = safe_filename(name)
        assert len(safe.encode()) <= 255
        assert not set(safe) & set("/\\\0\r\n")
        assert not safe.startswith(".")
        assert safe_filename(safe) == safe

    @given(anything)
    def test_a_parameter_comes_back(self, name):
        safe = safe_filename(name)
        line = header_line(
            "Content-Disposition", "attachment" + parameter("filename", safe)
        )
        assert (parsed(line).get_filename() or "") == safe

    def test_halves_of_characters_become_visible(self):
        assert clean_text("a\ud83d\ude00\udfff") == "a\ufffd\ufffd\ufffd"
