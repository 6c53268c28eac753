# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""From the door into the chatter: once per route, whatever else happens."""

import asyncio
import re
import threading
import time
from datetime import datetime, timedelta

import pytest
from aiosmtpd.controller import Controller

from tests.support import posts
from tests.support.bridge import DOMAIN, wait_for
from tests.support.faults import REFUSED, held_table, raising_trigger, wait_blocked
from tests.support.posts import make_mail, unique
from tools.ports import free_port

POISON = "Poison"


@pytest.fixture
def desk(bridge):
    return bridge.alias()


@pytest.fixture
def mailgun(bridge):
    return bridge.account("mailgun")


@pytest.fixture
def mailgun_elsewhere(bridge):
    """Another account, so that a test may settle what it posted itself."""
    return bridge.account("mailgun")


def leads(bridge, name: str) -> list[tuple]:
    """(id, city) of the leads a mail with this subject has made."""
    return bridge.sql("SELECT id, city FROM crm_lead WHERE name = %s ORDER BY id", name)


# ---------------------------------------------------------- once per recipient


@pytest.fixture
def two_desks(bridge):
    """Two aliases; their leads can be told apart by their city."""
    return tuple(
        bridge.alias(alias_defaults=str({"city": city})) for city in ("Aachen", "Bonn")
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_record_each_where_a_mail_is_posted_for_each_recipient(
    bridge, two_desks, mailgun, order
):
    subject = unique()
    mail = make_mail(", ".join(two_desks), subject)
    for number in (*order, *order):
        post = mailgun.post(two_desks[number], mail)
        assert bridge.post(post).status == 200
        bridge.settled(mailgun)
    found = sorted(city for _id, city in leads(bridge, subject))
    assert found == ["Aachen", "Bonn"]
    assert len(bridge.chatter(subject)) == 2


@pytest.mark.parametrize("code", ["mailgun", "improvmx", "raw"])
def test_one_record_each_where_both_are_posted_at_one_instant(bridge, two_desks, code):
    account = bridge.account(code)
    for _round in range(5):
        subject = unique()
        mail = make_mail(", ".join(two_desks), subject)
        wanted = [account.post(desk, mail) for desk in (*two_desks, *two_desks)]
        assert {one.status for one in bridge.post_at_once(wanted)} == {200}
        bridge.settled(account)
        found = sorted(city for _id, city in leads(bridge, subject))
        assert found == ["Aachen", "Bonn"]
        assert len(bridge.chatter(subject)) == 2


def test_an_alias_in_bcc_gets_its_record(bridge, two_desks, mailgun):
    shown, hidden = two_desks
    subject = unique()
    mail = make_mail(shown, subject)
    for desk in (shown, hidden):
        assert bridge.post(mailgun.post(desk, mail)).status == 200
    bridge.settled(mailgun)
    assert sorted(city for _id, city in leads(bridge, subject)) == ["Aachen", "Bonn"]
    headers = bridge.sql(
        "SELECT DISTINCT message_id FROM mail_message WHERE subject = %s", subject
    )
    assert headers == [(mail["Message-ID"],)]


def test_only_the_envelope_routes(bridge, two_desks, mailgun):
    """To and Cc name both aliases; the mail was delivered to one."""
    subject = unique()
    mail = make_mail(two_desks[0], subject, Cc=two_desks[1])
    assert bridge.post(mailgun.post(two_desks[1], mail)).status == 200
    bridge.settled(mailgun)
    assert [city for _id, city in leads(bridge, subject)] == ["Bonn"]


def test_without_an_envelope_core_routes_by_the_headers(bridge, two_desks):
    account = bridge.account("raw")
    for to, cc in (two_desks, ("x@elsewhere.example", two_desks[1])):
        subject = unique()
        mime = make_mail(to, subject, Cc=cc).as_bytes()
        post = posts.raw_mail(account.path, None, mime, sender=None)
        assert bridge.post(post).status == 200
        bridge.settled(account)
        expected = ["Aachen", "Bonn"] if to == two_desks[0] else ["Bonn"]
        assert sorted(city for _id, city in leads(bridge, subject)) == expected


def test_a_mail_for_nobody_is_kept_in_the_inbox(bridge, mailgun):
    subject = unique()
    mail = make_mail(f"nobody@{DOMAIN}", subject)
    assert bridge.post(mailgun.post(f"nobody@{DOMAIN}", mail)).status == 200
    bridge.settled(mailgun)
    [entry] = bridge.messages(subject)
    assert entry["state"] == "unrouted"
    assert bridge.chatter(subject, "mail.bridge.message")
    assert bridge.sql("SELECT 1 FROM mail_mail") == []  # nobody was bounced


# ------------------------------------------------------------------------- replies


def open_thread(bridge) -> tuple[int, str, str]:
    """A lead that wrote to a customer: (id, Message-ID, the customer's address)."""
    address = f"{unique('c').split()[1]}@outside.example"
    partner = bridge.client.create("res.partner", name="Customer", email=address)
    lead = bridge.client.create("crm.lead", name=unique("Thread"))
    post = bridge.client.call(
        "crm.lead",
        "message_post",
        [lead],
        body="What do you need?",
        message_type="comment",
        subtype_xmlid="mail.mt_comment",
        partner_ids=[partner],
    )
    post_id = post[0] if isinstance(post, list) else post
    [(message_id,)] = bridge.sql(
        "SELECT message_id FROM mail_message WHERE id = %s", post_id
    )
    return lead, message_id, address


@pytest.mark.parametrize("at_once", [False, True])
def test_a_reply_that_reaches_one_thread_twice_is_one_mail(
    bridge, desk, mailgun, at_once
):
    for _round in range(3 if at_once else 1):
        lead, message_id, customer = open_thread(bridge)
        subject = unique("Re:")
        other = f"catchall@{DOMAIN}"
        mail = make_mail(
            other, subject, sender=customer, Cc=desk, References=message_id
        )
        wanted = [mailgun.post(one, mail) for one in (other, desk)]
        if at_once:
            replies = bridge.post_at_once(wanted)
        else:
            replies = [bridge.post(one) for one in wanted]
        assert {reply.status for reply in replies} == {200}
        bridge.settled(mailgun)
        assert [record for _id, record in bridge.chatter(subject)] == [lead]


# --------------------------------------------------------------- speed and poison


def test_a_poison_mail_holds_nothing_up_and_ends_dead(
    bridge, desk, mailgun, mailgun_elsewhere, server_log
):
    """Twelve tries, each later than the one before, then dead and an activity."""
    server_log.expect(REFUSED)
    subject = unique(POISON)
    with raising_trigger(bridge, "crm_lead", subject):
        assert bridge.post(mailgun.post(desk, make_mail(desk, subject))).status == 200
        waits = [_try_once(bridge, desk, mailgun, mailgun_elsewhere) for _ in range(12)]
        bridge.settled(mailgun)
    [(_id, state, attempts, error)] = bridge.intakes(mailgun)
    assert (state, attempts) == ("dead", 12)
    assert error
    assert waits[0] >= timedelta(seconds=30)
    assert waits[-2] <= timedelta(hours=8)
    assert waits[:5] == sorted(waits[:5])
    [account] = bridge.client.call(
        "mail.bridge.account", "read", [mailgun.id], ["activity_ids", "problem_count"]
    )
    assert account["activity_ids"]
    assert account["problem_count"] == 1
    # nothing is lost: a person tries again when the cause is gone
    intake = bridge.intakes(mailgun)[0][0]
    bridge.client.call("mail.bridge.intake", "action_retry", [intake])
    assert len(bridge.arrived(subject)) == 1


def _try_once(bridge, desk, account, other) -> timedelta:
    """Let the next try of the poison happen, with a good mail behind it.

    :return: how long the poison would have to wait for the try after that.
    """
    [(intake, _state, before, _error)] = bridge.intakes(account)
    subject = unique("Behind the poison")
    bridge.sql(
        """UPDATE mail_bridge_intake SET next_attempt = now() AT TIME ZONE 'UTC'
            WHERE id = %s AND state IN ('pending', 'failed')""",
        intake,
    )
    assert bridge.post(other.post(desk, make_mail(desk, subject))).status == 200
    bridge.arrived(subject, 10)  # sooner than the minute the poison waits
    wanted = "state IN ('failed', 'dead') AND attempts > %s"
    if before == 0:
        wanted = "state = 'failed' AND attempts >= 1 AND attempts > %s - 1"
    [(left,)] = wait_for(
        lambda: bridge.sql(
            f"""SELECT next_attempt - now() AT TIME ZONE 'UTC'
                  FROM mail_bridge_intake WHERE id = %s AND {wanted}""",
            intake,
            before,
        )
    )
    return left


def test_an_alias_that_cannot_make_records_holds_nothing_up(bridge, desk):
    """An integrity failure: tried at once some times, then later, others go on."""
    broken = bridge.alias(alias_defaults=str({"team_id": 99999999}))
    poisoned, sound = bridge.account("mailgun"), bridge.account("mailgun")
    for _ in range(3):
        mail = make_mail(broken, unique(POISON))
        assert bridge.post(poisoned.post(broken, mail)).status == 200
    subject = unique()
    assert bridge.post(sound.post(desk, make_mail(desk, subject))).status == 200
    bridge.arrived(subject)
    wait_for(
        lambda: [row[1:3] for row in bridge.intakes(poisoned)] == [("failed", 1)] * 3
    )
    bridge.sql(
        "UPDATE mail_bridge_intake SET state = 'dead' WHERE account_id = %s",
        poisoned.id,
    )


def test_a_worker_killed_in_the_middle_counts_as_a_try(bridge, desk, mailgun, server):
    subject = unique("Killed")
    with held_table(bridge, "crm_lead") as holder:
        assert bridge.post(mailgun.post(desk, make_mail(desk, subject))).status == 200
        [victim] = wait_blocked(holder, server.cron_workers)
        server.kill_worker(victim)
    wait_for(lambda: victim not in server.cron_workers())
    time.sleep(2)
    [(intake, state, attempts, _error)] = bridge.intakes(mailgun)
    assert (state, attempts) == ("pending", 1)
    assert bridge.chatter(subject) == []
    [(left,)] = bridge.sql(
        """SELECT next_attempt - now() AT TIME ZONE 'UTC'
             FROM mail_bridge_intake WHERE id = %s""",
        intake,
    )
    assert left >= timedelta(seconds=30)
    bridge.sql(
        "UPDATE mail_bridge_intake SET next_attempt = now() AT TIME ZONE 'UTC'"
        " WHERE id = %s",
        intake,
    )
    bridge.let_a_minute_pass()
    assert len(bridge.arrived(subject)) == 1
    assert bridge.intakes(mailgun)[0][1:3] == ("done", 2)


# ------------------------------------------------------------------- a long queue


def calls_of_the_drains(log: str) -> list[float]:
    """How long each call took, seconds, by the log of Odoo's cron workers."""
    line = (
        r"(?m)^(\S+ \S+) \d+ INFO .* Job '(Mail Bridge: process intake.*?)' .*? (\w+)"
    )
    started, took = {}, []
    for stamp, job, word in re.findall(line, log):
        moment = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007
        if word == "starting":
            started[job] = moment
        elif job in started:
            took.append((moment - started.pop(job)).total_seconds())
    return took


def test_drains_work_in_turns_of_five_seconds_until_the_queue_is_empty(
    bridge, desk, server
):
    """No call pins a cron worker, and none is the last one as long as mail waits."""
    account = bridge.account("raw")
    subject = unique("Many")
    with held_table(bridge, "crm_lead"):
        for number in range(300):
            mail = make_mail(desk, f"{subject} {number}")
            assert bridge.post(account.post(desk, mail)).status == 200
    offset = server.log_size()
    counted = "SELECT count(*) FROM crm_lead WHERE name LIKE %s"
    wait_for(lambda: bridge.sql(counted, f"{subject}%") == [(300,)], 55)
    bridge.settled(account)

    def calls() -> list[float]:
        found = calls_of_the_drains(server.log_text(offset))
        return found if len(found) >= 2 else []

    # the last calls end a moment after the last mail
    assert max(wait_for(calls)) < 8  # five seconds, the last mail, and one more look


def test_many_posts_leave_few_wakes(bridge, desk):
    """At most one trigger row for 200 ms and drain, though drains answer them."""
    account = bridge.account("raw")
    # Odoo deletes the rows a drain has answered; the sequence has counted them.
    counted = "SELECT last_value FROM ir_cron_trigger_id_seq"
    [(before,)] = bridge.sql(counted)
    start = time.monotonic()
    for _ in range(200):
        mail = make_mail(desk, unique("Wake"))
        assert bridge.post(account.post(desk, mail)).status == 200
    took = time.monotonic() - start
    rows = bridge.sql(counted)[0][0] - before
    assert rows <= took / 0.2 + 2
    bridge.settled(account)


# ------------------------------------------------------------- mail the drain causes


class Sink:
    """An SMTP server that keeps what it gets; it may be slow with some mails."""

    def __init__(self) -> None:
        self.slow_with = ""
        self.may_answer = threading.Event()
        self.received: list[bytes] = []

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802
        """Take a mail."""
        self.received.append(envelope.content)
        is_slow = self.slow_with and self.slow_with.encode() in envelope.content
        while is_slow and not self.may_answer.is_set():
            await asyncio.sleep(0.05)
        return "250 OK"


@pytest.fixture
def sink(bridge):
    """The outgoing mail server of the database."""
    handler = Sink()
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    server = bridge.client.create(
        "ir.mail_server", name="Sink", smtp_host="127.0.0.1", smtp_port=port
    )
    yield handler
    handler.may_answer.set()
    bridge.client.call("ir.mail_server", "unlink", [server])
    controller.stop()


def test_notifications_are_queued_and_sent_by_cores_queue(bridge, desk, mailgun, sink):
    """A follower is told by mail: soon, and not while the drain waits for it."""
    lead, message_id, customer = open_thread(bridge)
    follower = bridge.client.create(
        "res.partner", name="Follower", email="follower@outside.example"
    )
    bridge.client.call("crm.lead", "message_subscribe", [lead], partner_ids=[follower])
    subject = unique("Re:")
    mail = make_mail(desk, subject, sender=customer, References=message_id)
    sink.slow_with = subject
    assert bridge.post(mailgun.post(desk, mail)).status == 200
    assert [record for _id, record in bridge.arrived(subject)] == [lead]
    wait_for(
        lambda: any(subject.encode() in one for one in sink.received),
        problem=lambda: str(bridge.sql("SELECT state, failure_reason FROM mail_mail")),
    )
    # The other side has not answered yet, and mail still comes in.
    second = unique()
    assert bridge.post(mailgun.post(desk, make_mail(desk, second))).status == 200
    bridge.arrived(second)
    sink.may_answer.set()
    wait_for(
        lambda: not bridge.sql("SELECT 1 FROM mail_mail WHERE state = 'outgoing'"), 20
    )
    told = [one for one in sink.received if subject.encode() in one]
    assert sum(b"To: Follower" in one or b"follower@" in one for one in told) == 1
