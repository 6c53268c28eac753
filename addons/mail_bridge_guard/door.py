# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The door for raw bytes below ``/mailgate/``.

Odoo parses forms before a controller runs (the raw body is gone then), answers errors
with HTML pages, and answers 404 while PostgreSQL is away, which makes some providers
drop a mail for good. This module gives the ``mailgate`` routes a dispatcher without
any of that, and wraps the WSGI application so that no request below ``/mailgate/``
gets a 404, 500 or redirection that our own code did not choose.
"""

from __future__ import annotations

import functools
import logging
import mmap
import tempfile
from dataclasses import dataclass, field
from typing import BinaryIO

from werkzeug.wsgi import get_input_stream

from odoo.http import Application, Dispatcher, Response

from .answers import RETRY_AFTER_SECONDS, try_again_status
from .memory import LARGE_BYTES, give_back, keep_large_blocks_apart
from .redaction import install_token_mask

_logger = logging.getLogger(__name__)

PREFIX = "/mailgate/"
ENVIRON_KEY = "mailgate.exchange"
CHUNK_BYTES = 64 * 1024


class BodyTooLarge(Exception):
    """The body is larger than anything we read, even to look at it."""


@dataclass
class Body:
    """A request body: ``data`` is bytes, or a memory map where it is ``oversized``."""

    data: bytes | mmap.mmap
    size: int
    oversized: bool = False


@dataclass
class Exchange:
    """One request below ``/mailgate/``, shared by the WSGI wrapper and our route.

    ``reached``: our own code has taken over and means whatever status it gives.
    ``size``: bytes of the body, once it was read.
    """

    environ: dict = field(repr=False)
    reached: bool = False
    size: int = 0
    _body: Body | None = field(default=None, repr=False)

    def read_body(self, limit: int, ceiling: int) -> Body:
        """Read the body: in memory up to ``limit`` bytes, beyond it from a file.

        The same body is returned again where Odoo runs the route once more after a
        conflict in the database: its stream is empty by then.

        :raises BodyTooLarge: more than ``ceiling`` bytes announced or sent.
        """
        if self._body is None:
            self._body = self._read(limit, ceiling)
        return self._body

    def forget_body(self) -> None:
        """Let the body go: Odoo's request is a cycle that holds us for a while."""
        self._body = None

    def _read(self, limit: int, ceiling: int) -> Body:
        announced = self.environ.get("CONTENT_LENGTH") or "0"
        if announced.isdecimal() and int(announced) > ceiling:
            raise BodyTooLarge(announced)
        stream = get_input_stream(self.environ)
        data = _read_up_to(stream, limit + 1)
        self.size = len(data)
        if len(data) <= limit:
            return Body(data, len(data))
        return _spool(data, stream, ceiling)


def _read_up_to(stream: BinaryIO, count: int) -> bytes:
    """Read ``count`` bytes, or what there is."""
    pieces, missing = [], count
    while missing and (piece := stream.read(min(missing, 1024 * 1024))):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _spool(head: bytes, stream: BinaryIO, ceiling: int) -> Body:
    """Put an oversized body into an unnamed file and map it."""
    with tempfile.TemporaryFile(prefix="mailgate-") as spool:
        spool.write(head)
        size = len(head)
        while piece := stream.read(CHUNK_BYTES):
            size += len(piece)
            if size > ceiling:
                raise BodyTooLarge(size)
            spool.write(piece)
        spool.flush()
        data = mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ)
    return Body(data, size, oversized=True)


def try_again(path: str) -> Response:
    """Return the *try again* answer of the provider that a path belongs to."""
    return Response(
        "try again later\n",
        status=try_again_status(path),
        headers=[
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Retry-After", str(RETRY_AFTER_SECONDS)),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ],
    )


class MailgateDispatcher(Dispatcher):
    """Routes of type ``mailgate``: no form parsing, no CSRF, no HTML errors."""

    routing_type = "mailgate"

    @classmethod
    def is_compatible_with(cls, request) -> bool:
        """Take any content type: the adapter decides."""
        return True

    def dispatch(self, endpoint, args):
        """Call the endpoint with the parts of the path alone."""
        self.request.params = dict(args)
        if self.request.db:
            return self.request.registry["ir.http"]._dispatch(endpoint)
        return endpoint(**self.request.params)

    def handle_error(self, exc: Exception):
        """Answer *try again*: our routes refuse with an answer, never by raising."""
        return try_again(self.request.httprequest.path)


def _one_slash_each(path: str) -> str:
    """Return a path without empty parts, which Odoo answers with a redirection.

    An address is typed in by hand, and no provider follows a redirection.
    """
    return "/" + "/".join(filter(None, path.split("/")))


def _is_turned(status: str) -> bool:
    """Whether a provider may drop a mail for good on what Odoo answers."""
    return status[:3] in ("404", "500") or status.startswith("3")


def _guarded(original):
    """Wrap ``Application.__call__``."""

    @functools.wraps(original)
    def __call__(self, environ, start_response):
        path = _one_slash_each(environ.get("PATH_INFO", ""))
        if not f"{path}/".startswith(PREFIX):
            return original(self, environ, start_response)
        environ["PATH_INFO"] = path
        exchange = environ[ENVIRON_KEY] = Exchange(environ)
        refused = []

        def start(status, headers, exc_info=None):
            if not exchange.reached and _is_turned(status):
                refused.append(status)
                return refused.append  # the page Odoo meant to write goes nowhere
            return start_response(status, headers, exc_info)

        result = original(self, environ, start)
        del environ[ENVIRON_KEY]  # each holds the other
        exchange.forget_body()
        if exchange.size > LARGE_BYTES:
            give_back()
        if not refused:
            return result
        if hasattr(result, "close"):
            result.close()
        return try_again(path)(environ, start_response)

    __call__._mailgate_guarded = True
    return __call__


def install() -> None:
    """Wrap Odoo's WSGI application (once), mask its request log, mind the memory."""
    if not getattr(Application.__call__, "_mailgate_guarded", False):
        Application.__call__ = _guarded(Application.__call__)
    install_token_mask()
    keep_large_blocks_apart()
