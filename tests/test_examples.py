# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The senders in docs/examples work as they stand there."""

import base64
import os
import secrets
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.bridge import wait_for
from tests.support.posts import make_mail, standard_key, unique

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
DELIVERED, TOO_LARGE, TRY_AGAIN = 0, 69, 75
SENDER = "a@outside.example"
LOGIN_PAGE = (200, b"<html>Please sign in.</html>")

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


class Peer:
    """A web server that is not Mail Bridge: `answer` is (status, body) to all posts.

    Every redirect leads to a page that says 200; `seen` are the posts' headers.
    """

    def __init__(self) -> None:
        self.answer = (200, b"OK")
        self.seen: list[dict[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                self.say(200, b"OK")

            def do_POST(self) -> None:  # noqa: N802
                self.rfile.read(int(self.headers["Content-Length"]))
                peer.seen.append(dict(self.headers))
                self.say(*((200, b"OK") if self.path == "/login" else peer.answer))

            def say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/login")
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def account(bridge):
    return bridge.account("raw", raw_signing_key=standard_key())


@pytest.fixture
def desk(bridge):
    return bridge.alias()


def leads(bridge, subject):
    return bridge.sql("SELECT id FROM crm_lead WHERE name = %s", subject)


def stored(bridge, account):
    return len(bridge.intakes(account))


# ------------------------------------------------------------------------------- pipe


def pipe(url, key, mail, recipient="x@bridge.example", sender=SENDER):
    """Run the pipe script as a mail server does; the exit code."""
    given = {"MAILGATE_URL": url, "MAILGATE_SECRET": key}
    kept = {name: value for name, value in given.items() if value is not None}
    done = subprocess.run(
        [sys.executable, EXAMPLES / "mailgate_pipe.py", sender, recipient],
        input=mail.as_bytes(),
        env={"PATH": os.environ["PATH"], **kept},
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode


def test_pipe_delivers_and_a_repetition_is_known(bridge, server, account, desk):
    subject = unique()
    mail = make_mail(desk, subject)
    for _time in range(2):
        url = server.base_url + account.path
        assert pipe(url, account.key, mail, desk) == DELIVERED
    wait_for(lambda: leads(bridge, subject))
    assert len(leads(bridge, subject)) == 1
    assert stored(bridge, account) == 1


def test_pipe_lets_a_mail_wait_that_was_not_stored(bridge, server, account, desk):
    mail = make_mail(desk, unique())
    url = server.base_url + account.path
    assert pipe(url, standard_key(), mail, desk) == TRY_AGAIN
    bridge.client.call("mail.bridge.account", "action_disable", [account.id])
    assert pipe(url, account.key, mail, desk) == TRY_AGAIN
    nobody = "http://127.0.0.1:9/mailgate/raw/x"
    assert pipe(nobody, account.key, mail, desk) == TRY_AGAIN
    assert stored(bridge, account) == 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((200, b"OK"), DELIVERED),
        (LOGIN_PAGE, TRY_AGAIN),
        ((204, b""), TRY_AGAIN),
        *(((status, b"OK"), TRY_AGAIN) for status in (301, 302, 303, 307, 308)),
        *(((status, b""), TRY_AGAIN) for status in (400, 401, 403, 404, 500, 503)),
        ((413, b""), TOO_LARGE),
    ],
)
def test_pipe_believes_mail_bridge_alone(peer, answer, code):
    """A redirect to a login page is no delivery, a firewall's 403 no bounce."""
    peer.answer = answer
    assert pipe(peer.url, standard_key(), make_mail("x@y.example", "s")) == code
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (None, None),
        ("", None),
        ("not a URL", None),
        ("/mailgate/raw/x", None),
        ("PEER", "whsec_no base64"),
        ("PEER", "whsec_größe"),
    ],
)
def test_pipe_bounces_no_mail_for_a_wrong_configuration(peer, url, key):
    url = peer.url if url == "PEER" else url
    assert pipe(url, key, make_mail("x@y.example", "s")) == TRY_AGAIN
    assert peer.seen == []


@pytest.mark.parametrize(
    ("sender", "posted"), [("", ""), ("MAILER-DAEMON", ""), (SENDER, SENDER)]
)
def test_pipe_knows_the_null_sender(peer, sender, posted):
    mail = make_mail("x@y.example", "s")
    assert pipe(peer.url, standard_key(), mail, sender=sender) == DELIVERED
    assert peer.seen[0]["X-Envelope-From"] == posted


def test_pipe_delivers_to_addresses_beyond_latin_letters(bridge, server, account):
    desk = bridge.alias()
    subject, sender = unique(), "квітка@outside.example"
    url = server.base_url + account.path
    mail = make_mail(desk, subject)
    assert pipe(url, account.key, mail, desk, sender=sender) == DELIVERED
    [entry] = wait_for(lambda: bridge.messages(subject, "envelope_from"))
    assert entry["envelope_from"] == sender


# ----------------------------------------------------------------------------- Worker


def work(page, url, key, mail, recipient, sender=SENDER):
    """Run the Worker in Chromium, whose fetch and crypto are those of Workers."""
    source = (EXAMPLES / "email_worker.js").read_text()
    variables = {"MAILGATE_URL": url, "MAILGATE_SECRET": key}
    content = base64.b64encode(mail.as_bytes()).decode()
    return page.evaluate(RUN_WORKER, [source, variables, content, sender, recipient])


def test_worker_delivers_and_a_repetition_is_known(page, bridge, server, account, desk):
    """The sender repeats a mail whose answer was lost; it is the same post then."""
    subject = unique()
    url = server.base_url + account.path
    mail = make_mail(desk, subject)
    for _time in range(2):
        outcome = work(page, url, account.key, mail, desk)
        assert outcome == {"thrown": None, "rejected": None}
    wait_for(lambda: leads(bridge, subject))
    assert len(leads(bridge, subject)) == 1
    assert stored(bridge, account) == 1
    # Another recipient of the same mail is another post.
    assert work(page, url, account.key, mail, f"x{desk}")["thrown"] is None
    assert stored(bridge, account) == 2


def test_worker_keeps_what_was_not_stored(page, bridge, server, account, desk):
    mail = make_mail(desk, unique())
    url = server.base_url + account.path
    outcome = work(page, url, standard_key(), mail, desk)
    assert "403" in outcome["thrown"] and outcome["rejected"] is None
    bridge.client.call("mail.bridge.account", "action_disable", [account.id])
    assert "503" in work(page, url, account.key, mail, desk)["thrown"]
    assert stored(bridge, account) == 0


def test_worker_believes_mail_bridge_alone(page, peer):
    page.goto(peer.url)  # one origin, or the browser itself would refuse to follow
    key, mail = secrets.token_hex(16), make_mail("x@y.example", "s")

    def outcome(status, body=b"OK"):
        peer.answer = (status, body)
        return work(page, f"{peer.url}/mailgate", key, mail, "größe@y.example")

    assert outcome(200) == {"thrown": None, "rejected": None}
    posted = peer.seen[0]["X-Envelope-To"].encode("latin-1").decode()
    assert posted == "größe@y.example"
    for status in (301, 302, 303, 307, 308, 403, 404, 500):
        assert outcome(status)["thrown"]
    assert outcome(*LOGIN_PAGE)["thrown"]
    assert "413" in outcome(413)["rejected"]
    assert {post["webhook-id"] for post in peer.seen} == {peer.seen[0]["webhook-id"]}
