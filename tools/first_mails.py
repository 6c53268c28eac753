"""The three posts, and the answer, with which `make run` shows the suite at work.

They are made here, not by the suite's own adapters, the way the providers make them:
real HTTP, real multipart, real signatures.
"""

import base64
import hashlib
import hmac
import io
import json
import secrets
import time
from email.utils import formatdate

import requests
from PIL import Image, ImageDraw

from tools.client import OdooClient
from tools.console import Failure, say

DOMAIN = "mail.example.com"
ALIAS = "leads"
RECIPIENT = f"{ALIAS}@{DOMAIN}"
CUSTOMER = "ines.marchetti@example.net"
SUBJECT = "Quotation for 240 desk lamps"
OTHER_CUSTOMER = "sindre.aune@example.org"
OTHER_SUBJECT = "Do you deliver to Trondheim?"
ACCOUNTS = {"mailgun": "Mailgun (first mails)", "improvmx": "ImprovMX (first mails)"}
ANSWER = "Good morning, the quotation is on its way; we deliver to the third floor."
RECIPIENTS = "mail.relay.recipient"
WAIT_SECONDS = 90

TEXT = """\
Hello,

we are furnishing a new office in Bologna and need 240 desk lamps of the model in the
picture, delivered in two lots in February and March. The floor plan is attached.

Could you send us a quotation, and tell us what the second lot would cost in brass?

Kind regards
Ines Marchetti
"""
HTML = """\
<p>Hello,</p>
<p>we are furnishing a new office in Bologna and need <b>240 desk lamps</b> of the model
in the picture, delivered in two lots in February and March. The floor plan is
attached.</p>
<p><img src="cid:lamp@example.net" alt="the lamp" width="240"></p>
<p>Could you send us a quotation, and tell us what the second lot would cost in
brass?</p>
<p>Kind regards<br>Ines Marchetti</p>
"""
REPLY = """\
One more thing: the building has no lift,
so please include delivery to the third floor.

Ines
"""
QUESTION = """\
Hi there,

do you ship to Trondheim, and how long does it take? We would order about 30 pieces.

Best
Sindre Aune
"""


def present(client: OdooClient) -> dict[str, int] | None:
    """The records of an earlier run: the lead and its mails; None without them."""
    # by sender: the simulator writes about desk lamps, too
    own = [("email_from", "ilike", CUSTOMER)]
    leads = client.search_read("crm.lead", own, ["id"], limit=1)
    if not leads or _mails_on(client, leads[0]["id"]) < 2:
        return None
    if not client.search_count("crm.lead", [("email_from", "ilike", OTHER_CUSTOMER)]):
        return None
    return {"lead": leads[0]["id"]}


def deliver(client: OdooClient) -> dict[str, int]:
    """Post the three mails and wait until they stand in the chatter."""
    _address(client)
    key = secrets.token_hex(16)
    mailgun = _account(
        client, "mailgun", mailgun_signing_key=key, mailgun_trust_verdicts=True
    )
    improvmx = _account(client, "improvmx")
    # Found again by these: an interrupted run may have left mails of the same subject.
    first, reply, other = (
        f"<{secrets.token_hex(12)}@mx.example.net>" for _ in range(3)
    )
    say("posting a Mailgun mail with an attachment and an inline image")
    _post_mailgun(client, mailgun, key, _lead_fields(first), _lead_files())
    lead = _wait("the lead", client, lambda: _lead_of(client, first))
    say("posting a reply to it, and an ImprovMX mail")
    _post_mailgun(client, mailgun, key, _reply_fields(reply, first), {})
    _post_json(client, improvmx, _improvmx_mail(other))
    _wait("the reply", client, lambda: _lead_of(client, reply) == lead)
    _wait("the ImprovMX mail", client, lambda: _lead_of(client, other))
    # Without demo data nobody but real servers would take the answer.
    if client.search_count("ir.mail_server", [("relay_account_id", "!=", False)]):
        say("answering the customer; the simulator takes the mail and sends nothing")
        _answer(client, lead)
    return {"lead": lead}


# -- where the mails go -----------------------------------------------------


def _address(client: OdooClient) -> None:
    """The alias domain and the alias that makes a lead of a mail."""
    domains = client.search_read("mail.alias.domain", [("name", "=", DOMAIN)], ["id"])
    domain_id = domains[0]["id"] if domains else None
    if domain_id is None:
        domain_id = client.create("mail.alias.domain", name=DOMAIN)
    own = [("alias_name", "=", ALIAS), ("alias_domain_id", "=", domain_id)]
    if not client.search_count("mail.alias", own):
        models = client.search_read("ir.model", [("model", "=", "crm.lead")], ["id"])
        client.create(
            "mail.alias",
            alias_name=ALIAS,
            alias_domain_id=domain_id,
            alias_model_id=models[0]["id"],
            alias_contact="everyone",
        )


def _account(client: OdooClient, code: str, **values: object) -> str:
    """An enabled account of the provider; the address it is posted to."""
    own = [("code", "=", code), ("name", "=", ACCOUNTS[code])]
    found = client.search_read("mail.bridge.account", own, ["id"])
    if found:
        account_id = found[0]["id"]
    else:
        new = {"code": code, "name": ACCOUNTS[code]}
        account_id = client.create("mail.bridge.account", **new)
    if values:
        client.write("mail.bridge.account", account_id, **values)
    client.write("mail.bridge.account", account_id, state="enabled")
    fields = client.call("mail.bridge.account", "read", [account_id], ["webhook_url"])
    path = fields[0]["webhook_url"].partition("/mailgate/")[2]
    return f"{client.base_url}/mailgate/{path}"


# -- an answer that leaves ---------------------------------------------------


def _answer(client: OdooClient, lead: int) -> None:
    """Write to the customer and wait until the mail is told to be delivered."""
    partner = client.create("res.partner", name="Ines Marchetti", email=CUSTOMER)
    client.call(
        "crm.lead",
        "message_post",
        [lead],
        body=ANSWER,
        partner_ids=[partner],
        message_type="comment",
        subtype_xmlid="mail.mt_comment",
    )
    told = [("partner_id", "=", partner), ("delivered_at", "!=", False)]
    _wait("the answer", client, lambda: client.search_count(RECIPIENTS, told))


# -- Mailgun ----------------------------------------------------------------


def _lead_fields(message_id: str) -> dict[str, str]:
    headers = [*_headers(message_id, SUBJECT), ("Mime-Version", "1.0")]
    inline = {"<lamp@example.net>": "attachment-2"}
    return {
        **_fields(headers, TEXT),
        "body-html": HTML,
        "stripped-html": HTML,
        "attachment-count": "2",
        "content-id-map": json.dumps(inline),
    }


def _lead_files() -> dict[str, tuple[str, bytes, str]]:
    return {
        "attachment-1": ("Grundriß Büro.pdf", _pdf(), "application/pdf"),
        "attachment-2": ("lamp.png", _picture(), "image/png"),
    }


def _reply_fields(message_id: str, parent: str) -> dict[str, str]:
    headers = _headers(message_id, f"Re: {SUBJECT}")
    headers += [("In-Reply-To", parent), ("References", parent)]
    return _fields(headers, REPLY)


def _headers(message_id: str, subject: str) -> list[tuple[str, str]]:
    """The mail's headers as Mailgun lists them, its own verdicts among them."""
    return [
        ("X-Mailgun-Spf", "Pass"),
        ("X-Mailgun-Dkim-Check-Result", "Pass"),
        ("Received", "from mx.example.net (mx.example.net [192.0.2.25]) by mxa"),
        ("Message-Id", message_id),
        ("Date", formatdate()),
        ("From", f"Ines Marchetti <{CUSTOMER}>"),
        ("To", RECIPIENT),
        ("Subject", subject),
    ]


def _fields(headers: list[tuple[str, str]], text: str) -> dict[str, str]:
    shown = dict(headers)
    return {
        "recipient": RECIPIENT,
        "sender": CUSTOMER,
        "from": shown["From"],
        "subject": shown["Subject"],
        **shown,
        "body-plain": text.replace("\n", "\r\n"),
        "stripped-text": text.replace("\n", "\r\n"),
        "message-headers": json.dumps(headers),
    }


def _post_mailgun(
    client: OdooClient, url: str, key: str, fields: dict[str, str], files: dict
) -> None:
    timestamp, token = str(int(time.time())), secrets.token_hex(25)
    signed = (timestamp + token).encode()
    signature = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    proof = {"timestamp": timestamp, "token": token, "signature": signature}
    data = {**fields, **proof}
    _check(requests.post(url, data=data, files=files or None, timeout=60))


# -- ImprovMX ---------------------------------------------------------------


def _improvmx_mail(message_id: str) -> dict:
    sender = {"name": "Sindre Aune", "email": OTHER_CUSTOMER}
    recipient = {"name": None, "email": RECIPIENT}
    note = base64.encodebytes(b"30 pieces, brass, plug type F\r\n").decode()
    return {
        "headers": {
            "Delivered-To": RECIPIENT,
            "From": f"Sindre Aune <{OTHER_CUSTOMER}>",
            "To": RECIPIENT,
            "Subject": OTHER_SUBJECT,
            "Message-Id": message_id,
            "Date": formatdate(),
        },
        "to": [recipient],
        "cc": [],
        "bcc": [],
        "from": sender,
        "subject": OTHER_SUBJECT,
        "message-id": message_id,
        "date": formatdate(),
        "return-path": sender,
        "timestamp": int(time.time()),
        "text": QUESTION,
        "html": None,
        "inlines": [],
        "attachments": [
            {
                "type": "text/plain",
                "name": "order.txt",
                "encoding": "base64",
                "content": note,
            }
        ],
    }


def _post_json(client: OdooClient, url: str, body: dict) -> None:
    _check(requests.post(url, json=body, timeout=60))


def _check(answer: requests.Response) -> None:
    if answer.status_code != 200:
        text = answer.text[:200]
        raise Failure(f"the post was answered {answer.status_code}: {text}")


# -- waiting ----------------------------------------------------------------


def _mails_on(client: OdooClient, lead_id: int) -> int:
    domain = [("model", "=", "crm.lead"), ("res_id", "=", lead_id)]
    return client.search_count(
        "mail.message", [*domain, ("message_type", "=", "email")]
    )


def _lead_of(client: OdooClient, message_id: str) -> int:
    """The lead in whose chatter a mail stands; 0 until it does."""
    mail = [("message_id", "=", message_id), ("model", "=", "crm.lead")]
    found = client.search_read("mail.message", mail, ["res_id"])
    return found[0]["res_id"] if found else 0


def _wait(what: str, client: OdooClient, condition) -> object:
    limit = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < limit:
        if found := condition():
            return found
        time.sleep(0.2)
    states = client.search_read("mail.bridge.intake", [], ("state", "error"), limit=5)
    raise Failure(f"{what} is not in the chatter after {WAIT_SECONDS} s: {states}")


# -- files ------------------------------------------------------------------


def _picture() -> bytes:
    """A small drawing of a desk lamp."""
    image = Image.new("RGB", (240, 200), "#f4f1ea")
    pen = ImageDraw.Draw(image)
    pen.ellipse((70, 165, 170, 185), fill="#444b54")
    pen.line((120, 170, 90, 100, 150, 60), fill="#444b54", width=7, joint="curve")
    pen.polygon(((135, 40), (190, 75), (140, 95), (118, 62)), fill="#c9953c")
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def _pdf() -> bytes:
    """A one-page floor plan."""
    image = Image.new("RGB", (420, 300), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((20, 20, 400, 280), outline="black", width=4)
    for left in range(40, 380, 60):
        pen.rectangle((left, 60, left + 40, 90), outline="#336699", width=2)
        pen.rectangle((left, 200, left + 40, 230), outline="#336699", width=2)
    output = io.BytesIO()
    image.save(output, "PDF")
    return output.getvalue()
