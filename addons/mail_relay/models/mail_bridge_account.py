# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..providers.retry import PROFILES

#: Bounds of the numbers (least, most); what is beyond is a slip of the keyboard.
BOUNDS = {
    "relay_threads": (1, 64),
    "relay_batch_size": (1, 1000),
    "relay_breaker_failures": (0, 1000),
    "relay_breaker_seconds": (1, 86400),
}


class MailBridgeAccount(models.Model):
    """How the relay sends through an account."""

    _inherit = "mail.bridge.account"

    relay_enabled = fields.Boolean(
        string="Send through This Account",
        default=True,
        tracking=True,
        help="The relay chooses only among accounts that are switched on and allowed "
        "to send.",
    )
    relay_retry_profile = fields.Selection(
        [(profile.code, profile.label) for profile in PROFILES.values()],
        string="Try Again",
        required=True,
        default="genro",
        help="The waits after each attempt that failed for now.",
    )
    relay_threads = fields.Integer(
        string="Connections at Once",
        default=4,
        required=True,
        help="How many mails one dispatcher sends through this account at a time.",
    )
    relay_batch_size = fields.Integer(
        string="Mails Claimed at Once", default=100, required=True
    )
    relay_limit_behavior = fields.Selection(
        [("defer", "Wait"), ("reject", "Refuse")],
        string="At the Limit",
        required=True,
        default="defer",
        help="What becomes of a mail that a limit of this account has no room for: it "
        "waits for its turn, or it is refused and the next account of its route takes "
        "it.",
    )
    relay_doubt_policy = fields.Selection(
        [("hold", "Hold it and ask"), ("resend", "Send it again")],
        string="A Mail in Doubt",
        required=True,
        default="hold",
        tracking=True,
        help="What is done when the connection broke after the mail was handed over "
        "and nobody can tell whether it was taken. Sent again, it may arrive twice.",
    )
    relay_track_opens = fields.Boolean(
        string="Track Opens", help="The provider puts a picture into each mail."
    )
    relay_track_clicks = fields.Boolean(
        string="Track Clicks", help="The provider replaces the links of each mail."
    )
    relay_suppress_transactional = fields.Boolean(
        string="Respect Marketing Blocks Always",
        help="Addresses that complained or unsubscribed get no transactional mail "
        "through this account either.",
    )
    relay_return_path = fields.Boolean(
        string="Token in the Return Path",
        help="Bounces come back to bounce+token@ in place of bounce@, so that each one "
        "is proven. Whoever receives your mail must keep plus addresses, and this "
        "account must accept any sender of the domain.",
    )
    relay_log_attempts = fields.Boolean(
        string="Log Each Attempt",
        default=True,
        help="Keep one line for each attempt: when, how far it came, what was said.",
    )
    relay_breaker_failures = fields.Integer(
        string="Pause after Failures",
        default=5,
        help="So many failures of the account in a row (no connection, no login) let "
        "it rest; its mail takes the next account of the route. 0: never.",
    )
    relay_breaker_seconds = fields.Integer(
        string="Length of a Pause",
        default=60,
        help="Seconds until one mail tries the account again; doubled each time.",
    )

    # --- Actions ---

    def action_test_sending(self):
        """Try the account without sending a mail, and show what came of it."""
        self.ensure_one()
        self.check_access("write")
        return self.env["mail.relay.test.wizard"]._run(self)._reopen()

    # --- Constraints ---

    @api.constrains(*BOUNDS)
    def _check_relay_bounds(self):
        self._check_bounds(BOUNDS)

    def _check_bounds(self, bounds):
        """Raise where a number is not between its bounds.

        :param bounds: ``{field: (least, most)}``.
        """
        for name, (least, most) in bounds.items():
            if any(not least <= account[name] <= most for account in self):
                raise ValidationError(
                    self.env._(
                        "%(field)s is between %(least)s and %(most)s.",
                        field=self._fields[name]._description_string(self.env),
                        least=least,
                        most=most,
                    )
                )
