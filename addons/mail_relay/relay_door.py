# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""From a request to the answer of ``mail.relay.api``: the ordinary way, and a shorter.

The shorter one is for add-messages: Odoo's own request machinery (session, routing,
dispatcher) costs several times what storing a message does. It ends in the same call.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

import psycopg2

from odoo import SUPERUSER_ID, api
from odoo.http import Response, db_list
from odoo.modules.registry import Registry
from odoo.service.model import retrying
from odoo.tools import config

from odoo.addons.mail_bridge_guard.door import BodyTooLarge, Exchange
from odoo.addons.mail_bridge_guard.relay_door import (
    PREFIX,
    SHORT_CUTS,
    problem,
    refusal,
)

from .rest.answers import ApiError, Reply
from .rest.call import Call
from .rest.const import MAX_BODY_BYTES

_logger = logging.getLogger(__name__)

#: ``0`` in the environment: every request goes the ordinary way.
SWITCH_VARIABLE = "MAIL_RELAY_SHORT_CUT"
#: How long the database of a host name is remembered, seconds.
_DATABASE_SECONDS = 10.0
_MAX_HOSTS = 1000
_MAX_ARGUMENTS = 100
_databases: dict[str, tuple[float, str]] = {}


def reply_to(
    env: api.Environment, environ: Mapping, exchange: Exchange, remote_addr: str
) -> Reply:
    """Return the answer to a request below ``/relay``, in an open transaction."""
    try:
        call = Call(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"].removeprefix(PREFIX),
            query=_query(environ.get("QUERY_STRING", "")),
            token=environ.get("HTTP_X_API_TOKEN", ""),
            remote_addr=remote_addr,
            read_body=lambda: _read_body(exchange),
        )
    except ApiError as error:
        return error.reply
    return env["mail.relay.api"]._answer(call)


def _query(text: str) -> dict[str, str]:
    """Return the arguments of a query, the last one of each name."""
    try:
        return dict(
            parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_ARGUMENTS)
        )
    except ValueError:
        raise ApiError(422, "too many arguments") from None


def _read_body(exchange: Exchange) -> bytes:
    try:
        body = exchange.read_body(MAX_BODY_BYTES, MAX_BODY_BYTES)
    except BodyTooLarge:
        raise ApiError(413, "Request body too large") from None
    if body.oversized:
        raise ApiError(413, "Request body too large")
    return body.data


def add_messages(environ: dict, exchange: Exchange) -> Response | None:
    """Answer add-messages without Odoo's request; ``None``: Odoo shall do it."""
    name = _database(_host(environ))
    registry = Registry.registries.get(name) if name else None
    if registry is None or not registry.ready or "mail.relay.api" not in registry:
        return None  # an ordinary request loads it, or says that there is none
    _prepare_thread(name)
    try:
        with registry.cursor() as cr:
            registry = registry.check_signaling(cr)
            env = api.Environment(cr, SUPERUSER_ID, {})
            if "mail.relay.api" not in env:
                return None
            remote = _remote_addr(environ)
            reply = retrying(lambda: reply_to(env, environ, exchange, remote), env)
    except psycopg2.OperationalError:
        return problem(503, "Service Unavailable")
    except Exception as error:
        _logger.error("%s", environ["PATH_INFO"], exc_info=error)
        return refusal(error)
    return _response(reply)


def _response(reply: Reply) -> Response:
    return Response(reply.body, status=reply.status, headers=reply.all_headers)


def _prepare_thread(name: str) -> None:
    """Let the log of this thread name the database, and count anew."""
    thread = threading.current_thread()
    thread.dbname, thread.uid, thread.url = name, None, ""
    thread.query_count, thread.query_time, thread.cursor_mode = 0, 0, None
    thread.perf_t0 = time.time()


def _is_proxied(environ: Mapping) -> bool:
    """Whether a proxy that is trusted says who asks, by Odoo's own rule."""
    return bool(config["proxy_mode"] and environ.get("HTTP_X_FORWARDED_HOST"))


def _host(environ: Mapping) -> str:
    name = "HTTP_X_FORWARDED_HOST" if _is_proxied(environ) else "HTTP_HOST"
    return environ.get(name, "").rpartition(",")[2].strip()


def _remote_addr(environ: Mapping) -> str:
    """Return the address of who asks: the last hop that the proxy saw."""
    hops = environ.get("HTTP_X_FORWARDED_FOR", "") if _is_proxied(environ) else ""
    return hops.rpartition(",")[2].strip() or environ.get("REMOTE_ADDR", "")


def _database(host: str) -> str:
    """Return the one database of a host name, empty where it is not clear."""
    now = time.monotonic()
    since, name = _databases.get(host, (-_DATABASE_SECONDS, ""))
    if now - since < _DATABASE_SECONDS:
        return name
    found = db_list(force=True, host=host)
    if len(_databases) >= _MAX_HOSTS:
        _databases.clear()
    name = found[0] if len(found) == 1 else ""
    _databases[host] = now, name
    return name


def install() -> None:
    """Let add-messages take the shorter way, unless somebody has switched it off."""
    if os.environ.get(SWITCH_VARIABLE) != "0":
        SHORT_CUTS["POST", "/commands/add-messages"] = add_messages
