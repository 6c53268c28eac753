# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail for the sandboxed frame: nothing acts, nothing loads, nothing is lost."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from odoo.addons.mail_bridge.providers.headers import parameter
from odoo.addons.mail_bridge.providers.mime import Attachment, MailParts, build_mime
from odoo.addons.mail_bridge.providers.preview import OCTETS, Preview, without_remote

PNG = b"\x89PNG\r\n\x1a\n pixels"


def preview(text="", source="", attachments=()):
    headers = (("From", "a@b.example"), ("Subject", "x"))
    parts = MailParts(headers, text=text, html=source, attachments=tuple(attachments))
    return Preview(build_mime(parts))


def shown(source, attachments=(), **options):
    """The document that the frame gets, parsed."""
    page = preview("", source, attachments).page(**options)
    return html.document_fromstring(page)


def part(disposition):
    """A mail that is nothing but an attachment."""
    return (
        b"From: a@b.example\r\nContent-Type: application/x-thing\r\n"
        b"Content-Disposition: attachment%s\r\n\r\nx" % disposition.encode()
    )


HOSTILE = (
    "<script>alert(1)</script>",
    '<img src="x" onerror="alert(1)">',
    '<body onload="alert(1)">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java\tscript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<iframe src="https://evil.example"></iframe>',
    '<object data="https://evil.example"></object><embed src="x">',
    '<form action="https://evil.example"><input name="password"></form>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<base href="https://evil.example/">',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<svg onload="alert(1)"><script>alert(1)</script></svg>',
    "<math><mtext><script>alert(1)</script></mtext></math>",
    '<video src="https://evil.example/x.mp4" autoplay></video>',
    '<div style="background: url(javascript:alert(1))">x</div>',
    "<style>@import url(https://evil.example/x.css);</style>",
    "<style></style><script>alert(1)</script>",
    "<template><script>alert(1)</script></template>",
    '<img srcset="https://evil.example/1.png 1x" src="">',
)


@pytest.mark.parametrize("source", HOSTILE)
def test_nothing_acts_and_nothing_loads(source):
    root = shown(f"<p>before</p>{source}<p>after</p>")
    text = html.tostring(root, encoding="unicode")
    assert "evil.example" not in text
    assert "alert" not in re.sub(r">[^<]*<", "><", text)
    for element in root.iter():
        assert element.tag not in ("script", "iframe", "object", "embed", "form")
        assert not [name for name in element.attrib if name.startswith("on")]
    assert "before" in text and "after" in text


def test_harmless_links_stay():
    [link] = shown('<a href="https://ok.example/x" target="_top">x</a>').iter("a")
    assert dict(link.attrib) == {
        "href": "https://ok.example/x",
        "rel": "noopener noreferrer",
    }


def test_an_inline_image_becomes_part_of_the_page():
    logo = Attachment(PNG, "image/png", "logo.png", "logo+1@x", True)
    for url in ("cid:logo+1@x", "cid:logo%2B1@x", "CID:logo+1@x"):
        source = f'<img src="{url}"><p style="background: url(cid:logo+1@x)">x</p>'
        root = shown(source, [logo])
        [image] = root.iter("img")
        assert image.get("src").startswith("data:image/png;base64,")
        assert "data:image/png;base64," in root.find(".//p").get("style")


def test_a_shown_image_is_no_attachment_but_others_are():
    logo = Attachment(PNG, "image/png", "logo.png", "logo@x", True)
    other = Attachment(PNG, "image/png", "other.png", "other@x", True)
    offer = Attachment(b"%PDF", "application/pdf", "offer.pdf")
    found = preview("t", '<img src="cid:logo@x">', [logo, other, offer])
    assert [item.name for item in found.attachments] == ["other.png", "offer.pdf"]
    sizes = [item.size for item in found.attachments]
    assert sizes == [len(PNG), 4]
    for item in found.attachments:
        assert found.attachment(item.index)[2] in (PNG, b"%PDF")


def test_an_inline_part_that_is_no_image_stays_out():
    page = Attachment(b"<script>alert(1)</script>", "text/html", "x.html", "x@x", True)
    [image] = shown('<img src="cid:x@x">', [page]).iter("img")
    assert "text/html" not in image.get("src")


@pytest.mark.parametrize(
    "source",
    [
        '<img src="https://remote.example/1.png">',
        '<img src="//remote.example/1.png">',
        '<td background="http://remote.example/1.png">x</td>',
        "<p style=\"background: url( 'https://remote.example/1.png' )\">x</p>",
        "<style>p { background: url(https://remote.example/1.png) }</style><p>x</p>",
    ],
)
def test_remote_images_stay_away_until_asked_for(source):
    mail = preview("", f"<table><tr>{source}</tr></table>")
    assert mail.has_remote_images
    assert "remote.example" not in mail.page()
    assert "https://remote.example/1.png" in mail.page(images=True)
    assert "http://remote" not in mail.page(images=True)


def test_a_mail_without_remote_images_says_so():
    assert not preview(
        "", '<img src="cid:x"><a href="https://x.example">x</a>'
    ).has_remote_images


def test_text_is_text():
    mail = preview("1 < 2 & <b>no tag</b>")
    assert not mail.html
    assert "1 &lt; 2 &amp; &lt;b&gt;no tag&lt;/b&gt;" in mail.page()


def test_the_reader_chooses_text_or_html():
    mail = preview("the text", "<p>the html</p>")
    assert "the html" in mail.page() and "the text" not in mail.page()
    assert "the text" in mail.page(as_text=True)
    only = preview("", "<p>the html</p>")
    assert "the html" in only.page(as_text=True)


def test_braces_in_a_mail_are_no_placeholders():
    assert "{body} {0}" in preview("", "<p>{body} {0}</p>").page()


def test_html_that_is_too_complex_gives_the_text():
    mail = preview("the text", "<b>" * 200_000)
    started = time.process_time()
    page = mail.page()
    assert time.process_time() - started < 2
    assert "too complex" in page and "the text" in page


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x.txt", "a Set-Cookie: x.txt"),
        ("..", "part-1.bin"),
        ("", "part-1.bin"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Größe №7.pdf", "Größe №7.pdf"),
    ],
)
def test_a_name_is_only_a_name(name, shown_as):
    [item] = Preview(part(parameter("filename", name))).attachments
    assert item.name == shown_as
    assert not set(item.name) & set("/\\\r\n\0")


@pytest.mark.parametrize(
    ("media_type", "sent_as"),
    [
        ("application/pdf", "application/pdf"),
        ("image/png", "image/png"),
        ("image/svg+xml", OCTETS),
        ("text/html", OCTETS),
        ("application/xhtml+xml", OCTETS),
        ("application/javascript", OCTETS),
        ("x/y", OCTETS),
    ],
)
def test_only_harmless_types_keep_their_name(media_type, sent_as):
    found = preview("t", "", [Attachment(b"x", media_type, "x.x")])
    assert found.attachment(found.attachments[0].index)[1] == sent_as


def test_no_body_is_an_attachment_and_no_index_too_much():
    found = preview("t", "<p>h</p>", [Attachment(b"x", "text/plain", "x.txt")])
    indexes = [item.index for item in found.attachments]
    for index in range(-2, 9):
        assert (found.attachment(index) is not None) == (index in indexes)


def test_an_attached_mail_stays_in_one_piece():
    inner = b"Subject: inner\r\n\r\ninner text"
    found = Preview(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    [item] = found.attachments
    assert item.media_type == "message/rfc822"
    assert b"inner text" in found.attachment(item.index)[2]
    assert "inner text" not in found.text


@given(st.text(st.sampled_from("<>/\\\"'=:; \0aimgsrcstyle&#x") | st.characters()))
def test_no_body_crashes_the_chatter(body):
    shown = without_remote(f"<img src='https://x/y.png'>{body}")
    root = html.fragment_fromstring(shown, create_parent="div")
    sources = [element.get("src", "") for element in root.iter("img")]
    assert [one for one in sources if re.match(r"\s*(https?:)?//", one)] == []


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('<p>a <img src="https://x/y.png" alt="z"> b</p>', '<p>a <img alt="z"> b</p>'),
        ('<img src=" //x/y"> after', "<img> after"),
        ('<img srcset="https://a 2x" src="cid:a@b">', '<img src="cid:a@b">'),
        ('<table background="//x/y"><tr></tr></table>', "<table><tr></tr></table>"),
        ('<div style="background:url(https://x/y)">q</div>', "<div>q</div>"),
        (r'<b style="background:u\72l(x)">q</b>', "<b>q</b>"),
        ('<b style="color: red">q</b> //', '<b style="color: red">q</b> //'),
        ('<a href="https://x/y">link</a>', '<a href="https://x/y">link</a>'),
        ("Words &amp; // ü", "Words &amp; // ü"),
        ("", ""),
    ],
)
def test_a_chatter_loads_nothing_from_elsewhere(body, shown):
    assert without_remote(body) == shown


@given(content=st.binary(max_size=500), kind=st.sampled_from(["html", "mime", "text"]))
def test_no_bytes_crash(content, kind):
    if kind == "mime":
        mail = Preview(content)
    else:
        head = b"Content-Type: text/%s; charset=utf-8\r\n\r\n" % kind.encode()
        mail = Preview(head + content)
    assert mail.page(images=True) and mail.page(as_text=True)
    assert isinstance(mail.has_remote_images, bool)
    for item in mail.attachments:
        assert mail.attachment(item.index)


BOUNCE = (
    b"From: MAILER-DAEMON@mx.example\r\n"
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n"
    b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n"
    b"--b\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n"
    b"--b\r\nContent-Type: application/x-unheard-of\r\n\r\n?\r\n--b--\r\n"
)


def test_parts_without_a_name_are_called_by_what_they_are():
    assert [item.name for item in Preview(BOUNCE).attachments] == [
        "delivery-status.txt",
        "headers.txt",
        "message.eml",
        "part-5.pdf",
        "part-6.bin",
    ]
