# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What stands in a form that Mailgun posts for one mail."""

from __future__ import annotations

import re
from dataclasses import replace

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.base import (
    AuthenticationVerdicts,
    InboundMail,
    SpamVerdict,
    WebhookRequest,
)
from odoo.addons.mail_bridge.providers.forms import Form, FormPart
from odoo.addons.mail_bridge.providers.headers import storable
from odoo.addons.mail_bridge.providers.mime import Attachment, MailParts, build_mime
from odoo.addons.mail_bridge.providers.payload import read_json, read_pairs

from . import const

Pairs = tuple[tuple[str, str], ...]


class MailgunPost:
    """A verified form, read.

    Mailgun posts the mail's own headers as fields beside its own fields, each under
    its own name. :meth:`own` keeps a sender from shadowing Mailgun's fields by
    headers of the same name.
    """

    def __init__(self, request: WebhookRequest) -> None:
        self.request = request
        self.form = request.form
        self.headers = _posted_headers(self.form)
        self._header_names = {name for name, _value in self.headers or ()}
        if "event" in self.form and not self._has_mail():
            raise PayloadError(const.WRONG_ADDRESS)

    def _has_mail(self) -> bool:
        names = ("body-plain", "body-mime", "message-headers", "message-url")
        return any(name in self.form for name in names)

    def own(self, name: str) -> list[FormPart]:
        """Return the parts of a name, without a header of the mail of that name."""
        found = self.form.named(name)
        return [] if name in self._header_names and len(found) == 1 else found

    def own_text(self, name: str) -> str:
        """Return one of Mailgun's fields that may be missing.

        :raises PayloadError: it was posted more than once.
        """
        found = self.own(name)
        if len(found) > 1:
            raise PayloadError(f"the field {name!r} stands more than once in the form")
        return found[0].text if found else ""

    def stored_url(self) -> str:
        """Return where Mailgun keeps the mail, ``""`` for ``forward()``."""
        return self.own_text("message-url").strip()

    def raw_mime(self) -> bytes | None:
        """Return the mail as it came, where the route's address asks for that.

        ``body-plain`` stands in every other post. One with both has a mail header
        called body-mime.
        """
        if "body-plain" in self.form or not self.own("body-mime"):
            return None
        return self.form.single("body-mime")

    def original(
        self, mime: bytes, trusted: bool, notes: tuple[str, ...] = (), cut: bool = False
    ) -> InboundMail:
        """Return the mail as the sender's server sent it.

        :param notes: why the bytes may not be exactly those.
        :param cut: only the beginning of the mail was kept.
        """
        if not mime.strip():
            raise PayloadError("the mail is empty")
        mail = self._mail(mime, trusted, notes, cut)
        return replace(mail, is_original=not notes and not cut)

    def rebuilt(self, trusted: bool) -> InboundMail:
        """Return the mail built from its parts."""
        attachments, notes = self._attachments()
        if self.stored_url() and not self.form.files:
            notes += (const.NOT_FETCHED,)
        parts = MailParts(
            headers=tuple(self._all_headers()),
            text=self._joined("body-plain"),
            html=self._joined("body-html"),
            attachments=attachments,
        )
        mime = build_mime(parts, self.request.received_at)
        return self._mail(mime, trusted, notes, self.request.truncated)

    def _mail(
        self, mime: bytes, trusted: bool, notes: tuple[str, ...], truncated: bool
    ) -> InboundMail:
        sender = envelope.sender(self._only("sender"))
        judged = (self.headers or ()) if trusted else ()
        return InboundMail(
            mime=mime,
            envelope_sender=sender,
            envelope_recipients=envelope.recipients([self._only("recipient")]),
            provider_reference=re.sub(r"[^!-~]", "?", self._only("token"))[:128],
            truncated=truncated,
            size=self.request.size if truncated else len(mime),
            stripped_text=storable(self._joined("stripped-text") or ""),
            spam=_spam(judged),
            verdicts=_verdicts(judged, sender),
            notes=notes,
        )

    def _only(self, name: str) -> str:
        return self.form.single(name).decode("utf-8", "replace")

    def _joined(self, name: str) -> str | None:
        """Return the text of all own parts of a name, ``None`` if there are none."""
        found = self.own(name)
        return "\n".join(part.text for part in found) if found else None

    def _all_headers(self) -> list[tuple[str, str]]:
        """Return the mail's headers; a minimal post has only fields to make them of."""
        spare = [
            ("From", self._first("from") or self._only("sender")),
            ("Subject", self._first("subject")),
        ]
        if self.headers is None:
            headers = [
                (part.name, part.text)
                for part in self.form.parts
                if part.filename is None and re.fullmatch(const.HEADER, part.name)
            ]
            spare.append(("To", self._only("recipient")))
        else:
            headers = list(self.headers)
        present = {name.lower() for name, value in headers if value.strip()}
        missing = [item for item in spare if item[1] and item[0].lower() not in present]
        return headers + missing

    def _first(self, name: str) -> str:
        return self.form.first(name).decode("utf-8", "replace")

    def _attachments(self) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
        """Return the files in the order of the mail, and what is not as announced."""
        files = sorted(filter(self._is_file, self.form.parts), key=_number)
        notes = []
        announced = self._announced()
        if announced > len(files):
            notes.append(
                f"Mailgun announced {announced} attachments, {len(files)} came."
            )
        if self.request.truncated and files:
            return (), (*notes, f"{len(files)} attachments were too large to keep.")
        try:
            content_ids = self._content_ids()
        except PayloadError:
            content_ids = {}
            notes.append("The map of inline images was not readable.")
        attachments = [
            Attachment(
                content=part.content,
                content_type=part.content_type or "application/octet-stream",
                filename=part.filename or "",
                content_id=content_ids.get(part.name, ""),
            )
            for part in files
        ]
        return tuple(attachments), tuple(notes)

    def _is_file(self, part: FormPart) -> bool:
        """Whether a part is an attachment; not every one has a file name."""
        if part.filename is not None:
            return True
        is_numbered = re.fullmatch(const.ATTACHMENT, part.name, re.ASCII)
        return bool(is_numbered) and part.name not in self._header_names

    def _announced(self) -> int:
        found = self.own("attachment-count")
        text = found[0].text if found else ""
        return int(text) if re.fullmatch(r"\d{1,5}", text, re.ASCII) else 0

    def _content_ids(self) -> dict[str, str]:
        """Return the Content-ID by field; Mailgun's map may repeat one, or be empty."""
        text = self.own_text("content-id-map")
        pairs = read_pairs(text) if text.strip() else []
        return {
            field: content_id.strip().strip("<>")
            for content_id, field in pairs
            if isinstance(field, str)
        }


def _posted_headers(form: Form) -> Pairs | None:
    """Return ``message-headers``: a JSON list of pairs, in the mail's order."""
    if "message-headers" not in form:
        return None
    value = read_json(form.single("message-headers"))
    if not isinstance(value, list):
        raise PayloadError("message-headers is not a list")
    pairs = []
    for item in value:
        if not (isinstance(item, list) and list(map(type, item)) == [str, str]):
            raise PayloadError("message-headers holds something that is no header")
        pairs.append((item[0], item[1]))
    return tuple(pairs)


def _number(part: FormPart) -> int:
    """Return the place of an attachment; parts of other names go last."""
    found = re.fullmatch(const.ATTACHMENT, part.name, re.ASCII)
    return int(found[1]) if found else const.LAST


def _only_value(headers: Pairs, name: str) -> str:
    """Return a header that occurs exactly once, else ``""``: one may be forged."""
    values = [v for k, v in headers if k.lower() == name]
    return values[0].strip().lower() if len(values) == 1 else ""


def _verdicts(headers: Pairs, sender: str) -> AuthenticationVerdicts:
    spf = _only_value(headers, "x-mailgun-spf")
    dkim = _only_value(headers, "x-mailgun-dkim-check-result")
    spf = spf if spf in const.RESULT_WORDS else ""
    dkim = dkim if dkim in const.RESULT_WORDS else ""
    if not spf and not dkim:
        return AuthenticationVerdicts()
    return AuthenticationVerdicts(
        spf=spf,
        dkim=dkim,
        spf_domain=sender.rpartition("@")[2].lower() if spf else "",
        dkim_domains=_dkim_domains(headers) if dkim == "pass" else (),
        source="mailgun",
    )


def _dkim_domains(headers: Pairs) -> tuple[str, ...]:
    """Return the signing domain; of several Mailgun does not say which one passed."""
    signature = _only_value(headers, "dkim-signature")
    tags = re.findall(r"(?:^|;)\s*d\s*=\s*([a-z0-9._-]{1,253})\s*(?=;|$)", signature)
    return tuple(tags) if len(tags) == 1 else ()


def _spam(headers: Pairs) -> SpamVerdict:
    flag = {"yes": True, "no": False}.get(_only_value(headers, "x-mailgun-sflag"))
    score = _only_value(headers, "x-mailgun-sscore")
    if not re.fullmatch(r"-?\d{1,6}(\.\d{1,6})?", score, re.ASCII):
        return SpamVerdict(flag)
    return SpamVerdict(flag, float(score))
