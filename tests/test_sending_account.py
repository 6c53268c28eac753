# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an administrator does in a browser with an SMTP server as account."""

import pytest
from playwright.sync_api import expect

from tests.support.smtp_sink import SmtpSink

SECONDS = 20_000  # milliseconds; the machine may be busy
LOGIN, PASSWORD = "shop", "pass-canary-6623"


@pytest.fixture
def page(page):
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    return page


@pytest.fixture
def sink():
    with SmtpSink(credentials={LOGIN: PASSWORD}, auth_in_clear=True) as server:
        yield server


def fill(page, **values) -> None:
    for name, value in values.items():
        page.locator(f"div[name={name}] input").fill(str(value))


def row(dialog, step: str):
    return dialog.locator(".o_data_row", has_text=step)


def test_from_the_catalogue_to_a_mail(page, sink):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/odoo/action-mail_bridge.mail_bridge_account_action")
    page.locator(".o_kanban_record").get_by_text("SMTP Server", exact=True).click()
    expect(page.locator("a[name=receiving]")).to_have_count(0)
    expect(page.get_by_role("button", name="Test Mode")).to_have_count(0)
    fill(page, smtp_host="127.0.0.1", smtp_port=sink.port)
    fill(page, smtp_user=LOGIN, smtp_password="wrong")
    page.get_by_role("button", name="Test Connection").click()
    dialog = page.locator(".modal")
    expect(row(dialog, "Login")).to_contain_text("535")
    expect(dialog.locator(".alert-danger")).to_contain_text("app password")
    dialog.get_by_role("button", name="Close").last.click()
    fill(page, smtp_password=PASSWORD)
    page.get_by_role("button", name="Test Connection").click()
    expect(row(dialog, "Address")).to_contain_text("127.0.0.1")
    expect(row(dialog, "Logged in")).to_be_visible()
    fill(dialog, email_from="shop@example.com", email_to="ann@example.com")
    dialog.get_by_role("button", name="Send a Test Mail").click()
    expect(row(dialog, "Mail to ann@example.com")).to_contain_text("queued as")
    assert sink.wait()[0].recipients == ("ann@example.com",)
    dialog.get_by_role("button", name="Close").last.click()
    page.get_by_role("button", name="Enable", exact=True).click()
    expect(page.get_by_role("button", name="Disable", exact=True)).to_be_visible()
    page.locator("a[name=sending]").click()
    expect(page.locator("div[name=relay_threads] input")).to_be_visible()
    assert not errors
