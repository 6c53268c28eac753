"""The server's log during one test: what it may say, and that it says no more."""

import re

from tests.support.faults import MET
from tools.odoo_log import unexpected
from tools.server import OdooServer


class ServerLog:
    """Log lines of the servers a test uses; unexpected ones fail the test."""

    def __init__(self) -> None:
        self._watched: dict[OdooServer, int] = {}
        # two drains or posts that meet are tried again at once, whatever a test does
        self._expected: list[str] = [MET]

    def watch(self, server: OdooServer) -> None:
        """From now on, the lines of `server` count."""
        self._watched.setdefault(server, server.log_size())

    def expect(self, *patterns: str) -> None:
        """Allow WARNING and ERROR lines matching `LEVEL logger: message`."""
        self._expected += patterns

    def text(self) -> str:
        """Everything the watched servers logged during this test."""
        items = self._watched.items()
        return "\n".join(server.log_text(offset) for server, offset in items)

    def search(self, pattern: str) -> bool:
        """Whether any line logged during this test matches."""
        return bool(re.search(pattern, self.text()))

    def problems(self) -> list[str]:
        """The lines nobody expected."""
        found: list[str] = []
        for server, offset in self._watched.items():
            text = server.log_text(offset)
            found += unexpected(text, server.odoo.version, self._expected)
        return found
