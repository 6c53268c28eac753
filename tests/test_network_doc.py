# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""docs/network.md names what the code talks to: an operator opens these and no more."""

import re
from urllib.parse import urlsplit

import pytest

from odoo.addons.mail_bridge_mailgun import const_api as mailgun
from odoo.addons.mail_bridge_smtp2go import const as smtp2go
from odoo.addons.mail_relay.providers.smtp_link import IMPLICIT_PORT, SmtpSettings
from odoo.addons.mail_relay.rest.const import API_SETTINGS, MAX_BODY_BYTES

from tools.paths import ROOT

TEXT = (ROOT / "docs" / "network.md").read_text()
URLS = [*mailgun.API_URLS.values(), *smtp2go.REGIONS.values()]
#: Submission (RFC 6409), over TLS (RFC 8314), between servers, and what providers add.
SMTP_PORTS = {25, IMPLICIT_PORT, SmtpSettings("host").port, 2525}


@pytest.mark.parametrize("url", URLS)
def test_hosts(url):
    assert f"`{urlsplit(url).hostname}`" in TEXT


def test_where_smtp2go_publishes_its_addresses():
    assert f"`{smtp2go.PUBLISHED_HOST}`" in TEXT


def test_settings():
    for name in re.findall(r"`mail_relay\.(\w+)`", TEXT):
        assert name in API_SETTINGS
    assert f"may have {MAX_BODY_BYTES // 2**20} MB" in TEXT


def test_the_policy_and_the_firewall_open_the_same_ports():
    policy = TEXT.partition("egress:")[2].partition("```")[0]
    opened = {int(port) for port in re.findall(r"port: (\d+)", policy)}
    assert opened == SMTP_PORTS | {53, 443, 5432}
    output = TEXT.partition("chain output")[2].partition("```")[0]
    accepting = re.findall(r"dport ([^\n]+) accept", output)
    listed = {int(port) for port in re.findall(r"\d+", " ".join(accepting))}
    assert listed == opened


def test_the_files_it_points_to():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists()
