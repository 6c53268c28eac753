# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Secrets stay out of the log.

A filter on the handlers masks what is known to be secret (:func:`register`) and what
looks like it: the token in a ``/mailgate/…`` URL, credentials in a header, in a URL,
in a form or query. It works on messages, arguments, tracebacks and on the request
lines of the HTTP server alike.
"""

from __future__ import annotations

import logging
import re
import threading
from urllib.parse import quote

from odoo.addons.mail_bridge_guard.redaction import mask_path

MASK = "***"
#: Shorter values are words that a log needs.
MIN_LENGTH = 8
MAX_SECRETS = 1000

_AUTHORIZATION = re.compile(
    r"""(\bauthorization["']?\s*[:=,]\s*b?["']?)[^\s"',;][^\r\n"',;]*"""
    r"|(\b(?:basic|bearer)\s+)[\w+/=.~-]{8,}",
    re.IGNORECASE,
)
_NAMED_VALUE = re.compile(
    r"""(\b[\w-]*(?:signature|token|secret|password|(?:api|private|signing)[_-]?key)"""
    r"""["']?\s*[=:,]\s*b?["']?)[^\s"'&,;)}\]]{6,}""",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
_FORMATTER = logging.Formatter()


class _Secrets:
    """The newest values that must not be logged; the oldest make room."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, None] = {}
        self.newest: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        if value in self._values:
            return  # every request names its account's secrets anew
        with self._lock:
            for form in {value, quote(value, safe="")}:
                self._values.pop(form, None)
                self._values[form] = None
            while len(self._values) > MAX_SECRETS:
                del self._values[next(iter(self._values))]
            # The longest first: one may be the beginning of another.
            self.newest = tuple(sorted(self._values, key=len, reverse=True))


_SECRETS = _Secrets()


def register(value: str | bytes | None) -> None:
    """Keep a value out of every log line from now on (at least 8 characters)."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    value = (value or "").strip()
    if len(value) >= MIN_LENGTH:
        _SECRETS.add(value)


def redact(text: str) -> str:
    """Return a text with everything masked that is secret or looks like it."""
    for secret in _SECRETS.newest:
        if secret in text:
            text = text.replace(secret, MASK)
    text = _USER_INFO.sub(_keep_start, mask_path(text))
    text = _AUTHORIZATION.sub(_keep_start, text)
    return _NAMED_VALUE.sub(_keep_start, text)


def _keep_start(match: re.Match[str]) -> str:
    return match[match.lastindex or 0] + MASK


class SecretFilter(logging.Filter):
    """Masks secrets in a record; never drops one, never raises."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place where it holds a secret."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the handler reports a broken record itself
            return True
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text and any(record.exc_info):
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FILTER = SecretFilter()


def get_logger(name: str) -> logging.Logger:
    """Return a logger whose own records are masked, wherever they are handled."""
    logger = logging.getLogger(name)
    _attach(logger)
    return logger


def install() -> None:
    """Mask what the root handlers write and what the HTTP server logs.

    May be called any number of times; again after handlers were added.
    """
    for handler in logging.getLogger().handlers:
        _attach(handler)
    _attach(logging.getLogger("werkzeug"))


def _attach(target: logging.Filterer) -> None:
    if not any(isinstance(item, SecretFilter) for item in target.filters):
        target.addFilter(_FILTER)
