# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Odoo's own SMTP connections over our connector, for the length of one call.

``ir.mail_server`` names ``smtplib.SMTP`` in the middle of a long method. So the name
``smtplib`` in that one module leads to a stand-in, which is ``smtplib`` in every
respect, except for who runs within :func:`racing` (docs/decisions.md).
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType

from odoo.addons.base.models import ir_mail_server
from odoo.addons.mail_bridge.providers.connect import Family

from .providers.smtplib_racing import RacingSMTP, RacingSMTPS

#: The family that the running call wants; ``None``: it connects as Odoo does.
_wanted: ContextVar[Family | None] = ContextVar("mail_relay_family", default=None)


@contextmanager
def racing(family: Family | None) -> Iterator[None]:
    """Let Odoo connect by our connector in this context (thread), unless ``None``."""
    token = _wanted.set(family)
    try:
        yield
    finally:
        _wanted.reset(token)


class _Smtplib(ModuleType):
    """``smtplib`` for ``ir.mail_server``; everything else of it is passed through."""

    @property
    def SMTP(self) -> type[smtplib.SMTP]:  # noqa: N802 smtplib's own name
        family = _wanted.get()
        return _class_for(RacingSMTP, family) if family else smtplib.SMTP

    @property
    def SMTP_SSL(self) -> type[smtplib.SMTP_SSL]:  # noqa: N802 smtplib's own name
        family = _wanted.get()
        return _class_for(RacingSMTPS, family) if family else smtplib.SMTP_SSL

    def __getattr__(self, name: str) -> object:
        return getattr(smtplib, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(smtplib, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(smtplib, name)


@cache
def _class_for(base: type[RacingSMTP], family: Family) -> type[RacingSMTP]:
    return type(base.__name__, (base,), {"family": family})


ir_mail_server.smtplib = _Smtplib("smtplib")
