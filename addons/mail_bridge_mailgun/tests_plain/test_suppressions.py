# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's lists of addresses it sends nothing to: read, entered, taken off."""

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.suppression import Suppression
from odoo.addons.mail_bridge.tests_plain.api_stub import Said
from odoo.addons.mail_bridge_mailgun import const_api
from odoo.addons.mail_bridge_mailgun.suppressions import (
    add_suppressions,
    remove_suppression,
    suppressions,
)
from odoo.addons.mail_bridge_mailgun.tests_plain.mailgun_stub import (
    ACCOUNT,
    DOMAIN,
    running_mailgun,
)

SINCE = datetime(2025, 12, 11, 1, 49, 40, tzinfo=timezone.utc)
WRITTEN = "Thu, 11 Dec 2025 01:49:40 UTC"
LISTS = {
    "bounced": "bounces",
    "complained": "complaints",
    "unsubscribed": "unsubscribes",
}


@pytest.fixture
def mailgun(monkeypatch):
    with running_mailgun(monkeypatch) as found:
        yield found


def listed(reason):
    return list(suppressions(ACCOUNT, reason))


#: The list, an entry as Mailgun keeps it, and what it says.
ENTRIES = [
    (
        "bounced",
        {"code": "550", "error": "No such\r\nmailbox", "created_at": WRITTEN},
        Suppression("a@b.example", "bounced", SINCE, "550 No such mailbox"),
    ),
    ("bounced", {"code": 605}, Suppression("a@b.example", "bounced", None, "605")),
    (
        "complained",
        {"created_at": "Thu, 11 Dec 2025 02:49:40 +0100"},
        Suppression("a@b.example", "complained", SINCE),
    ),
    (
        "unsubscribed",
        {"tags": ["*"], "created_at": "some day"},
        Suppression("a@b.example", "unsubscribed"),
    ),
    (
        "unsubscribed",
        {"tags": ["news", 7], "created_at": 5},
        Suppression("a@b.example", "unsubscribed", tags=("news",)),
    ),
    (
        "unsubscribed",
        {"tags": ["news", "*"]},
        Suppression("a@b.example", "unsubscribed"),
    ),
]


class TestList:
    @pytest.mark.parametrize(("reason", "entry", "expected"), ENTRIES)
    def test_each_entry(self, mailgun, reason, entry, expected):
        mailgun.lists[LISTS[reason]]["x"] = {"address": "a@b.example", **entry}
        assert listed(reason) == [expected]
        asked = mailgun.stub.asked[0]
        assert asked.path == f"/v3/{DOMAIN}/{LISTS[reason]}"
        assert asked.query == (("limit", "500"),)

    def test_all_pages(self, mailgun, monkeypatch):
        monkeypatch.setattr(const_api, "SUPPRESSION_LIMIT", 4)
        for number in range(10):
            address = f"p{number}@x.example"
            mailgun.lists["bounces"][address] = {"address": address}
        found = [item.address for item in suppressions(ACCOUNT, "bounced")]
        assert found == [f"p{number}@x.example" for number in range(10)]

    @pytest.mark.parametrize("entry", [{}, {"address": None}, {"address": "x y, z"}, 5])
    def test_no_entry(self, mailgun, entry):
        mailgun.answers = [Said(200, {"items": [entry]})]
        assert listed("bounced") == []

    @given(
        st.dictionaries(
            st.sampled_from(["address", "code", "error", "created_at", "tags"]),
            st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text()),
        )
    )
    def test_no_entry_raises(self, entry):
        with pytest.MonkeyPatch.context() as patch, running_mailgun(patch) as mailgun:
            mailgun.answers = [Said(200, {"items": [entry, {"address": "a@b"}]})]
            assert listed("unsubscribed")[-1].address == "a@b"

    def test_trouble_is_told(self, mailgun):
        mailgun.answers = [Said(500), Said(403, {"message": "no"})]
        with pytest.raises(TemporaryError):
            listed("bounced")
        with pytest.raises(PermanentError):
            listed("bounced")


class TestChange:
    def test_each_goes_to_the_list_of_its_reason(self, mailgun):
        add_suppressions(
            ACCOUNT,
            [
                Suppression("a@x.example", "bounced", SINCE, "552 Full"),
                Suppression("b@x.example", "complained", SINCE, "by FBL"),
                Suppression("c@x.example", "unsubscribed"),
                Suppression("d@x.example", "unsubscribed", tags=("news",)),
                Suppression("e@x.example", "manual", evidence="wished so"),
            ],
        )
        since = "Thu, 11 Dec 2025 01:49:40 GMT"
        assert mailgun.lists["bounces"] == {
            "a@x.example": {
                "address": "a@x.example",
                "code": "552",
                "error": "Full",
                "created_at": since,
            },
            "e@x.example": {
                "address": "e@x.example",
                "code": "550",
                "error": "wished so",
            },
        }
        assert mailgun.lists["complaints"] == {
            "b@x.example": {"address": "b@x.example", "created_at": since}
        }
        assert mailgun.lists["unsubscribes"] == {
            "c@x.example": {"address": "c@x.example", "tags": ["*"]},
            "d@x.example": {"address": "d@x.example", "tags": ["news"]},
        }

    def test_what_is_entered_is_read_again(self, mailgun):
        items = [
            Suppression("a@x.example", "bounced", SINCE, "552 Full"),
            Suppression("d@x.example", "bounced", None, "550"),
        ]
        add_suppressions(ACCOUNT, items)
        assert listed("bounced") == items

    def test_many(self, mailgun):
        add_suppressions(
            ACCOUNT,
            (Suppression(f"p{n}@x.example", "bounced") for n in range(1200)),
        )
        assert len(mailgun.lists["bounces"]) == 1200
        assert len(mailgun.stub.asked) == 3

    def test_none(self, mailgun):
        add_suppressions(ACCOUNT, [])
        assert not mailgun.stub.asked

    @pytest.mark.parametrize("reason", LISTS)
    def test_one_is_taken_off(self, mailgun, reason):
        address = "o'brien+a/b?c#d%41@x.example"
        mailgun.lists[LISTS[reason]][address] = {"address": address}
        assert remove_suppression(ACCOUNT, address, reason) is True
        assert mailgun.lists[LISTS[reason]] == {}
        assert remove_suppression(ACCOUNT, address, reason) is False

    @pytest.mark.parametrize("address", ["", "..", "../routes", "a/../../x"])
    def test_never_a_whole_list(self, mailgun, address):
        mailgun.lists["bounces"]["a@x.example"] = {"address": "a@x.example"}
        with pytest.raises(PermanentError):
            remove_suppression(ACCOUNT, address, "bounced")
        assert mailgun.lists["bounces"] and not mailgun.stub.asked

    def test_a_wrong_key_is_told(self, mailgun):
        mailgun.answers = [Said(401, b'"Forbidden"')]
        with pytest.raises(PermanentError):
            remove_suppression(ACCOUNT, "a@x.example", "bounced")
