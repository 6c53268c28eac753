# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The providers' stubs of ``tests_plain``, for tests with the ORM."""

import contextlib
import os
from unittest.mock import patch

from odoo.tests import new_test_user

PUBLIC = "https://odoo.bridge.example.com"


class Patches:
    """What a stub asks of pytest's ``monkeypatch``; undone when the test ends."""

    def __init__(self, case):
        self.case = case

    def setenv(self, name, value):
        """Set a variable of the environment."""
        self.setitem(os.environ, name, value)

    def setitem(self, mapping, name, value):
        """Set an item of a dictionary."""
        patcher = patch.dict(mapping, {name: value})
        patcher.start()
        self.case.addCleanup(patcher.stop)


class ProviderCase:
    """For a ``TransactionCase``: a stub for the length of a test, and who presses."""

    def start(self, stub, *values):
        """Run a stub (a context manager that takes a ``monkeypatch`` first)."""
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return stack.enter_context(stub(Patches(self), *values))

    def make_public(self):
        """Let providers reach this Odoo, as far as it knows."""
        parameter = self.env["ir.config_parameter"].sudo()
        parameter.set_param("web.base.url", PUBLIC)

    def as_head(self, account):
        """Return the account as an administrator of Mail Bridge sees it."""
        login = f"head-{account.id}"
        found = self.env["res.users"].search([("login", "=", login)])
        groups = "mail_bridge.group_administrator"
        return account.with_user(found or new_test_user(self.env, login, groups=groups))

    def assertTold(self, action, account, text, kind="success"):  # noqa: N802
        """The button's notification and the chatter say the same."""
        parameters = action["params"]
        self.assertEqual(parameters["type"], kind)
        self.assertIn(text, parameters["message"])
        self.assertIn(text, account.message_ids[:1].body)
