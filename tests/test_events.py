# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Delivery events: real posts of event webhooks against four workers."""

import random
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support import posts, wire
from tests.support.bridge import Account, Bridge, wait_for
from tests.support.posts import Post

KINDS = ("accepted", "delivered", "opened", "clicked", "complained")


@pytest.fixture
def mailgun(bridge):
    return bridge.account("mailgun")


def event(number: int, kind: str = "delivered", **more: Any) -> dict[str, Any]:
    """An event about a mail that nobody here has sent."""
    return {
        "event": kind,
        "id": f"event-{number}",
        "timestamp": time.time() - 60,
        "recipient": f"reader-{number}@customer.example",
        "message": {"headers": {"message-id": f"{number}@mg.example"}},
        "user-variables": {},
        **more,
    }


def stored(bridge: Bridge, account: Account) -> list[tuple]:
    """(recipient, type, state) of the events of an account."""
    return bridge.sql(
        """SELECT recipient, type, state FROM mail_bridge_event
            WHERE account_id = %s ORDER BY id""",
        account.id,
    )


def kept(bridge: Bridge, account: Account, count: int) -> list[tuple]:
    """Wait until that many events were looked at; all of them."""

    def look() -> list[tuple] | None:
        found = stored(bridge, account)
        looked_at = [row for row in found if row[2] != "pending"]
        return found if len(looked_at) >= count else None

    return wait_for(look, 60, lambda: f"{stored(bridge, account)[-5:]}")


def test_a_post_of_an_event_is_kept_once(bridge, mailgun):
    data = event(1)
    post = posts.mailgun_event(mailgun.key, data)
    for _repetition in range(2):
        assert bridge.post(post).status == 200
    anew = posts.mailgun_event(mailgun.key, data)  # with another token
    assert bridge.post(anew).status == 200
    [row] = kept(bridge, mailgun, 1)
    bridge.settled(mailgun)
    assert row[:2] == ("reader-1@customer.example", "delivered")
    assert len(stored(bridge, mailgun)) == 1
    assert {state for _id, state, *_ in bridge.intakes(mailgun)} == {"done"}


def test_without_anybody_who_sent_the_mail_an_event_waits(bridge, mailgun):
    bridge.post(posts.mailgun_event(mailgun.key, event(2)))
    [row] = kept(bridge, mailgun, 1)
    assert row[2] == "unmatched"


@pytest.mark.parametrize("place", ["", "/{token}"])
@pytest.mark.parametrize("name", ["", "/events", "/mime"])
def test_events_come_at_each_address_of_the_account(bridge, place, name):
    account = bridge.account("mailgun", require_token=bool(place))
    token = account.path.rpartition("/")[2]
    path = f"/mailgate/mailgun{place.format(token=token)}{name}"
    post = posts.mailgun_event(account.key, event(3)).at(path)
    assert bridge.post(post).status == 200
    assert len(kept(bridge, account, 1)) == 1


def test_the_form_shows_the_address_for_events(bridge, mailgun):
    [shown] = bridge.client.call(
        "mail.bridge.account", "read", [mailgun.id], ["mailgun_events_url"]
    )
    assert shown["mailgun_events_url"].endswith("/mailgate/mailgun/events")


def test_a_forged_event_is_kept_nowhere(bridge, mailgun):
    post = posts.mailgun_event(f"{mailgun.key}x", event(4))
    assert bridge.post(post).status == 403
    assert bridge.intakes(mailgun) == []


def test_an_event_that_makes_no_sense_is_a_dead_letter_and_no_mail(bridge, mailgun):
    before = bridge.sql("SELECT count(*) FROM mail_bridge_message")
    post = posts.mailgun_event(mailgun.key, event(5, recipient="", message={}))
    assert bridge.post(post).status == 200
    [row] = bridge.settled(mailgun)
    assert (row[1], stored(bridge, mailgun)) == ("dead", [])
    assert "names no recipient" in row[3]
    assert bridge.sql("SELECT count(*) FROM mail_bridge_message") == before


def storm(key: str, seed: int) -> tuple[set[tuple[str, str]], list[Post]]:
    """What is told, and 300 posts that tell it: shuffled, and some of them again."""
    chance = random.Random(seed)
    told = [event(100 + n, KINDS[n % len(KINDS)]) for n in range(180)]
    wanted = [posts.mailgun_event(key, data) for data in told]
    wanted += [posts.mailgun_event(key, data) for data in chance.sample(told, 60)]
    wanted += chance.sample(wanted, 60)  # to the byte
    chance.shuffle(wanted)
    types = {"accepted": "queued"}
    distinct = {
        (data["recipient"], types.get(data["event"], data["event"])) for data in told
    }
    return distinct, wanted


def groups(items: list[Post], size: int) -> Iterable[list[Post]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def test_a_storm_of_events_loses_none_and_doubles_none(bridge, mailgun):
    distinct, wanted = storm(mailgun.key, seed=7)
    assert len(wanted) == 300
    for group in groups(wanted, 12):
        replies: list[wire.Reply] = bridge.post_at_once(group)
        assert {reply.status for reply in replies} == {200}
    found = kept(bridge, mailgun, len(distinct))
    bridge.settled(mailgun)
    assert len(stored(bridge, mailgun)) == len(distinct) == 180
    assert {row[:2] for row in found} == distinct


def test_an_event_that_cannot_be_applied_holds_up_no_other(bridge, mailgun, server_log):
    """A trigger stands for whatever may be wrong with one event of a batch."""
    bridge.sql(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE 'poison'; END $$;
           CREATE TRIGGER refuse BEFORE UPDATE OF state ON mail_bridge_event
           FOR EACH ROW WHEN (NEW.recipient LIKE 'poison%' AND NEW.state = 'unmatched')
           EXECUTE FUNCTION refuse()"""
    )
    server_log.expect(r"poison")
    try:
        wanted = [event(200 + n) for n in range(20)]
        wanted[7]["recipient"] = "poison@customer.example"
        bridge.post_at_once([posts.mailgun_event(mailgun.key, one) for one in wanted])
        assert len(kept(bridge, mailgun, 19)) == 20
        [poison] = [row for row in stored(bridge, mailgun) if row[2] == "pending"]
        assert poison[0] == "poison@customer.example"
        [(attempts, error)] = bridge.sql(
            """SELECT attempts, error FROM mail_bridge_event
                WHERE account_id = %s AND state = 'pending'""",
            mailgun.id,
        )
        assert (attempts, "poison" in (error or "")) == (1, True)
    finally:
        bridge.sql("DROP FUNCTION refuse() CASCADE")
