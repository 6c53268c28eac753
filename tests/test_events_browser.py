# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an administrator sees of delivery events, and how a program gets its key."""

import hashlib
import re

import pytest
from playwright.sync_api import expect

from tests.support import posts
from tests.support.posts import unique
from tests.test_events import event, kept

SECONDS = 20_000  # milliseconds; the machine may be busy


@pytest.fixture
def page(page):
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    return page


def test_an_administrator_reads_what_was_told(bridge, page):
    account = bridge.account("mailgun")
    status = {"code": 550, "message": "5.1.1 no such user here"}
    data = event(
        1,
        "failed",
        severity="permanent",
        recipient="gone@customer.example",
        **{"delivery-status": status, "tags": ["newsletter"]},
    )
    bridge.post(posts.mailgun_event(account.key, data))
    kept(bridge, account, 1)
    page.goto("/odoo/action-mail_bridge.mail_bridge_event_action")
    row = page.locator(".o_data_row").filter(has_text="gone@customer.example")
    expect(row).to_contain_text("Bounced")
    expect(row).to_contain_text("Unmatched")
    row.locator("td[name=recipient]").click()
    form = page.locator(".o_form_view")
    expect(form.locator("div[name=diagnostic]")).to_have_text("5.1.1 no such user here")
    expect(form.locator("div[name=smtp_code]")).to_have_text("550")
    expect(form.locator("div[name=metadata]")).to_contain_text("newsletter")
    expect(form.get_by_role("button", name="Try Again")).to_be_visible()


def test_a_key_is_shown_once(bridge, page):
    name = unique("Program")
    page.goto("/odoo/action-mail_bridge.mail_bridge_key_action")
    page.get_by_role("button", name="New Key").click()
    dialog = page.locator(".modal")
    dialog.locator("div[name=name] input").fill(name)
    dialog.locator("div[name=scopes] input").fill("messages:read")
    expect(dialog.locator("div[name=known_scopes]")).to_contain_text("messages:read:")
    dialog.get_by_role("button", name="Make the Key").click()
    shown = page.locator(".modal div[name=token]")
    expect(shown).to_contain_text(re.compile(r"[A-Za-z0-9_-]{43}"))
    [token] = re.findall(r"[A-Za-z0-9_-]{43}", shown.inner_text())
    stored = bridge.sql("SELECT hash FROM mail_bridge_key WHERE name = %s", name)
    assert stored == [(hashlib.sha256(token.encode()).hexdigest(),)]
    page.locator(".modal").get_by_role("button", name="Done").click()
    row = page.locator(".o_data_row").filter(has_text=name)
    expect(row).to_contain_text(token[:8])
    row.locator("td[name=name]").click()
    form = page.locator(".o_form_view")
    expect(form.locator("div[name=prefix]")).to_have_text(token[:8])
    assert token not in page.content()
    form.get_by_role("button", name="Revoke").click()
    page.locator(".modal").get_by_role("button", name="Ok").click()
    expect(form.locator(".ribbon")).to_contain_text("Revoked", ignore_case=True)
