# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Odoo's own mail through the relay: real workers, a real SMTP server at the end."""

import secrets
import time
from functools import partial

import pytest

from tests.support import wire
from tests.support.bridge import wait_for
from tests.support.posts import unique
from tests.support.smtp_sink import SmtpSink
from tools.client import OdooClient, OdooError
from tools.shell import ShellError

SENDER = "shop@bridge.example"
#: Seconds from the commit to the relay's row, for 95 of 100 mails.
P95 = 2.0


@pytest.fixture(scope="module")
def module_sink():
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def sink(module_sink):
    yield module_sink
    module_sink.mend()


@pytest.fixture
def relayed(bridge, sink):
    """The only outgoing mail server, and it sends through the relay."""
    known = bridge.sql("SELECT id FROM ir_mail_server WHERE relay_account_id > 0")
    if known:
        return known[0][0]
    account = bridge.account("smtp", smtp_host="127.0.0.1", smtp_port=sink.port)
    bridge.sql("UPDATE ir_mail_server SET active = false")
    return bridge.client.create(
        "ir.mail_server", name="Relay", relay_account_id=account.id
    )


def make_mail(client, subject, **values):
    """One outgoing mail, as any business code writes it."""
    values = {"email_to": f"{secrets.token_hex(5)}@outside.example"} | values
    return client.create(
        "mail.mail",
        subject=subject,
        email_from=SENDER,
        body_html="<p>Hello</p>",
        **values,
    )


def rows(bridge, subject):
    """(mail.mail, state) of the relay's rows with a subject."""
    return bridge.sql(
        "SELECT mail_mail_id, state FROM mail_relay_message WHERE subject LIKE %s",
        f"{subject}%",
    )


def taken(sink, subject):
    """What the SMTP server took of the mails with a subject."""
    sign = f"Subject: {subject}".encode()
    return [mail for mail in sink.taken if sign in mail.data]


def test_a_message_in_the_chatter_reaches_a_customer(bridge, sink, relayed):
    subject = unique("Chatter")
    address = f"{secrets.token_hex(5)}@outside.example"
    partner = bridge.client.create("res.partner", name="Ann", email=address)
    lead = bridge.client.create("crm.lead", name="A lead", partner_id=partner)
    message = bridge.client.call(
        "crm.lead",
        "message_post",
        [lead],
        body="Here is your offer",
        subject=subject,
        message_type="comment",
        subtype_xmlid="mail.mt_comment",
        partner_ids=[partner],
    )
    message = message[0] if isinstance(message, list) else message
    [mail] = wait_for(lambda: taken(sink, subject))
    assert mail.recipients == (address,)
    assert b"X-Mail-Relay-Ref" not in mail.data
    assert b"\nReturn-Path" not in mail.data
    [row] = bridge.sql(
        """SELECT mail.model, mail.res_id, mail.mail_message_id, mail.message_id,
                  person.partner_id, person.address
             FROM mail_relay_message mail
             JOIN mail_relay_recipient person ON person.relay_message_id = mail.id
            WHERE mail.subject = %s""",
        subject,
    )
    [(message_id,)] = bridge.sql(
        "SELECT message_id FROM mail_message WHERE id = %s", message
    )
    assert row == ("crm.lead", lead, message, message_id, partner, address)
    assert mail.message_id == message_id
    [(status,)] = bridge.sql(
        """SELECT notification_status FROM mail_notification
            WHERE mail_message_id = %s AND res_partner_id = %s""",
        message,
        partner,
    )
    assert status in ("process", "pending")  # never "sent": nobody knows that yet


def test_every_mail_is_in_the_queue_soon_after_its_commit(bridge, sink, relayed):
    subject = unique("Soon")
    committed = {}
    for number in range(40):
        mail = make_mail(bridge.client, f"{subject} {number}")
        [(committed[mail],)] = bridge.sql("SELECT now() AT TIME ZONE 'UTC'")
        time.sleep(0.05 * (number % 4))
    wait_for(lambda: len(rows(bridge, subject)) == 40)
    # the moment of a row is a second without its fraction, so this measures anew
    waits = []
    for number in range(20):
        one = unique("One")
        make_mail(bridge.client, one)
        begin = time.monotonic()
        wait_for(lambda one=one: rows(bridge, one))
        waits.append(time.monotonic() - begin)
        time.sleep(0.1 * (number % 5))
    waits.sort()
    assert waits[18] <= P95, waits
    assert len(wait_for(lambda: got(sink, subject, 40))) == 40


def got(sink, subject, count):
    found = taken(sink, subject)
    return found if len(found) >= count else None


def test_whoever_else_sends_a_mail_it_is_queued_once(bridge, database, sink, relayed):
    """Odoo's queue, buttons and the pick-up at the same instant."""
    subject = unique("Race")
    clients = [OdooClient(bridge.server.base_url, database) for _ in range(3)]
    mails = []

    def send(client, method, *args):
        try:
            client.call("mail.mail", method, *args)
        except OdooError as error:
            assert "Serialization" in str(error) or "MissingError" in str(error)

    for turn in range(6):
        names = [f"{subject} {turn}-{number}" for number in range(5)]
        made = [make_mail(bridge.client, name) for name in names]
        mails += made
        wire.at_once(
            [
                partial(send, clients[0], "send", made),
                partial(send, clients[1], "send", made[::-1]),
                partial(send, clients[2], "process_email_queue"),
            ]
        )
    wait_for(lambda: len(rows(bridge, subject)) >= 30)
    time.sleep(1)
    found = [mail_id for mail_id, _state in rows(bridge, subject)]
    assert sorted(found) == sorted(mails)
    assert len(wait_for(lambda: got(sink, subject, 30))) == 30


def test_mails_of_a_transaction_are_deleted_or_kept_as_core_would(
    bridge, sink, relayed
):
    subject = unique("Kept")
    kept = make_mail(bridge.client, f"{subject} 1")
    spent = make_mail(bridge.client, f"{subject} 2", auto_delete=True)
    wait_for(lambda: len(rows(bridge, subject)) == 2)
    left = bridge.sql("SELECT id, state FROM mail_mail WHERE id IN %s", (kept, spent))
    assert left == [(kept, "sent")]


def test_a_cancelled_mail_never_leaves_and_a_scheduled_one_waits(bridge, sink, relayed):
    subject = unique("Later")
    [(moment,)] = bridge.sql(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '4 seconds',"
        " 'YYYY-MM-DD HH24:MI:SS')"
    )
    cancelled = make_mail(bridge.client, f"{subject} no", scheduled_date=moment)
    waiting = make_mail(bridge.client, f"{subject} yes", scheduled_date=moment)
    far = make_mail(
        bridge.client, f"{subject} far", scheduled_date="2099-01-01 00:00:00"
    )
    bridge.client.call("mail.mail", "cancel", [cancelled])
    assert not rows(bridge, subject)
    # core's cron workers look once a minute for what nobody called them for
    time.sleep(4.5)
    bridge.sql("SELECT 1")
    bridge.let_a_minute_pass()
    wait_for(lambda: rows(bridge, subject))
    assert [mail_id for mail_id, _state in rows(bridge, subject)] == [waiting]
    states = bridge.sql(
        "SELECT id, state FROM mail_mail WHERE id IN %s ORDER BY id",
        (cancelled, waiting, far),
    )
    assert states == [(cancelled, "cancel"), (waiting, "sent"), (far, "outgoing")]


def test_a_broken_mail_says_why_and_stops_no_other(bridge, server_log, sink, relayed):
    server_log.expect(r"ERROR odoo.addons.mail.models.mail_mail: failed sending mail")
    subject = unique("Broken")
    names = [f"{subject} {number}" for number in range(6)]
    first = make_mail(bridge.client, names[0])
    broken = make_mail(bridge.client, names[1], headers="{'X-One': 'a\\nBcc: b'}")
    others = [make_mail(bridge.client, name) for name in names[2:]]
    wait_for(lambda: len(rows(bridge, subject)) == 5)
    assert {mail_id for mail_id, _state in rows(bridge, subject)} == {first, *others}
    [shown] = bridge.client.call(
        "mail.mail", "read", [broken], ["state", "failure_reason"]
    )
    assert shown["state"] == "exception"
    assert "linefeed" in shown["failure_reason"]


def test_a_retried_mail_is_picked_up(bridge, sink, relayed):
    subject = unique("Retried")
    mail = make_mail(bridge.client, subject, state="exception")
    time.sleep(1)
    assert not rows(bridge, subject)
    bridge.client.call("mail.mail", "action_retry", [mail])
    wait_for(lambda: rows(bridge, subject))


def test_a_crash_after_the_commit_leaves_the_call(bridge, shell, sink, relayed):
    """Dies between the commit and what would wake the cron workers."""
    subject = unique("Crash")
    died = f"""
        import os
        env.cr.postcommit.add(lambda: os._exit(9))
        env["mail.mail"].create([dict(
            subject="{subject}", email_from="{SENDER}", body_html="x",
            email_to="ann@outside.example") for _ in range(3)])
        env["mail.mail"].flush_model()
        env.cr.commit()
    """
    with pytest.raises(ShellError):
        shell(died)
    calls = bridge.sql(
        """SELECT count(*) FROM ir_cron_trigger call
             JOIN ir_model_data data ON data.res_id = call.cron_id
            WHERE data.model = 'ir.cron' AND data.name LIKE 'ir_cron_pick_up%'
              AND call.call_at < now() AT TIME ZONE 'UTC' + interval '1 minute'"""
    )
    assert calls == [(1,)] or rows(bridge, subject)
    bridge.let_a_minute_pass()
    wait_for(lambda: len(rows(bridge, subject)) == 3)


def test_code_that_sends_without_a_record_goes_through_too(
    bridge, shell, sink, relayed
):
    subject = unique("Direct")
    sent = f"""
        servers = env["ir.mail_server"]
        build = getattr(servers, "build_email", None) or servers._build_email__
        mail = build(email_from="{SENDER}", email_to=["ann@outside.example"],
                     email_bcc=["bob@outside.example"], subject="{subject}", body="x")
        servers.send_email(mail)
        env.cr.rollback()
        mail = build(email_from="{SENDER}", email_to=["ann@outside.example"],
                     email_bcc=["bob@outside.example"], subject="{subject}", body="x")
        servers.send_email(mail)
    """
    shell(sent)
    [mail] = wait_for(lambda: taken(sink, subject))  # the first one was rolled back
    assert set(mail.recipients) == {"ann@outside.example", "bob@outside.example"}
    assert b"bob@" not in mail.data
    assert mail.message_id.endswith("@bridge.example>")


def test_a_mail_that_the_queue_refuses_stops_no_other(
    bridge, server_log, sink, relayed
):
    """Whatever goes wrong with one mail of a batch, the others are queued."""
    server_log.expect(r"WARNING \S+mail_relay_pickup: Pick-up of mail \d+")
    server_log.expect(r"(?s)ERROR odoo.sql_db: bad query: .* no poison here")
    subject = unique("Poison")
    bridge.sql(
        """CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'no poison here'; END $$;
           CREATE TRIGGER refuse_poison BEFORE INSERT ON mail_relay_message
              FOR EACH ROW WHEN (NEW.subject LIKE 'Poison%no')
              EXECUTE FUNCTION refuse_poison()"""
    )
    try:
        values = {"email_from": SENDER, "email_to": "ann@outside.example"}
        names = [f"{subject} {number}" for number in range(8)]
        names[3] += " no"
        mails = bridge.client.call(
            "mail.mail", "create", [{"subject": name, **values} for name in names]
        )
        wait_for(lambda: len(rows(bridge, subject)) == 7)
        [broken] = wait_for(
            lambda: bridge.sql(
                """SELECT failure_reason FROM mail_mail
                    WHERE id = %s AND state = 'exception'""",
                mails[3],
            )
        )
        assert "no poison here" in broken[0]
    finally:
        bridge.sql("DROP FUNCTION refuse_poison CASCADE")
