# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail handed to Mailgun: what is sent, and the truth for each recipient."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail, Reply
from odoo.addons.mail_bridge.tests_plain.api_stub import (
    DROP,
    HALF,
    Said,
    api_stub,
    closed_port,
)
from odoo.addons.mail_bridge_mailgun import const_api
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter
from odoo.addons.mail_bridge_mailgun.tests_plain.mailgun_stub import (
    ACCOUNT,
    API_KEY,
    DOMAIN,
    NOT_AN_ADDRESS,
    running_mailgun,
)

MIME = (
    b"From: Shop <shop@mg.example.com>\r\nTo: undisclosed-recipients:;\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <out1@mg.example.com>\r\n"
    b"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\n\r\nbody \xff\x00\r\n--x--\r\n"
)
A, B, C, D = (f"{name}@customer.example" for name in ("ada", "bob", "cyd", "dan"))
MAIL = OutgoingMail(
    mime=MIME,
    envelope_sender="shop@mg.example.com",
    recipients=(A, B),
    reference="mbr-7f3a_19",
    message_id="<out1@mg.example.com>",
)
adapter = MailgunAdapter()


@pytest.fixture
def mailgun(monkeypatch):
    with running_mailgun(monkeypatch) as found:
        yield found


def outcomes(receipt) -> dict[str, Outcome]:
    return {item.address: item.outcome for item in receipt.results}


def sent_with(mailgun, *answers, mail=MAIL, account=ACCOUNT):
    mailgun.answers += answers
    receipt = adapter.send(mail, account)
    for item in receipt.results:
        assert API_KEY not in item.reply.text and len(item.reply.text) <= 1000
        assert not set(item.reply.text) & set("\r\n\0")
        if item.outcome is Outcome.DEFERRED:  # no code may say "never" then
            assert item.reply.code < 500 or item.reply.code == 503
            assert not item.reply.enhanced.startswith("5")
    assert tuple(item.address for item in receipt.results) == mail.recipients
    return receipt


class TestWhatIsSent:
    def test_the_mail_as_it_is_to_these_recipients(self, mailgun):
        receipt = sent_with(mailgun)
        [mail] = mailgun.mails
        assert mail["mime"] == MIME
        assert mail["to"] == [A, B]
        assert mail["v:mail_bridge_reference"] == ["mbr-7f3a_19"]
        [asked] = mailgun.stub.asked
        assert asked.path == f"/v3/{DOMAIN}/messages.mime"
        assert asked.auth == ("api", API_KEY)
        assert outcomes(receipt) == dict.fromkeys((A, B), Outcome.ACCEPTED)
        assert receipt.results[0].reply == Reply("api", 200, "", "Queued. Thank you.")
        assert receipt.provider_reference == "out1@mg.example.com"
        assert receipt.message_id == "", "it kept ours"
        assert receipt.retry_after is None

    @pytest.mark.parametrize("opens", [False, True])
    @pytest.mark.parametrize("clicks", [False, True])
    def test_what_is_tracked(self, mailgun, opens, clicks):
        """Said each time, whatever the domain's own settings are."""
        sent_with(mailgun, mail=replace(MAIL, track_opens=opens, track_clicks=clicks))
        [mail] = mailgun.mails
        words = {True: ["yes"], False: ["no"]}
        assert mail["o:tracking"] == words[opens or clicks]
        assert mail["o:tracking-opens"] == words[opens]
        assert mail["o:tracking-clicks"] == words[clicks]

    @pytest.mark.parametrize("region", ["", None, "us"])
    def test_the_region_of_the_account(self, mailgun, region, monkeypatch):
        with api_stub(lambda asked: Said(200, {"id": "<x@y>"}), monkeypatch) as other:
            monkeypatch.setitem(const_api.API_URLS, "us", other.url)
            options = {"domain": DOMAIN, "region": region}
            sent_with(mailgun, account=replace(ACCOUNT, options=options))
            assert len(other.asked) == 1 and not mailgun.stub.asked

    @pytest.mark.parametrize("domain", [DOMAIN, f" {DOMAIN.upper()}. "])
    def test_the_domain_of_the_account(self, mailgun, domain):
        options = {**ACCOUNT.options, "domain": domain}
        sent_with(mailgun, account=replace(ACCOUNT, options=options))
        assert mailgun.stub.asked[0].path == f"/v3/{DOMAIN}/messages.mime"

    def test_the_published_regions(self):
        assert const_api.API_URLS == {
            "us": "https://api.mailgun.net",
            "eu": "https://api.eu.mailgun.net",
        }

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("<out1@mg.example.com>", ""),
            ("out1@mg.example.com", ""),
            ("<2026.1@mg.example.com>", "<2026.1@mg.example.com>"),
        ],
    )
    def test_another_message_id_is_told(self, mailgun, given, kept):
        receipt = sent_with(mailgun, Said(200, {"id": given, "message": "Queued."}))
        assert receipt.message_id == kept
        assert receipt.provider_reference == given.strip("<>")

    def test_a_recipient_named_twice_is_sent_to_once(self, mailgun):
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=(A, B, A)))
        assert mailgun.mails[0]["to"] == [A, B]
        assert [item.outcome for item in receipt.results] == [Outcome.ACCEPTED] * 3


ACCEPTED, DEFERRED = Outcome.ACCEPTED, Outcome.DEFERRED
REJECTED, IN_DOUBT = Outcome.REJECTED, Outcome.IN_DOUBT
LIMIT = "Domain x is not allowed to send: limit exceeded, try again after 120 seconds"
#: The answer, then outcome, stage, code, enhanced code and wait.
ANSWERS = [
    (Said(200, {"id": "<a@b>", "message": "Q"}), ACCEPTED, "api", 200, "", None),
    (Said(202, {"id": "<a@b>"}), ACCEPTED, "api", 202, "", None),
    (Said(200, b"<html>hello"), IN_DOUBT, "api", 200, "", None),
    (Said(200, b""), IN_DOUBT, "api", 200, "", None),
    (Said(200, {"message": "Queued."}), IN_DOUBT, "api", 200, "", None),
    (Said(200, {"id": "a\r\nb"}), IN_DOUBT, "api", 200, "", None),
    (Said(204), IN_DOUBT, "api", 204, "", None),
    (Said(302, b"", (("Location", "/x"),)), DEFERRED, "api", 302, "", None),
    (Said(400, {"message": "limited to 16KB"}), REJECTED, "api", 400, "", None),
    (Said(400, b"no JSON"), REJECTED, "api", 400, "", None),
    (
        Said(400, {"message": "from parameter is missing"}),
        *(REJECTED, "mail", 501, "5.1.7", None),
    ),
    (
        Said(400, {"message": "Sandbox subdomains are for test purposes only."}),
        *(DEFERRED, "auth", 0, "", None),
    ),
    (
        Said(400, {"message": "Domain mg.example.com not found"}),
        *(DEFERRED, "auth", 0, "", None),
    ),
    (Said(401, b'"Forbidden"'), DEFERRED, "api", 401, "", None),
    (Said(402, {"message": "x"}), DEFERRED, "api", 402, "", None),
    (Said(403, {"message": "x"}), DEFERRED, "api", 403, "", None),
    (Said(404, {"message": "Domain not found"}), DEFERRED, "api", 404, "", None),
    (Said(408), DEFERRED, "api", 408, "", None),
    (Said(413), REJECTED, "api", 413, "5.3.4", None),
    (Said(418), DEFERRED, "api", 418, "", None),
    (Said(420, {"message": "x"}), DEFERRED, "api", 420, "", None),
    (Said(429, {"message": LIMIT}), DEFERRED, "api", 429, "", 120.0),
    (Said(429, b"", (("Retry-After", "7"),)), DEFERRED, "api", 429, "", 7.0),
    (Said(429), DEFERRED, "api", 429, "", None),
    (Said(500, {"message": "x"}), IN_DOUBT, "api", 500, "", None),
    (Said(502, b"<html>"), IN_DOUBT, "api", 502, "", None),
    (Said(503), IN_DOUBT, "api", 503, "", None),
    (Said(503, b"", (("Retry-After", "9"),)), DEFERRED, "api", 503, "", 9.0),
    (Said(504), IN_DOUBT, "api", 504, "", None),
    (DROP, IN_DOUBT, "api", 0, "", None),
    (HALF, IN_DOUBT, "api", 0, "", None),
]


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "outcome", "stage", "code", "enhanced", "wait"), ANSWERS
    )
    def test_each(self, mailgun, said, outcome, stage, code, enhanced, wait):
        receipt = sent_with(mailgun, said)
        assert outcomes(receipt) == dict.fromkeys((A, B), outcome)
        for item in receipt.results:
            reply = item.reply
            assert (reply.stage, reply.code, reply.enhanced) == (stage, code, enhanced)
        assert receipt.retry_after == wait
        assert len(mailgun.stub.asked) == 1, "nothing is repeated"
        assert bool(receipt.provider_reference) == (outcome is ACCEPTED)

    def test_a_slow_answer_is_in_doubt(self, mailgun, monkeypatch):
        monkeypatch.setattr(const_api, "SEND_TIMEOUT", 0.3)
        receipt = sent_with(mailgun, Said(200, {"id": "<a@b>"}, after=1.0))
        assert outcomes(receipt) == dict.fromkeys((A, B), IN_DOUBT)

    def test_nobody_there_is_not_in_doubt(self, mailgun, monkeypatch):
        url = f"http://127.0.0.1:{closed_port()}"
        monkeypatch.setitem(const_api.API_URLS, "eu", url)
        receipt = sent_with(mailgun)
        assert outcomes(receipt) == dict.fromkeys((A, B), DEFERRED)
        assert receipt.results[0].reply.stage == "connect"

    def test_the_words_of_a_refusal_are_kept(self, mailgun):
        said = Said(403, {"message": f"no\r\n {API_KEY}\0 " + "x" * 5000})
        receipt = sent_with(mailgun, said)
        assert receipt.results[0].reply.text.startswith("no *** xx")

    @given(
        st.integers(200, 599),
        st.binary(max_size=60) | st.text('{}":idxé<@>', max_size=20),
    )
    def test_any_answer_is_an_outcome(self, status, body):
        body = body if isinstance(body, bytes) else body.encode()
        with (
            pytest.MonkeyPatch.context() as patch,
            running_mailgun(patch) as mailgun,
        ):
            receipt = sent_with(mailgun, *[Said(status, body)] * 3)
        if status >= 500:
            assert set(outcomes(receipt).values()) == {IN_DOUBT}
        elif status >= 300:
            assert not {ACCEPTED, IN_DOUBT} & set(outcomes(receipt).values())

    @pytest.mark.parametrize(
        "account",
        [
            AccountFacts(),
            replace(ACCOUNT, secrets={"api_key": ("",)}),
            replace(ACCOUNT, options={"region": "eu"}),
            replace(ACCOUNT, options={"domain": "a/b?c.example", "region": "eu"}),
            replace(ACCOUNT, options={"domain": "a..example", "region": "eu"}),
            replace(ACCOUNT, options={"domain": DOMAIN, "region": "mars"}),
        ],
    )
    def test_an_account_that_cannot_send(self, mailgun, account):
        receipt = sent_with(mailgun, account=account)
        assert outcomes(receipt) == dict.fromkeys((A, B), DEFERRED)
        assert receipt.results[0].reply.stage == "auth"
        assert receipt.results[0].reply.text
        assert not mailgun.stub.asked


class TestRecipients:
    def test_the_one_that_is_refused_is_found(self, mailgun):
        mailgun.bad = {C}
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=(A, B, C, D)))
        assert outcomes(receipt) == {A: ACCEPTED, B: ACCEPTED, C: REJECTED, D: ACCEPTED}
        refused = receipt.results[2].reply
        assert refused == Reply("rcpt", 501, "5.1.3", NOT_AN_ADDRESS)
        assert sorted(to for mail in mailgun.mails for to in mail["to"]) == [A, B, D]

    def test_a_single_one_that_is_refused(self, mailgun):
        mailgun.bad = {A}
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=(A,)))
        assert outcomes(receipt) == {A: REJECTED}
        assert len(mailgun.stub.asked) == 1

    def test_the_search_has_an_end(self, mailgun):
        everybody = tuple(f"p{n}@x.example" for n in range(200))
        mailgun.bad = set(everybody)
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=everybody))
        assert set(outcomes(receipt).values()) == {REJECTED, DEFERRED}
        assert len(mailgun.stub.asked) <= const_api.MAX_CALLS + 10

    @pytest.mark.parametrize("said", [Said(429), Said(500), DROP])
    def test_trouble_on_the_way_ends_the_search(self, mailgun, said):
        """Who was sent to is sent to; who was not waits."""
        refusal = Said(400, {"message": NOT_AN_ADDRESS})
        taken = Said(200, {"id": "<a@b>"})
        mail = replace(MAIL, recipients=(A, B, C, D))
        receipt = sent_with(mailgun, refusal, refusal, taken, said, mail=mail)
        found = outcomes(receipt)
        assert found[A] is ACCEPTED and found[C] is found[D] is DEFERRED
        assert found[B] is (DEFERRED if said.status == 429 else IN_DOUBT)
        assert len(mailgun.stub.asked) == 4

    @pytest.mark.parametrize(
        "address",
        ["", "x", "a b@c.example", "a@b.example, c@d.example", "A <a@b.example>",
         "a@b.example\r\nBcc: c@d.example", "a\0@b.example", "<>", "\ud800@b.example"],
    )  # fmt: skip
    def test_what_is_no_address_is_never_sent_to(self, mailgun, address):
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=(A, address)))
        assert outcomes(receipt) == {A: ACCEPTED, address: REJECTED}
        assert receipt.results[1].reply.stage == "rcpt"
        assert mailgun.mails[0]["to"] == [A]

    def test_only_no_addresses(self, mailgun):
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=("x",)))
        assert outcomes(receipt) == {"x": REJECTED}
        assert not mailgun.stub.asked

    def test_nobody(self, mailgun):
        assert sent_with(mailgun, mail=replace(MAIL, recipients=())).results == ()
        assert not mailgun.stub.asked

    def test_more_than_one_call_takes(self, mailgun):
        many = tuple(f"p{n}@x.example" for n in range(1003))
        receipt = sent_with(mailgun, mail=replace(MAIL, recipients=many))
        found = [item.outcome for item in receipt.results]
        assert found == [ACCEPTED] * 1000 + [DEFERRED] * 3
        assert receipt.results[-1].reply.code == 452

    def test_a_mail_that_is_too_large_is_not_handed_over(self, mailgun):
        large = replace(MAIL, mime=MIME + b"x" * (25 * 1024 * 1024))
        receipt = sent_with(mailgun, mail=large)
        assert outcomes(receipt) == dict.fromkeys((A, B), REJECTED)
        assert receipt.results[0].reply.enhanced == "5.3.4"
        assert not mailgun.stub.asked

    def test_other_scripts(self, mailgun):
        address = "größe@dömäin.example"
        sent_with(mailgun, mail=replace(MAIL, recipients=(address,)))
        assert mailgun.mails[0]["to"] == [address]
