# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a provider addon calls when it comes and goes."""


def setup_provider(env, code):
    """Give the catalogue row of a provider its code (call from ``post_init_hook``)."""
    row = env.ref(f"mail_bridge.account_{code}", raise_if_not_found=False)
    if row and row.code == "none":
        row.write({"code": code, "reference": code})


def reset_provider(env, code):
    """Leave the accounts of a provider readable, but off (``uninstall_hook``)."""
    accounts = env["mail.bridge.account"].with_context(active_test=False)
    accounts.search([("code", "=", code)]).write({"state": "disabled", "code": "none"})
