# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mails that break or stall Odoo's own gateway, each made by a function.

Used by the plain tests, the Odoo tests and the tests against a real server.
``BAD_MAILS`` maps a name to a function of the recipient; ``CHOKES`` names those on
which ``mail.thread.message_process`` itself raises, ``STALLS`` those on which it works
for more than two seconds (measured on 18.0 and 19.0).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from email.message import EmailMessage
from uuid import uuid4

Maker = Callable[[str], bytes]
BAD_MAILS: dict[str, Maker] = {}
CHOKES: set[str] = set()
STALLS: set[str] = set()
#: Delivery reports: Odoo evaluates them and posts nothing.
BOUNCES = frozenset(("delivery_status_of_100000_blocks",))

MARKER = "The text that must arrive"


def bad_mail(*, chokes: bool = False, stalls: bool = False) -> Callable[[Maker], Maker]:
    """Register a function under its own name."""

    def register(maker: Maker) -> Maker:
        name = maker.__name__
        BAD_MAILS[name] = maker
        if chokes:
            CHOKES.add(name)
        if stalls:
            STALLS.add(name)
        return maker

    return register


def header(
    recipient: str,
    *,
    sender: str = "Erika Bad <erika@sender.example>",
    subject: str = "A strange mail",
    message_id: str | None = None,
    more: str = "",
) -> bytes:
    """Return the header lines of a mail, without the empty line behind them."""
    message_id = message_id or f"<{uuid4().hex}@sender.example>"
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
        f"Message-ID: {message_id}\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
        f"MIME-Version: 1.0\r\n{more}"
    ).encode()


def text_part(text: str = MARKER, content_type: str = "text/plain") -> bytes:
    """Return one part of a multipart, with its header."""
    return f"Content-Type: {content_type}; charset=utf-8\r\n\r\n{text}".encode()


def mixed(boundary: str, *parts: bytes, subtype: str = "mixed") -> bytes:
    """Return Content-Type, empty line and body of a multipart."""
    mark = boundary.encode()
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    body = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head + body + b"--" + mark + b"--\r\n"


def file_part(name: str, content: bytes = b"data", more: str = "") -> bytes:
    """Return an attachment whose name stands in the header as given."""
    head = (
        "Content-Type: application/octet-stream\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n{more}'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + base64.b64encode(content)


def plain(recipient: str, text: str = MARKER, **fields: str) -> bytes:
    """Return a mail of one text part."""
    return header(recipient, **fields) + text_part(text)


def good_mail(recipient: str) -> bytes:
    """Return an ordinary mail with text, HTML, a picture and a file, 5 kB."""
    message = EmailMessage()
    message["From"] = "Jürgen Müller <juergen@sender.example>"
    message["To"] = recipient
    message["Cc"] = '"Doe, Jane" <jane@other.example>, bob@other.example'
    message["Subject"] = "Angebot für zwölf Kisten – bitte prüfen"
    message["Message-ID"] = "<CAF0123456789abcdef@mail.sender.example>"
    message["References"] = "<one@mail.example> <two@mail.example>"
    message["Date"] = "Fri, 20 Nov 2026 10:00:00 +0100"
    message["Received"] = "from a.example (a.example [192.0.2.1]) by b.example; now"
    message["X-Mailer"] = "Example 1.0 (like others)"
    message.set_content(f"{MARKER}, auf Deutsch: grüße.\n" * 10)
    message.add_alternative(
        f"<html><body><p>{MARKER}</p><img src='cid:logo'>"
        + "<p>Zwölf Kisten</p>" * 60
        + "</body></html>",
        subtype="html",
    )
    message.get_payload()[1].add_related(
        b"\x89PNG" * 50, "image", "png", cid="<logo>", filename="logo.png"
    )
    message.add_attachment(
        b"%PDF" * 100, "application", "pdf", filename="Rechnung März.pdf"
    )
    return message.as_bytes()


def good_bounce(recipient: str) -> bytes:
    """Return an ordinary delivery report."""
    status = (
        b"Content-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; mx.other.example\r\n\r\n"
        b"Final-Recipient: rfc822; nobody@other.example\r\n"
        b"Action: failed\r\nStatus: 5.1.1\r\n"
    )
    original = b"Content-Type: message/rfc822\r\n\r\n" + header(
        "nobody@other.example", sender=recipient, message_id="<sent-1@my.example>"
    )
    text = text_part("Your mail could not be delivered.")
    body = mixed("report", text, status, original + b"\r\nHello\r\n", subtype="report")
    body = body.replace(b"report;", b"report; report-type=delivery-status;", 1)
    sender = "Mail Delivery System <MAILER-DAEMON@mx.other.example>"
    return header(recipient, sender=sender, subject="Undelivered") + body


def everything_odd(recipient: str) -> bytes:
    """Return a mail with a fault in every place and something to keep in each."""
    html = "<p>größer als zwölf</p>".encode("latin-1")
    parts = [
        b"Content-Type: text/html; charset=x-unknown\r\n\r\n" + html,
        file_part("../../x", bytes(range(256))),
        b"Content-Type: model/stl\r\nContent-Transfer-Encoding: x-odd\r\n"
        b"Content-Disposition: attachment; filename*0*=utf-8''%C3%BCn;"
        b" filename*1=ter.bin\r\n\r\n\r\nraw\n",
    ]
    fields = (
        f"From: =?iso-8859-1?q?M=FCller=2C_J=FCrgen?= (((\0))) <juergen@sender.example>"
        f"\r\nTo: {recipient}\r\nSubject: =?utf-8?q?Gr=C3=BC?= =?utf-8?q?=C3=9Fe?="
        f"\r\n aus K_ln\0\r\nMessage-ID:\r\n <odd-1@sender.example>\r\n"
        f"Date: Fri, 20 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
    )
    return fields.encode().replace(b"K_ln", b"K\xf6ln") + mixed("b", *parts)


# ------------------------------------------------------------------------- charsets


@bad_mail(chokes=True)
def unknown_charset(recipient: str) -> bytes:
    body = f"Content-Type: text/plain; charset=klingon\r\n\r\n{MARKER} größer"
    return header(recipient) + body.encode("latin-1")


@bad_mail(chokes=True)
def charset_that_is_a_codec(recipient: str) -> bytes:
    body = f"Content-Type: text/plain; charset=zlib_codec\r\n\r\n{MARKER}"
    return header(recipient) + body.encode()


@bad_mail(chokes=True)
def charset_with_a_name_of_100_kb(recipient: str) -> bytes:
    body = f"Content-Type: text/plain; charset={'x' * 100_000}\r\n\r\n{MARKER}"
    return header(recipient) + body.encode()


@bad_mail()
def punycode_body_of_200_kb(recipient: str) -> bytes:
    body = f"Content-Type: text/plain; charset=punycode\r\n\r\n{MARKER} "
    return header(recipient) + body.encode() + b"a-bcd9" * 33_000


@bad_mail()
def undefined_charset_in_subject(recipient: str) -> bytes:
    return plain(recipient, subject="=?undefined?q?hello?=")


@bad_mail(chokes=True)
def attachment_of_unknown_charset(recipient: str) -> bytes:
    csv = (
        b"Content-Type: text/csv; charset=klingon\r\n"
        b"Content-Disposition: attachment; filename=a.csv\r\n\r\n\xe4;\xf6;1"
    )
    return header(recipient) + mixed("b", text_part(), csv)


# --------------------------------------------------------------------- odd characters


@bad_mail(chokes=True)
def nul_in_subject(recipient: str) -> bytes:
    return plain(recipient, subject="Null\0 and void")


@bad_mail(chokes=True)
def encoded_nul_in_subject(recipient: str) -> bytes:
    return plain(recipient, subject="=?utf-8?q?Null=00_and_void?=")


@bad_mail(chokes=True)
def nul_in_file_name(recipient: str) -> bytes:
    return header(recipient) + mixed("b", text_part(), file_part("a\0b.txt"))


@bad_mail(chokes=True)
def encoded_nul_in_file_name(recipient: str) -> bytes:
    part = (
        b"Content-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''a%00b.pdf\r\n\r\nx"
    )
    return header(recipient) + mixed("b", text_part(), part)


@bad_mail()
def nul_in_body(recipient: str) -> bytes:
    return plain(recipient, text=f"before\0after {MARKER}")


@bad_mail()
def bare_carriage_returns(recipient: str) -> bytes:
    return plain(recipient, subject="One\rX-Injected: two")


@bad_mail()
def encoded_line_break_in_subject(recipient: str) -> bytes:
    return plain(recipient, subject="=?utf-8?q?One=0D=0ABcc:_x@y.example?=")


@bad_mail()
def latin1_in_every_header(recipient: str) -> bytes:
    mail = plain(recipient, sender="J_rgen <j@s.example>", subject="Gr__e")
    return mail.replace(b"J_rgen", b"J\xfcrgen").replace(b"Gr__e", b"Gr\xfc\xdfe")


@bad_mail(chokes=True)
def lone_surrogate_in_subject(recipient: str) -> bytes:
    return plain(recipient, subject="=?utf-7?q?+2AA-?=")


# ---------------------------------------------------------------------------- headers


@bad_mail(chokes=True)
def thousand_parentheses_in_from(recipient: str) -> bytes:
    return plain(recipient, sender="(" * 1000)


@bad_mail(chokes=True)
def thousand_parentheses_around_from(recipient: str) -> bytes:
    return plain(recipient, sender="(" * 1000 + ")" * 1000 + " <deep@sender.example>")


@bad_mail()
def message_id_of_angles(recipient: str) -> bytes:
    """IndexError before Python 3.13."""
    return plain(recipient, message_id="<" * 5000)


@bad_mail(chokes=True)
def subject_of_1_mb(recipient: str) -> bytes:
    # Incompressible on purpose: PostgreSQL packs a repeated letter into an index.
    noise = base64.b64encode(bytes((i * i * 31 + i // 7) % 251 for i in range(750_000)))
    return plain(recipient, subject="Long " + noise.decode())


@bad_mail(chokes=True)
def message_id_of_10_kb(recipient: str) -> bytes:
    noise = base64.b32encode(bytes((i * i * 31 + i // 7) % 251 for i in range(6_000)))
    return plain(recipient, message_id=f"<{noise.decode().strip('=')}@sender.example>")


@bad_mail()
def sender_name_of_7_kb(recipient: str) -> bytes:
    """19.0 makes a partner of it, whose name stands in an index."""
    noise = base64.b32encode(bytes((i * i * 31 + i // 7) % 251 for i in range(4_000)))
    return plain(recipient, sender=f'"{noise.decode()}" <erika@sender.example>')


@bad_mail(stalls=True)
def twenty_thousand_recipients(recipient: str) -> bytes:
    crowd = ", ".join(f"a{i}@b.example" for i in range(20_000))
    return plain(f"{recipient}, {crowd}")


@bad_mail(stalls=True)
def five_thousand_recipients(recipient: str) -> bytes:
    crowd = ",\r\n ".join(f"Person {i} <a{i}@b.example>" for i in range(5_000))
    return plain(f"{recipient}, {crowd}")


@bad_mail()
def hundred_thousand_headers(recipient: str) -> bytes:
    return plain(recipient, more="X-A: b\r\n" * 100_000)


@bad_mail()
def references_of_1_mb(recipient: str) -> bytes:
    ids = "\r\n ".join(f"<{i:030}@thread.example>" for i in range(20_000))
    return plain(recipient, more=f"References: {ids}\r\n")


@bad_mail()
def no_from(recipient: str) -> bytes:
    return plain(recipient).partition(b"\r\n")[2]


@bad_mail()
def no_header_but_to(recipient: str) -> bytes:
    return f"To: {recipient}\r\n\r\n{MARKER}".encode()


@bad_mail()
def date_in_the_far_future(recipient: str) -> bytes:
    return plain(recipient).replace(b"20 Nov 2026", b"20 Nov 9999")


@bad_mail()
def date_of_100_kb(recipient: str) -> bytes:
    return plain(recipient).replace(b"20 Nov 2026", b"1 " * 50_000)


@bad_mail(chokes=True)
def junk_line_in_header(recipient: str) -> bytes:
    mail = header(recipient)
    first, _, rest = mail.partition(b"\r\n")
    return first + b"\r\nthis is no header line\r\n" + rest + text_part()


# -------------------------------------------------------------------------- structure


@bad_mail(chokes=True)
def nested_multiparts_2000(recipient: str) -> bytes:
    levels = "".join(
        f"Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"
        for i in range(2000)
    )
    return header(recipient) + levels.encode() + text_part()


@bad_mail(chokes=True)
def nested_messages_2000(recipient: str) -> bytes:
    levels = b"Content-Type: message/rfc822\r\n\r\n" * 2000
    return header(recipient) + levels + text_part()


@bad_mail()
def mail_in_mail_40_times(recipient: str) -> bytes:
    """Odoo attaches each of them with all that is inside."""
    levels = b"Content-Type: message/rfc822\r\n\r\n" * 40
    inner = good_mail(recipient) + b"\r\n" * 50_000
    return header(recipient) + levels + inner


@bad_mail(stalls=True)
def html_bomb_in_an_enclosed_mail(recipient: str) -> bytes:
    inner = b"Content-Type: message/rfc822\r\n\r\n"
    inner += html_of_quoted_siblings(recipient)
    return header(recipient, subject="\0") + mixed("outer", text_part(), inner)


@bad_mail(stalls=True)
def parts_100000(recipient: str) -> bytes:
    parts = b"--b\r\n\r\nx\r\n" * 100_000
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    return header(recipient) + head + text_part() + b"\r\n" + parts + b"--b--\r\n"


@bad_mail(stalls=True)
def parameters_20000(recipient: str) -> bytes:
    names = "".join(f';\r\n x*{i}*="y"' for i in range(20_000))
    head = f"Content-Type: text/plain; charset=utf-8{names}\r\n\r\n{MARKER}"
    return header(recipient) + head.encode()


@bad_mail(stalls=True)
def boundary_of_1_mb(recipient: str) -> bytes:
    return header(recipient) + mixed("b" * 1_000_000, text_part())


@bad_mail()
def missing_boundary(recipient: str) -> bytes:
    return (
        header(recipient) + b"Content-Type: multipart/mixed\r\n\r\n" + MARKER.encode()
    )


@bad_mail()
def wrong_boundary(recipient: str) -> bytes:
    return header(recipient) + mixed("b", text_part()).replace(b"--b", b"--c")


@bad_mail()
def boundary_that_is_no_token(recipient: str) -> bytes:
    body = mixed("=_x=1", text_part(), file_part("a.txt"))
    return header(recipient) + body.replace(b'"=_x=1"', b"=_x=1")


@bad_mail(stalls=True)
def million_empty_lines_deep_down(recipient: str) -> bytes:
    depth = 40
    levels = "".join(
        f"Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"
        for i in range(depth)
    )
    return header(recipient) + levels.encode() + text_part() + b"\r\n" * 1_000_000


@bad_mail(stalls=True)
def delivery_status_of_100000_blocks(recipient: str) -> bytes:
    status = (
        b"Content-Type: message/delivery-status\r\n\r\n" + b"A: b\r\n\r\n" * 100_000
    )
    body = mixed("b", text_part(), status, subtype="report")
    return header(recipient) + body


@bad_mail(chokes=True)
def hostile_mail_inside_a_mail(recipient: str) -> bytes:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + plain(
        "x@y.example", sender="(" * 999
    )
    return header(recipient) + mixed("b", text_part(), inner)


@bad_mail()
def empty_enclosed_message(recipient: str) -> bytes:
    inner = b"Content-Type: message/partial; id=x\r\nContent-ID: <x>\r\n\r\n"
    inner += b"Subject: \0\r\n\r\n"
    return header(recipient) + mixed("b", text_part(), inner)


# ------------------------------------------------------------------------ attachments


@bad_mail()
def file_name_with_a_path(recipient: str) -> bytes:
    return header(recipient) + mixed("b", text_part(), file_part("../../etc/x"))


@bad_mail()
def file_name_of_10_kb(recipient: str) -> bytes:
    return header(recipient) + mixed("b", text_part(), file_part("n" * 10_000 + ".pdf"))


@bad_mail(chokes=True)
def type_without_a_reader(recipient: str) -> bytes:
    font = file_part("a.woff").replace(b"application/octet-stream", b"font/woff")
    return header(recipient) + mixed("b", text_part(), font)


@bad_mail()
def attachments_1000(recipient: str) -> bytes:
    files = [file_part(f"{i}.txt") for i in range(1000)]
    return header(recipient) + mixed("b", text_part(), *files)


@bad_mail()
def base64_that_is_none(recipient: str) -> bytes:
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return header(recipient) + head + b"!!!! $$$$ A"


# ------------------------------------------------------------------------------- HTML


@bad_mail(stalls=True)
def html_of_5_mb(recipient: str) -> bytes:
    body = "<p><b>x</b> and some <i>text</i></p>" * 145_000
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_of_quoted_siblings(recipient: str) -> bytes:
    body = '<p class="yahoo_quoted">x</p>' * 5_000
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_of_open_tags(recipient: str) -> bytes:
    return header(recipient) + text_part("<o:" * 20_000, "text/html")


@bad_mail(stalls=True)
def html_with_a_style_of_letters(recipient: str) -> bytes:
    body = f'<p style="{"a" * 40_000}">x</p>'
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_style_joined_by_office_tags(recipient: str) -> bytes:
    """Odoo takes ``<o:…>`` out first; then the letters run together."""
    body = f"<p style='{('a' * 50 + '</o:p>') * 2000}'>x</p>"
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_list_in_a_quote_container(recipient: str) -> bytes:
    """8 kB are enough: each item looks at all the others."""
    body = "<div data-o-mail-quote-container=1>" + "<li>" * 2000
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_style_of_open_comments(recipient: str) -> bytes:
    body = f"<p style='{'<html>/*' * 20_000}'>x</p>"
    return header(recipient) + text_part(body, "text/html")


@bad_mail(stalls=True)
def html_in_500_parts(recipient: str) -> bytes:
    parts = [text_part("<p><i>x</i></p>" * 100, "text/html") for _ in range(400)]
    return header(recipient) + mixed("b", *parts)


@bad_mail(stalls=True)
def text_of_alternating_quotes(recipient: str) -> bytes:
    return plain(recipient, text="> quote\r\nanswer\r\n" * 30_000)


@bad_mail()
def html_that_is_no_html(recipient: str) -> bytes:
    return header(recipient) + text_part("<!-- " * 3000 + "<![CDATA[", "text/html")
