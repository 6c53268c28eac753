# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mails as customers, machines and crooks write them. Plain Python, nothing is real:
all domains are those that RFC 2606 keeps free.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid

from PIL import Image, ImageDraw

from odoo.addons.mail_bridge.providers.base import AuthenticationVerdicts, SpamVerdict

PASS = AuthenticationVerdicts(spf="pass", dkim="pass", dmarc="pass")
FAIL = AuthenticationVerdicts(spf="softfail", dkim="none", dmarc="fail")
NONE = AuthenticationVerdicts(spf="none", dkim="none", dmarc="none")
HAM = SpamVerdict(False, 0.4)
SPAM = SpamVerdict(True, 14.2)

PEOPLE = (
    ("Ines Marchetti", "ines.marchetti@studio-marchetti.example"),
    ("Sindre Aune", "sindre@fjordkontor.example"),
    ("Amara Okafor", "amara.okafor@okafor-interiors.example"),
    ("Jonas Weidmann", "jonas.weidmann@weidmann-bau.example"),
    ("Claire Fontaine", "c.fontaine@hotel-fontaine.example"),
    ("Tom Whitfield", "tom@whitfield-schools.example"),
)
WISHES = (
    (
        "Quotation for 240 desk lamps",
        "we are furnishing a new office and need 240 desk "
        "lamps, delivered in two lots in February and March.",
    ),
    (
        "Do you deliver to Trondheim?",
        "do you ship to Trondheim, and how long does it "
        "take? We would order about 30 pieces.",
    ),
    (
        "Chairs for a reading room",
        "our library renews its reading room. Which of your "
        "chairs can be stacked, and do you have them in oak?",
    ),
    (
        "Appointment next week?",
        "could one of your colleagues visit us next week? We "
        "would like to see the samples before we decide.",
    ),
    (
        "Repair of a standing desk",
        "the motor of our standing desk (bought in 2024) makes "
        "a noise. Is that covered by the warranty?",
    ),
    (
        "Your catalogue on paper",
        "please send us three copies of your catalogue by post. "
        "Our address is in the signature.",
    ),
)


NEWSLETTER_DOMAIN = "office-light.example"
DELIVERY_REPORT = """\
From: Mail Delivery System <MAILER-DAEMON@mx.fjordkontor.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: {message_id}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=report="

--=report=
Content-Type: text/plain; charset=utf-8

Your message could not be delivered.

<old@fjordkontor.example>: 550 5.1.1 user unknown
--=report=
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.fjordkontor.example

Final-Recipient: rfc822; old@fjordkontor.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 user unknown
--=report=
Content-Type: text/rfc822-headers

Message-ID: {lost}
Subject: Your quotation
--=report=--
"""


@dataclass(frozen=True)
class Scene:
    """Where a mail is written: our addresses, and a conversation to join.

    ``alias`` leads to records, ``stranger`` to nothing; ``manager`` is (name,
    address) of somebody inside; ``thread`` are the subject, the Message-ID and the
    customer (name, address) of a conversation, if there is one.
    """

    alias: str
    stranger: str
    manager: tuple[str, str]
    moment: datetime
    thread: tuple[str, str, tuple[str, str]] | None = None
    dice: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True)
class SimulatedMail:
    """A mail with its envelope and what the simulator claims to know of it."""

    mime: bytes
    sender: str
    recipient: str
    verdicts: AuthenticationVerdicts = PASS
    spam: SpamVerdict = HAM


def plain(scene: Scene) -> SimulatedMail:
    """Return a customer's question."""
    person = scene.dice.choice(PEOPLE)
    subject, wish = scene.dice.choice(WISHES)
    mail = _mail(scene, person, subject)
    mail.set_content(f"Hello,\n\n{wish}\n\nKind regards\n{person[0]}\n")
    return _sent(scene, mail, person[1])


def rich(scene: Scene) -> SimulatedMail:
    """Return HTML with an image inside and one that a tracker would load."""
    person = PEOPLE[0]
    mail = _mail(scene, person, "The lamp we talked about")
    mail.set_content(
        "Hello,\n\nthis is the lamp. Could you make the shade in brass?\n\nInes\n"
    )
    mail.add_alternative(
        '<div style="font-family: Georgia, serif"><p>Hello,</p><p>this is '
        '<b style="color: #a0522d">the lamp</b>. Could you make the shade in brass?</p>'
        '<p><img src="cid:lamp@studio-marchetti.example" alt="a desk lamp"'
        ' width="320"></p><table cellpadding="6" style="border-collapse: collapse">'
        '<tr style="background: #f3ece4"><td>Lot 1</td><td>120 pieces</td>'
        "<td>February</td></tr><tr><td>Lot 2</td><td>120 pieces</td><td>March</td>"
        "</tr></table><p>Ines Marchetti<br><small>Studio Marchetti, Bologna</small>"
        '<img src="https://track.studio-marchetti.example/open.png" width="1"'
        ' height="1" alt=""></p></div>',
        subtype="html",
    )
    body = mail.get_payload()[1]
    body.add_related(
        lamp(),
        "image",
        "png",
        cid="<lamp@studio-marchetti.example>",
        filename="lamp.png",
        disposition="inline",
    )
    return _sent(scene, mail, person[1])


def attachment(scene: Scene) -> SimulatedMail:
    """Return an order with a drawing, a list and a letter."""
    person = PEOPLE[3]
    mail = _mail(scene, person, "Order 4711 with floor plan")
    mail.set_content(
        "Good morning,\n\nplease find our order, the list of rooms and the floor plan "
        "attached.\n\nJonas Weidmann\nWeidmann Bau\n"
    )
    mail.add_attachment(
        letter("Order 4711: 24 standing desks"),
        "application",
        "pdf",
        filename="Order 4711.pdf",
    )
    rooms = "room;desks\n101;8\n102;8\n203;8\n"
    mail.add_attachment(rooms.encode(), "text", "csv", filename="rooms.csv")
    mail.add_attachment(floor_plan(), "image", "png", filename="floor plan.png")
    return _sent(scene, mail, person[1])


def reply(scene: Scene) -> SimulatedMail:
    """Return the customer's answer within a conversation."""
    if not scene.thread:
        return plain(scene)
    subject, message_id, person = scene.thread
    mail = _mail(scene, person, f"Re: {subject}")
    mail["In-Reply-To"] = mail["References"] = message_id
    mail.set_content(
        "Thank you for the quick answer.\n\nOne more thing: the building has no lift,\n"
        "so please include delivery to the third floor.\n\n"
        f"{person[0]}\n\n> We can deliver within two weeks.\n"
    )
    return _sent(scene, mail, person[1])


def non_ascii(scene: Scene) -> SimulatedMail:
    """Return a mail in Japanese and Greek letters, its file name too."""
    person = ("山田 花子", "hanako@yamada-kagu.example")
    mail = _mail(scene, person, "お見積りのお願い・Ζήτηση προσφοράς")
    mail.set_content(
        "はじめまして。\n\nオーク材の椅子を二十脚お願いできますか。\n"
        "Ευχαριστώ πολύ!\n\n山田 花子\n"
    )
    mail.add_attachment(
        letter("Chairs, 20 pieces"), "application", "pdf", filename="見積依頼書 №7.pdf"
    )
    return _sent(scene, mail, person[1])


def bounce(scene: Scene) -> SimulatedMail:
    """Return a delivery report (RFC 3464) for a mail of ours."""
    lost = scene.thread[1] if scene.thread else make_msgid(domain="lost.example")
    report = DELIVERY_REPORT.format(
        to=scene.alias,
        date=format_datetime(scene.moment),
        message_id=make_msgid(domain="mx.fjordkontor.example"),
        lost=lost,
    )
    mime = report.replace("\n", "\r\n").encode()
    return SimulatedMail(mime, "", scene.alias, verdicts=NONE)


def newsletter(scene: Scene) -> SimulatedMail:
    """Return what a mailing service sends, with images that tell on the reader."""
    person = ("Office & Light Weekly", f"news@{NEWSLETTER_DOMAIN}")
    mail = _mail(scene, person, "This week: lamps that save a third of the power")
    mail["List-Id"] = "<weekly.office-light.example>"
    mail["List-Unsubscribe"] = "<https://office-light.example/unsubscribe/1>"
    mail["Precedence"] = "bulk"
    mail.set_content("Read this week's issue at https://office-light.example/weekly\n")
    mail.add_alternative(
        '<table width="600" align="center" style="font-family: sans-serif"><tr>'
        '<td style="background: #0b4f6c; color: white; padding: 24px"><h1>Office &amp; '
        'Light</h1></td></tr><tr><td style="padding: 24px"><img '
        'src="https://img.office-light.example/lamp.jpg" width="552" height="200" '
        'alt="a lamp"><h2>A third less power</h2><p>New drivers dim without '
        'flicker.</p><p><a href="https://office-light.example/weekly">Read on</a></p>'
        "<script>document.location = 'https://office-light.example/track'</script>"
        "</td></tr></table>",
        subtype="html",
    )
    return _sent(scene, mail, f"bounce-7@{NEWSLETTER_DOMAIN}")


def forged(scene: Scene) -> SimulatedMail:
    """Return an order to pay in a manager's name, sent from elsewhere."""
    subject, message_id = ("Invoice", "") if not scene.thread else scene.thread[:2]
    mail = _mail(scene, scene.manager, f"Re: {subject}")
    if message_id:
        mail["In-Reply-To"] = mail["References"] = message_id
    mail.set_content(
        "Please change the bank account of this customer to XX00 1234 5678 today and "
        "confirm briefly. I am in a meeting and cannot be called.\n\n"
        f"{scene.manager[0]}\n"
    )
    return SimulatedMail(mail.as_bytes(), "x7@bulk.example", scene.alias, verdicts=FAIL)


def unrouted(scene: Scene) -> SimulatedMail:
    """Return a mail to an address that leads nowhere."""
    person = PEOPLE[4]
    mail = _mail(scene, person, "Is this the right address?", to=scene.stranger)
    mail.set_content(
        "Hello,\n\nI found this address on an old invoice. Whom do I ask about spare "
        f"parts?\n\n{person[0]}\n"
    )
    return SimulatedMail(mail.as_bytes(), person[1], scene.stranger)


def spam(scene: Scene) -> SimulatedMail:
    """Return what the provider flags."""
    person = ("Dr. Prize Department", "winner@lucky-draw.example")
    mail = _mail(scene, person, "CONGRATULATIONS! You have been selected!!!")
    mail.set_content("Claim your prize within 24 hours. Send us your bank details.\n")
    return SimulatedMail(
        mail.as_bytes(), person[1], scene.stranger, verdicts=NONE, spam=SPAM
    )


#: What the simulator can write, by the key of the wizard's choice.
KINDS: dict[str, Callable[[Scene], SimulatedMail]] = {
    "plain": plain,
    "rich": rich,
    "attachment": attachment,
    "reply": reply,
    "non_ascii": non_ascii,
    "bounce": bounce,
    "newsletter": newsletter,
    "forged": forged,
    "unrouted": unrouted,
    "spam": spam,
}


# --- Pieces ---


def _mail(
    scene: Scene, person: tuple[str, str], subject: str, to: str = ""
) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = formataddr(person)
    mail["To"] = to or scene.alias
    mail["Subject"] = subject
    _stamp(mail, scene.moment, person[1].partition("@")[2])
    return mail


def _stamp(mail: EmailMessage, moment: datetime, domain: str) -> None:
    mail["Date"] = format_datetime(moment)
    mail["Message-ID"] = make_msgid(domain=domain)


def _sent(scene: Scene, mail: EmailMessage, sender: str) -> SimulatedMail:
    return SimulatedMail(mail.as_bytes(), sender, scene.alias)


def lamp() -> bytes:
    """Return a drawing of a desk lamp (PNG)."""
    image = Image.new("RGB", (320, 200), "#f3ece4")
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 170, 320, 200], fill="#d9c7b2")
    draw.ellipse([110, 158, 210, 178], fill="#5b4636")
    draw.line([(160, 165), (120, 105), (185, 60)], fill="#5b4636", width=6)
    draw.polygon([(170, 40), (215, 85), (150, 105)], fill="#c8963e")
    draw.polygon([(158, 104), (214, 86), (290, 168), (180, 168)], fill="#f9e7b8")
    return _png(image)


def floor_plan() -> bytes:
    """Return a drawing of some rooms (PNG)."""
    image = Image.new("RGB", (360, 220), "white")
    draw = ImageDraw.Draw(image)
    for box in ([10, 10, 180, 110], [180, 10, 350, 110], [10, 110, 350, 210]):
        draw.rectangle(box, outline="#333333", width=4)
    for left in range(30, 320, 48):
        draw.rectangle([left, 150, left + 30, 175], fill="#8fb3c9")
    return _png(image)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def letter(title: str) -> bytes:
    """Return a PDF of one page with a title."""
    text = f"BT /F1 20 Tf 72 720 Td ({title}) Tj ET".encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, content in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()
