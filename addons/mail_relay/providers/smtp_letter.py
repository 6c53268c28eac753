# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One mail as SMTP wants it: line ends, dots, and what the server must know for it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable, Mapping
from email.generator import BytesGenerator
from functools import cached_property
from io import BytesIO

from odoo.addons.mail_bridge.providers.delivery import OutgoingMail, Reply

from .smtp_address import WireAddress, wire_address

#: What we find out ourselves, in the server's place: stage, RFC 3463 code, text.
BAD_SENDER = Reply("mail", 0, "5.1.7", "the sender's address is malformed: not sent")
BAD_RECIPIENT = Reply("rcpt", 0, "5.1.3", "the address is malformed: not sent")
UTF8_SENDER = Reply("mail", 0, "5.6.7", "the server does not know SMTPUTF8: not sent")
UTF8_RECIPIENT = Reply("rcpt", 0, "5.6.7", UTF8_SENDER.text)
_END = b".\r\n"


class Letter:
    """One mail for the wire, and its recipients by address.

    ``sender`` is ``None`` where it may not stand in a command.
    ``recipients`` are those whose address may stand in a command; ``malformed`` the
    others.
    """

    def __init__(self, mail: OutgoingMail) -> None:
        self._mime = mail.mime
        self._seven_bits = mail.mime.isascii()
        self._contents: dict[bool, bytes] = {}
        sender = mail.envelope_sender
        self.sender = wire_address(sender) if sender else WireAddress("")
        self.recipients: dict[str, WireAddress] = {}
        self.malformed: list[str] = []
        for address in dict.fromkeys(mail.recipients):
            found = wire_address(address)
            if found is None:
                self.malformed.append(address)
            else:
                self.recipients[address] = found

    def refusal(self, extensions: Mapping[str, str]) -> Reply | None:
        """Return why this server cannot get this mail, if it cannot."""
        if self.sender and self.sender.needs_utf8 and "SMTPUTF8" not in extensions:
            return UTF8_SENDER
        limit, size = extensions.get("SIZE", ""), self._size(extensions)
        if limit.isdecimal() and 0 < int(limit[:18]) < size:
            text = f"the mail has {size} bytes, the server takes {int(limit[:18])}"
            return Reply("mail", 0, "5.3.4", f"{text}: not sent")
        return None

    def mail_command(
        self, extensions: Mapping[str, str], recipients: Iterable[str]
    ) -> bytes:
        """Return the MAIL command (RFC 1870, 6152, 6531) for some of the recipients."""
        words = [f"MAIL FROM:<{self.sender.text if self.sender else ''}>"]
        if "SIZE" in extensions:
            words.append(f"SIZE={self._size(extensions)}")
        if not self._seven_bits and "8BITMIME" in extensions:
            words.append("BODY=8BITMIME")
        if "SMTPUTF8" in extensions and self._needs_utf8(recipients):
            words.append("SMTPUTF8")
        return " ".join(words).encode("utf-8") + b"\r\n"

    def rcpt_command(self, address: str) -> bytes:
        """Return the RCPT command for one of the recipients."""
        return f"RCPT TO:<{self.recipients[address].text}>\r\n".encode()

    def content(self, extensions: Mapping[str, str]) -> bytes:
        """Return what follows DATA, the final dot included.

        Every line end is CRLF: a lone CR or LF is where one server sees the end of a
        mail and the next does not ("SMTP smuggling").
        """
        rewrite = not self._seven_bits and "8BITMIME" not in extensions
        if rewrite not in self._contents:
            data = _in_seven_bits(self._mime) if rewrite else self._mime
            self._contents[rewrite] = _dotted(_canonical(data))
        return self._contents[rewrite]

    def _size(self, extensions: Mapping[str, str]) -> int:
        return len(self.content(extensions)) - len(_END)

    def _needs_utf8(self, recipients: Iterable[str]) -> bool:
        addresses = [self.sender, *(self.recipients[item] for item in recipients)]
        return self._headers_need_utf8 or any(
            item.needs_utf8 for item in addresses if item
        )

    @cached_property
    def _headers_need_utf8(self) -> bool:
        if self._seven_bits:
            return False
        ends = [self._mime.find(border) for border in (b"\r\n\r\n", b"\n\n")]
        end = min((at for at in ends if at >= 0), default=len(self._mime))
        return not self._mime[:end].isascii()


def _canonical(data: bytes) -> bytes:
    pairs = data.count(b"\r\n")
    if pairs != data.count(b"\n") or pairs != data.count(b"\r"):
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        data = data.replace(b"\n", b"\r\n")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _dotted(data: bytes) -> bytes:
    """Return content with the dots of transparency (RFC 5321 §4.5.2) and its end."""
    if data.startswith(b"."):
        data = b"." + data
    return data.replace(b"\r\n.", b"\r\n..") + _END


def _in_seven_bits(mime: bytes) -> bytes:
    """Return a mail for a server without 8BITMIME: it must not be sent other bytes.

    A signature that the mail bears breaks by this (RFC 6376 §5.3 says so), which is
    why it is done for such a server only.
    """
    parsed = email.message_from_bytes(mime, policy=email.policy.compat32)
    policy = email.policy.compat32.clone(cte_type="7bit", max_line_length=None)
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=policy).flatten(parsed)
    return written.getvalue()
