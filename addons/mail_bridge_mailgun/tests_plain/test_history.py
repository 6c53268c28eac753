# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What Mailgun tells when it is asked: of a mail in doubt, and of a span of time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.base import utcnow
from odoo.addons.mail_bridge.providers.delivery import OutgoingMail
from odoo.addons.mail_bridge.tests_plain.api_stub import DROP, Said, closed_port
from odoo.addons.mail_bridge.tests_plain.contract import NOW
from odoo.addons.mail_bridge_mailgun import const_api, history
from odoo.addons.mail_bridge_mailgun.adapter import MailgunAdapter
from odoo.addons.mail_bridge_mailgun.tests_plain.event_posts import (
    REFERENCE,
    VERA,
    event,
    signed,
)
from odoo.addons.mail_bridge_mailgun.tests_plain.mailgun_stub import (
    ACCOUNT,
    API_KEY,
    DOMAIN,
    running_mailgun,
)

MAIL = OutgoingMail(
    mime=b"x",
    envelope_sender="shop@mg.example",
    recipients=(VERA,),
    reference=REFERENCE,
    message_id="<out1@mg.example>",
)
adapter = MailgunAdapter()


@pytest.fixture
def mailgun(monkeypatch):
    with running_mailgun(monkeypatch) as found:
        yield found


def numbered(count: int, kind: str = "delivered", start: float = -600.0):
    """Events, a second apart."""
    for number in range(count):
        stamp = NOW.timestamp() + start + number
        yield event(kind, id=f"id{number}", timestamp=stamp)


class TestFind:
    def test_what_is_asked(self, mailgun):
        assert history.find(MAIL, ACCOUNT, NOW) == []
        [asked] = mailgun.stub.asked
        assert (asked.method, asked.path) == ("GET", f"/v3/{DOMAIN}/events")
        assert asked.auth == ("api", API_KEY)
        assert dict(asked.query) == {
            "begin": str(int(NOW.timestamp()) - 15 * 60),
            "ascending": "yes",
            "limit": "300",
            "message-id": "out1@mg.example",
        }

    def test_the_adapter_asks_now(self, mailgun):
        now = utcnow().timestamp()
        mailgun.events = [event("accepted", timestamp=now - 60)]
        [found] = adapter.find(MAIL, ACCOUNT)
        assert (found.type, found.recipient) == ("queued", VERA)

    def test_what_it_knows_of_this_mail(self, mailgun):
        mailgun.events = [
            event("accepted", timestamp=NOW.timestamp() - 1000),
            event("accepted", id="2"),
            event("delivered", id="3", recipient="other@customer.example"),
        ]
        found = history.find(MAIL, ACCOUNT, NOW)
        assert [(item.type, item.recipient) for item in found] == [
            ("queued", VERA),
            ("delivered", "other@customer.example"),
        ]
        assert found[0].reference == REFERENCE

    def test_other_mail_is_not_taken_for_it(self, mailgun):
        """The filter of the interface matches words, not whole values."""
        other = event("accepted", user_variables={"mail_bridge_reference": "other"})
        longer = event("accepted")
        longer["message"] = {"headers": {"message-id": "xout1@mg.example"}}
        mailgun.answers = [Said(200, {"items": [other, longer]})]
        assert history.find(MAIL, ACCOUNT, NOW) == []

    def test_an_event_is_the_same_as_in_a_webhook(self, mailgun):
        data = event("opened", ip="192.0.2.7")
        mailgun.events = [data]
        [asked] = history.find(MAIL, ACCOUNT, NOW)
        [posted] = adapter.parse(signed(data), {}, ACCOUNT)
        assert asked == posted

    def test_pages_are_followed_to_the_empty_one(self, mailgun):
        mailgun.events = list(numbered(700))
        assert len(history.find(MAIL, ACCOUNT, NOW)) == 700
        assert len(mailgun.stub.asked) == 4

    def test_pages_have_an_end(self, mailgun, monkeypatch):
        monkeypatch.setattr(const_api, "EVENT_LIMIT", 1)
        mailgun.events = list(numbered(100))
        assert len(history.find(MAIL, ACCOUNT, NOW)) == const_api.MAX_PAGES
        assert len(mailgun.stub.asked) == const_api.MAX_PAGES

    def test_what_makes_no_sense_holds_up_nothing(self, mailgun):
        items = [None, 5, {}, event("delivered", recipient=None), event("delivered")]
        mailgun.answers = [Said(200, {"items": items, "paging": None})]
        assert len(history.find(MAIL, ACCOUNT, NOW)) == 1

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/v3/mg.example.com/events/1",
            "http://127.0.0.1:1/v3/mg.example.com/events/1",
            "{base}/v3/routes",
            "{base}/v3/mg.example.com/events@evil.example/",
            "{base}.evil.example/v3/mg.example.com/events/1",
        ],
    )
    def test_a_next_page_elsewhere_is_not_followed(self, mailgun, url):
        paging = {"next": url.format(base=mailgun.stub.url)}
        mailgun.answers = [Said(200, {"items": [event("opened")], "paging": paging})]
        with pytest.raises(PermanentError, match="somewhere else"):
            history.find(MAIL, ACCOUNT, NOW)
        assert len(mailgun.stub.asked) == 1

    @pytest.mark.parametrize(
        ("said", "error", "wait"),
        [
            (Said(401, b'"Forbidden"'), PermanentError, None),
            (Said(403, {"message": f"a {API_KEY}"}), PermanentError, None),
            (Said(404, {"message": "Domain not found"}), PermanentError, None),
            (Said(400, {"message": "x"}), PermanentError, None),
            (Said(302), PermanentError, None),
            (Said(429, b"", (("Retry-After", "8"),)), TemporaryError, 8.0),
            (Said(429, {"message": "try again after 9 seconds"}), TemporaryError, 9.0),
            (Said(500), TemporaryError, None),
            (Said(503), TemporaryError, None),
            (Said(200, b"<html>"), TemporaryError, None),
            (Said(200, b"[]"), TemporaryError, None),
            (DROP, TemporaryError, None),
        ],
    )
    def test_what_goes_wrong(self, mailgun, said, error, wait):
        mailgun.answers = [said]
        with pytest.raises(error) as caught:
            history.find(MAIL, ACCOUNT, NOW)
        assert API_KEY not in str(caught.value)
        if error is TemporaryError:
            assert caught.value.retry_after == wait

    def test_nobody_there(self, mailgun, monkeypatch):
        url = f"http://127.0.0.1:{closed_port()}"
        monkeypatch.setitem(const_api.API_URLS, "eu", url)
        with pytest.raises(TemporaryError):
            history.find(MAIL, ACCOUNT, NOW)

    def test_an_account_without_a_key_cannot_ask(self):
        with pytest.raises(PermanentError):
            history.find(MAIL, replace(ACCOUNT, secrets={}), NOW)

    @pytest.mark.parametrize("items", [None, {}, "x", 5, [], [[]]])
    def test_odd_pages_are_empty(self, mailgun, items):
        mailgun.answers = [Said(200, {"items": items})]
        assert history.find(MAIL, ACCOUNT, NOW) == []


class TestSpan:
    BEGIN = NOW - timedelta(hours=1)

    def test_everything_in_it(self, mailgun):
        mailgun.events = list(numbered(350))
        found, upto = history.events_between(ACCOUNT, self.BEGIN, NOW)
        assert len(found) == 350 and upto == NOW
        query = dict(mailgun.stub.asked[0].query)
        assert query["begin"] == str(int(self.BEGIN.timestamp()))
        assert query["end"] == str(int(NOW.timestamp()) + 1)
        assert query["ascending"] == "yes" and "message-id" not in query

    def test_mail_that_came_in_is_left_out(self, mailgun):
        mailgun.events = [event("stored"), event("accepted", routes=["x"])]
        assert history.events_between(ACCOUNT, self.BEGIN, NOW) == ([], NOW)

    def test_very_many_are_told_up_to_a_moment(self, mailgun, monkeypatch):
        monkeypatch.setattr(const_api, "EVENT_LIMIT", 10)
        mailgun.events = list(numbered(500))
        found, upto = history.events_between(ACCOUNT, self.BEGIN, NOW)
        assert len(found) == 10 * const_api.MAX_PAGES
        assert upto == found[-1].occurred_at < NOW
        rest, upto = history.events_between(ACCOUNT, upto, NOW)
        # The second is a whole one: nothing may be missed, and so some come twice.
        assert rest[0].event_reference == found[-1].event_reference
