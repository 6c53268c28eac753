# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What stands in a form that Mailgun posts for one mail."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers import envelope
from odoo.addons.mail_bridge.providers.base import (
    AuthenticationVerdicts,
    InboundMail,
    SpamVerdict,
    WebhookRequest,
)
from odoo.addons.mail_bridge.providers.forms import Form, FormPart, decode
from odoo.addons.mail_bridge.providers.headers import Pairs, completed, storable
from odoo.addons.mail_bridge.providers.mime import (
    DROPPED,
    Attachment,
    MailParts,
    build_mime,
    rename_notes,
)
from odoo.addons.mail_bridge.providers.payload import read_json, read_pairs

from . import const


class MailgunPost:
    """A verified form, read.

    Mailgun posts the mail's own headers as fields beside its own fields, each under
    its own name, so a sender can call one like a field of Mailgun's. ``own`` is the
    form without them.

    :param trusted: whether Mailgun's verdicts among the headers may be believed.
    :raises PayloadError: the proof stands there twice. It was genuine, but a form that
        somebody plays with is looked at by a person (facts/security.md §1.2).
    """

    def __init__(self, request: WebhookRequest, trusted: bool = False) -> None:
        self.request = request
        self.trusted = trusted
        self.token = [request.form.single(name) for name in const.PROOF][1]
        self.headers = _posted_headers(request.form)
        self.own = _without_headers(request.form, self.headers or ())
        if "event" in self.own and not any(name in self.own for name in const.MAIL):
            raise PayloadError(const.OLD_EVENT)

    @property
    def stored_url(self) -> str:
        """Where Mailgun keeps the mail, ``""`` for ``forward()``."""
        return self._text("message-url").strip()

    def raw_mime(self) -> bytes | None:
        """Return the mail as it came, where the route's address asks for that.

        ``body-plain`` stands in every other post. One with both has a mail header
        called body-mime.
        """
        if "body-plain" in self.own or "body-mime" not in self.own:
            return None
        return self.own.single("body-mime")

    def original(
        self, mime: bytes, notes: tuple[str, ...] = (), cut: bool = False
    ) -> InboundMail:
        """Return the mail as the sender's server sent it.

        :param notes: why the bytes may not be exactly those.
        :param cut: only the beginning of the mail was kept.
        """
        if not mime.strip():
            raise PayloadError("the mail is empty")
        mail = self._mail(mime, notes, cut)
        return replace(mail, is_original=not notes and not cut)

    def rebuilt(self, not_stored: str) -> InboundMail:
        """Return the mail built from its parts.

        :param not_stored: why the original is not there, if Mailgun stored one.
        """
        attachments, notes = self._attachments()
        if self.stored_url and not self.own.files:
            notes += (not_stored,)
        parts = MailParts(
            headers=self._all_headers(),
            text=self._text("body-plain") or None,
            html=self._text("body-html") or None,
            attachments=attachments,
        )
        mime = build_mime(parts, self.request.received_at)
        return self._mail(mime, notes, self.request.truncated)

    def _mail(
        self, mime: bytes, notes: tuple[str, ...], truncated: bool
    ) -> InboundMail:
        sender = envelope.sender(self._only("sender"))
        judged = (self.headers or ()) if self.trusted else ()
        token = self.token.decode("utf-8", "replace")
        return InboundMail(
            mime=mime,
            envelope_sender=sender,
            envelope_recipients=envelope.recipients([self._only("recipient")]),
            provider_reference=re.sub(r"[^!-~]", "?", token)[:128],
            truncated=truncated,
            size=self.request.size if truncated else len(mime),
            stripped_text=storable(self._text("stripped-text")),
            spam=_spam(judged),
            verdicts=_verdicts(judged, sender),
            notes=notes,
        )

    def _only(self, name: str) -> str:
        """Return a field that always stands there, and may not stand there twice."""
        form = self.own if name in self.own else self.request.form
        return form.single(name).decode("utf-8", "replace")

    def _text(self, name: str) -> str:
        """Return all parts of a field that may be missing."""
        return "\n".join(part.text for part in self.own.named(name))

    def _all_headers(self) -> Pairs:
        """Return the mail's headers; a minimal post has only fields to make them of."""
        spare = (
            ("From", decode(self.own.first("from")) or self._only("sender")),
            ("Subject", decode(self.own.first("subject"))),
        )
        if self.headers is not None:
            return completed(self.headers, spare)
        posted = tuple(
            (part.name, part.text)
            for part in self.own.parts
            if part.filename is None and re.fullmatch(const.HEADER, part.name)
        )
        return completed(posted, (*spare, ("To", self._only("recipient"))))

    def _attachments(self) -> tuple[tuple[Attachment, ...], tuple[str, ...]]:
        """Return the files in the order of the mail, and what is not as announced."""
        files = sorted(filter(_is_file, self.own.parts), key=_number)
        notes = []
        count = self._text("attachment-count")
        if re.fullmatch(r"\d{1,5}", count, re.ASCII) and int(count) > len(files):
            notes.append(
                f"Mailgun announced {int(count)} attachments, {len(files)} came."
            )
        if self.request.truncated and files:
            return (), (*notes, DROPPED.format(count=len(files)))
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
        return tuple(attachments), (*notes, *rename_notes(attachments))

    def _content_ids(self) -> dict[str, str]:
        """Return the Content-ID by field; Mailgun's map may repeat one, or be empty."""
        text = self._text("content-id-map")
        pairs = read_pairs(text) if text.strip() else []
        return {
            field: content_id.strip().strip("<>")
            for content_id, field in pairs
            if isinstance(field, str)
        }


def _without_headers(form: Form, headers: Pairs) -> Form:
    """Return the fields of a form that are not headers of the mail.

    A header counts once for each time it stands in the mail, and by name and value:
    a field of Mailgun's own has another value, or it makes no difference which goes.
    """
    names = {name for name, _value in headers}
    left = Counter((name, " ".join(value.split())) for name, value in headers)
    own = []
    for part in form.parts:
        is_header = False
        if part.filename is None and part.name in names:
            posted = (part.name, " ".join(part.text.split()))
            is_header = left[posted] > 0
            left[posted] -= 1
        if not is_header:
            own.append(part)
    return Form(tuple(own))


def _is_file(part: FormPart) -> bool:
    """Whether a part is an attachment; not every one has a file name."""
    is_numbered = re.fullmatch(const.ATTACHMENT, part.name, re.ASCII)
    return part.filename is not None or bool(is_numbered)


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


def _result(headers: Pairs, name: str) -> str:
    """Return a result word; two of them prove nothing.

    The sender may have added one. That must not make Mailgun's a thing nobody said.
    """
    if sum(k.lower() == name for k, _value in headers) > 1:
        return const.IN_DOUBT
    word = _only_value(headers, name)
    return word if word in const.RESULT_WORDS else ""


def _verdicts(headers: Pairs, sender: str) -> AuthenticationVerdicts:
    spf = _result(headers, "x-mailgun-spf")
    dkim = _result(headers, "x-mailgun-dkim-check-result")
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
    flags = {v.strip().lower() for k, v in headers if k.lower() == "x-mailgun-sflag"}
    flag = True if "yes" in flags else False if flags == {"no"} else None
    score = _only_value(headers, "x-mailgun-sscore")
    if not re.fullmatch(r"-?\d{1,6}(\.\d{1,6})?", score, re.ASCII):
        return SpamVerdict(flag)
    return SpamVerdict(flag, float(score))
