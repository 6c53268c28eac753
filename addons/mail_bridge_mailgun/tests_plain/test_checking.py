# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What a test of an account says of its domain and its key."""

from dataclasses import replace

import pytest

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.tests_plain.api_stub import Said
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter
from odoo.addons.mail_bridge_mailgun.tests_plain.mailgun_stub import (
    ACCOUNT,
    API_KEY,
    DOMAIN,
    running_mailgun,
)


@pytest.fixture
def mailgun(monkeypatch):
    with running_mailgun(monkeypatch) as found:
        yield found


def test_a_domain_that_may_send(mailgun):
    found = MailgunAdapter().check(ACCOUNT)
    assert found.failure is None
    (step,) = found.steps
    assert (step.what, step.subject) == ("api", "127.0.0.1")
    assert 0 < step.seconds < 10


@pytest.mark.parametrize("state", ["unverified", "disabled"])
def test_a_domain_that_may_not(mailgun, state):
    mailgun.state = state
    failure = MailgunAdapter().check(ACCOUNT).failure
    assert failure.stage == "mail"
    assert failure.text == f"{DOMAIN} is {state} at Mailgun, not active"


def test_a_wrong_key(mailgun):
    wrong = replace(ACCOUNT, secrets={"api_key": ("wrong-canary",)})
    with pytest.raises(PermanentError) as caught:
        MailgunAdapter().check(wrong)
    assert "wrong-canary" not in str(caught.value)
    assert "401" in str(caught.value)


def test_trouble_at_mailgun(mailgun):
    mailgun.answers = [Said(500, API_KEY.encode())]
    with pytest.raises(TemporaryError) as caught:
        MailgunAdapter().check(ACCOUNT)
    assert API_KEY not in str(caught.value)


def test_the_records_of_a_domain(mailgun):
    """Without those that only tracking needs."""
    key = f"s1._domainkey.{DOMAIN}"
    rows = [
        ("TXT", DOMAIN, "v=spf1 include:mailgun.org ~all"),
        ("TXT", key, "k=rsa; p=AAAA"),
        ("CNAME", f"email.{DOMAIN}", "mailgun.org"),
    ]
    names = ("record_type", "name", "value")
    told = [dict(zip(names, row, strict=True)) for row in rows]
    mailgun.answers = [Said(200, {"domain": {}, "sending_dns_records": told})]
    assert MailgunAdapter().domain_records(ACCOUNT, DOMAIN) == [
        ("spf", "TXT", DOMAIN, "include:mailgun.org"),
        ("dkim", "TXT", key, "k=rsa; p=AAAA"),
    ]
    for told in (None, "x", [1, {}]):
        mailgun.answers = [Said(200, {"sending_dns_records": told})]
        assert MailgunAdapter().domain_records(ACCOUNT, DOMAIN) == []
