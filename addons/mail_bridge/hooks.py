# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a provider addon calls when it comes and goes."""

from .const import UNFINISHED


def setup_provider(env, code):
    """Give the catalogue row of a provider its code (call from ``post_init_hook``)."""
    row = env.ref(f"mail_bridge.account_{code}", raise_if_not_found=False)
    if row and row.code == "none":
        row.write({"code": code, "reference": code})


def reset_provider(env, code):
    """Leave the accounts of a provider readable, but off (``uninstall_hook``).

    Posts that wait are dead until the addon is back and somebody tries again.
    """
    accounts = env["mail.bridge.account"].with_context(active_test=False)
    accounts = accounts.search([("code", "=", code)])
    waiting = env["mail.bridge.intake"].search(
        [("account_id", "in", accounts.ids), ("state", "in", UNFINISHED)]
    )
    waiting.write({"state": "dead", "error": f"the addon of {code} was uninstalled"})
    for account in waiting.account_id:
        account._warn(account.env._("Posts wait for an addon that was uninstalled"))
    accounts.write({"state": "disabled", "code": "none"})
