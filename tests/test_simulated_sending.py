# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail from the chatter, through the relay, to the simulator, and what it tells."""

import pytest

from tests.support.bridge import wait_for
from tests.support.posts import unique

RECIPIENT = "mail.relay.recipient"


@pytest.fixture
def simulator(bridge):
    """An enabled simulator through which the mail servers send."""
    client = bridge.client
    account = client.create("mail.bridge.account", name=unique("Sim"), code="demo")
    tracked = {"relay_track_opens": True, "relay_track_clicks": True}
    client.write("mail.bridge.account", account, state="enabled", **tracked)
    client.create(
        "ir.mail_server",
        name="Simulator",
        smtp_host="simulator.invalid",
        sequence=1,
        relay_account_id=account,
    )
    return account


def answer(client, email):
    """Write to somebody in the chatter of his own record; return his id."""
    partner = client.create("res.partner", name=email, email=email)
    client.call(
        "res.partner",
        "message_post",
        [partner],
        body="Good morning",
        partner_ids=[partner],
        message_type="comment",
        subtype_xmlid="mail.mt_comment",
    )
    return partner


def fate(client, partner):
    found = client.search_read(RECIPIENT, [("partner_id", "=", partner)], ["state"])
    return found[0]["state"] if found else None


def test_a_mail_is_queued_sent_delivered_and_opened(bridge, simulator):
    client = bridge.client
    readers = {
        "unsubscribe@reader.example": "unsubscribed",
        "bounce@reader.example": "bounced",
        "unread@reader.example": "delivered",
    }
    partners = {answer(client, email): state for email, state in readers.items()}
    wanted = dict(partners)

    def fates():
        return {partner: fate(client, partner) for partner in wanted}

    wait_for(lambda: fates() == wanted, 60, lambda: f"{fates()}, not {wanted}")
    [reader] = [item for item, state in partners.items() if state == "unsubscribed"]
    [person] = client.search_read(
        RECIPIENT, [("partner_id", "=", reader)], ["delivered_at", "opened_at"]
    )
    assert person["delivered_at"] <= person["opened_at"]
