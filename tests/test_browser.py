# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an administrator does in a browser: account, test mail, Inbox, the record."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support import posts
from tests.support.posts import unique

SECONDS = 20_000  # milliseconds; the machine may be busy

HOSTILE = """\
<html><body style="background: red">
<p>The text of a stranger</p>
<script>parent.document.title = "taken over"</script>
<img src="x" onerror="parent.document.title = 'taken over'">
<img src="http://tracker.invalid/pixel.gif">
<a href="javascript:parent.document.title = 'taken over'">click me</a>
<form action="http://tracker.invalid/form"><input name="password"></form>
<iframe src="http://tracker.invalid/frame"></iframe>
</body></html>
"""


@pytest.fixture
def desk(bridge):
    return bridge.alias()


@pytest.fixture
def page(page):
    page.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)
    return page


def open_account(page, name: str) -> None:
    """From the menu of all applications to the form of an account."""
    page.goto("/odoo/action-mail_bridge.mail_bridge_message_action")
    page.locator(".o_menu_sections").get_by_text("Accounts", exact=True).click()
    page.locator(".o_kanban_record").get_by_text(name, exact=True).click()
    expect(page.locator("div[name=name] input").first).to_have_value(name)


def send_test_mail(page, sender: str, recipient: str) -> None:
    page.get_by_role("button", name="Send a Test Mail").click()
    dialog = page.locator(".modal")
    dialog.locator("div[name=email_from] input").fill(sender)
    dialog.locator("div[name=email_to] input").fill(recipient)
    dialog.get_by_role("button", name="Send", exact=True).click()


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_from_the_account_over_the_inbox_into_the_leads_chatter(
    page, bridge, desk, code
):
    name = unique(f"Walk {code}")
    bridge.account(code, name=name)
    sender = f"{secrets.token_hex(5)}@outside.example"
    open_account(page, name)
    send_test_mail(page, sender, desk)
    dialog = page.locator(".modal")
    expect(dialog).to_contain_text("accepted")
    expect(dialog).to_contain_text("It stands in")
    dialog.get_by_role("button", name="Open in the Inbox").click()
    # the Inbox
    frame = page.frame_locator("iframe.o_mail_bridge_frame")
    expect(frame.locator("body")).to_contain_text("This test mail was posted")
    expect(page.locator(".o_form_view")).to_contain_text(sender)
    expect(page.locator(".o_form_view")).to_contain_text("Unverified sender")
    page.locator("button[name=action_open_record]").click()
    # the lead
    expect(page.locator(".o_lead_opportunity_form")).to_be_visible()
    message = page.locator(".o-mail-Message").filter(has_text=name)
    expect(message).to_have_count(1)
    expect(message).to_contain_text("This test mail was posted")
    expect(message).to_contain_text("unverified sender")
    [(leads,)] = bridge.sql(
        "SELECT count(*) FROM crm_lead WHERE email_from = %s", sender
    )
    assert leads == 1


def test_the_inbox_finds_a_mail_and_shows_where_it_went(page, bridge, desk):
    account = bridge.account("mailgun", name=unique("Search"))
    subject = unique("Searched")
    bridge.post(account.post(desk, posts.make_mail(desk, subject)))
    bridge.arrived(subject)
    page.goto("/odoo/action-mail_bridge.mail_bridge_message_action")
    page.locator(".o_searchview_input").fill(subject)
    page.keyboard.press("Enter")
    rows = page.locator(".o_data_row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(subject)
    expect(rows).to_contain_text("Routed")
    rows.get_by_text(subject).first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Original (.eml)").click()
    assert subject.encode() in Path(download.value.path()).read_bytes()


def test_the_mail_of_a_stranger_takes_nothing_over(page, bridge, desk):
    """No script runs, and nothing is loaded from outside until somebody asks."""
    account = bridge.account("raw", name=unique("Hostile"))
    subject = unique("Hostile")
    mail = posts.make_mail(desk, subject, "text\n")
    mail.add_alternative(HOSTILE, subtype="html")
    bridge.post(account.post(desk, mail))
    bridge.arrived(subject)
    [entry] = bridge.messages(subject)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/odoo/mail.bridge.message/{entry['id']}")
    frame = page.frame_locator("iframe.o_mail_bridge_frame")
    expect(frame.locator("body")).to_contain_text("The text of a stranger")
    page.wait_for_timeout(500)
    assert "taken over" not in page.title()
    assert [url for url in asked if "tracker.invalid" in url] == []
    page.get_by_role("button", name="Show remote images").click()
    expect(frame.locator("body")).to_contain_text("The text of a stranger")
    page.wait_for_timeout(500)
    outside = {url.partition("://")[2] for url in asked if "tracker.invalid" in url}
    assert outside == {"tracker.invalid/pixel.gif"}
    assert "taken over" not in page.title()


def test_the_test_button_names_the_fault(page, bridge, desk):
    """The account was made unreachable: the dialog says what to look at."""
    name = unique("Fault")
    bridge.account("improvmx", name=name, allowed_networks="192.0.2.0/24")
    open_account(page, name)
    send_test_mail(page, "somebody@outside.example", desk)
    dialog = page.locator(".modal")
    expect(dialog).to_contain_text("403")
    expect(dialog).to_contain_text("allowed networks")
