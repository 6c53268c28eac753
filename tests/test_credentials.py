# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Credentials that the environment or odoo.conf gives, at the real door."""

import secrets

import pytest
from cryptography.fernet import Fernet

from tests.support import posts
from tests.support.posts import make_mail, unique
from tools.client import OdooClient

#: 19.0 tells of every option it does not know itself; the value still counts.
UNKNOWN_OPTION = r"WARNING odoo\.tools\.config: unknown option 'mail_bridge_"


@pytest.fixture
def desk(bridge):
    """The address of a new alias that makes leads."""
    return bridge.alias()


@pytest.fixture
def start(make_server, server_log):
    """Start one more host of the same database, with settings of its own."""
    started = []

    def make(**options):
        server_log.expect(UNKNOWN_OPTION)
        few = {"workers": 1, "max_cron_threads": 0}
        host = make_server(start=False, **few | options)
        server_log.watch(host)
        started.append(host)
        return host.start()

    yield make
    for host in started:
        host.stop()


def account_named(bridge, reference, code="mailgun", **values):
    """Return an enabled account of that reference."""
    return bridge.account(code, reference=reference, **values)


@pytest.mark.parametrize("place", ["environment", "odoo.conf"])
def test_a_signing_key_from_outside_wins_over_the_stored_one(
    bridge, desk, start, place
):
    reference = f"out_{secrets.token_hex(3)}"
    account = account_named(bridge, reference)
    given, option = f"key-{secrets.token_hex(16)}", "mailgun_signing_key"
    name = f"mail_bridge_{reference}_{option}"
    if place == "environment":
        host = start(environment={name.upper(): given})
    else:
        host = start(**{name: given})
    subject = unique()
    mail = make_mail(desk, subject)
    assert posts.mailgun_mail(account.key, desk, mail).to(host.port).status == 403
    assert posts.mailgun_mail(given, desk, mail).to(host.port).status == 200
    assert bridge.arrived(subject)


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_an_address_from_the_environment(bridge, desk, start, code):
    """The shown address is the one given; the stored one is not shut for it."""
    reference, token = f"out_{secrets.token_hex(3)}", secrets.token_urlsafe(24)
    account = account_named(bridge, reference, code, require_token=True)
    name = f"MAIL_BRIDGE_{reference}_URL_TOKEN".upper()
    host = start(environment={name: token})
    for path in (f"/mailgate/{code}/{token}", account.path):
        subject = unique()
        post = account.post(desk, make_mail(desk, subject)).at(path)
        assert post.to(host.port).status == 200
        assert bridge.arrived(subject)
    wrong = account.post(desk, make_mail(desk, unique())).at(f"{account.path}x")
    assert wrong.to(host.port).status in (401, 403)


def test_the_form_shows_the_given_address_and_who_gave_it(bridge, start, database):
    reference, token = f"out_{secrets.token_hex(3)}", secrets.token_urlsafe(24)
    account = account_named(bridge, reference, "improvmx")
    name = f"MAIL_BRIDGE_{reference}_URL_TOKEN".upper()
    client = OdooClient(start(environment={name: token}).base_url, database)
    fields = ["webhook_url", "secret_variables", "secrets_outside"]
    [shown] = client.call("mail.bridge.account", "read", [account.id], fields)
    assert shown["webhook_url"].endswith(f"/mailgate/improvmx/{token}")
    assert name in shown["secret_variables"]
    assert shown["secrets_outside"] == name


def test_a_host_without_the_key_leaves_the_mail_to_the_others(bridge, desk, start):
    """It fails faster than others work, so it would win nearly every claim."""
    stranger = {"MAIL_BRIDGE_KEYS": Fernet.generate_key().decode()}
    start(max_cron_threads=4, environment=stranger)
    account = bridge.account("mailgun")
    subjects = [unique() for _ in range(30)]
    for subject in subjects:
        assert bridge.post(account.post(desk, make_mail(desk, subject))).status == 200
    for subject in subjects:
        assert bridge.arrived(subject, 130)
    assert {row[1] for row in bridge.settled(account)} == {"done"}
