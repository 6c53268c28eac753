# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What SMTP2GO is asked: of one mail in doubt, of all, of the account."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import (
    NoAnswerError,
    PermanentError,
    TemporaryError,
)
from odoo.addons.mail_bridge.providers.base import AccountFacts, utcnow
from odoo.addons.mail_bridge.providers.delivery import OutgoingMail
from odoo.addons.mail_bridge.tests_plain.api_stub import DROP, Said
from odoo.addons.mail_bridge_smtp2go import const, history
from odoo.addons.mail_bridge_smtp2go.adapter import Smtp2goAdapter
from odoo.addons.mail_bridge_smtp2go.statistics import REPORTS, report
from odoo.addons.mail_bridge_smtp2go.tests_plain.api_of import (
    ACCOUNT,
    DENIED,
    KEY,
    error,
    paths,
    said,
    smtp2go,
)

adapter = Smtp2goAdapter()
ANNA, BEN, EVE = "anna@example.com", "ben@example.com", "eve@example.com"
MAIL = OutgoingMail(
    b"", "bounce@customer.example", (ANNA, BEN), "mb-1", "<17@customer.example>"
)
BEGIN = datetime(2026, 11, 20, 10, tzinfo=timezone.utc)


def item(event, recipient=ANNA, seconds=0, name="1-a", begin=BEGIN, **more):
    """An event as the activity search lists it."""
    moment = begin + timedelta(seconds=seconds)
    return {
        "from": "vera@customer.example",
        "recipient": recipient,
        "email_id": name,
        "date": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "event": event,
        "subject": "Ein Muster",
        "username": "api-5BFDE1E62529",
        "smtp_response": "250 Message received",
        "host": "198.51.100.7",
        "custom_headers": {const.REFERENCE_HEADER: "mb-1"},
        **more,
    }


def recent(event, *args, **more):
    """The same, of the last hour."""
    return item(event, *args, begin=utcnow() - timedelta(hours=1), **more)


def page(*items, token=None, total=None):
    total = len(items) if total is None else total
    return said({"events": list(items), "total_events": total, "continue_token": token})


class Activity:
    """A search over these events, in pages of this size."""

    def __init__(self, *items, size=100):
        self.items = items
        self.size = size

    def __call__(self, asked):
        wanted = asked.json
        found = [
            one
            for one in self.items
            if wanted.get("search_recipient", "") in one["recipient"]
            and wanted.get("search_email_id", one["email_id"]) == one["email_id"]
            and wanted["start_date"] <= one["date"] < wanted.get("end_date", "9")
        ]
        start = int(wanted.get("continue_token") or 0)
        end = start + self.size
        token = str(end) if end < len(found) else None
        return page(*found[start:end], token=token, total=len(found))


class TestFind:
    def test_by_our_reference(self, monkeypatch):
        foreign = {const.REFERENCE_HEADER: "mb-2", "Message-ID": MAIL.message_id}
        search = Activity(
            recent("processed"),
            recent("delivered", seconds=2),
            recent("hard-bounced", BEN, 3, smtp_response="550 5.1.1 unknown"),
            recent("delivered", EVE, 3),
            recent("delivered", name="2-b", custom_headers=foreign),
            recent("delivered", name="3-c", custom_headers={}),
        )
        with smtp2go(monkeypatch, search) as stub:
            events = adapter.find(MAIL, ACCOUNT)
        assert [(event.type, event.recipient) for event in events] == [
            ("queued", ANNA),
            ("delivered", ANNA),
            ("bounced", BEN),
        ]
        assert {event.reference for event in events} == {"mb-1"}
        assert {event.provider_reference for event in events} == {"1-a"}
        assert paths(stub) == ["/activity/search"] * 2
        first, second = (asked.json for asked in stub.asked)
        assert first["search_recipient"] == ANNA and first["limit"] == 1000
        assert const.REFERENCE_HEADER in first["custom_headers"]
        start = datetime.fromisoformat(first["start_date"].replace("Z", "+00:00"))
        assert timedelta(days=3) < utcnow() - start < timedelta(days=5)
        assert second["search_email_id"] == "1-a"

    @pytest.mark.parametrize("spelling", ["Message-ID", "message-id"])
    def test_by_the_message_id(self, monkeypatch, spelling):
        headers = {spelling: MAIL.message_id}
        search = Activity(recent("delivered", custom_headers=headers))
        with smtp2go(monkeypatch, search):
            [event] = adapter.find(MAIL, ACCOUNT)
        assert (event.type, event.reference) == ("delivered", "mb-1")

    def test_two_mails_of_one_reference(self, monkeypatch):
        search = Activity(recent("processed"), recent("delivered", name="2-b"))
        with smtp2go(monkeypatch, search):
            names = [e.provider_reference for e in adapter.find(MAIL, ACCOUNT)]
        assert names == ["1-a", "2-b"]

    def test_each_recipient_is_asked_for_until_one_is_found(self, monkeypatch):
        with smtp2go(monkeypatch, Activity(recent("delivered", BEN))) as stub:
            [event] = adapter.find(MAIL, ACCOUNT)
        assert event.recipient == BEN
        asked = [asked.json.get("search_recipient") for asked in stub.asked]
        assert asked == [ANNA, BEN, None]

    def test_what_is_not_there(self, monkeypatch):
        many = OutgoingMail(
            b"", "", tuple(f"r{n}@x.example" for n in range(50)), "r", ""
        )
        with smtp2go(monkeypatch, page()) as stub:
            assert adapter.find(many, ACCOUNT) == []
        assert len(stub.asked) == history.MAX_ASKED

    def test_all_pages_of_a_busy_recipient(self, monkeypatch):
        others = [recent("opened", name="0", custom_headers={})] * 2
        search = Activity(*others, recent("delivered"), size=1)
        with smtp2go(monkeypatch, search):
            assert len(adapter.find(MAIL, ACCOUNT)) == 1

    def test_a_token_that_never_ends_does(self, monkeypatch):
        with smtp2go(monkeypatch, page(token="x")) as stub:
            assert adapter.find(MAIL, ACCOUNT) == []
        assert len(stub.asked) == 2 * 2

    @pytest.mark.parametrize(
        ("answer", "problem", "seconds"),
        [
            (Said(429), TemporaryError, 60.0),
            (Said(429, headers=(("Retry-After", "5"),)), TemporaryError, 5.0),
            (Said(500), TemporaryError, None),
            (Said(200, b"<html>"), TemporaryError, None),
            (said([]), TemporaryError, None),
            (said({"events": "x"}), TemporaryError, None),
            (DROP, NoAnswerError, None),
            (Said(401), PermanentError, None),
            (DENIED, PermanentError, None),
            (error("NON_VALIDATING_IN_PAYLOAD", KEY), PermanentError, None),
        ],
    )
    def test_what_goes_wrong(self, monkeypatch, answer, problem, seconds):
        with smtp2go(monkeypatch, answer), pytest.raises(problem) as caught:
            adapter.find(MAIL, ACCOUNT)
        assert getattr(caught.value, "retry_after", None) == seconds
        assert KEY not in str(caught.value)

    def test_without_a_key_nobody_can_be_asked(self):
        with pytest.raises(PermanentError):
            adapter.find(MAIL, AccountFacts())

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(
                    "event date recipient email_id smtp_response custom_headers "
                    "reason recipients srchost".split()
                ),
                st.none() | st.integers() | st.text(max_size=9) | st.just([{}])
                | st.sampled_from(["delivered", "opened", ANNA]),
            )
            | st.text(max_size=3)
        )
    )  # fmt: skip
    def test_no_item_holds_up_the_others(self, items):
        good = item("delivered")
        events = list(history._read([*items, good]))
        assert events[-1].recipient == ANNA


class TestEventsBetween:
    END = BEGIN + timedelta(hours=1)

    def test_all_of_a_span(self, monkeypatch):
        search = Activity(
            item("opened", seconds=9),
            item("delivered", seconds=5),
            item("something", seconds=6),
            item("delivered", "no address", 7),
            item("processed", None, 1, recipients=[ANNA, BEN]) | {"recipient": ""},
        )
        with smtp2go(monkeypatch, search) as stub:
            events, until = history.events_between(ACCOUNT, BEGIN, self.END)
        assert until == self.END
        kinds = [event.type for event in events]
        assert kinds == ["queued", "queued", "delivered", "opened"]
        asked = stub.asked[0].json
        assert asked["start_date"] == "2026-11-20T10:00:00Z"
        assert asked["end_date"] == "2026-11-20T11:00:00Z"

    def test_several_pages(self, monkeypatch):
        items = [item("delivered", seconds=second) for second in range(5)]
        with smtp2go(monkeypatch, Activity(*items, size=2)) as stub:
            events, until = history.events_between(ACCOUNT, BEGIN, self.END)
        assert len(events) == 5 and until == self.END and len(stub.asked) == 3

    def test_what_does_not_fit_is_left_for_the_next_time(self, monkeypatch):
        """Whatever order SMTP2GO lists in, nothing is passed over."""
        monkeypatch.setattr(const, "PAGE", 10)
        items = [item("delivered", seconds=30 * n, name=str(n)) for n in range(120)]
        for order in (1, -1):
            with smtp2go(monkeypatch, Activity(*items[::order], size=10)):
                seen, begin = [], BEGIN
                for _time in range(20):
                    events, until = history.events_between(ACCOUNT, begin, self.END)
                    seen += events
                    begin = until
                    if until == self.END:
                        break
            names = {event.provider_reference for event in seen}
            assert names == {str(n) for n in range(120)}

    def test_pages_without_a_total(self, monkeypatch):
        monkeypatch.setattr(const, "PAGE", 10)
        items = [item("delivered", seconds=60 * n, name=str(n)) for n in range(60)]
        search = Activity(*items, size=10)

        def without(asked):
            answer = search(asked)
            answer.body["data"].pop("total_events")
            return answer

        with smtp2go(monkeypatch, without):
            events, until = history.events_between(ACCOUNT, BEGIN, self.END)
        assert until < self.END
        assert len(events) == (until - BEGIN).total_seconds() / 60

    def test_more_in_one_second_than_can_be_listed(self, monkeypatch):
        with smtp2go(monkeypatch, page(item("opened"), token="x", total=10**9)) as stub:
            end = BEGIN + timedelta(seconds=1)
            events, until = history.events_between(ACCOUNT, BEGIN, end)
        assert until == end and events and len(stub.asked) < 5

    def test_it_gives_up(self, monkeypatch):
        def endless(asked):
            token = asked.json.get("continue_token", "") + "x"
            return page(item("opened"), token=token, total=0)

        with smtp2go(monkeypatch, endless), pytest.raises(TemporaryError):
            end = BEGIN + timedelta(days=300)
            history.events_between(ACCOUNT, BEGIN, end)


class TestFigures:
    @pytest.mark.parametrize(("name", "endpoint"), REPORTS.items())
    def test_each_report(self, monkeypatch, name, endpoint):
        data = {"emails": 3, "rejects": 1, "bounce_rejects": 1, "spam_rejects": 0}
        with smtp2go(monkeypatch, said(data)) as stub:
            assert report(ACCOUNT, name, username="u") == {"emails": 3, "rejects": 1}
        assert paths(stub) == [endpoint] and stub.asked[0].json == {"username": "u"}

    def test_an_unknown_one(self):
        with pytest.raises(PermanentError):
            report(ACCOUNT, "weather")

    def test_an_answer_without_figures(self, monkeypatch):
        with smtp2go(monkeypatch, said([])), pytest.raises(TemporaryError):
            report(ACCOUNT, "cycle")
