# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Ordinary mail stays untouched; any other becomes one that ``email`` can read."""

import email
import re
import time
from base64 import b64encode
from email import policy
from email.message import EmailMessage
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers import headerfix
from odoo.addons.mail_bridge.providers.mimescan import scan
from odoo.addons.mail_bridge.providers.ordinary import core_reads, is_ordinary
from odoo.addons.mail_bridge.providers.repair import make_safe
from odoo.addons.mail_bridge.tests_plain import bad_mails
from odoo.addons.mail_bridge.tests_plain.bad_mails import (
    BAD_MAILS,
    MARKER,
    file_part,
    header,
    mixed,
    plain,
    text_part,
)

TO = "sales@my.example"
#: Those that Odoo reads well as they are.
HARMLESS = {
    "date_in_the_far_future",
    "base64_that_is_none",
}


def read(mime):
    return email.message_from_bytes(mime, policy=policy.SMTP)


def attachments(message):
    """Return the content of each attachment by name, as Odoo reads it."""
    found = {}
    for part in message.walk():
        if part.get_filename():
            found[part.get_filename()] = part.get_content()
    return found


def body(message):
    return "".join(
        part.get_content()
        for part in message.walk()
        if part.get_content_maintype() == "text" and not part.get_filename()
    )


def kinds(part):
    """Yield the types of all parts, not of the blocks in a delivery status."""
    yield part.get_content_type()
    if part.is_multipart() and part.get_content_type() != "message/delivery-status":
        for child in part.get_payload():
            yield from kinds(child)


# ------------------------------------------------------------------ ordinary mail


def folded_message_id(to):
    return plain(to).replace(b"Message-ID: ", b"Message-ID:\r\n ")


def line_feeds_only(to):
    return bad_mails.good_mail(to).replace(b"\r\n", b"\n")


def enclosed_mail(to):
    inner = b"Content-Type: message/rfc822\r\n\r\n" + bad_mails.good_mail(to)
    return header(to) + mixed("outer", text_part(), inner)


def no_charset(to):
    return header(to) + b"Content-Type: text/plain\r\n\r\nJust text.\r\n"


def no_content_type(to):
    return header(to) + b"\r\nJust text.\r\n"


def unclosed(to):
    return header(to) + mixed("b", text_part(), file_part("a.txt"))[:-7]


def preamble_and_epilogue(to):
    whole = mixed("b", text_part())
    head, _, rest = whole.partition(b"\r\n\r\n")
    preamble = b"This is a message in MIME format.\r\n--not a boundary\r\n"
    return header(to) + head + b"\r\n\r\n" + preamble + rest + b"The end.\r\n"


def quoted_parts_in_text(to):
    return plain(
        to, text="> --b\r\n> Content-Type: text/html; charset=klingon\r\n>\r\n"
    )


def encoded_word_as_file_name(to):
    name = "=?utf-8?B?w5xiZXJzaWNodC5wZGY=?="
    return header(to) + mixed("b", text_part(), file_part(name))


def continued_file_name(to):
    part = (
        b"Content-Type: application/pdf\r\n"
        b"Content-Disposition: attachment;\r\n filename*0*=utf-8''%C3%9Cber;\r\n"
        b' filename*1*=sicht%20;\r\n filename*2="2026.pdf"\r\n\r\n%PDF'
    )
    return header(to) + mixed("b", text_part(), part)


def decomposed_file_name(to):
    """As a Mac writes it."""
    part = file_part("x").replace(b'"x"', '"Müll.txt"'.encode())
    return header(to) + mixed("b", text_part(), part)


def calendar_invitation(to):
    part = text_part(
        "BEGIN:VCALENDAR\r\nEND:VCALENDAR", "text/calendar; method=REQUEST"
    )
    return header(to) + mixed("b", text_part(), part, subtype="alternative")


def signed_with_smime(to):
    part = file_part("smime.p7s").replace(
        b"application/octet-stream", b'application/pkcs7-signature; name="smime.p7s"'
    )
    whole = mixed("b", text_part(), part, subtype="signed").replace(
        b"signed;",
        b'signed; protocol="application/pkcs7-signature"; micalg=sha-256;',
        1,
    )
    return header(to) + whole


def encoded_subject_over_lines(to):
    subject = (
        "=?UTF-8?B?w4RudHJhZ2UgZsO8ciBkaWUgU2l0enVuZyBhbSBNb250YWcsIGRlbSA=?=\r\n"
        " =?UTF-8?Q?zw=C3=B6lften?="
    )
    return plain(to, subject=subject)


def many_recipients(to):
    crowd = ",\r\n ".join(f'"Person {i}, Dr." <p{i}@b.example>' for i in range(150))
    return plain(f"{to},\r\n {crowd}")


def raw_utf8_header(to):
    return plain(to, sender="Jürgen Müller <j@sender.example>", subject="Grüße – früh")


def group_of_recipients(to):
    return plain("undisclosed-recipients:;", more=f"Delivered-To: {to}\r\n")


def read_receipt(to):
    part = (
        b"Content-Type: message/disposition-notification\r\n\r\n"
        b"Final-Recipient: rfc822; a@b.example\r\nDisposition: manual; displayed\r\n"
    )
    return header(to) + mixed("b", text_part("Read."), part, subtype="report")


def mailing_list(to):
    more = (
        "List-Id: Some list <list.lists.example>\r\nPrecedence: list\r\n"
        "Reply-To: list@lists.example\r\nSender: list-bounces@lists.example\r\n"
        "In-Reply-To: <a@b.example>\r\n"
        "References: <x@y.example> <a@b.example>\r\n\t<c@d.example>\r\n"
        "Received: by a.example (Postfix, from userid 5)\r\n\tid 1; Fri (PST)\r\n"
    )
    return plain(to, more=more)


def long_headers_of_filters(to):
    more = (
        "X-MS-Exchange-AntiSpam-MessageData: " + "abc\r\n " * 3000 + "x\r\n"
        "X-Spam-Report: caf\xe9 =?undefined?q?x?=\r\n"
    )
    return plain(to).replace(b"MIME-Version", more.encode("latin-1") + b"MIME-Version")


def newsletter_of_200_kb(to):
    row = (
        '<tr><td style="padding:3px 4px;color:#fff;font-size:12px" width="10">'
        '<a href="https://x.example/abc?id=123456&amp;u=abcdefghijklmnop">'
        "Some text here, long enough</a></td></tr>\r\n"
    )
    html = "<html><body><table>" + row * 1100 + "</table></body></html>"
    return header(to) + text_part(html, "text/html")


def reply_with_a_long_quote(to):
    text = "Yes.\r\n" + "".join(f"> line {i}\r\n" for i in range(4000))
    return plain(to, text=text)


def picture_inside_html(to):
    data = "iVBORw0KGgo" * 10_000
    html = f'<p>See <img alt="x" src="data:image/png;base64,{data}"></p>'
    return header(to) + text_part(html, "text/html")


ORDINARY = [
    bad_mails.good_mail,
    bad_mails.good_bounce,
    plain,
    folded_message_id,
    line_feeds_only,
    enclosed_mail,
    no_charset,
    no_content_type,
    unclosed,
    preamble_and_epilogue,
    quoted_parts_in_text,
    encoded_word_as_file_name,
    continued_file_name,
    decomposed_file_name,
    calendar_invitation,
    signed_with_smime,
    encoded_subject_over_lines,
    many_recipients,
    raw_utf8_header,
    group_of_recipients,
    mailing_list,
    read_receipt,
    long_headers_of_filters,
    newsletter_of_200_kb,
    reply_with_a_long_quote,
    picture_inside_html,
]


class TestOrdinaryMail:
    @pytest.mark.parametrize("make", ORDINARY, ids=lambda make: make.__name__)
    def test_is_the_very_same_object(self, make):
        raw = make(TO)
        safe = make_safe(raw)
        assert safe.notes == ()
        assert safe.mime is raw
        assert core_reads(raw), "and it was right to leave it alone"

    def test_a_large_one_too_and_quickly(self):
        message = EmailMessage()
        message["From"], message["To"] = "a@b.example", TO
        message["Message-ID"] = "<large@b.example>"
        message.set_content(MARKER)
        message.add_attachment(bytes(range(256)) * 75_000, "image", "png")
        raw = message.as_bytes()
        assert len(raw) > 25_000_000
        start = time.process_time()
        assert make_safe(raw).mime is raw
        # A few milliseconds per megabyte.
        assert time.process_time() - start < 0.005 * len(raw) / 1e6 * 2


# ----------------------------------------------------------------------- bad mail


class TestBadMail:
    @pytest.mark.parametrize("name", sorted(BAD_MAILS))
    def test_becomes_readable(self, name):
        raw = BAD_MAILS[name](TO)
        start = time.process_time()
        safe = make_safe(raw)
        readable = core_reads(safe.mime)
        assert time.process_time() - start < 2
        assert readable
        assert (safe.mime is raw) == (name in HARMLESS)
        assert bool(safe.notes) == (name not in HARMLESS)
        for note in safe.notes:
            assert re.fullmatch(r"[A-Z0-9][^\x00-\x1f]{10,400}\.", note)
        message = read(safe.mime)
        assert message["From"].addresses
        assert TO in [address.addr_spec for address in message["To"].addresses]
        assert message["Message-ID"].strip()
        assert make_safe(safe.mime).mime is safe.mime, "repaired once is ordinary"
        assert make_safe(bytes(bytearray(raw))) == safe, "the same bytes again"


class TestWhatIsKept:
    def test_headers(self):
        more = (
            "Cc: Jane <jane@c.example>\r\nReply-To: other@sender.example\r\n"
            "In-Reply-To: <p@my.example>\r\nX-Own: something of its own\r\n"
            "References: " + " ".join(f"<r{i}@my.example>" for i in range(50)) + "\r\n"
        )
        raw = plain(
            TO, more=more, subject="Bad\0 but fine", message_id="<keep@s.example>"
        )
        safe = make_safe(raw)
        message = read(safe.mime)
        assert message["Subject"] == "Bad but fine"
        assert message["Message-ID"] == "<keep@s.example>"
        assert message["Date"].datetime.isoformat() == "2026-11-20T10:00:00+00:00"
        assert message["Cc"] == "Jane <jane@c.example>"
        assert message["Reply-To"] == "other@sender.example"
        assert message["In-Reply-To"] == "<p@my.example>"
        assert message["X-Own"] == "something of its own"
        assert message["References"].split()[-1] == "<r49@my.example>"
        assert len(safe.notes) == 1

    def test_the_newest_references(self):
        ids = [f"<{i:040}@my.example>" for i in range(1000)]
        raw = plain(TO, more="References: " + " ".join(ids) + "\r\n")
        assert read(make_safe(raw).mime)["References"].split() == ids[-32:]

    def test_every_byte_of_an_attachment(self):
        content = bytes(range(256)) * 100
        raw = header(TO) + mixed("b", text_part(), file_part("../x\0.bin", content))
        assert attachments(read(make_safe(raw).mime)) == {"x.bin": content}

    @pytest.mark.parametrize(
        ("came", "stands"),
        [
            ("../../etc/passwd", "passwd"),
            ("C:\\\\Users\\\\me\\\\a.txt", "a.txt"),
            (".htaccess", "htaccess"),
            ("a\u202egpj.exe", "agpj.exe"),
            ("..", "attachment"),
            ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
            ("fine name (1).pdf", "fine name (1).pdf"),
        ],
    )
    def test_file_names(self, came, stands):
        raw = header(TO) + mixed("b", text_part(), file_part(came))
        assert list(attachments(read(make_safe(raw).mime))) == [stands]

    @pytest.mark.parametrize(
        ("charset", "data", "text"),
        [
            ("klingon", "größer".encode(), "größer"),
            ("klingon", "größer".encode("cp1252"), "größer"),
            ("iso-8859-8-i", "שלום".encode("iso-8859-8"), "שלום"),
            ("windows-874", "สวัสดี".encode("cp874"), "สวัสดี"),
            ("utf-7", b"plain", "plain"),
            ("unicode_escape", b"\\u0041", "\\u0041"),
            ("utf-8", b"broken \xff here", "broken \ufffd here"),
        ],
    )
    def test_text_in_odd_charsets(self, charset, data, text):
        head = f"Content-Type: text/plain; charset={charset}\r\n\r\n"
        assert text in body(read(make_safe(header(TO) + head.encode() + data).mime))

    @pytest.mark.parametrize(
        ("charset", "data", "text"),
        [
            ("", "größer", "größer"),
            ('; charset=""', "größer", "größer"),
            ("; charset=us-ascii", "größer", "größer"),
            ("; charset=us-ascii", "größer".encode("latin-1"), "größer"),
        ],
    )
    def test_text_that_does_not_name_its_charset(self, charset, data, text):
        data = data if isinstance(data, bytes) else data.encode()
        head = f"Content-Type: text/plain{charset}\r\n\r\n".encode()
        safe = make_safe(header(TO) + head + data)
        assert text in body(read(safe.mime))
        assert any("guessed" in note for note in safe.notes) == (b"\xf6" in data)

    def test_a_known_charset_under_an_odd_name_is_not_guessed(self):
        head = b"Content-Type: text/plain; charset=iso-8859-8-i\r\n\r\n"
        safe = make_safe(header(TO) + head + "שלום".encode("iso-8859-8"))
        assert "שלום" in body(read(safe.mime))
        assert not any("guessed" in note for note in safe.notes)

    def test_utf8_in_parts_needs_no_name_and_may_be_a_little_broken(self):
        for text in (b"gr\xc3\xb6\xc3\x9fer", b"gr\xc3\xb6\xff"):
            part = b"Content-Type: text/plain\r\n\r\n" + text
            raw = header(TO) + mixed("b", part, file_part("a.pdf"))
            assert make_safe(raw).mime is raw

    @pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=utf-16"])
    @pytest.mark.parametrize(
        "data", [b"M\xfcller\r\n", b"\xfe\xff\0M\0\xfc", bytes(range(256)), b"M\r\nx"]
    )
    def test_a_text_file_comes_back_to_the_byte(self, charset, data):
        part = f"Content-Type: text/csv{charset}\r\n".encode()
        part += b'Content-Disposition: attachment; filename="a.csv"\r\n'
        part += b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(data)
        raw = header(TO) + mixed("b", text_part(), part)
        found = read(make_safe(raw).mime).get_payload()[1]
        if not found.get_param("charset"):
            found.set_charset("utf-8")  # as core does
        assert found.get_content().encode(found.get_content_charset()) == data

    def test_a_text_attachment_keeps_its_bytes(self):
        raw = bad_mails.attachment_of_unknown_charset(TO)
        part = read(make_safe(raw).mime).get_payload()[1]
        assert part.get_payload(decode=True) == b"\xe4;\xf6;1"
        # Odoo decodes it and encodes it again.
        charset = part.get_content_charset()
        assert part.get_content().encode(charset) == b"\xe4;\xf6;1"

    def test_a_large_html_body_becomes_a_file_and_the_text_stays(self):
        html = "<p>" + "x" * 1_100_000 + "</p>"
        both = mixed(
            "b", text_part(), text_part(html, "text/html"), subtype="alternative"
        )
        safe = make_safe(header(TO) + both)
        message = read(safe.mime)
        assert body(message).strip() == MARKER
        assert attachments(message)["body-1.html"].strip() == html
        assert any("attached" in note for note in safe.notes)

    def test_a_large_html_body_alone_leaves_a_word(self):
        html = "<p>" + "x" * 1_100_000 + "</p>"
        message = read(make_safe(header(TO) + text_part(html, "text/html")).mime)
        assert "attached as a file" in body(message)

    def test_a_large_text_shows_its_beginning(self):
        text = MARKER + "\n" + "> quote\nanswer\n" * 40_000
        message = read(make_safe(plain(TO, text=text)).mime)
        assert MARKER in body(message)
        assert len(attachments(message)["body-1.txt"]) >= len(text)

    def test_a_delivery_report_stays_one(self):
        raw = bad_mails.good_bounce(TO).replace(b"Undelivered", b"Undelivered\0")
        message = read(make_safe(raw).mime)
        kinds = [part.get_content_type() for part in message.walk()]
        assert message.get_content_type() == "multipart/report"
        assert kinds[2:4] == ["message/delivery-status", "text/plain"]
        assert "message/rfc822" in kinds

    def test_both_senders_stay_visible(self):
        raw = plain(TO, subject="x\0", more="From: second@other.example\r\n")
        assert len(read(make_safe(raw).mime).get_all("From")) == 2

    def test_an_unusable_message_id_still_tells_mails_apart(self):
        def stand_in(message_id):
            return read(make_safe(plain(TO, message_id=message_id)).mime)["Message-ID"]

        assert stand_in("<<<<1") == stand_in("<<<<1")
        assert stand_in("<<<<1") != stand_in("<<<<2")

    def test_recipients_beyond_the_limit_are_counted(self):
        safe = make_safe(bad_mails.five_thousand_recipients(TO))
        assert "Of about 5001 addresses in To the first 999 were kept." in safe.notes
        assert len(read(safe.mime)["To"].addresses) == 999


# ----------------------------------------------------------------------- any bytes


@cache
def seeds():
    made = [make(TO) for make in (*ORDINARY, *BAD_MAILS.values())]
    return [raw for raw in made if len(raw) < 6000]


@pytest.fixture(scope="module", autouse=True)
def made():
    """Make the seeds before hypothesis watches."""
    seeds()


PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"--b\r\n", b"--b--\r\n", b"\r\n\r\n",
    b":", b";", b"=", b'"', b"<", b">", b"(", b")", b"@", b",", b"\\", b"'", b"*0*=",
    b"=?utf-8?q?", b"=?utf-8?b?AA==?=", b"?=", b"=00", b"%00", b"\xff\xfe", b"\xc3",
    b"Content-Type: ", b"Content-Disposition: attachment; filename=", b"multipart/",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"charset=utf-7", b"charset=",
    b"Content-Type: message/rfc822\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Type: message/delivery-status\r\n\r\n", b"From: ", b"To: ", b"Subject: ",
    b"Message-ID: <", b"From - ", b"boundary=", b"filename*=utf-8''", b"\xe2\x80\xae",
    b"Content-ID: <", b"text/html", b"<p>", b"idna", b"punycode",
]  # fmt: skip


@st.composite
def mutated(draw):
    raw = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(raw)))
        cut = draw(st.integers(0, 12) | st.integers(0, 400))
        new = draw(st.sampled_from(PIECES) | st.binary(max_size=8))
        raw[at : at + cut] = new * draw(st.sampled_from([1, 1, 1, 3, 40]))
    return bytes(raw)


def check(raw):
    start = time.process_time()
    safe = make_safe(raw)
    assert core_reads(safe.mime)
    assert time.process_time() - start < 2
    message = read(safe.mime)
    assert len(message.get_all("From")) >= 1
    assert len(message.get_all("Message-ID")) == 1
    for name in ("From", "To", "Cc", "Reply-To", "Delivered-To", "Resent-To"):
        for value in message.get_all(name, []):
            assert not headerfix.has_unwanted(str(value))
    for part in message.walk():
        if part.get_content_maintype() != "multipart":
            part.get_content()
        name = part.get_filename()
        assert name is None or not re.search(r"[\x00-\x1f/\\\ud800-\udfff]", name)
    assert (safe.mime is raw) == (not safe.notes)


class TestAnyBytes:
    @given(st.binary(max_size=2000))
    def test_noise(self, raw):
        check(raw)

    @given(mutated())
    def test_mutated_mail(self, raw):
        check(raw)

    @given(st.text(max_size=300), st.sampled_from(["From", "To", "Subject", "Date"]))
    def test_any_header_value(self, text, name):
        value = text.replace("\n", " ").encode("utf-8", "surrogatepass")
        check(name.encode() + b": " + value + b"\r\n" + plain(TO))

    @given(mutated())
    def test_an_ordinary_mail_is_read_alike(self, raw):
        """Our scanner and ``email`` see the same parts, or a part could hide."""
        found = scan(raw)
        if is_ordinary(found):
            ours = [part.media_type.decode() for part in found.parts]
            assert ours == list(kinds(read(raw)))


# ------------------------------------------------------------------------- addresses

#: The parser of Python 3.10 to 3.12 dies on them; whoever reads them sees no fault.
ODD_NAMES = [
    ".Net <a@b.example>",
    "... <a@b.example>",
    "Example Inc.<a@b.example>",
]
#: It takes what is decoded for a part of the address.
ODD_WORDS = ["=?utf-8?q?=3Ca?=x@b.example", "=?utf-8?b?PGE+?=a@b.example"]
ADDRESS_PIECES = [
    "a@b.example", "<a@b.example>", "Name", '"Name"', ",", ";", ":", " ", "\t", "(",
    ")", "(c)", '"', "\\", "@", "<", ">", "<<", "group:", ".", "..", "[192.0.2.1]", "é",
    "%", "*0*=", "=?x?=", "=?utf-8?q?=3Ca?=", "=?utf-8?b?PGE+?=", "=?utf-8?q?=2C?=",
    "=?utf-8?q?=22?=", "=?utf-8?q?=28?=", "=?utf-8?q?=40?=", "=?utf-8?q?=2E?=",
    "=?utf-8?q?x?=", "=?utf-8?q??=", "=?utf-8?q?_?=", "=?iso-2022-jp?b?GyRCJA==?=",
]  # fmt: skip


def with_field(name, value):
    """Return an ordinary mail with that one value in place of its own."""
    line = f"{name}: {value}\r\n".encode()
    rest = re.sub(rb"(?m)^%s: .*\r\n" % name.encode(), b"", plain(TO))
    return line + rest


ADDRESS_FIELDS = st.sampled_from(["From", "To", "Cc", "Reply-To", "Resent-To"])


class TestAddresses:
    @pytest.mark.parametrize("name", ["From", "To", "Cc", "Resent-To"])
    @pytest.mark.parametrize("value", ODD_NAMES + ODD_WORDS)
    def test_an_odd_one_is_read(self, name, value):
        check(with_field(name, value))

    @pytest.mark.parametrize("value", ODD_NAMES)
    def test_name_and_address_are_kept(self, value):
        [box] = read(make_safe(with_field("From", value)).mime)["From"].addresses
        assert box.addr_spec == "a@b.example"
        assert box.display_name == value.partition("<")[0].strip()

    @given(st.lists(st.sampled_from(ADDRESS_PIECES), max_size=6), ADDRESS_FIELDS)
    @example([".", "group:"], "From")
    def test_any_pieces(self, pieces, name):
        check(with_field(name, "".join(pieces)))
