# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reports as servers write them, in shapes taken from RFC 3464, 5965, 6533, 8098.

Every name, host and text is made up; ``returned`` is the header that comes back.
"""

from __future__ import annotations

import base64

BOUNCES = "bounce@my.example"
MESSAGE_ID = "<invoice-7@my.example>"


def returned(token: str = "", return_path: str = "") -> str:
    """Return the header of our mail as a server sends it back."""
    lines = [f"Return-Path: <{return_path}>"] if return_path else []
    lines += [
        "Received: from my.example (my.example [192.0.2.1]) by mx.there.example",
        "From: Sales <sales@my.example>",
        "To: user@there.example",
        "Subject: =?utf-8?q?Rechnung_f=C3=BCr_Sie?=",
        f"Message-ID: {MESSAGE_ID}",
        "Date: Sat, 21 Nov 2026 10:00:00 +0000",
    ]
    lines += [f"X-Mail-Relay-Token: {token}"] if token else []
    return "\n".join(lines) + "\n"


def report(
    status: str,
    origin: str,
    *,
    text: str = "Sorry.\n",
    to: str = BOUNCES,
    kind: str = "delivery-status",
    media: str = "",
    origin_media: str = "text/rfc822-headers",
    encoding: str = "",
    extra: str = "",
) -> bytes:
    """Return a ``multipart/report`` of three parts."""
    media = media or f"message/{kind}"
    if encoding == "base64":
        status = base64.encodebytes(status.encode()).decode()
    transfer = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    lines = f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.there.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Date: Sat, 21 Nov 2026 11:00:00 +0000
Message-ID: <dsn-1@mx.there.example>
MIME-Version: 1.0
{extra}Content-Type: multipart/report; report-type={kind};
\tboundary="=_b/1.2"

This is a MIME-encapsulated message.

--=_b/1.2
Content-Type: text/plain; charset=utf-8

{text}
--=_b/1.2
Content-Type: {media}
{transfer}
{status}
--=_b/1.2
Content-Type: {origin_media}

{origin}
--=_b/1.2--
"""
    return lines.replace("\n", "\r\n").encode()


POSTFIX = """\
Reporting-MTA: dns; mx.there.example
X-Postfix-Queue-ID: 4Xabc
X-Postfix-Sender: rfc822; bounce@my.example
Arrival-Date: Sat, 21 Nov 2026 10:00:01 +0000 (UTC)

Final-Recipient: rfc822; user@there.example
Original-Recipient: rfc822;user@there.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; inner.there.example
Diagnostic-Code: smtp; 550 5.1.1 <user@there.example>: Recipient address
    rejected: User unknown in virtual mailbox table
"""

POSTFIX_DELAYED = """\
Reporting-MTA: dns; mx.there.example
Arrival-Date: Sat, 21 Nov 2026 10:00:01 +0000 (UTC)

Final-Recipient: rfc822; user@there.example
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to inner.there.example[192.0.2.9]:25:
    Connection timed out
Will-Retry-Until: Thu, 26 Nov 2026 10:00:01 +0000 (UTC)
"""

EXIM = """\
Reporting-MTA: dns; mx.there.example

Action: failed
Final-Recipient: rfc822;user@there.example
Status: 5.0.0
Remote-MTA: dns; inner.there.example
Diagnostic-Code: smtp; 550-5.2.1 The mailbox is disabled
 550 5.2.1 ask somebody else
"""

EXCHANGE = """\
Reporting-MTA: dns;EX01.there.example
Received-From-MTA: dns;mx.there.example
Arrival-Date: Sat, 21 Nov 2026 10:00:05 +0000

Final-Recipient: rfc822;user@there.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound;
 Recipient not found by SMTP address lookup
X-Display-Name: User, A.
"""

EXCHANGE_OLD = """\
Reporting-MTA: dns;EX01.there.example

Final-Recipient: RFC822;user@there.example
Action: failed
Status: 5.2.2
X-Display-Name: User, A.
"""

GMAIL = """\
Reporting-MTA: dns; googlemail.com
Arrival-Date: Sat, 21 Nov 2026 02:00:01 -0800 (PST)
X-Original-Message-ID: <invoice-7@my.example>

Final-Recipient: rfc822; user@there.example
Action: failed
Status: 5.7.26
Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.26, the server for the domain.)
Diagnostic-Code: smtp; 550-5.7.26 Your email has been blocked because the sender is
 550-5.7.26 unauthenticated. 550 5.7.26 see https://support.google.com/mail - gsmtp
Last-Attempt-Date: Sat, 21 Nov 2026 02:30:02 -0800 (PST)
"""

SEVERAL = """\
Reporting-MTA: dns; mx.there.example
Original-Envelope-Id: {envelope_id}

Final-Recipient: rfc822; a@there.example
Action: failed
Status: 5.1.1

Final-Recipient: rfc822; b@there.example
Action: delivered
Status: 2.0.0

Final-Recipient: rfc822; c@there.example
Action: relayed
Status: 2.0.0

Final-Recipient: rfc822; list@there.example
Action: expanded
Status: 2.0.0

Final-Recipient: rfc822; d@there.example
Action: delayed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 mailbox full

Original-Recipient: rfc822; e@there.example
Final-Recipient: rfc822; moved@elsewhere.example
Action: failed (too late)
Status: 4.4.7 (delivery time expired)
"""

GLOBAL = """\
Reporting-MTA: dns; mx.there.example

Final-Recipient: utf-8; grüße@dömäne.example
Original-Recipient: utf-8; gr\\x{FC}\\x{DF}e@d\\x{F6}m\\x{E4}ne.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 Postfach für grüße unbekannt
"""

FEEDBACK = """\
Feedback-Type: {kind}
User-Agent: SomeFeedback/1.0
Version: 1
Original-Mail-From: <{mail_from}>
Original-Rcpt-To: <user@there.example>
Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000
Source-IP: 192.0.2.1
Reported-Domain: my.example
Reported-URI: https://my.example/offer
"""

RECEIPT = """\
Reporting-UA: there.example; Reader 1.0
Original-Recipient: rfc822;user@there.example
Final-Recipient: rfc822;user@there.example
Original-Message-ID: <invoice-7@my.example>
Disposition: manual-action/MDN-sent-manually; displayed
"""


def qmail(copy: str, to: str = BOUNCES) -> bytes:
    """Return a report in qmail's format, of two recipients."""
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.there.example
To: {to}
Subject: failure notice
Date: 21 Nov 2026 11:00:00 -0000

Hi. This is the qmail-send program at mx.there.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<user@there.example>:
Sorry, no mailbox here by that name. (#5.1.1)

<other@elsewhere.example>:
192.0.2.44 does not like recipient.
Remote host said: 552 5.2.2 mailbox full
Giving up on 192.0.2.44.

--- Below this line is a copy of the message.

{copy}
Here is your invoice.
""".encode()


def exim_text(copy: str, to: str = BOUNCES) -> bytes:
    """Return a report as Exim wrote it before it knew RFC 3464."""
    return f"""\
Return-Path: <>
X-Failed-Recipients: user@there.example, other@there.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.there.example>
To: {to}
Subject: Mail delivery failed: returning message to sender
Date: Sat, 21 Nov 2026 11:00:00 +0000

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  user@there.example
    host inner.there.example [192.0.2.9]
    SMTP error from remote mail server after RCPT TO:<user@there.example>:
    550 5.1.1 <user@there.example>: no such user

  other@there.example
    Unrouteable address

------ This is a copy of the message, including all the headers. ------

{copy}
Here is your invoice.
""".encode()


def vacation(header: str, to: str = BOUNCES) -> bytes:
    """Return an answer that a program wrote, marked by one line of its header."""
    return f"""\
From: A User <user@there.example>
To: {to}
Subject: Re: Invoice
Date: Sat, 21 Nov 2026 11:00:00 +0000
In-Reply-To: {MESSAGE_ID}
{header}
Content-Type: text/plain

I am away.
""".encode()
