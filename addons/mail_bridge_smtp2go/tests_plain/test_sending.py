# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A mail on its way to SMTP2GO, against its interface on loopback."""

import base64
import email
import email.policy
from dataclasses import replace
from datetime import timedelta
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers.base import AccountFacts, utcnow
from odoo.addons.mail_bridge.providers.delivery import Outcome, OutgoingMail
from odoo.addons.mail_bridge.providers.http import CallAnswer
from odoo.addons.mail_bridge.providers.mime import Attachment, MailParts, build_mime
from odoo.addons.mail_bridge.tests_plain.api_stub import (
    DROP,
    HALF,
    Said,
    closed_port,
)
from odoo.addons.mail_bridge_smtp2go import api, const, sending
from odoo.addons.mail_bridge_smtp2go.adapter import Smtp2goAdapter
from odoo.addons.mail_bridge_smtp2go.addressing import addressed
from odoo.addons.mail_bridge_smtp2go.answers import read_sending
from odoo.addons.mail_bridge_smtp2go.tests_plain.api_of import (
    ACCOUNT,
    DENIED,
    KEY,
    REQUEST_ID,
    error,
    paths,
    said,
    smtp2go,
)

ACCEPTED, DEFERRED, REJECTED, IN_DOUBT = (
    Outcome.ACCEPTED,
    Outcome.DEFERRED,
    Outcome.REJECTED,
    Outcome.IN_DOUBT,
)
adapter = Smtp2goAdapter()
ANNA, BEN, EVE = "anna@example.com", "ben@example.com", "eve@example.com"
PARTS = MailParts(
    headers=(
        ("From", "Véra <vera@customer.example>"),
        ("To", f"Anna <{ANNA}>"),
        ("Cc", f"Ben <{BEN}>"),
        ("Subject", "Größe 42"),
        ("Date", "Fri, 20 Nov 2026 11:59:00 +0000"),
        ("Message-ID", "<17@customer.example>"),
        ("Reply-To", "desk@customer.example"),
    ),
    text="Hello\r\n",
    html='<p>Hello <img src="cid:logo@1"></p>',
    attachments=(
        Attachment(b"\x89PNG\r\n\x00\xff", "image/png", "lögo.png", "logo@1", True),
        Attachment(bytes(range(256)), "application/pdf", "Größe.pdf"),
    ),
)
MAIL = OutgoingMail(
    mime=build_mime(PARTS),
    envelope_sender="bounce@customer.example",
    recipients=(ANNA, BEN),
    reference="mb-4711",
    message_id="<17@customer.example>",
)
#: The published example of ``/email/mime``, and that of ``/email/send``.
OK = {"failed": 0, "failures": [], "succeeded": 1}
NAMED = {**OK, "email_id": "1u0SwL-B9zBpi9ffUq-JAB2"}


def outcomes(receipt):
    return [result.outcome for result in receipt.results]


def posted(asked):
    """The mail in a request to ``/email/mime``."""
    mime = base64.b64decode(asked.json["mime_email"], validate=True)
    return mime, email.message_from_bytes(mime, policy=email.policy.default)


def addresses(message, name):
    """Whom a field names."""
    values = [str(value) for value in message.get_all(name, [])]
    return [item for _name, item in getaddresses(values) if "@" in item]


class TestMime:
    def test_the_mail_goes_as_it_is(self, monkeypatch):
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(MAIL, ACCOUNT)
        assert outcomes(receipt) == [ACCEPTED, ACCEPTED]
        assert [result.address for result in receipt.results] == [ANNA, BEN]
        assert receipt.provider_reference == "" and receipt.retry_after is None
        reply = receipt.results[0].reply
        assert (reply.stage, reply.code) == ("api", 200) and REQUEST_ID in reply.text
        [asked] = stub.asked
        assert asked.path == "/v3/email/mime" and set(asked.json) == {"mime_email"}
        mime, message = posted(asked)
        assert mime.endswith(MAIL.mime)
        assert message[const.REFERENCE_HEADER] == "mb-4711"
        assert "Bcc" not in message

    def test_names_of_the_mail(self, monkeypatch):
        with smtp2go(monkeypatch, said(NAMED)):
            receipt = adapter.send(MAIL, ACCOUNT)
        assert receipt.provider_reference == NAMED["email_id"]
        assert outcomes(receipt) == [ACCEPTED, ACCEPTED]

    def test_accepted_at_once(self, monkeypatch):
        """With fastaccept there are no counts."""
        account = replace(ACCOUNT, options={"fastaccept": True})
        with smtp2go(monkeypatch, said({"email_id": "x-1"})) as stub:
            receipt = adapter.send(MAIL, account)
        assert stub.asked[0].json["fastaccept"] is True
        assert outcomes(receipt) == [ACCEPTED, ACCEPTED]

    def test_scheduled(self, monkeypatch):
        moment = utcnow() + timedelta(hours=2)
        with smtp2go(monkeypatch, said({"schedule_id": "caa928f4-24ec"})) as stub:
            receipt = sending.send(MAIL, ACCOUNT, schedule=moment)
            sending.cancel_schedule(ACCOUNT, "caa928f4-24ec")
        assert stub.asked[0].json["schedule"] == f"{moment:%Y-%m-%d %H:%M:%S} +0000"
        assert receipt.provider_reference == "caa928f4-24ec"
        assert outcomes(receipt) == [ACCEPTED, ACCEPTED]
        assert paths(stub)[1] == "/email/scheduled/remove"
        assert stub.asked[1].json == {"schedule_id": "caa928f4-24ec"}

    def test_a_schedule_that_is_over_or_too_far(self, monkeypatch):
        with smtp2go(monkeypatch, said(OK)) as stub:
            sending.send(MAIL, ACCOUNT, schedule=utcnow() - timedelta(hours=1))
            with pytest.raises(ValueError):
                sending.send(MAIL, ACCOUNT, schedule=utcnow() + timedelta(days=4))
        assert ["schedule" in asked.json for asked in stub.asked] == [False]

    @pytest.mark.parametrize(
        ("region", "host"),
        [
            ("", "api.smtp2go.com"),
            ("us", "us-api.smtp2go.com"),
            ("eu", "eu-api.smtp2go.com"),
            ("au", "au-api.smtp2go.com"),
        ],
    )
    def test_regions(self, monkeypatch, region, host):
        called = []

        def call(request):
            called.append(request)
            return CallAnswer(200, (), b'{"data": {"succeeded": 1}}')

        monkeypatch.setattr(api, "call", call)
        account = replace(ACCOUNT, options={"region": region})
        assert outcomes(adapter.send(MAIL, account)) == [ACCEPTED] * 2
        assert called[0].url == f"https://{host}/v3/email/mime"
        assert called[0].hosts == (host,)
        assert KEY not in repr(called[0])


class TestRecipients:
    """There is no envelope: the fields say who gets the mail."""

    def fields(self, monkeypatch, mail):
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(mail, ACCOUNT)
        assert [item.address for item in receipt.results] == list(mail.recipients)
        _mime, message = posted(stub.asked[0])
        fields = {name: addresses(message, name) for name in ("To", "Cc", "Bcc")}
        assert email.message_from_bytes(MAIL.mime).get_payload()  # and the body stays
        assert message.get_content_type() == "multipart/mixed"
        return {name: found for name, found in fields.items() if found}, message

    def test_whom_no_field_names_gets_a_blind_copy(self, monkeypatch):
        mail = replace(MAIL, recipients=(ANNA, BEN, EVE))
        fields, _message = self.fields(monkeypatch, mail)
        assert fields == {"To": [ANNA], "Cc": [BEN], "Bcc": [EVE]}

    def test_a_retry_goes_only_to_its_recipients(self, monkeypatch):
        fields, message = self.fields(monkeypatch, replace(MAIL, recipients=(BEN,)))
        assert fields == {"To": [BEN]} and message["To"] == f"Ben <{BEN}>"
        fields, message = self.fields(monkeypatch, replace(MAIL, recipients=(ANNA,)))
        assert fields == {"To": [ANNA]} and message["To"] == f"Anna <{ANNA}>"

    def test_an_address_that_is_only_shown_gets_nothing(self, monkeypatch):
        """As that of a mailing list, which would send the mail to itself."""
        fields, _message = self.fields(monkeypatch, replace(MAIL, recipients=(EVE,)))
        assert fields == {"To": [EVE]}

    def test_hidden_recipients_do_not_see_each_other(self, monkeypatch):
        mail = replace(MAIL, recipients=(EVE, "mallory@example.com"))
        fields, message = self.fields(monkeypatch, mail)
        assert fields == {"Bcc": list(mail.recipients)}
        assert "undisclosed" in message["To"]

    @pytest.mark.parametrize(
        "to",
        [
            "ANNA@EXAMPLE.COM",
            f'"Doe, Anna" <{ANNA}>',
            f"=?utf-8?q?=C3=84nna?= <{ANNA}>",
            f"\r\n Anna\r\n\t<{ANNA}>",
        ],
    )
    def test_one_address_in_other_words(self, monkeypatch, to):
        head = f"From: a@b.example\r\nTo: {to}\r\nMIME-Version: 1.0\r\n"
        mime = head.encode() + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--"
        mail = replace(MAIL, mime=mime, recipients=(ANNA,))
        with smtp2go(monkeypatch, said(OK)) as stub:
            adapter.send(mail, ACCOUNT)
        assert posted(stub.asked[0])[0].endswith(mime)

    def test_internationalized_domains(self, monkeypatch):
        mime = build_mime(replace(PARTS, headers=(("To", "a@xn--bcher-kva.example"),)))
        mail = replace(MAIL, mime=mime, recipients=("a@bücher.example",))
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(mail, ACCOUNT)
        assert posted(stub.asked[0])[0].endswith(mime)
        assert outcomes(receipt) == [ACCEPTED]

    @pytest.mark.parametrize("name", ["Bcc", "Resent-To", "Resent-Bcc"])
    def test_fields_that_would_name_more(self, monkeypatch, name):
        head = f"{name}: {EVE},\r\n mallory@example.com\r\n".encode()
        fields, message = self.fields(monkeypatch, replace(MAIL, mime=head + MAIL.mime))
        assert fields == {"To": [ANNA], "Cc": [BEN]} and name not in message

    def test_a_reference_that_came_with_the_mail_is_not_ours(self, monkeypatch):
        head = f"{const.REFERENCE_HEADER.upper()}: other\r\n".encode()
        _fields, message = self.fields(
            monkeypatch, replace(MAIL, mime=head + MAIL.mime)
        )
        assert message.get_all(const.REFERENCE_HEADER) == ["mb-4711"]

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "eve",
            "eve@example.com, mallory@example.com",
            "eve@example.com\r\nBcc: mallory@example.com",
            "Eve <eve@example.com>",
            "eve@example.com\0",
            " eve@example.com",
        ],
    )
    def test_what_is_no_address_is_refused_alone(self, monkeypatch, address):
        mail = replace(MAIL, recipients=(address, ANNA, BEN))
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(mail, ACCOUNT)
        assert outcomes(receipt) == [REJECTED, ACCEPTED, ACCEPTED]
        assert receipt.results[0].reply.stage == "rcpt"
        assert posted(stub.asked[0])[0].endswith(MAIL.mime)

    def test_nobody(self, monkeypatch):
        with smtp2go(monkeypatch, said(OK)) as stub:
            assert adapter.send(replace(MAIL, recipients=()), ACCOUNT).results == ()
            receipt = adapter.send(replace(MAIL, recipients=("x",)), ACCOUNT)
        assert outcomes(receipt) == [REJECTED] and not stub.asked

    def test_more_than_a_hundred_come_next_time(self, monkeypatch):
        many = tuple(f"r{number}@example.com" for number in range(130))
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(replace(MAIL, recipients=many), ACCOUNT)
        assert outcomes(receipt) == [ACCEPTED] * 100 + [DEFERRED] * 30
        _mime, message = posted(stub.asked[0])
        assert addresses(message, "Bcc") == list(many[:100])

    def test_the_same_address_twice(self, monkeypatch):
        with smtp2go(monkeypatch, said(OK)):
            receipt = adapter.send(replace(MAIL, recipients=(ANNA, ANNA)), ACCOUNT)
        assert outcomes(receipt) == [ACCEPTED, ACCEPTED]

    @pytest.mark.parametrize(
        "mime",
        [
            b"\r\nbody",
            b"From x\r\nTo: a@b.example\r\n\r\n",
            b"To: a\r\nx y\r\n\r\n",
        ],
    )
    def test_a_header_that_two_might_read_in_two_ways(self, monkeypatch, mime):
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(replace(MAIL, mime=mime), ACCOUNT)
        assert outcomes(receipt) == [REJECTED] * 2 and not stub.asked
        assert receipt.results[0].reply.stage == "data"

    @given(
        st.lists(st.sampled_from([ANNA, BEN, EVE, "Z@example.org"]), unique=True),
        st.binary(max_size=200),
        st.sampled_from(["To", "Cc", "X"]),
    )
    def test_no_field_names_anybody_else(self, recipients, value, name):
        value = bytes(byte for byte in value if byte not in b"\r\n\0")
        mime = b"From: a@b.example\r\n" + name.encode() + b": " + value + b"\r\n\r\nx"
        if not recipients:
            return
        try:
            done = addressed(mime, recipients, "r-1")
        except Exception as problem:
            assert type(problem).__name__ == "PayloadError"
            return
        message = email.message_from_bytes(done.mime)
        found = {
            item.lower()
            for field in ("To", "Cc", "Bcc")
            for _name, item in getaddresses(
                [str(v) for v in message.get_all(field, [])]
            )
            if "@" in item
        }
        assert found == {item.lower() for item in recipients}


class TestAnswers:
    """What an answer says; a request that may have been taken is in doubt."""

    @pytest.mark.parametrize(
        ("answer", "outcome", "stage", "code"),
        [
            (said(OK), ACCEPTED, "api", 200),
            (said(NAMED, 202), ACCEPTED, "api", 202),
            (said({**OK, "succeeded": 0, "failed": 1}), DEFERRED, "api", 200),
            # nobody says what became of it
            (said({}), IN_DOUBT, "api", 200),
            (said([]), IN_DOUBT, "api", 200),
            (said({"succeeded": 0, "failed": 0}), IN_DOUBT, "api", 200),
            (Said(200, b""), IN_DOUBT, "api", 200),
            (Said(200, b"<html>OK</html>"), IN_DOUBT, "api", 200),
            (Said(204), IN_DOUBT, "api", 204),
            (Said(200, [1]), IN_DOUBT, "api", 200),
            # may have been taken before it went wrong
            (Said(500), IN_DOUBT, "api", 500),
            (Said(502, b"<html>"), IN_DOUBT, "api", 502),
            (Said(503), IN_DOUBT, "api", 503),
            (Said(504), IN_DOUBT, "api", 504),
            (error("API_EXCEPTION", "x", 500), IN_DOUBT, "api", 500),
            (said({**NAMED, "error": "x"}), IN_DOUBT, "api", 200),
            (DROP, IN_DOUBT, "api", 0),
            (HALF, IN_DOUBT, "api", 0),
            # nobody took it up
            (Said(503, headers=(("Retry-After", "7"),)), DEFERRED, "api", 503),
            (Said(302, headers=(("Location", "/x"),)), DEFERRED, "api", 302),
            (Said(404), DEFERRED, "api", 404),
            (Said(408), DEFERRED, "api", 408),
            (Said(429), DEFERRED, "api", 429),
            (error("X", "API key ratelimit exceeded"), DEFERRED, "api", 429),
            (error("API_EXCEPTION", "Something failed"), DEFERRED, "api", 400),
            (Said(402), DEFERRED, "api", 402),
            (error("X", "Your monthly plan quota is used up"), DEFERRED, "api", 402),
            # the account
            (Said(401), DEFERRED, "api", 401),
            (Said(403), DEFERRED, "api", 403),
            (DENIED, DEFERRED, "api", 403),
            (error("X", "An API User matching the passed 'api_key' was not found"),
             DEFERRED, "api", 401),
            # flat, as other pages of the documentation have it
            (Said(400, {"error": "x", "error_code":
                        "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"}),
             DEFERRED, "api", 403),
            # the mail
            (error("SENDER_NOT_VERIFIED", "Verify"), REJECTED, "mail", 550),
            (error("X", "From header domain not verified"), REJECTED, "mail", 550),
            (error("NON_VALIDATING_IN_PAYLOAD", "no"), REJECTED, "api", 400),
            (error("SOMETHING_NEW", "no"), REJECTED, "api", 400),
            (Said(413), REJECTED, "api", 413),
            (Said(400), REJECTED, "api", 400),
            # 200, and yet
            (error("X", "too bad", 200), REJECTED, "api", 200),
        ],
    )  # fmt: skip
    def test_for_all_recipients(self, monkeypatch, answer, outcome, stage, code):
        with smtp2go(monkeypatch, answer) as stub:
            receipt = adapter.send(replace(MAIL, mime=REPORT), ACCOUNT)
        assert outcomes(receipt) == [outcome] * 2
        reply = receipt.results[0].reply
        assert (reply.stage, reply.code) == (stage, code)
        assert len(stub.asked) == 1  # never a second request after a doubtful first
        assert KEY not in repr(receipt)

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            # one of two is named
            ({"succeeded": 1, "failed": 1, "failures": [f"{BEN}: no such domain"],
              "email_id": "x"}, [ACCEPTED, REJECTED]),
            ({"succeeded": 1, "failed": 0, "failures": [f"<{BEN}> 452 4.2.2 full"]},
             [ACCEPTED, DEFERRED]),
            ({"failures": [f"550 5.1.1 <{ANNA}>... unknown"], "email_id": "x"},
             [REJECTED, ACCEPTED]),
            ({"succeeded": 0, "failed": 1, "failures": [f"{BEN.upper()}. suppressed"]},
             [DEFERRED, REJECTED]),
            ({"succeeded": 0, "failed": 1, "failures": [f"452 4.2.2 {ANNA} over quota",
              f"550 5.1.1 {BEN} unknown"]}, [DEFERRED, REJECTED]),
            # nobody is named
            ({"succeeded": 0, "failed": 1, "failures": ["550 From header sender domain "
              "not verified"]}, [REJECTED, REJECTED]),
            ({"succeeded": 0, "failed": 1, "failures": ["451 4.3.0 later"]},
             [DEFERRED, DEFERRED]),
            ({"succeeded": 0, "failed": 1, "failures": ["something"]},
             [REJECTED, REJECTED]),
            ({"succeeded": 0, "failed": 1, "failures": ["550 that IP address on this "
              "account is not allowed to send"]}, [DEFERRED, DEFERRED]),
            # somebody else is named
            ({"succeeded": 0, "failed": 1, "failures": ["vera@customer.example is not "
              "verified"]}, [REJECTED, REJECTED]),
            # taken, and not taken
            ({"succeeded": 1, "failed": 1, "failures": ["something"]},
             [IN_DOUBT, IN_DOUBT]),
            ({"succeeded": 1, "failed": 1, "failures": []}, [IN_DOUBT, IN_DOUBT]),
            ({"succeeded": 0, "failed": 1, "failures": ["something"],
              "email_id": "x"}, [IN_DOUBT, IN_DOUBT]),
            ({"succeeded": 1, "failed": 2, "failures": [f"{BEN}: no", f"{ANNA}: no"]},
             [IN_DOUBT, IN_DOUBT]),
            # other shapes
            ({"succeeded": 1, "failures": [{"email": BEN, "error": "550 no"}]},
             [ACCEPTED, REJECTED]),
            ({"succeeded": 0, "failed": 1, "failures": f"{BEN}: {ANNA}: 550 no"},
             [REJECTED, REJECTED]),
            ({"succeeded": True, "failed": "1"}, [IN_DOUBT, IN_DOUBT]),
        ],
    )  # fmt: skip
    def test_failures_in_a_success(self, monkeypatch, data, found):
        with smtp2go(monkeypatch, said(data)):
            receipt = adapter.send(MAIL, ACCOUNT)
        assert outcomes(receipt) == found

    def test_what_a_failure_says(self, monkeypatch):
        failure = f"550 5.1.1 <{BEN}>\r\n unknown, {KEY}"
        with smtp2go(monkeypatch, said({"succeeded": 1, "failures": [failure]})):
            receipt = adapter.send(MAIL, ACCOUNT)
        reply = receipt.results[1].reply
        assert (reply.stage, reply.code, reply.enhanced) == ("rcpt", 550, "5.1.1")
        assert (
            reply.text.startswith(f"550 5.1.1 <{BEN}> unknown")
            and KEY not in reply.text
        )

    def test_a_refusal_because_of_one(self, monkeypatch):
        problem = {"fieldname": "to", "message": f"expecting an address, found {BEN}"}
        answer = error("NON_VALIDATING_IN_PAYLOAD", "see below")
        answer.body["data"]["field_validation_errors"] = problem
        with smtp2go(monkeypatch, answer):
            receipt = adapter.send(MAIL, ACCOUNT)
        assert outcomes(receipt) == [DEFERRED, REJECTED]
        assert receipt.results[1].reply.stage == "rcpt"

    @pytest.mark.parametrize(
        ("answer", "seconds"),
        [
            (Said(429), 60.0),
            (Said(429, headers=(("Retry-After", "90"),)), 90.0),
            (error("X", "API key ratelimit exceeded", 429), 60.0),
            (error("X", "API key ratelimit exceeded", 400), 60.0),
            (Said(503, headers=(("Retry-After", "7"),)), 7.0),
            (said({"succeeded": 0, "failures": ["API key ratelimit exceeded"]}), 60.0),
            (Said(500), None),
            (said(OK), None),
        ],
    )
    def test_how_long_to_wait(self, monkeypatch, answer, seconds):
        with smtp2go(monkeypatch, answer):
            assert adapter.send(MAIL, ACCOUNT).retry_after == seconds

    def test_no_connection_is_no_doubt(self, monkeypatch):
        monkeypatch.setenv("MAIL_BRIDGE_ALLOW_LOOPBACK_FETCH", "1")
        url = f"http://127.0.0.1:{closed_port()}/v3"
        monkeypatch.setitem(const.REGIONS, "global", url)
        receipt = adapter.send(MAIL, ACCOUNT)
        assert outcomes(receipt) == [DEFERRED] * 2
        assert receipt.results[0].reply.stage == "connect"
        assert receipt.results[0].reply.code == 0

    def test_no_answer_in_time_is_in_doubt(self, monkeypatch):
        monkeypatch.setattr(const, "SEND_TIMEOUT", 0.3)
        with smtp2go(monkeypatch, said(OK, after=1.0)):
            assert outcomes(adapter.send(MAIL, ACCOUNT)) == [IN_DOUBT] * 2

    @pytest.mark.parametrize(
        "account",
        [
            AccountFacts(),
            AccountFacts(secrets={"api_key": ("",)}),
            replace(ACCOUNT, options={"region": "mars"}),
            AccountFacts(secrets={"api_key": ("key\r\nX: y-0123456789",)}),
            AccountFacts(secrets={"api_key": ("kéy-0123456789\u2028",)}),
        ],
    )
    def test_what_the_account_lacks(self, monkeypatch, account):
        with smtp2go(monkeypatch, said(OK)) as stub:
            receipt = adapter.send(MAIL, account)
        assert outcomes(receipt) == [DEFERRED] * 2 and not stub.asked
        assert receipt.results[0].reply.stage == "auth"
        assert "0123456789" not in repr(receipt)

    def test_too_large(self, monkeypatch):
        monkeypatch.setattr(const, "MAX_MAIL_REQUEST", 2000)
        with smtp2go(monkeypatch, said(OK)) as stub:
            large = replace(MAIL, mime=MAIL.mime + b"x" * 2000)
            receipt = adapter.send(large, ACCOUNT)
        assert outcomes(receipt) == [REJECTED] * 2 and not stub.asked
        assert receipt.results[0].reply.enhanced == "5.3.4"

    @given(
        st.sampled_from([200, 202, 400, 401, 429, 500, 503, 302]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-1, 3)
            | st.text("\r\n\0a@. \ud800", max_size=9),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "data error error_code succeeded failed failures email_id "
                    "field_validation_errors schedule_id request_id message".split()
                ),
                inner,
                max_size=4,
            ),
            max_leaves=8,
        ),
    )
    def test_any_answer_says_something_of_each(self, status, document):
        answer = api._read(CallAnswer(status, (), api.encode(document)), KEY)
        results = read_sending(answer, (ANNA, BEN))
        assert [result.address for result in results] == [ANNA, BEN]
        for result in results:
            assert result.outcome is not ACCEPTED or 200 <= status < 300
            assert not set(result.reply.text) & set("\r\n\0")
            assert result.reply.text.encode() is not None
            assert len(result.reply.text) <= 1000


HEAD = b"From: a@b.example\r\nTo: anna@example.com\r\nCc: ben@example.com\r\n"
MIXED = (
    HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n--x"
)
#: A mail that ``/email/send`` has no place for.
REPORT = HEAD + b"Content-Type: multipart/report; boundary=x\r\n\r\n--x--\r\n"


class TestStandard:
    """``/email/send`` is asked only where ``/email/mime`` is not for this key."""

    @pytest.mark.parametrize("refusal", [DENIED, Said(404)])
    def test_the_mail_in_parts(self, monkeypatch, refusal):
        with smtp2go(monkeypatch, refusal, said(NAMED)) as stub:
            receipt = adapter.send(replace(MAIL, recipients=(ANNA, BEN, EVE)), ACCOUNT)
        assert outcomes(receipt) == [ACCEPTED] * 3
        assert receipt.provider_reference == NAMED["email_id"]
        assert paths(stub) == ["/email/mime", "/email/send"]
        sent = stub.asked[1].json
        headers = {item["header"]: item["value"] for item in sent.pop("custom_headers")}
        assert headers == {
            const.REFERENCE_HEADER: "mb-4711",
            "Date": "Fri, 20 Nov 2026 11:59:00 +0000",
            "Message-ID": "<17@customer.example>",
            "Reply-To": "desk@customer.example",
        }
        [file], [image] = sent.pop("attachments"), sent.pop("inlines")
        assert base64.b64decode(file.pop("fileblob")) == bytes(range(256))
        assert file == {"filename": "Größe.pdf", "mimetype": "application/pdf"}
        assert base64.b64decode(image.pop("fileblob")) == b"\x89PNG\r\n\x00\xff"
        assert image == {"filename": "logo@1", "mimetype": "image/png"}
        assert sent == {
            "sender": '"Véra" <vera@customer.example>',
            "to": [f'"Anna" <{ANNA}>'],
            "cc": [f'"Ben" <{BEN}>'],
            "bcc": [EVE],
            "subject": "Größe 42",
            "text_body": PARTS.text,
            "html_body": PARTS.html,
        }

    @pytest.mark.parametrize(
        "second", [Said(500), DROP, said({}), error("X", "no"), DENIED]
    )
    def test_the_second_answer_counts(self, monkeypatch, second):
        with smtp2go(monkeypatch, DENIED, second) as stub:
            receipt = adapter.send(MAIL, ACCOUNT)
        assert paths(stub) == ["/email/mime", "/email/send"]
        assert ACCEPTED not in outcomes(receipt)
        doubtful = second not in (DENIED, error("X", "no"))
        assert (IN_DOUBT in outcomes(receipt)) == doubtful

    LOSSY = {
        "report": REPORT,
        "signed": MAIL.mime.replace(b"multipart/mixed", b"multipart/signed"),
        "dkim": b"DKIM-Signature: v=1\r\n" + MAIL.mime,
        "two authors": b"From: x@y.example\r\n" + MAIL.mime,
        "invitation": (
            HEAD + b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"
        ),
        "a mail in it": (
            MIXED + b"\r\nContent-Type: message/rfc822\r\n"
            b"Content-Disposition: attachment; filename=m.eml\r\n\r\n"
            b"Subject: x\r\n\r\ny\r\n--x--\r\n"
        ),
        "a file without a name": (
            MIXED + b"\r\nContent-Type: image/png\r\n\r\ny\r\n--x--\r\n"
        ),
        "two texts": MIXED + b"\r\n\r\nfooter\r\n--x--\r\n",
    }

    @pytest.mark.parametrize("kind", LOSSY)
    def test_what_it_has_no_place_for_is_not_torn(self, monkeypatch, kind):
        with smtp2go(monkeypatch, DENIED, said(OK)) as stub:
            receipt = adapter.send(replace(MAIL, mime=self.LOSSY[kind]), ACCOUNT)
        assert paths(stub) == ["/email/mime"]
        assert outcomes(receipt) == [DEFERRED] * 2

    @pytest.mark.parametrize(
        "parts",
        [
            replace(PARTS, html=None, attachments=()),
            replace(PARTS, text=None, attachments=()),
            replace(PARTS, attachments=PARTS.attachments[:1]),
            replace(PARTS, text="ümlaut ✓\r\n", attachments=()),
        ],
    )
    def test_smaller_mails(self, monkeypatch, parts):
        with smtp2go(monkeypatch, DENIED, said(OK)) as stub:
            adapter.send(replace(MAIL, mime=build_mime(parts)), ACCOUNT)
        sent = stub.asked[1].json
        assert (sent.get("text_body"), sent.get("html_body")) == (
            parts.text,
            parts.html,
        )
        assert len(sent.get("inlines", [])) == len(parts.attachments)


class TestTemplates:
    def test_a_template_by_its_id(self, monkeypatch):
        with smtp2go(monkeypatch, said(NAMED)) as stub:
            receipt = sending.send_template(
                MAIL, "welcome", {"name": "Anna", "items": [1]}, ACCOUNT
            )
        assert outcomes(receipt) == [ACCEPTED] * 2
        [asked] = stub.asked
        assert asked.path == "/v3/email/send"
        assert asked.json["template_id"] == "welcome"
        assert asked.json["template_data"] == {"name": "Anna", "items": [1]}
        assert not {"subject", "text_body", "html_body"} & set(asked.json)
        assert len(asked.json["attachments"]) == 1

    def test_a_mail_that_would_lose_something(self, monkeypatch):
        with smtp2go(monkeypatch, said(NAMED)) as stub:
            mail = replace(MAIL, mime=REPORT)
            receipt = sending.send_template(mail, "welcome", {}, ACCOUNT)
        assert outcomes(receipt) == [REJECTED] * 2 and not stub.asked


class TestBatch:
    MAILS = tuple(replace(MAIL, reference=f"mb-{number}") for number in range(3))

    def send(self, monkeypatch, *answers, mails=MAILS):
        with smtp2go(monkeypatch, *answers) as stub:
            receipts = sending.send_batch(mails, ACCOUNT)
        assert len(receipts) == len(mails)
        return receipts, stub

    def test_one_call_for_all(self, monkeypatch):
        items = [{"email_id": "1-a"}, {"schedule_id": "2-b"}, {"email_id": "3-c"}]
        receipts, stub = self.send(monkeypatch, said(items))
        assert [item.provider_reference for item in receipts] == ["1-a", "2-b", "3-c"]
        assert [outcomes(item) for item in receipts] == [[ACCEPTED] * 2] * 3
        assert paths(stub) == ["/email/batch"]
        sent = stub.asked[0].json["emails"]
        assert [item["custom_headers"][0]["value"] for item in sent] == [
            "mb-0",
            "mb-1",
            "mb-2",
        ]

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            (said([{"email_id": "1"}]), IN_DOUBT),  # whose is it?
            (said({"succeeded": 3}), IN_DOUBT),
            (said([{}, {}, {}]), IN_DOUBT),
            (said([{"error": "550 no"}] * 3), REJECTED),
            (said([{"error": "451 later"}] * 3), DEFERRED),
            (Said(500), IN_DOUBT),
            (DROP, IN_DOUBT),
            (Said(429), DEFERRED),
            (Said(401), DEFERRED),
        ],
    )
    def test_without_names_nobody_knows(self, monkeypatch, answer, outcome):
        receipts, stub = self.send(monkeypatch, answer)
        assert [outcomes(item) for item in receipts] == [[outcome] * 2] * 3
        assert len(stub.asked) == 1

    def test_one_item_failed(self, monkeypatch):
        items = [{"email_id": "1"}, {"error": "550 no"}, {}]
        receipts, _stub = self.send(monkeypatch, said(items))
        assert [outcomes(item)[0] for item in receipts] == [
            ACCEPTED,
            REJECTED,
            IN_DOUBT,
        ]

    @pytest.mark.parametrize("refusal", [DENIED, error("NON_VALIDATING_IN_PAYLOAD")])
    def test_a_refused_batch_goes_one_by_one(self, monkeypatch, refusal):
        receipts, stub = self.send(monkeypatch, refusal, said(OK))
        assert [outcomes(item) for item in receipts] == [[ACCEPTED] * 2] * 3
        assert paths(stub) == ["/email/batch", *["/email/mime"] * 3]

    def test_what_it_cannot_express_goes_by_itself(self, monkeypatch):
        mails = (
            self.MAILS[0],
            replace(MAIL, mime=REPORT),
            replace(MAIL, recipients=()),
        )
        receipts, stub = self.send(
            monkeypatch,
            lambda asked: said(OK if "mime" in asked.path else [{"email_id": "1"}]),
            mails=mails,
        )
        assert sorted(paths(stub)) == ["/email/batch", "/email/mime"]
        assert [outcomes(item) for item in receipts] == [
            [ACCEPTED] * 2,
            [ACCEPTED] * 2,
            [],
        ]

    def test_limits_of_one_call(self, monkeypatch):
        monkeypatch.setattr(const, "MAX_BATCH", 2)
        _receipts, stub = self.send(
            monkeypatch,
            lambda asked: said([{"email_id": "1"}] * len(asked.json["emails"])),
        )
        assert [len(asked.json["emails"]) for asked in stub.asked] == [2, 1]

    def test_nothing(self, monkeypatch):
        assert self.send(monkeypatch, said([]), mails=())[0] == []
