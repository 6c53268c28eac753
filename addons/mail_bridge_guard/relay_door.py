# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The door for other applications, below ``/relay`` and wherever else it is mounted.

An application that submits mail reads JSON: no page of Odoo's, no redirection and no
404 because PostgreSQL is away may reach it. ``mail_relay`` answers behind this door;
:data:`SHORT_CUTS` lets it answer without Odoo's request machinery, which costs several
times what storing a message does.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable

from odoo.exceptions import UserError
from odoo.http import Application, Response
from odoo.tools import config

from .door import ENVIRON_KEY, Exchange, MailgateDispatcher, _one_slash_each
from .memory import LARGE_BYTES, give_back

PREFIX = "/relay"
#: Further mounts, separated by commas: environment, else odoo.conf.
MOUNTS_VARIABLE = "MAIL_RELAY_PREFIX"
RETRY_AFTER_SECONDS = 30
_VERSION = re.compile(r"/v[0-9]+$")

#: (method, path below the prefix) → answers a request with a response, or ``None``
#: where Odoo shall take it the ordinary way.
ShortCut = Callable[[dict, Exchange], Response | None]
SHORT_CUTS: dict[tuple[str, str], ShortCut] = {}


def problem(status: int, detail: str) -> Response:
    """Return an error as JSON."""
    headers = [
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
    return Response(json.dumps({"detail": detail}), status=status, headers=headers)


def refusal(exc: Exception) -> Response:
    """Return what is said of an error: the words meant for people, no others."""
    if isinstance(exc, UserError):
        return problem(422, str(exc))
    return problem(500, "Internal Server Error")


class RelayDispatcher(MailgateDispatcher):
    """Routes of type ``relay``: raw bytes in, JSON out, errors too."""

    routing_type = "relay"

    def handle_error(self, exc: Exception):
        """Answer what went wrong, without telling what is ours."""
        return refusal(exc)  # Odoo has logged it


def mounts() -> tuple[str, ...]:
    """Return where the interface is mounted, beside ``/relay``."""
    text = os.environ.get(MOUNTS_VARIABLE) or config.get("mail_relay_prefix") or ""
    given = (item.strip() for item in text.split(","))
    return tuple(_one_slash_each(item) for item in given if item.strip("/"))


def inner_path(path: str) -> str | None:
    """Return a path as it is below ``/relay``, ``None`` where it is not ours.

    The health of a mount with a version is also found outside the version.
    """
    for mount in (PREFIX, *mounts()):
        if f"{path}/".startswith(f"{mount}/"):
            return PREFIX + path[len(mount) :]
        if path == f"{_VERSION.sub('', mount)}/health":
            return f"{PREFIX}/health"
    return None


def _guarded(original):
    """Wrap ``Application.__call__``."""

    @functools.wraps(original)
    def __call__(self, environ, start_response):
        path = inner_path(_one_slash_each(environ.get("PATH_INFO", "")))
        if path is None:
            return original(self, environ, start_response)
        environ["PATH_INFO"] = path
        exchange = environ[ENVIRON_KEY] = Exchange(environ)
        try:
            answer = _short_cut(environ, exchange)
            if answer is None:
                return _ordinary(self, original, environ, start_response)
            return answer(environ, start_response)
        finally:
            environ.pop(ENVIRON_KEY, None)  # each holds the other
            exchange.forget_body()
            if exchange.size > LARGE_BYTES:
                give_back()

    __call__._relay_guarded = True
    return __call__


def _short_cut(environ: dict, exchange: Exchange) -> Response | None:
    """Return the answer of a short cut, if there is one that gives one."""
    path = environ["PATH_INFO"].removeprefix(PREFIX).removeprefix("/v1")
    take = SHORT_CUTS.get((environ.get("REQUEST_METHOD", ""), path))
    return take(environ, exchange) if take else None


def _ordinary(app, original, environ, start_response):
    """Let Odoo answer; what did not come from our own code is *try again*."""
    exchange = environ[ENVIRON_KEY]
    refused = []

    def start(status, headers, exc_info=None):
        if not exchange.reached:
            refused.append(status)
            return refused.append  # the page Odoo meant to write goes nowhere
        return start_response(status, headers, exc_info)

    result = original(app, environ, start)
    if not refused:
        return result
    if hasattr(result, "close"):
        result.close()
    return problem(503, "Service Unavailable")(environ, start_response)


def install() -> None:
    """Wrap Odoo's WSGI application (once)."""
    if not getattr(Application.__call__, "_relay_guarded", False):
        Application.__call__ = _guarded(Application.__call__)
