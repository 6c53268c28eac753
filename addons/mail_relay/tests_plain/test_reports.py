# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Reports by mail: what they say, whether they are ours, and that none hurts."""

import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_relay.providers.classify import classify
from odoo.addons.mail_relay.providers.reports import read_report
from odoo.addons.mail_relay.providers.statusfields import read_address, read_blocks
from odoo.addons.mail_relay.providers.tokens import make_bounce_token, make_return_path
from odoo.addons.mail_relay.tests_plain import report_mails as mails

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
KEY, OTHER = b"k" * 32, b"x" * 32
REFERENCE = "m-17"
TOKEN = make_bounce_token(KEY, REFERENCE)
PATH = make_return_path(KEY, REFERENCE, "bounce", "my.example")
ORIGIN = mails.returned(TOKEN)
PROVEN = ("header", REFERENCE)


def read(mime, **options):
    options.setdefault("envelope_sender", "")
    return read_report(mime, [KEY], NOW, **options)


def only(found):
    (event,) = found.events
    return event


class TestDeliveryStatus:
    @pytest.mark.parametrize(
        ("status", "code", "enhanced", "bounce_class", "reason"),
        [
            (mails.POSTFIX, 550, "5.1.1", "hard", "invalid"),
            (mails.EXIM, 550, "5.2.1", "hard", "inactive"),
            (mails.EXCHANGE, 550, "5.1.10", "hard", "invalid"),
            (mails.EXCHANGE_OLD, 0, "5.2.2", "soft", "quota"),
            (mails.GMAIL, 550, "5.7.26", "block", "authentication"),
        ],
        ids=["postfix", "exim", "exchange", "exchange-old", "gmail"],
    )
    @pytest.mark.parametrize("encoding", ["", "base64", "8bit"])
    def test_a_failure(self, status, code, enhanced, bounce_class, reason, encoding):
        found = read(mails.report(status, ORIGIN, encoding=encoding))
        assert (found.kind, found.proof, found.reference) == ("delivery", *PROVEN)
        event = only(found)
        assert (event.type, event.bounce_class) == ("bounced", bounce_class)
        assert event.recipient == "user@there.example"
        assert event.reference == REFERENCE
        assert event.message_id == mails.MESSAGE_ID
        assert event.event_reference == "<dsn-1@mx.there.example>"
        assert (event.reply.stage, event.reply.code) == ("remote", code)
        assert event.reply.enhanced == enhanced
        assert event.metadata["reason"] == reason
        assert "unproven" not in event.metadata
        assert "\n" not in event.reply.text

    def test_the_reply_suppresses_where_the_address_is_dead(self):
        for status, dead in ((mails.POSTFIX, True), (mails.GMAIL, False)):
            event = only(read(mails.report(status, ORIGIN)))
            assert classify(event.reply).suppress is dead

    def test_a_delay_is_no_bounce(self):
        event = only(read(mails.report(mails.POSTFIX_DELAYED, ORIGIN)))
        assert (event.type, event.bounce_class) == ("deferred", "")
        assert (event.reply.code, event.reply.enhanced) == (0, "4.4.1")
        assert "Connection timed out" in event.reply.text

    def test_every_recipient_has_its_own_fate(self):
        status = mails.SEVERAL.format(envelope_id="x")
        found = read(mails.report(status, ORIGIN))
        fates = [(e.recipient, e.type, e.bounce_class) for e in found.events]
        assert fates == [
            ("a@there.example", "bounced", "hard"),
            ("b@there.example", "delivered", ""),
            ("c@there.example", "sent", ""),
            ("list@there.example", "delivered", ""),
            ("d@there.example", "deferred", ""),
            ("e@there.example", "bounced", "soft"),
        ]
        actions = [event.metadata["action"] for event in found.events]
        assert actions == [
            *("failed", "delivered", "relayed", "expanded", "delayed", "failed")
        ]
        assert found.events[-1].metadata["final-recipient"] == "moved@elsewhere.example"
        assert all(event.reference == REFERENCE for event in found.events)
        assert found.events[0].metadata["reporting-mta"] == "dns; mx.there.example"

    @pytest.mark.parametrize("encoding", ["", "8bit", "base64"])
    def test_addresses_beyond_ascii(self, encoding):
        mime = mails.report(
            mails.GLOBAL,
            ORIGIN,
            media="message/global-delivery-status",
            origin_media="message/global-headers",
            encoding=encoding,
        )
        found = read(mime)
        event = only(found)
        assert found.is_proven
        assert event.recipient == "grüße@dömäne.example"
        assert (event.type, event.bounce_class) == ("bounced", "hard")
        assert "für grüße" in event.reply.text

    def test_the_whole_mail_may_come_back(self):
        body = ORIGIN + "\nHere is your invoice.\n" + "x" * 3_000_000
        mime = mails.report(mails.POSTFIX, body, origin_media="message/rfc822")
        found = read(mime)
        assert found.is_proven
        assert only(found).recipient == "user@there.example"

    @pytest.mark.parametrize(
        ("block", "kind", "bounce_class"),
        [
            ("Final-Recipient: rfc822; a@b.example\nStatus: 5.1.1", "bounced", "hard"),
            ("Final-Recipient: rfc822; a@b.example\nStatus: 4.4.1", "deferred", ""),
            ("Final-Recipient: rfc822; a@b.example\nStatus: 2.1.5", "delivered", ""),
            ("Final-Recipient: rfc822; a@b.example\nAction: failed", "bounced", "hard"),
            ("Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 4.4.1",
             "bounced", "soft"),
            ("Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.3.4",
             "bounced", "block"),
            ("Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.4.6",
             "bounced", "soft"),
            ("Final-Recipient: rfc822; a@b.example\nAction: FAILED\nStatus: 5.0.0\n"
             "Diagnostic-Code: x-unix; user unknown", "bounced", "hard"),
            ("Final-Recipient: rfc822; a@b.example\nAction: dancing", "unknown", ""),
            ("Final-Recipient: rfc822; a@b.example", "unknown", ""),
            ("Action: failed\nStatus: 5.1.1\nFinal-Recipient: <a@b.example>",
             "bounced", "hard"),
        ],
    )  # fmt: skip
    def test_blocks_as_they_come(self, block, kind, bounce_class):
        event = only(read(mails.report(f"Reporting-MTA: dns; x\n\n{block}\n", ORIGIN)))
        assert (event.type, event.bounce_class) == (kind, bounce_class)
        assert event.recipient == "a@b.example"

    def test_a_block_that_is_not_parted_from_the_first(self):
        status = mails.POSTFIX.replace("\n\n", "\n")
        event = only(read(mails.report(status, ORIGIN)))
        assert (event.recipient, event.bounce_class) == ("user@there.example", "hard")

    def test_a_report_below_a_mailing_list_footer(self):
        inner = mails.report(mails.POSTFIX, ORIGIN)
        head, _, body = inner.partition(b"Content-Type: multipart/report")
        wrapped = head + (
            b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n"
            b"Content-Type: multipart/report" + body + b"\r\n--outer\r\n\r\nfoot\r\n"
            b"--outer--\r\n"
        )
        assert read(wrapped).is_proven

    def test_a_bounce_that_somebody_forwards_is_none(self):
        inner = mails.report(mails.POSTFIX, ORIGIN)
        mime = (
            b"From: boss@my.example\r\nTo: it@my.example\r\nSubject: look\r\n"
            b"Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nWhy?\r\n"
            b"--f\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--f--\r\n"
        )
        assert read(mime) is None


class TestWhen:
    def test_the_last_attempt_counts(self):
        event = only(read(mails.report(mails.GMAIL, ORIGIN)))
        assert event.occurred_at == datetime(
            2026, 11, 21, 10, 30, 2, tzinfo=timezone.utc
        )

    def test_else_the_date_of_the_report(self):
        event = only(read(mails.report(mails.POSTFIX, ORIGIN)))
        assert event.occurred_at == NOW - timedelta(hours=1)

    @pytest.mark.parametrize(
        "date",
        ["Sat, 21 Nov 2099 11:00:00 +0000", "1 Jan 1900 00:00:00 +0000", "soon",
         "Sat, 21 Nov 2026 11:00:00 +9999", "99 Foo 99999 99:99:99", ""],
    )  # fmt: skip
    def test_absurd_dates_are_not_believed(self, date):
        mime = mails.report(mails.POSTFIX, ORIGIN).replace(
            b"Date: Sat, 21 Nov 2026 11:00:00 +0000", b"Date: " + date.encode(), 1
        )
        assert only(read(mime)).occurred_at == NOW

    def test_nothing_happens_in_the_future(self):
        mime = mails.report(mails.POSTFIX, ORIGIN).replace(
            b"11:00:00 +0000", b"18:00:00 +0000", 1
        )
        assert only(read(mime)).occurred_at == NOW


class TestProof:
    def test_the_return_path(self):
        bare = mails.returned()
        for options, to in (
            ({"envelope_recipients": (PATH,)}, mails.BOUNCES),
            ({}, PATH),
            ({"envelope_recipients": (PATH.upper(),)}, mails.BOUNCES),
        ):
            found = read(mails.report(mails.POSTFIX, bare, to=to), **options)
            assert (found.proof, found.reference) == ("return path", REFERENCE)

    def test_the_returned_header(self):
        for origin in (ORIGIN, mails.returned(return_path=PATH)):
            found = read(mails.report(mails.POSTFIX, origin))
            assert (found.proof, found.reference) == PROVEN

    def test_the_envelope_id(self):
        status = mails.SEVERAL.format(envelope_id=TOKEN)
        found = read(mails.report(status, mails.returned()))
        assert (found.proof, found.reference) == ("envelope id", REFERENCE)
        assert TOKEN not in repr(found)

    def test_the_return_path_comes_first(self):
        other = make_bounce_token(KEY, "m-18")
        mime = mails.report(mails.POSTFIX, mails.returned(other), to=PATH)
        assert read(mime).reference == REFERENCE

    @pytest.mark.parametrize(
        "origin",
        [
            mails.returned(),
            mails.returned("m-17"),
            mails.returned("m-17-" + "a" * 20),
            mails.returned(make_bounce_token(OTHER, REFERENCE)),
            mails.returned(TOKEN + "a"),
            mails.returned(return_path="bounce+m-17@my.example"),
            "",
        ],
    )
    def test_a_forged_report_names_no_mail_of_ours(self, origin):
        found = read(mails.report(mails.POSTFIX, origin))
        assert not found.is_proven
        assert (found.proof, found.reference) == ("", "")
        event = only(found)
        assert (event.reference, event.message_id) == ("", "")
        assert event.metadata["unproven"] == "yes"

    def test_what_it_claims_is_there_to_be_looked_at(self):
        found = read(mails.report(mails.POSTFIX, mails.returned()))
        assert found.message_id == mails.MESSAGE_ID
        assert only(found).type == "bounced"

    def test_without_a_key_nothing_is_proven(self):
        mime = mails.report(mails.POSTFIX, ORIGIN)
        assert not read_report(mime, [], NOW).is_proven
        assert not read_report(mime, [OTHER], NOW).is_proven
        assert read_report(mime, [OTHER, KEY], NOW).is_proven

    @pytest.mark.parametrize(
        ("sender", "proven"),
        [
            ("", True),
            (None, True),
            ("MAILER-DAEMON@mx.there.example", True),
            ("postmaster@there.example", True),
            ("mallory@evil.example", False),
            ("mailer-daemon.evil@evil.example", False),
        ],
    )
    def test_a_report_on_delivery_comes_from_nobody(self, sender, proven):
        mime = mails.report(mails.POSTFIX, ORIGIN)
        assert read(mime, envelope_sender=sender).is_proven is proven

    def test_a_token_in_the_text_is_no_proof(self):
        mime = mails.report(
            mails.POSTFIX, mails.returned(), text=f"X-Mail-Relay-Token: {TOKEN}\n"
        )
        assert not read(mime).is_proven

    def test_a_token_behind_many_others_is_not_looked_for(self):
        many = "X-Mail-Relay-Token: x\n" * 900
        found = read(mails.report(mails.POSTFIX, many + ORIGIN))
        assert not found.is_proven


class TestFeedback:
    def complaint(self, kind="abuse", origin=ORIGIN, mail_from="bounce@my.example"):
        status = mails.FEEDBACK.format(kind=kind, mail_from=mail_from)
        return mails.report(
            status, origin, kind="feedback-report", origin_media="message/rfc822"
        )

    @pytest.mark.parametrize(
        ("kind", "event_type"),
        [
            ("abuse", "complained"),
            ("Fraud", "complained"),
            ("virus", "complained"),
            ("other", "complained"),
            ("opt-out", "unsubscribed"),
            ("not-spam", "unknown"),
            ("auth-failure", "unknown"),
            ("nonsense", "unknown"),
        ],
    )
    def test_the_types(self, kind, event_type):
        found = read(self.complaint(kind), envelope_sender="fbl@there.example")
        assert (found.kind, found.proof) == ("feedback", "header")
        event = only(found)
        assert (event.type, event.recipient) == (event_type, "user@there.example")
        assert event.metadata["feedback-type"] == kind.lower()
        assert event.metadata["user-agent"] == "SomeFeedback/1.0"
        assert event.message_id == mails.MESSAGE_ID

    def test_the_address_is_often_left_out(self):
        mime = self.complaint().replace(b"Original-Rcpt-To: <user@there.example>", b"")
        event = only(read(mime))
        assert (event.type, event.recipient) == ("complained", "")
        assert event.reference == REFERENCE

    def test_several_addresses(self):
        line = b"Original-Rcpt-To: <user@there.example>"
        mime = self.complaint().replace(
            line, line + b"\r\n" + line.replace(b"user", b"other") + b"\r\n" + line
        )
        names = [event.recipient for event in read(mime).events]
        assert names == ["user@there.example", "other@there.example"]

    def test_the_return_path_of_the_complaint_is_a_proof(self):
        found = read(self.complaint(origin=mails.returned(), mail_from=PATH))
        assert (found.proof, found.reference) == ("return path", REFERENCE)

    def test_a_forged_complaint_is_unproven(self):
        found = read(self.complaint(origin=mails.returned()))
        assert not found.is_proven
        assert only(found).metadata["unproven"] == "yes"


class TestText:
    @pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
    def test_qmail(self, newline):
        mime = mails.qmail(ORIGIN).replace(b"\n", newline)
        found = read(mime)
        assert (found.kind, found.proof, found.reference) == ("delivery", *PROVEN)
        assert found.message_id == mails.MESSAGE_ID
        first, second = found.events
        assert (first.recipient, first.bounce_class) == ("user@there.example", "hard")
        assert (first.reply.code, first.reply.enhanced) == (0, "5.1.1")
        assert second.recipient == "other@elsewhere.example"
        assert (second.reply.code, second.bounce_class) == (552, "soft")

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
    def test_exim(self, newline):
        mime = mails.exim_text(ORIGIN).replace(b"\n", newline)
        found = read(mime)
        assert (found.kind, found.proof, found.reference) == ("delivery", *PROVEN)
        first, second = found.events
        assert (first.recipient, first.type) == ("user@there.example", "bounced")
        assert (first.reply.code, first.reply.enhanced) == (550, "5.1.1")
        assert (second.recipient, second.bounce_class) == (
            "other@there.example",
            "hard",
        )
        assert second.metadata["reason"] == "invalid"

    @pytest.mark.parametrize("make", [mails.qmail, mails.exim_text])
    def test_forged(self, make):
        assert not read(make(mails.returned())).is_proven
        assert read(make(mails.returned(), PATH)).proof == "return path"

    def test_a_letter_that_begins_alike_is_none(self):
        mime = b"From: a@b.example\n\nHi. This is the offer.\n\nBest, A.\n"
        assert read(mime) is None


class TestAutomatic:
    @pytest.mark.parametrize(
        "header",
        [
            "Auto-Submitted: auto-replied",
            "Auto-Submitted: auto-generated (vacation); owner=x",
            "X-Autoreply: yes",
            "X-Autorespond: Re: Invoice",
            "Precedence: auto_reply",
            "Precedence: bulk",
        ],
    )
    def test_a_program_answered(self, header):
        found = read(mails.vacation(header, PATH))
        assert (found.kind, found.proof) == ("automatic", "return path")
        event = only(found)
        assert (event.type, event.recipient) == ("autoresponded", "user@there.example")
        assert found.message_id == mails.MESSAGE_ID

    @pytest.mark.parametrize(
        "header", ["Auto-Submitted: no", "Precedence: list", "Precedence: bulk", "X: y"]
    )
    def test_a_person_or_a_list_wrote(self, header):
        mime = mails.vacation(header, "sales@my.example")
        assert read(mime, envelope_sender="user@there.example") is None

    def test_a_receipt_is_no_bounce(self):
        mime = mails.report(mails.RECEIPT, ORIGIN, kind="disposition-notification")
        found = read(mime, envelope_sender="user@there.example")
        assert (found.kind, found.proof) == ("disposition", "header")
        event = only(found)
        assert (event.type, event.recipient) == ("autoresponded", "user@there.example")
        assert event.bounce_class == ""
        assert "displayed" in event.metadata["disposition"]


class TestAddresses:
    @pytest.mark.parametrize(
        ("value", "address"),
        [
            ("rfc822; a@b.example", "a@b.example"),
            ("RFC822;a@b.example", "a@b.example"),
            ("rfc822; <a@b.example>", "a@b.example"),
            ("rfc822; a@b.example (A. User)", "a@b.example"),
            ("a@b.example", "a@b.example"),
            ("<a@b.example>", "a@b.example"),
            ("rfc822; a+20b@b.example", "a+20b@b.example"),
            (r"utf-8; gr\x{FC}n@b.example", "grün@b.example"),
            (r"utf-8; a\x{2B}b@b.example", "a+b@b.example"),
            (r"utf-8; a\x{D800}@b.example", "a\ufffd@b.example"),
            ("rfc822; a@b.example, c@d.example", ""),
            ("rfc822; nobody", ""),
            ("x400; /G=A/S=User/", ""),
            (r"utf-8; a\x{0A}b@d.example", "a\ufffdb@d.example"),
            (r"utf-8; a\x{3E}b@d.example", ""),
            ("rfc822; a:b@d.example", ""),
            ("", ""),
            (";", ""),
            ("rfc822; " + "a" * 5000 + "@b.example", ""),
        ],
    )
    def test_any_way_of_writing_one(self, value, address):
        assert read_address(value) == address

    def test_an_address_is_one_line(self):
        status = "Final-Recipient: rfc822; a@b.example\n\tBcc: c@d.example\n"
        event = only(read(mails.report(status, ORIGIN)))
        assert event.recipient == ""


class TestHostile:
    def test_blocks_are_bounded(self):
        status = "Final-Recipient: rfc822; a@b.example\nAction: failed\n\n" * 100_000
        started = time.process_time()
        found = read(mails.report(status, ORIGIN))
        assert len(found.events) <= 1001
        assert time.process_time() - started < 3

    @pytest.mark.parametrize(
        "status",
        [
            "A: b\n" * 100_000,
            "Final-Recipient: rfc822; a@b.example\n" + " x\n" * 200_000,
            "Final-Recipient: rfc822; a@b.example\nDiagnostic-Code: smtp; "
            + "550 5.1.1 " * 60_000,
            ": \n" * 200_000,
            "\n" * 900_000,
            "Status: " + "5.1." * 200_000,
            "Final-Recipient: utf-8; " + r"\x{" * 200_000,
            "Final-Recipient: rfc822; " + "(" * 400_000,
            "x" * 900_000,
        ],
    )
    def test_a_status_is_read_in_linear_time(self, status):
        started = time.process_time()
        found = read(mails.report(status, ORIGIN))
        assert found.kind == "delivery"
        assert time.process_time() - started < 1
        for event in found.events:
            assert len(event.reply.text) <= 1000
            assert all(len(value) <= 250 for value in event.metadata.values())

    @pytest.mark.parametrize(
        "body",
        [
            "<a@b.example>:\n\n" * 60_000,
            "<" * 900_000,
            "-" * 900_000,
            "\n \t" * 300_000,
            "said: " * 150_000,
            "550 \n" * 200_000,
        ],
    )
    def test_a_text_is_read_in_linear_time(self, body):
        started = time.process_time()
        for head in (b"X-Failed-Recipients: a@b.example\n\n", b"\nHi. This is the "):
            found = read(b"From: x@y.example\n" + head + body.encode())
            assert found is None or len(found.events) <= 100
        assert time.process_time() - started < 2

    def test_ten_thousand_failed_recipients(self):
        names = ",\n ".join(f"u{number}@b.example" for number in range(10_000))
        mime = f"From: x@y.example\nX-Failed-Recipients: {names}\n\ntext\n".encode()
        assert len(read(mime).events) == 100

    @given(st.binary(max_size=400), st.integers(0, 2000), st.integers(0, 400))
    def test_any_damage_is_survived(self, junk, start, length):
        mime = mails.report(mails.SEVERAL.format(envelope_id=TOKEN), ORIGIN)
        found = read(mime[:start] + junk + mime[start + length :])
        for event in found.events if found else ():
            assert event.occurred_at <= NOW
            assert event.type in (
                *("bounced", "deferred", "delivered", "sent", "unknown"),
                *("complained", "unsubscribed", "autoresponded"),
            )
            assert event.reference in ("", REFERENCE)
            assert "\n" not in event.recipient

    @given(st.binary(max_size=600))
    def test_any_bytes_are_no_error(self, mime):
        read(mime)
        read_blocks(mime)
