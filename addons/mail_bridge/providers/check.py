# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a test of an account finds: each step with its time, and what ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .delivery import Reply

#: One address tried; connected and greeted; encrypted; logged in; asked by HTTP.
What = Literal["address", "greeting", "tls", "auth", "api"]


@dataclass(frozen=True)
class CheckStep:
    """One step. ``subject`` names it: an address, a host, a version of TLS.

    ``problem`` is what went wrong, one line without secrets; ``seconds`` is ``None``
    where nobody measured.
    """

    what: What
    subject: str = ""
    seconds: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Check:
    """The steps in the order in which they ended.

    ``failure`` is what ended the test, ``None``: a mail could be sent. ``offers`` are
    the abilities that the server names.
    """

    steps: tuple[CheckStep, ...] = ()
    failure: Reply | None = None
    offers: tuple[str, ...] = ()
