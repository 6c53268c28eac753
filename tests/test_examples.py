# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The senders in docs/examples work as they stand there."""

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge import wait_for
from tests.support.posts import make_mail, unique

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
DELIVERED, REFUSED, TRY_AGAIN = 0, 69, 75

#: Plays Cloudflare's part: a message with a stream, the envelope and setReject().
RUN_WORKER = """
async ([source, variables, mail, sender, recipient]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = (await import(url)).default;
    const bytes = Uint8Array.from(atob(mail), (item) => item.charCodeAt(0));
    let rejected = null;
    const message = {
        from: sender,
        to: recipient,
        raw: new Blob([bytes]).stream(),
        setReject: (reason) => (rejected = reason),
    };
    try {
        await worker.email(message, variables);
    } catch (error) {
        return { thrown: String(error), rejected };
    }
    return { thrown: null, rejected };
}
"""


@pytest.fixture
def account(bridge):
    key = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return bridge.account("raw", raw_signing_key=key)


@pytest.fixture
def desk(bridge):
    return bridge.alias()


def leads(bridge, subject):
    return bridge.sql("SELECT id FROM crm_lead WHERE name = %s", subject)


def pipe(url, key, mail, recipient):
    """Run the pipe script as a mail server does."""
    return subprocess.run(
        [sys.executable, EXAMPLES / "mailgate_pipe.py", "a@outside.example", recipient],
        input=mail.as_bytes(),
        env={"PATH": os.environ["PATH"], "MAILGATE_URL": url, "MAILGATE_SECRET": key},
        capture_output=True,
        timeout=60,
    )


def test_pipe_delivers_and_a_repetition_is_known(bridge, server, account, desk):
    subject = unique()
    mail = make_mail(desk, subject)
    for _time in range(2):
        done = pipe(server.base_url + account.path, account.key, mail, desk)
        assert done.returncode == DELIVERED, done.stderr
    wait_for(lambda: leads(bridge, subject))
    assert len(leads(bridge, subject)) == 1
    assert bridge.sql(
        "SELECT count(*) FROM mail_bridge_intake WHERE account_id = %s", account.id
    ) == [(1,)]


def test_pipe_tells_the_mail_server_what_to_do(bridge, server, account, desk):
    mail = make_mail(desk, unique())
    wrong = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    url = server.base_url + account.path
    assert pipe(url, wrong, mail, desk).returncode == REFUSED
    bridge.client.call("mail.bridge.account", "action_disable", [account.id])
    assert pipe(url, account.key, mail, desk).returncode == TRY_AGAIN
    nobody = "http://127.0.0.1:9/mailgate/raw/x"
    assert pipe(nobody, account.key, mail, desk).returncode == TRY_AGAIN


def work(page, url, key, mail, recipient):
    """Run the Worker in Chromium, whose fetch and crypto are those of Workers."""
    source = (EXAMPLES / "email_worker.js").read_text()
    variables = {"MAILGATE_URL": url, "MAILGATE_SECRET": key}
    content = base64.b64encode(mail.as_bytes()).decode()
    return page.evaluate(
        RUN_WORKER, [source, variables, content, "a@outside.example", recipient]
    )


def test_worker_delivers(page, bridge, server, account, desk):
    subject = unique()
    url = server.base_url + account.path
    outcome = work(page, url, account.key, make_mail(desk, subject), desk)
    assert outcome == {"thrown": None, "rejected": None}
    wait_for(lambda: leads(bridge, subject))
    assert len(leads(bridge, subject)) == 1


def test_worker_keeps_or_refuses_what_is_not_accepted(
    page, bridge, server, account, desk
):
    mail = make_mail(desk, unique())
    url = server.base_url + account.path
    wrong = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    assert "403" in work(page, url, wrong, mail, desk)["rejected"]
    bridge.client.call("mail.bridge.account", "action_disable", [account.id])
    assert "503" in work(page, url, account.key, mail, desk)["thrown"]
