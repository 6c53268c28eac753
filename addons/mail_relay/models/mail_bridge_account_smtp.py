# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import ipaddress
import re
from pathlib import Path

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from odoo.addons.mail_bridge.models.mail_bridge_account_setup import setup_step
from odoo.addons.mail_bridge.models.mail_bridge_secret import secret_field

from ..providers.smtp_address import ascii_domain

#: What ``mail_bridge.providers.connect`` takes as family.
ADDRESS_FAMILIES = [
    ("auto", "Automatic: whichever answers first"),
    ("prefer_ipv4", "IPv4 first"),
    ("prefer_ipv6", "IPv6 first"),
    ("ipv4", "IPv4 only"),
    ("ipv6", "IPv6 only"),
]
#: Least and most of each number.
BOUNDS = {
    "smtp_port": (1, 65535),
    "smtp_connect_timeout": (1, 300),
    "smtp_command_timeout": (1, 900),
    "smtp_data_timeout": (1, 3600),
    "smtp_max_messages": (1, 100000),
    "smtp_max_age": (1, 86400),
}
#: Option of the adapter → field of the account.
OPTIONS = {
    "host": "smtp_host",
    "port": "smtp_port",
    "tls": "smtp_tls",
    "verify_certificate": "smtp_verify_certificate",
    "authorities": "smtp_authorities",
    "login": "smtp_user",
    "allow_clear_text_login": "smtp_allow_clear_text_login",
    "pipelining": "smtp_pipelining",
    "max_messages": "smtp_max_messages",
    "max_age": "smtp_max_age",
    "family": "smtp_address_family",
    "source_address": "smtp_source_address",
    "connect_timeout": "smtp_connect_timeout",
    "command_timeout": "smtp_command_timeout",
    "data_timeout": "smtp_data_timeout",
    "local_name": "smtp_local_name",
}
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


class MailBridgeAccount(models.Model):
    """An SMTP server as account."""

    _inherit = "mail.bridge.account"

    code = fields.Selection(
        selection_add=[("smtp", "SMTP Server")], ondelete={"smtp": "set default"}
    )
    smtp_host = fields.Char(string="Server", tracking=True)
    smtp_port = fields.Integer(string="Port", default=587, tracking=True)
    smtp_tls = fields.Selection(
        [
            ("auto", "Automatic"),
            ("implicit", "TLS from the start"),
            ("starttls", "STARTTLS, always"),
            ("none", "None"),
        ],
        string="Encryption",
        default="auto",
        required=True,
        tracking=True,
        help="Automatic: port 465 speaks TLS from the start, any other port STARTTLS "
        "where the server offers it. Without TLS no login is sent, except to this very "
        "machine or where the account allows it.",
    )
    smtp_verify_certificate = fields.Boolean(
        string="Check the Certificate",
        default=True,
        tracking=True,
        help="The server's certificate must be valid for its name.",
    )
    smtp_authorities = fields.Char(
        string="Own Authorities",
        help="A file on this server with certificate authorities (PEM) that count "
        "besides the well-known ones.",
    )
    smtp_user = fields.Char(string="Login")
    smtp_password = secret_field("SMTP Password", "The password of the login.")
    smtp_allow_clear_text_login = fields.Boolean(
        string="Login in Clear Text",
        tracking=True,
        help="Send the login without encryption if the server offers none. Whoever "
        "listens on the way reads it.",
    )
    smtp_address_family = fields.Selection(
        ADDRESS_FAMILIES, string="Addresses", default="auto", required=True
    )
    smtp_source_address = fields.Char(
        string="Source Address", help="The address of this server to connect from."
    )
    smtp_local_name = fields.Char(
        string="Own Name",
        help="How this server presents itself (EHLO). Empty: its host name.",
    )
    smtp_connect_timeout = fields.Integer(
        string="Connecting",
        default=10,
        help="Seconds for all addresses of the server together.",
    )
    smtp_command_timeout = fields.Integer(
        string="A Command", default=60, help="Seconds to wait for an answer."
    )
    smtp_data_timeout = fields.Integer(
        string="A Mail",
        default=120,
        help="Seconds to wait for the answer to a whole mail; 600 where the server is "
        "the recipients' own.",
    )
    smtp_max_messages = fields.Integer(string="Mails on a Connection", default=100)
    smtp_max_age = fields.Integer(
        string="Lifetime", default=300, help="Seconds until a connection is renewed."
    )
    smtp_pipelining = fields.Boolean(
        string="Pipelining",
        default=True,
        help="Send the commands of a mail in one go where the server offers it.",
    )

    # --- Constraints ---

    @api.constrains(*BOUNDS)
    def _check_smtp_bounds(self):
        self._check_bounds(BOUNDS)

    @api.constrains("smtp_host")
    def _check_smtp_host(self):
        for account in self.filtered("smtp_host"):
            if not _is_host(account.smtp_host):
                raise ValidationError(
                    self.env._(
                        "%(host)s is no server: enter its name or address alone, "
                        "without port.",
                        host=account.smtp_host,
                    )
                )
        self._check_can_authenticate()

    @api.constrains("smtp_local_name")
    def _check_smtp_local_name(self):
        for account in self.filtered("smtp_local_name"):
            if not _NAME.fullmatch(ascii_domain(account.smtp_local_name)):
                raise ValidationError(
                    self.env._(
                        "%(name)s is no host name.", name=account.smtp_local_name
                    )
                )

    @api.constrains("smtp_source_address")
    def _check_smtp_source_address(self):
        for account in self.filtered("smtp_source_address"):
            if not _is_address(account.smtp_source_address):
                raise ValidationError(
                    self.env._(
                        "%(address)s is no address.",
                        address=account.smtp_source_address,
                    )
                )

    @api.constrains("smtp_authorities")
    def _check_smtp_authorities(self):
        for account in self.filtered("smtp_authorities"):
            if not Path(account.smtp_authorities).is_file():
                raise ValidationError(
                    self.env._(
                        "There is no file %(path)s on this server.",
                        path=account.smtp_authorities,
                    )
                )

    # --- Business ---

    def _missing_setup(self, adapter):
        missing = super()._missing_setup(adapter)
        if self.code == "smtp" and not self.smtp_host:
            return self.env._("%(name)s names no server.", name=self.name)
        return missing

    def _provider_steps(self, adapter):
        steps = super()._provider_steps(adapter)
        if self.code == "smtp":
            label = self.env._("The server is named")
            hint = self.env._("Enter its name and port in the tab Credentials.")
            steps.append(setup_step(self.smtp_host, label, hint))
        return steps

    def _adapter_options(self):
        options = super()._adapter_options()
        if self.code == "smtp":
            options |= {name: self._option(field) for name, field in OPTIONS.items()}
        return options

    def _option(self, field):
        """Return a field's value as the adapter knows it: an empty text is a text."""
        value = self[field]
        return value or "" if self._fields[field].type == "char" else value


def _is_host(text):
    """Tell whether a text is a name or an address, and nothing more."""
    return _is_address(text) or bool(_NAME.fullmatch(ascii_domain(text)))


def _is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
