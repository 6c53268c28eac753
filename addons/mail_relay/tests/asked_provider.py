# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A provider that can be asked, for tests of what asks: it remembers both ways."""

from datetime import date
from unittest.mock import patch

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers import registry
from odoo.addons.mail_bridge.providers.send_only import SendOnlyAdapter

BUSY = TemporaryError("the provider is busy")
REFUSED = PermanentError("the provider refuses")


class AskedAdapter(SendOnlyAdapter):
    """Tells what a test gave it; an error among it is raised in its turn."""

    code = "none"
    label = "Asked"
    docs_url = "https://provider.example.com"
    reviewed_on = date(2026, 11, 21)
    offers = frozenset(("suppressions", "suppress", "history"))

    def __init__(self):
        self.events = []
        self.listed = []
        self.spans = []
        self.told = []
        self.trouble = None

    def history(self, account, begin, end):
        """Return the events of a span."""
        self.spans.append((begin, end))
        if self.trouble and len(self.spans) > 1:
            raise self.trouble
        found = [item for item in self.events if begin <= item.occurred_at < end]
        return found, end

    def suppressions(self, account):
        """Yield the list."""
        for item in self.listed:
            if isinstance(item, Exception):
                raise item
            yield item

    def suppress(self, account, items):
        """Enter addresses."""
        self._meet()
        self.told += [("suppress", item.address, item.reason) for item in items]

    def unsuppress(self, account, address, reason):
        """Lift an address."""
        self._meet()
        self.told.append(("unsuppress", address, reason))
        return True

    def _meet(self):
        if self.trouble:
            raise self.trouble


def ask_it(case):
    """Let the accounts without a provider of a test have this one; return it."""
    adapter = AskedAdapter()
    patcher = patch.dict(registry._adapters, {"none": adapter})
    patcher.start()
    case.addCleanup(patcher.stop)
    return adapter
