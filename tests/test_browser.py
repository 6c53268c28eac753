# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What an administrator does in a browser: account, test mail, Inbox, the record."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support import posts
from tests.support.bridge import DOMAIN, wait_for
from tests.support.chromium import sign_in
from tests.support.posts import unique

SECONDS = 20_000  # milliseconds; the machine may be busy

HOSTILE = """\
<html><body style="background: red">
<p>The text of a stranger</p>
<script>parent.document.title = "taken over"</script>
<img src="x" onerror="parent.document.title = 'taken over'">
<img src="http://tracker.invalid/pixel.gif">
<a href="javascript:parent.document.title = 'taken over'">click me</a>
<a href="{link}" target="_top" rel="opener">a link of the stranger</a>
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


def choose(page, field, label: str) -> None:
    """Choose in a selection: a select on 18.0, a menu on 19.0."""
    field.locator("select, input").first.wait_for()
    if field.locator("select").count():
        field.locator("select").select_option(label=label)
    else:
        field.locator("input").click()
        page.locator(".o_select_menu_item").get_by_text(label, exact=True).click()


def hostile_mail(bridge, desk) -> int:
    """Post HOSTILE to an address; its id in the Inbox."""
    subject = unique("Hostile")
    mail = posts.make_mail(desk, subject, "text\n")
    link = f"{bridge.server.base_url}/web/login"
    mail.add_alternative(HOSTILE.replace("{link}", link), subtype="html")
    bridge.post(bridge.account("raw", name=unique("Hostile")).post(desk, mail))
    wait_for(lambda: bridge.messages(subject))
    [entry] = bridge.messages(subject)
    return entry["id"]


def open_link(page, link):
    """The tab that a link in a frame opens.

    Chromium discards the clicks in a frame of another origin that has moved in
    the last half second, and a form that is being loaded moves.
    """

    def opened():
        link.click()
        page.wait_for_timeout(1000)
        return page.context.pages[1:]

    return wait_for(opened)[0]


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


@pytest.mark.parametrize("way", [".modal-footer button[special=cancel]", ".btn-close"])
def test_what_a_test_mail_did_is_seen_when_its_dialog_closes(page, bridge, desk, way):
    name = unique("Close")
    bridge.account("mailgun", name=name)
    open_account(page, name)
    mails = page.locator("button[name=action_view_messages]")
    expect(mails).to_contain_text("0")
    send_test_mail(page, f"{secrets.token_hex(5)}@outside.example", desk)
    dialog = page.locator(".modal")
    expect(dialog).to_contain_text("It stands in")
    dialog.locator(way).click()
    expect(dialog).to_have_count(0)
    expect(mails).to_contain_text("1")


def test_a_clerk_routes_a_mail_by_hand(page, bridge, shell):
    """With the rights of Mail Bridge's users and of a salesman, and no more."""
    login = f"clerk-{secrets.token_hex(4)}"
    [(label,)] = bridge.sql(
        "SELECT name->>'en_US' FROM ir_model WHERE model = 'crm.lead'"
    )
    shell(
        "from odoo.tests.common import new_test_user\n"
        "groups = 'mail_bridge.group_user,sales_team.group_sale_salesman'\n"
        f"new_test_user(env, {login!r}, groups=groups)"
    )
    account = bridge.account("raw", name=unique("Clerk"))
    subject = unique("By hand")
    nobody = f"nobody@{DOMAIN}"
    bridge.post(account.post(nobody, posts.make_mail(nobody, subject)))
    wait_for(lambda: bridge.messages(subject))
    page.context.clear_cookies()
    sign_in(page, bridge.server.base_url, login)
    [entry] = bridge.messages(subject)
    page.goto(f"/odoo/mail.bridge.message/{entry['id']}")
    page.get_by_role("button", name="Route…").click()
    dialog = page.locator(".modal")
    expect(dialog.get_by_text("A new alias")).to_have_count(0)
    choose(page, dialog.locator("div[name=model]"), label)
    dialog.get_by_role("button", name="Route", exact=True).click()
    expect(page.locator(".o_lead_opportunity_form")).to_be_visible()
    [entry] = bridge.messages(subject)
    assert (entry["state"], entry["res_model"]) == ("routed", "crm.lead")


def test_the_inbox_shows_first_what_waits_for_a_person(page, bridge, desk):
    account = bridge.account("raw", name=unique("Order"))
    routed, unrouted = unique("Routed"), unique("Unrouted")
    nobody = f"nobody@{DOMAIN}"
    bridge.post(account.post(desk, posts.make_mail(desk, routed)))
    bridge.post(account.post(nobody, posts.make_mail(nobody, unrouted)))
    bridge.arrived(routed)
    wait_for(lambda: bridge.messages(unrouted))
    page.goto("/odoo/action-mail_bridge.mail_bridge_message_action")
    expect(page.locator(".o_mail_bridge_undecided")).to_contain_text("your decision")
    expect(page.locator(".o_data_row").filter(has_text=routed)).to_have_count(1)
    page.click(".o_switch_view.o_kanban")
    columns = page.locator(".o_kanban_group")
    expect(columns.first).to_contain_text("Unrouted")
    expect(columns.first).to_contain_text(unrouted)
    folded = page.locator(".o_kanban_group.o_column_folded")
    expect(folded).to_contain_text("Routed")
    folded.click()
    expect(page.locator(".o_kanban_record").filter(has_text=routed)).to_have_count(1)
    page.click(".o_switch_view.o_list")
    page.get_by_role("button", name="Show them").click()
    expect(page.locator(".o_data_row").filter(has_text=unrouted)).to_have_count(1)
    expect(page.locator(".o_data_row").filter(has_text=routed)).to_have_count(0)
    expect(page.locator(".o_mail_bridge_undecided")).to_have_count(0)


def test_the_inbox_finds_a_mail_and_shows_where_it_went(page, bridge, desk):
    account = bridge.account("mailgun", name=unique("Search"))
    subject = unique("Searched")
    bridge.post(account.post(desk, posts.make_mail(desk, subject)))
    bridge.arrived(subject)
    page.goto("/odoo/action-mail_bridge.mail_bridge_message_action")
    rows = page.locator(".o_data_row")
    expect(rows.first).to_be_visible()  # before that nobody listens to the keys
    page.locator(".o_searchview_input").press_sequentially(subject)
    expect(page.locator(".o_searchview_autocomplete")).to_be_visible()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(subject)
    expect(rows).to_contain_text("Routed")
    rows.get_by_text(subject).first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Original (.eml)").click()
    assert subject.encode() in Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("place", ["record", "inbox"])
def test_the_mail_of_a_stranger_takes_nothing_over(page, bridge, desk, place):
    """No script runs, and nothing is loaded from outside until somebody asks."""
    address = desk if place == "record" else f"nobody@{DOMAIN}"
    identifier = hostile_mail(bridge, address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/odoo/mail.bridge.message/{identifier}")
    frame = page.frame_locator("iframe.o_mail_bridge_frame")
    expect(frame.locator("body")).to_contain_text("The text of a stranger")
    if place == "inbox":  # it stands in the chatter of its own entry, too
        chatter = page.locator(".o-mail-Message").first
        expect(chatter).to_contain_text("The text of a stranger")
    page.wait_for_timeout(500)
    assert "taken over" not in page.title()
    assert [url for url in asked if "tracker.invalid" in url] == []
    page.get_by_role("button", name="Show remote images").click()
    expect(frame.locator("body")).to_contain_text("The text of a stranger")
    page.wait_for_timeout(500)
    outside = {url.partition("://")[2] for url in asked if "tracker.invalid" in url}
    assert outside == {"tracker.invalid/pixel.gif"}
    assert "taken over" not in page.title()


def test_a_link_in_a_mail_opens_a_page_that_knows_nothing_of_odoo(page, bridge, desk):
    """A dead link looks broken; one that opens here could take the tab over."""
    identifier = hostile_mail(bridge, desk)
    page.goto(f"/odoo/mail.bridge.message/{identifier}")
    frame = page.frame_locator("iframe.o_mail_bridge_frame")
    tab = open_link(page, frame.get_by_text("a link of the stranger"))
    tab.wait_for_load_state()
    assert tab.url.startswith(bridge.server.base_url)
    assert tab.evaluate("window.opener") is None
    assert tab.evaluate("document.referrer") == ""
    assert f"/{identifier}" in page.url


def test_the_test_button_names_the_fault(page, bridge, desk):
    """The account takes posts from elsewhere only: the dialog says so."""
    name = unique("Fault")
    bridge.account("improvmx", name=name, allowed_networks="192.0.2.0/24")
    open_account(page, name)
    send_test_mail(page, "somebody@outside.example", desk)
    dialog = page.locator(".modal")
    expect(dialog).to_contain_text("503")
    expect(dialog).to_contain_text("network that is not allowed")
