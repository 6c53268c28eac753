# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mails as people's programs write them, one of each shape that occurs every day.

Written by hand after what the programs send; ``TO`` stands for the recipient, ``NAME``
for what makes the sender and the Message-ID.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

PDF = b"%PDF-1.4\n" + bytes(range(256)) + b"\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff"
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
VCF = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada\r\nEND:VCARD\r\n"
#: Files whose bytes are not in the charset that Odoo takes for granted, or names.
LATIN_CSV = "Name;Ort\r\nMüller;Köln\r\n".encode("latin-1")
WIDE_CSV = b"\xfe\xff" + "Name;Ort\r\nMüller;Köln\r\n".encode("utf-16-be")
LATIN_XML = '<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1")
LATIN_VCF = VCF.replace(b"FN:Ada", b"FN;CHARSET=ISO-8859-1:M\xfcller")
CENTRAL_TXT = "Łódź, 5 €\r\n".encode("cp1250")
INNER = (
    b"From: first@customer.example\r\nTo: somebody@outside.example\r\n"
    b"Subject: The first mail\r\nMessage-ID: <inner@customer.example>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Words of the first mail\r\n"
)


@dataclass(frozen=True)
class Everyday:
    """One mail, and what of it must stand in the chatter.

    ``files`` are names and exact contents, ``None`` where core writes it anew.
    """

    mime: bytes
    says: str = ""
    files: tuple[tuple[str, bytes | None], ...] = ()
    state: str = "routed"

    def sent(self, recipient: str, name: str) -> bytes:
        """Return the mail to a recipient; ``name`` makes its sender and Message-ID."""
        mime = self.mime.replace(b"TO", recipient.encode(), 1)
        return mime.replace(b"NAME", name.encode(), 2)


def mail(content: bytes, extra: bytes = b"") -> bytes:
    """Return a mail of a header and a part (its MIME fields and its body)."""
    return (
        b"From: Ada <NAME@outside.example>\r\nTo: TO\r\nSubject: Every day\r\n"
        b"Date: Fri, 20 Nov 2026 10:00:00 +0100\r\n"
        b"Message-ID: <NAME@outside.example>\r\n"
        b"MIME-Version: 1.0\r\n" + extra + content
    )


def text(words: str, charset: str = "utf-8", more: bytes = b"") -> bytes:
    """Return a text part, its words in base64."""
    kind = b"Content-Type: text/plain; charset=%s%s" % (charset.encode(), more)
    return kind + b"\r\n" + in_base64(words.encode(charset))


def page(markup: str) -> bytes:
    """Return a HTML part."""
    kind = b"Content-Type: text/html; charset=utf-8\r\n"
    return kind + in_base64(markup.encode())


def in_base64(content: bytes) -> bytes:
    """Return the rest of a part's header, and its content."""
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded


def file(kind: str, name: str, content: bytes, more: str = "") -> bytes:
    """Return an attached file."""
    shown = "" if "Disposition" in more else f'attachment; filename="{name}"'
    header = f'Content-Type: {kind}; name="{name}"\r\n{more}'
    if shown:
        header += f"Content-Disposition: {shown}\r\n"
    return header.encode() + in_base64(content)


def parts(kind: str, *members: bytes, boundary: str = "=_b", more: str = "") -> bytes:
    """Return a multipart."""
    line = b"\r\n--" + boundary.encode()
    body = b"".join(line + b"\r\n" + member for member in members)
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{more}\r\n'
    return head.encode() + body + line + b"--\r\n"


def attached_mail(more: bytes = b"", inner: bytes = INNER) -> bytes:
    """Return a mail as a part of another."""
    return b"Content-Type: message/rfc822\r\n" + more + b"\r\n" + inner


ALTERNATIVE = parts(
    "alternative", text("Hello plain"), page("<p>Hello HTML</p>"), boundary="=_a"
)
INLINE = 'Content-ID: <pic@1>\r\nContent-Disposition: inline; filename="pic.png"\r\n'
FORWARDED = b'Content-Disposition: attachment; filename="first.eml"\r\n'

EVERYDAY = {
    "plain text": Everyday(mail(text("Only text")), "Only text"),
    "no subject": Everyday(
        mail(text("No subject")).replace(b"Subject: Every day\r\n", b""), "No subject"
    ),
    "HTML alone": Everyday(mail(page("<p>Only HTML</p>")), "Only HTML"),
    "text and HTML": Everyday(mail(ALTERNATIVE), "Hello HTML"),
    "a file": Everyday(
        mail(parts("mixed", ALTERNATIVE, file("application/pdf", "a.pdf", PDF))),
        "Hello HTML",
        (("a.pdf", PDF),),
    ),
    "a file and no word": Everyday(
        mail(parts("mixed", file("application/pdf", "scan.pdf", PDF))),
        files=(("scan.pdf", PDF),),
    ),
    "the body is a file": Everyday(
        mail(file("application/pdf", "fax.pdf", PDF)), files=(("fax.pdf", PDF),)
    ),
    "Apple Mail: a file between two texts": Everyday(
        mail(
            parts(
                "mixed",
                text("Above the file"),
                file(
                    "application/pdf",
                    "a.pdf",
                    PDF,
                    'Content-Disposition: inline; filename="a.pdf"\r\n',
                ),
                text("Below the file"),
            )
        ),
        "Below the file",
        (("a.pdf", PDF),),
    ),
    "Outlook: a picture in the signature": Everyday(
        mail(
            parts(
                "related",
                parts(
                    "alternative",
                    text("Regards"),
                    page('<p>Regards <img src="cid:pic@1"></p>'),
                    boundary="=_a",
                ),
                file("image/png", "pic.png", PNG, INLINE),
            )
        ),
        "Regards",
        (("pic.png", PNG),),
    ),
    "two files with one name": Everyday(
        mail(
            parts(
                "mixed",
                text("Twice"),
                file("application/pdf", "a.pdf", PDF),
                file("application/pdf", "a.pdf", PDF + b"2"),
            )
        ),
        "Twice",
        (("a.pdf", PDF), ("a.pdf", PDF + b"2")),
    ),
    "an empty file": Everyday(
        mail(parts("mixed", text("Empty"), file("text/csv", "empty.csv", b""))), "Empty"
    ),
    "forwarded as attachment": Everyday(
        mail(parts("mixed", text("See below"), attached_mail(FORWARDED))),
        "See below",
        (("first.eml", None),),
    ),
    "forwarded without a name": Everyday(
        mail(parts("mixed", text("See below"), attached_mail())), "See below"
    ),
    "forwarded with a file inside": Everyday(
        mail(
            parts(
                "mixed",
                text("See below"),
                attached_mail(
                    FORWARDED,
                    mail(
                        parts(
                            "mixed",
                            text("Inside"),
                            file("application/pdf", "in.pdf", PDF),
                            boundary="=_in",
                        )
                    ),
                ),
            )
        ),
        "See below",
        (("first.eml", None),),
    ),
    "a digest": Everyday(
        mail(parts("digest", attached_mail(), attached_mail(inner=INNER[:-3]))),
    ),
    "the body is a mail": Everyday(mail(attached_mail())),
    "an invitation": Everyday(
        mail(
            parts(
                "mixed",
                parts(
                    "alternative",
                    text("Come at ten"),
                    page("<p>Come at ten</p>"),
                    b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n"
                    + in_base64(ICS),
                    boundary="=_a",
                ),
                file("application/ics", "invite.ics", ICS),
            )
        ),
        "Come at ten",
        (("invite.ics", ICS),),
    ),
    "an invitation alone": Everyday(
        mail(
            b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n"
            + in_base64(ICS)
        ),
    ),
    "a business card": Everyday(
        mail(parts("mixed", text("My card"), file("text/x-vcard", "ada.vcf", VCF))),
        "My card",
        (("ada.vcf", VCF),),
    ),
    "S/MIME signed": Everyday(
        mail(
            parts(
                "signed",
                text("Signed words"),
                file("application/pkcs7-signature", "smime.p7s", PDF),
                more='; protocol="application/pkcs7-signature"; micalg=sha-256',
            )
        ),
        "Signed words",
        (("smime.p7s", PDF),),
    ),
    "S/MIME encrypted": Everyday(
        mail(file("application/pkcs7-mime", "smime.p7m", PDF)),
        files=(("smime.p7m", PDF),),
    ),
    "PGP encrypted": Everyday(
        mail(
            parts(
                "encrypted",
                b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
                file("application/octet-stream", "encrypted.asc", b"-----BEGIN PGP"),
                more='; protocol="application/pgp-encrypted"',
            )
        ),
        files=(("encrypted.asc", b"-----BEGIN PGP"),),
    ),
    "Outlook: winmail.dat": Everyday(
        mail(
            parts(
                "mixed",
                text("Rich text"),
                file("application/ms-tnef", "winmail.dat", PDF),
            )
        ),
        "Rich text",
        (("winmail.dat", PDF),),
    ),
    "Gmail: AMP": Everyday(
        mail(
            parts(
                "alternative",
                text("Without AMP"),
                b"Content-Type: text/x-amp-html; charset=utf-8\r\n"
                + in_base64(b"<!doctype html><html amp4email></html>"),
                page("<p>With HTML</p>"),
            )
        ),
        "With HTML",
    ),
    "format=flowed, quoted-printable": Everyday(
        mail(
            b"Content-Type: text/plain; charset=iso-8859-15; format=flowed\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
            b"It costs 5=A4, =\r\nonly\r\n"
        ),
        "5€, only",
    ),
    "Japanese": Everyday(mail(text("見積もりをください", "iso-2022-jp")), "見積もり"),
    "UTF-16": Everyday(mail(text("Breite Zeichen", "utf-16")), "Breite Zeichen"),
    "a bank: CSV in Latin-1": Everyday(
        mail(parts("mixed", text("Grüße"), file("text/csv", "a.csv", LATIN_CSV))),
        "Grüße",
        (("a.csv", LATIN_CSV),),
    ),
    "a bank: CSV in Latin-1 that names UTF-8": Everyday(
        mail(
            parts(
                "mixed",
                text("Grüße"),
                file("text/csv; charset=utf-8", "a.csv", LATIN_CSV),
            )
        ),
        "Grüße",
        (("a.csv", LATIN_CSV),),
    ),
    "Excel: CSV in UTF-16": Everyday(
        mail(parts("mixed", text("Wide"), file("text/csv", "a.csv", WIDE_CSV))),
        "Wide",
        (("a.csv", WIDE_CSV),),
    ),
    "Excel: CSV in UTF-16, named": Everyday(
        mail(
            parts(
                "mixed",
                text("Wide"),
                file("text/csv; charset=utf-16", "a.csv", WIDE_CSV),
            )
        ),
        "Wide",
        (("a.csv", WIDE_CSV),),
    ),
    "XML that names its encoding": Everyday(
        mail(parts("mixed", text("XML"), file("text/xml", "a.xml", LATIN_XML))),
        "XML",
        (("a.xml", LATIN_XML),),
    ),
    "a business card in Latin-1": Everyday(
        mail(parts("mixed", text("Card"), file("text/vcard", "m.vcf", LATIN_VCF))),
        "Card",
        (("m.vcf", LATIN_VCF),),
    ),
    "Notepad: a text in Windows-1250": Everyday(
        mail(
            parts(
                "mixed",
                text("Note"),
                file("text/plain; charset=us-ascii", "a.txt", CENTRAL_TXT),
                file("text/plain; charset=windows-1250", "b.txt", CENTRAL_TXT),
            )
        ),
        "Note",
        (("a.txt", CENTRAL_TXT), ("b.txt", CENTRAL_TXT)),
    ),
    "a script: UTF-8 that nothing names": Everyday(
        mail(
            b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + "Grüße aus Köln\r\n".encode()
        ),
        "Grüße aus Köln",
    ),
    "a script: Latin-1 that nothing names": Everyday(
        mail(
            parts(
                "mixed",
                b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                + "Grüße aus Köln\r\n".encode("latin-1"),
                file("text/csv", "utf8.csv", "Müller\n".encode()),
            )
        ),
        "Grüße aus Köln",
        (("utf8.csv", "Müller\n".encode()),),
    ),
    "8 bit without MIME": Everyday(
        mail("Grüße aus Köln\r\n".encode()).replace(
            b"MIME-Version: 1.0\r\n", b"\r\n", 1
        ),
        "Grüße aus Köln",
    ),
    "a name in RFC 2231": Everyday(
        mail(
            parts(
                "mixed",
                text("With a name"),
                b"Content-Type: application/pdf\r\nContent-Disposition: attachment;\r\n"
                b" filename*0*=utf-8''%C3%9Cbersicht%20;\r\n filename*1=2026.pdf\r\n"
                + in_base64(PDF),
            )
        ),
        "With a name",
        (("Übersicht 2026.pdf", PDF),),
    ),
    "an out-of-office reply": Everyday(
        mail(
            text("I am away"),
            b"Auto-Submitted: auto-replied\r\nX-Auto-Response-Suppress: All\r\n",
        ),
        "I am away",
    ),
    "a mailing list": Everyday(
        mail(
            parts("mixed", text("To the list"), text("-- \nlist footer")),
            b"List-Id: <list.example>\r\nPrecedence: list\r\n",
        ),
        "list footer",
    ),
    "a read receipt": Everyday(
        mail(
            parts(
                "report",
                text("Your mail was read"),
                b"Content-Type: message/disposition-notification\r\n\r\n"
                b"Final-Recipient: rfc822;ada@outside.example\r\n"
                b"Disposition: manual-action/MDN-sent-manually; displayed\r\n",
                more="; report-type=disposition-notification",
            )
        ),
        "Your mail was read",
    ),
    "a delivery report about nothing of ours": Everyday(
        mail(
            parts(
                "report",
                text("It could not be delivered"),
                b"Content-Type: message/delivery-status\r\n\r\n"
                b"Reporting-MTA: dns; mx.example\r\n\r\n"
                b"Final-Recipient: rfc822; nobody@there.example\r\n"
                b"Action: failed\r\nStatus: 5.1.1\r\n",
                attached_mail(),
                more="; report-type=delivery-status",
            )
        ),
        "It could not be delivered",
        state="unrouted",
    ),
    "line ends of Unix": Everyday(
        mail(
            parts("mixed", text("Unix lines"), file("application/pdf", "a.pdf", PDF))
        ).replace(b"\r\n", b"\n"),
        "Unix lines",
        (("a.pdf", PDF),),
    ),
}
