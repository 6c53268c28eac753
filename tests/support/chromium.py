"""Headless Chromium, driven by playwright; the browser is Debian's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tools import browser
from tools.paths import contained_environment

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; closed with the block."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=str(browser.find()),
            args=FLAGS,
            env=contained_environment(),
        )
        try:
            yield started
        finally:
            started.close()


def sign_in(page: Page, base_url: str, login: str = "admin") -> None:
    """Sign in through the login form; the password equals the login."""
    page.goto(f"{base_url}/web/login")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", login)
    page.click("button[type=submit]")
    page.wait_for_selector(".o_web_client .o_main_navbar")
