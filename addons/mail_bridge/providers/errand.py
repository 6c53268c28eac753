# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What has to be got from the network before a post can be processed.

An errand knows no ORM and no database, so many run at once in threads while no
transaction is open.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ..exceptions import PermanentError, TemporaryError
from .authentication import check_dkim
from .base import AuthenticationVerdicts, FetchRequest
from .dkim import TxtLookup
from .http import TOTAL_TIMEOUT, fetch

#: Name of the verdicts among what was got; no adapter may fetch under it.
VERDICTS = "dkim-verdicts"
#: Seconds that the first try of a post waits for a peer; each later one so much longer.
PATIENCE = 15.0
#: Tries of a post after which a name server that says nothing has said no.
DKIM_TRIES = 3


@dataclass(frozen=True)
class Errand:
    """What one post lacks: content behind URLs, and DNS's word on its mails.

    :param attempt: the number of this try of the post, from 1.
    :param lookup: answers DNS questions; the system's resolver where none is given.
    :param seconds: how long the requests may take together.
    """

    attempt: int
    requests: Sequence[FetchRequest] = ()
    mails: Sequence[bytes] = field(default=(), repr=False)
    lookup: TxtLookup | None = None
    seconds: float = TOTAL_TIMEOUT

    def run(self) -> tuple[dict[str, bytes], TemporaryError | None]:
        """Return what was got by name, and what keeps the post waiting, if anything.

        What could not be had and may be done without is got as no bytes, so that
        nobody asks again.
        """
        got: dict[str, bytes] = {}
        end = time.monotonic() + min(self.seconds, TOTAL_TIMEOUT)
        try:
            for request in self.requests:
                got[request.name] = self._fetch(request, end - time.monotonic())
            if self.mails:
                got[VERDICTS] = self._judge()
        except TemporaryError as error:
            return got, error
        return got, None

    def _fetch(self, request: FetchRequest, left: float) -> bytes:
        try:
            return fetch(request, total=min(PATIENCE * self.attempt, left))
        except PermanentError:
            return b""
        except TemporaryError:
            if self.attempt < request.tries:
                raise
            return b""

    def _judge(self) -> bytes:
        verdicts = [check_dkim(mime, self.lookup) for mime in self.mails]
        unknown = any(item.dkim == "temperror" for item in verdicts)
        if unknown and self.attempt < DKIM_TRIES:
            raise TemporaryError("DNS does not answer for a DKIM key")
        return json.dumps([asdict(item) for item in verdicts]).encode()


def read_verdicts(stored: bytes) -> list[AuthenticationVerdicts]:
    """Return the verdicts of an errand, one for each mail it was given."""
    return [
        AuthenticationVerdicts(**{name: _frozen(item[name]) for name in item})
        for item in json.loads(stored)
    ]


def _frozen(value: str | list[str]) -> str | tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else value
