# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One mail of many, as RFC 5322 bytes."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr

from .templating import Rendered


def letter(
    words: Rendered,
    sender: str,
    recipient: str,
    now: datetime,
    unsubscribe_url: str = "",
    feedback_id: str = "",
    reply_to: str = "",
) -> tuple[bytes, str]:
    """Return a mail and its Message-ID.

    :param unsubscribe_url: for who reads it (RFC 8058: one click where it is https).
    :raises ValueError: an address that no header can hold.
    """
    mail = EmailMessage(policy=SMTP)
    message_id = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or None)
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = words.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id
    if reply_to:
        mail["Reply-To"] = reply_to
    if feedback_id:
        mail["Feedback-ID"] = feedback_id
    if unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        if unsubscribe_url.lower().startswith("https://"):
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(words.text or " ")
    if words.html:
        mail.add_alternative(words.html, subtype="html")
    return mail.as_bytes(), message_id
