# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What became of a mail, as its author sees it in the chatter, in a browser."""

import re
import secrets

import pytest
from playwright.sync_api import expect

from tests.support.bridge import wait_for
from tests.support.posts import unique
from tests.test_relay_pickup import module_sink, relayed, sink  # noqa: F401 fixtures

SECONDS = 20_000  # milliseconds; the machine may be busy
#: State, what else is known, and what the chatter says of it.
FATES = [
    ("delivered", {"delivered_at": "2026-11-20 10:00:00"}, "fa-check", "Delivered"),
    ("opened", {"opened_at": "2026-11-20 11:00:00"}, "fa-envelope-open-o", "Opened"),
    ("clicked", {"clicked_at": "2026-11-20 12:00:00"}, "fa-mouse-pointer", "Clicked"),
    (
        "bounced",
        {
            "bounced_at": "2026-11-20 13:00:00",
            "bounce_class": "hard",
            "failure_text": "550 5.1.1 no such user",
        },
        "fa-envelope",
        "Bounced",
    ),
]


@pytest.fixture
def page(page):
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    return page


def write_to_a_customer(bridge):
    """A message of the administrator; (lead, partner, relay recipient, subject)."""
    subject = unique("Fate")
    partner = bridge.client.create(
        "res.partner",
        name=f"Ann {secrets.token_hex(3)}",
        email=f"{secrets.token_hex(5)}@outside.example",
    )
    lead = bridge.client.create("crm.lead", name=subject, partner_id=partner)
    bridge.client.call(
        "crm.lead",
        "message_post",
        [lead],
        body=f"An offer, {subject}",
        subject=subject,
        message_type="comment",
        subtype_xmlid="mail.mt_comment",
        partner_ids=[partner],
    )
    [(recipient,)] = wait_for(
        lambda: bridge.sql(
            """SELECT person.id FROM mail_relay_recipient person
                 JOIN mail_relay_message mail ON mail.id = person.relay_message_id
                WHERE mail.subject = %s AND person.state = 'sent'
                  AND person.told_rank >= person.rank""",
            subject,
        )
    )
    return lead, partner, recipient, subject


def learn(bridge, recipient, state, facts):
    """Let the relay know what became of a mail, and tell of it."""
    ranks = {"delivered": 7, "opened": 8, "clicked": 9, "bounced": 12}
    columns = {"state": state, "rank": ranks[state], **facts}
    sets = ", ".join(f"{name} = %s" for name in columns)
    bridge.sql(
        f"UPDATE mail_relay_recipient SET {sets} WHERE id = %s",
        *columns.values(),
        recipient,
    )
    bridge.sql(
        """INSERT INTO ir_cron_trigger (cron_id, call_at)
           SELECT res_id, now() AT TIME ZONE 'UTC' FROM ir_model_data
            WHERE module = 'mail_relay' AND name = 'ir_cron_tell'"""
    )
    bridge.let_a_minute_pass()
    wait_for(
        lambda: bridge.sql(
            "SELECT 1 FROM mail_relay_recipient WHERE id = %s AND told_rank = rank",
            recipient,
        )
    )


@pytest.mark.parametrize(("state", "facts", "icon", "label"), FATES)
def test_the_chatter_shows_what_became_of_a_mail(
    page,
    bridge,
    relayed,  # noqa: F811
    state,
    facts,
    icon,
    label,
):
    lead, partner, recipient, subject = write_to_a_customer(bridge)
    bridge.sql("DELETE FROM bus_bus")
    learn(bridge, recipient, state, facts)
    # open chatters are told of it
    told = bridge.sql("SELECT message FROM bus_bus WHERE message LIKE %s", f"%{state}%")
    assert any("relay_state" in message for (message,) in told)
    page.goto(f"/odoo/crm.lead/{lead}")
    message = page.locator(".o-mail-Message").filter(has_text=f"An offer, {subject}")
    sign = message.locator(".o-mail-Message-notification i")
    expect(sign).to_have_class(re.compile(rf"\b{icon}\b"))
    sign.click()
    popover = page.locator(".o-mail-MessageNotificationPopover")
    fate = popover.locator(".o_mail_relay_fate")
    expect(fate).to_contain_text(label)
    expect(fate).to_contain_text("2026")
    if state == "bounced":
        expect(fate).to_contain_text("no such user")
    popover.get_by_text("Deliveries").click()
    expect(page.locator(".o_data_row")).to_have_count(1)
    expect(page.locator(".o_data_row")).to_contain_text(label)


def test_a_partner_leads_to_the_mails_sent_to_him(page, bridge, relayed):  # noqa: F811
    _lead, partner, _recipient, subject = write_to_a_customer(bridge)
    page.goto(f"/odoo/res.partner/{partner}")
    page.locator("button[name=action_view_relay_deliveries]").click()
    expect(page.locator(".o_data_row")).to_have_count(1)
    expect(page.locator(".o_data_row")).to_contain_text(subject)
