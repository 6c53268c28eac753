# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What becomes of sent mail: real event posts, four workers, and the chatter."""

import json
import random
import time
from typing import Any

import pytest

from tests.support import posts
from tests.support.bridge import Account, Bridge, wait_for
from tests.support.faults import held_table, wait_blocked
from tests.test_events import event, groups, kept, stored

#: Some mails with a message in a chatter, as if handed to a provider yesterday.
SEND = """
import json, uuid
from odoo.addons.mail_relay.submission import Rcpt, Submission
tag, count = {tag!r}, {count}
partners = env["res.partner"].create(
    [dict(name=f"{{tag}} {{n}}", email=f"{{tag}}-{{n}}@customer.example")
     for n in range(count)])
record = env["res.partner"].create(dict(name=f"Record of {{tag}}"))
message = record.message_post(body="Hello")
env["mail.notification"].create(
    [dict(mail_message_id=message.id, res_partner_id=partner.id,
          notification_type="email", notification_status="process")
     for partner in partners])
env["mail.relay.message"]._enqueue(
    [Submission(mime=b"x", envelope_sender="us@ours.example",
                email_from="us@ours.example",
                recipients=(Rcpt(partner.email, partner.id),),
                message_id=f"<{{uuid.uuid4().hex}}@ours.example>", subject=tag,
                mail_message_id=message.id, suspended=True)
     for partner in partners])
"""
SENT = """
    WITH mail AS (
        UPDATE mail_relay_message
           SET state = 'done', hold_reason = NULL,
               created_at = created_at - interval '1 day',
               first_attempt_at = created_at - interval '1 day'
         WHERE subject = %s RETURNING id)
    UPDATE mail_relay_recipient person
       SET state = 'sent', rank = 3, told_rank = 0,
           created_at = created_at - interval '1 day'
      FROM mail WHERE person.relay_message_id = mail.id"""
#: What is told of a mail, what its recipient comes to, and what core shows of it.
STORIES = (
    (("accepted", "delivered"), "delivered", "sent"),
    (("delivered", "opened", "clicked"), "clicked", "sent"),
    (("delivered", "complained"), "complained", "sent"),
    (("accepted", "gone"), "bounced", "bounce"),
    (("gone", "delivered"), "bounced", "bounce"),
    (("accepted",), "sent", "pending"),
)


@pytest.fixture
def mailgun(bridge):
    return bridge.account("mailgun")


def sent(bridge: Bridge, shell, tag: str, count: int) -> list[tuple]:
    """(reference, address) of some mails that were sent."""
    shell(SEND.format(tag=tag, count=count))
    bridge.sql(SENT, tag)
    return bridge.sql(
        """SELECT mail.reference, person.address FROM mail_relay_recipient person
             JOIN mail_relay_message mail ON mail.id = person.relay_message_id
            WHERE mail.subject = %s ORDER BY mail.id""",
        tag,
    )


def told(number: int, kind: str, reference: str, address: str) -> dict[str, Any]:
    """One event as Mailgun tells it; `gone` is a permanent failure."""
    more: dict[str, Any] = {"user-variables": {"mail_bridge_reference": reference}}
    if kind == "gone":
        status = {"code": 550, "message": "5.1.1 no such user here"}
        more |= {"severity": "permanent", "delivery-status": status}
        more["reason"] = "bounce"
    name = "failed" if kind == "gone" else kind
    return event(number, name, recipient=address, **more)


def outcome(bridge: Bridge, tag: str) -> dict[str, tuple]:
    """(state, status in core, bounces of the partner), by address."""
    rows = bridge.sql(
        """SELECT person.address, person.state, note.notification_status,
                  partner.message_bounce
             FROM mail_relay_recipient person
             JOIN mail_relay_message mail ON mail.id = person.relay_message_id
             JOIN mail_notification note ON note.res_partner_id = person.partner_id
              AND note.mail_message_id = mail.mail_message_id
             JOIN res_partner partner ON partner.id = person.partner_id
            WHERE mail.subject = %s""",
        tag,
    )
    return {address: tuple(values) for address, *values in rows}


def test_a_storm_of_events_ends_in_the_chatter(bridge, mailgun, shell):
    """Shuffled, duplicated, and some of them for a mail that was deleted."""
    tag, chance = "storm", random.Random(11)
    mails = sent(bridge, shell, tag, 6 * len(STORIES) + 1)
    (deleted, gone_address) = mails.pop()
    bridge.sql("DELETE FROM mail_relay_message WHERE reference = %s", deleted)
    wanted, expected = [told(900, "delivered", deleted, gone_address)], {}
    for number, (reference, address) in enumerate(mails):
        kinds, state, status = STORIES[number % len(STORIES)]
        expected[address] = (state, status, int("gone" in kinds))
        wanted += [
            told(1000 + 10 * number + place, kind, reference, address.upper())
            for place, kind in enumerate(kinds)
        ]
    count = len(wanted)
    wanted += chance.sample(wanted, count // 2)
    chance.shuffle(wanted)
    made = [posts.mailgun_event(mailgun.key, one) for one in wanted]
    for group in groups(made, 12):
        assert {reply.status for reply in bridge.post_at_once(group)} == {200}
    rows = kept(bridge, mailgun, count)
    bridge.settled(mailgun)
    wait_for(
        lambda: outcome(bridge, tag) == expected,
        30,
        lambda: json.dumps(outcome(bridge, tag), indent=1),
    )
    assert len(stored(bridge, mailgun)) == count
    assert [row[0] for row in rows if row[2] == "unmatched"] == [gone_address]


def test_dead_addresses_and_wishes_are_suppressed(bridge, mailgun, shell):
    tag = "wishes"
    mails = sent(bridge, shell, tag, 2)
    for number, ((reference, address), kind) in enumerate(
        zip(mails, ("gone", "complained"), strict=True)
    ):
        data = told(2000 + number, kind, reference, address)
        bridge.post(posts.mailgun_event(mailgun.key, data))
    addresses = [address for _reference, address in mails]

    def entries() -> list[tuple]:
        return bridge.sql(
            """SELECT email_normalized, scope, reason FROM mail_relay_suppression
                WHERE email_normalized = ANY(%s) ORDER BY scope""",
            addresses,
        )

    wait_for(lambda: len(entries()) == 2, 30, lambda: str(entries()))
    assert entries() == [
        (addresses[0], "all", "invalid"),
        (addresses[1], "marketing", "complained"),
    ]
    assert bridge.sql(
        "SELECT email FROM mail_blacklist WHERE active AND email = ANY(%s)", addresses
    ) == [(addresses[1],)]


def test_an_event_that_came_before_the_receipt_is_applied_with_it(
    bridge, mailgun, shell
):
    tag = "early"
    [(_reference, address)] = sent(bridge, shell, tag, 1)
    data = event(3000, recipient=address)
    data["message"]["headers"]["message-id"] = "given@mg.example"
    bridge.post(posts.mailgun_event(mailgun.key, data))
    [row] = kept(bridge, mailgun, 1)
    assert row[2] == "unmatched"
    bridge.sql(
        """UPDATE mail_relay_recipient person
              SET provider_reference = 'given@mg.example', told_rank = 0
             FROM mail_relay_message mail
            WHERE mail.id = person.relay_message_id AND mail.subject = %s""",
        tag,
    )
    bridge.call_cron("ir_cron_tell")
    wait_for(
        lambda: outcome(bridge, tag)[address][:2] == ("delivered", "sent"),
        20,
        lambda: str((outcome(bridge, tag), stored(bridge, mailgun))),
    )


def test_news_that_cannot_be_told_hold_up_no_other(bridge, mailgun, shell, server_log):
    """A trigger stands for whatever may be wrong with one notification."""
    tag = "untold"
    mails = sent(bridge, shell, tag, 12)
    poison = mails[5][1]
    bridge.sql(
        """CREATE FUNCTION refuse_note() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               IF NEW.res_partner_id IN
                  (SELECT id FROM res_partner WHERE name = 'untold 5')
               THEN RAISE 'poison'; END IF;
               RETURN NEW;
           END $$;
           CREATE TRIGGER refuse_note BEFORE UPDATE ON mail_notification
           FOR EACH ROW EXECUTE FUNCTION refuse_note()"""
    )
    server_log.expect(r"poison|is not told")
    try:
        made = [
            posts.mailgun_event(mailgun.key, told(4000 + n, "delivered", *mail))
            for n, mail in enumerate(mails)
        ]
        bridge.post_at_once(made)
        expected = {
            address: ("delivered", "process" if address == poison else "sent", 0)
            for _reference, address in mails
        }
        wait_for(
            lambda: outcome(bridge, tag) == expected,
            30,
            lambda: json.dumps(outcome(bridge, tag), indent=1),
        )
    finally:
        bridge.sql("DROP FUNCTION refuse_note() CASCADE")


@pytest.mark.parametrize("table", ["mail_relay_recipient", "mail_notification"])
def test_a_killed_drain_loses_nothing_and_counts_nothing_twice(
    bridge, server, server_log, mailgun, shell, table
):
    """Killed while it applies events, and while it tells of them."""
    # A drain that was killed is found out by the next one.
    server_log.expect(r"ir_cron: Job 'Mail (Bridge|Relay): .*' \(\d+\) timed out")
    tag = f"killed-{table}"
    mails = sent(bridge, shell, tag, 9)
    made = [
        posts.mailgun_event(mailgun.key, told(5000 + number, "gone", *mail))
        for number, mail in enumerate(mails)
    ]
    for group in groups(made, 5):
        with held_table(bridge, table) as holder:
            assert {reply.status for reply in bridge.post_at_once(group)} == {200}
            make_due(bridge, mailgun)
            for pid in wait_blocked(holder, server.cron_workers):
                server.kill_worker(pid)
    expected = {address: ("bounced", "bounce", 1) for _reference, address in mails}

    def look() -> bool:
        make_due(bridge, mailgun)
        time.sleep(1)
        return outcome(bridge, tag) == expected

    wait_for(look, 120, lambda: json.dumps(outcome(bridge, tag), indent=1))


def make_due(bridge: Bridge, account: Account) -> None:
    """Let the minute pass after which a claim that came to nothing is made again."""
    bridge.sql(
        """UPDATE mail_bridge_event SET next_attempt = now() AT TIME ZONE 'UTC'
            WHERE account_id = %s AND state = 'pending'""",
        account.id,
    )
    bridge.call_cron("ir_cron_apply_events", "ir_cron_tell")
