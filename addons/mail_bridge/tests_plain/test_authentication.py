# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who sent a mail: results of others, our own DKIM check, alignment, reply tokens."""

import base64
import hashlib
import re
import socket
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import TemporaryError
from odoo.addons.mail_bridge.providers import authentication, dkim
from odoo.addons.mail_bridge.providers.base import AuthenticationVerdicts
from odoo.addons.mail_bridge.providers.repair import make_safe
from odoo.addons.mail_bridge.tests_plain import dkim_mails
from odoo.addons.mail_bridge.tests_plain.bad_mails import BAD_MAILS

TRUSTED = "mx.my.example"


# ----------------------------------------------------------- Authentication-Results


def results(*values, trusted=TRUSTED):
    headers = [("Authentication-Results", value) for value in values]
    return authentication.parse_authentication_results(headers, trusted)


class TestAuthenticationResults:
    def test_all_methods_with_comments_and_properties(self):
        verdicts = results(
            "MX.my.example;\r\n dkim=pass (2048-bit key; spf=fail)"
            " header.i=@News.S.example header.s=a header.b=abc;\r\n"
            "\tspf=pass (sender is ok)"
            " smtp.mailfrom=bounce@mail.s.example smtp.helo=x.example;"
            ' dmarc=pass (p=none) header.from=s.example; reason="none"'
        )
        assert verdicts == AuthenticationVerdicts(
            spf="pass",
            dkim="pass",
            dmarc="pass",
            spf_domain="mail.s.example",
            dkim_domains=("news.s.example",),
            source="authentication-results mx.my.example",
        )

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("mx.my.example; none", ("", "", "")),
            ("mx.my.example 1; spf=softfail", ("softfail", "", "")),
            ("mx.my.example; dkim/1=fail; dmarc=fail", ("", "fail", "fail")),
            ('"mx.my.example"; spf=none', ("none", "", "")),
            ("(c) mx.my.example (d); spf=none", ("none", "", "")),
            ("mx.my.example; SPF=Pass", ("pass", "", "")),
            ("mx.my.example.evil.example; spf=pass", ("", "", "")),
            ("evil.example; mx.my.example; spf=pass", ("", "", "")),
            ("evil.example (mx.my.example); spf=pass", ("", "", "")),
            ("; spf=pass", ("", "", "")),
            ("spf=pass", ("", "", "")),
            ("", ("", "", "")),
            ("mx.my.example; spf", ("", "", "")),
            ("mx.my.example; x=y (spf=pass; dkim=pass", ("", "", "")),
            ('mx.my.example; x=y reason="; spf=pass"', ("", "", "")),
        ],
    )
    def test_words(self, value, expected):
        verdicts = results(value)
        assert (verdicts.spf, verdicts.dkim, verdicts.dmarc) == expected

    def test_only_domains_that_passed(self):
        verdicts = results(
            f"{TRUSTED}; dkim=fail header.d=bad.example;"
            " dkim=pass header.d=good.example; dkim=pass header.d=good.example;"
            " dkim=pass header.i=user@other.example"
        )
        assert verdicts.dkim == "pass"
        assert verdicts.dkim_domains == ("good.example", "other.example")

    def test_a_reason_is_no_property(self):
        verdicts = results(
            f'{TRUSTED}; dkim=pass reason="header.d=evil.example" header.d=good.example'
        )
        assert verdicts.dkim_domains == ("good.example",)

    def test_nobody_is_trusted_by_an_empty_name(self):
        assert results("; spf=pass", trusted="") == AuthenticationVerdicts()
        assert results("mx; spf=pass", trusted=" ") == AuthenticationVerdicts()

    def test_what_came_in_with_the_mail_does_not_count(self):
        """The trusted server's own fields stand on top, above or below its Received."""
        headers = [
            ("Received", "by mx.my.example"),
            ("Authentication-Results", "else.example; dmarc=pass"),
            (
                "Authentication-Results",
                f"{TRUSTED}; spf=fail smtp.mailfrom=a@b.example",
            ),
            ("authentication-results", f"{TRUSTED}; dkim=none"),
            ("Received", "from evil.example by mx.my.example"),
            (
                "Authentication-Results",
                f"{TRUSTED}; dmarc=pass; dkim=pass header.d=x.y",
            ),
        ]
        verdicts = authentication.parse_authentication_results(headers, TRUSTED)
        assert (verdicts.spf, verdicts.dkim, verdicts.dmarc) == ("fail", "none", "")
        assert verdicts.dkim_domains == ()

    @given(st.text(max_size=400))
    def test_any_text(self, text):
        verdicts = results(f"{TRUSTED}; {text}", text)
        assert all(re.fullmatch(r"[a-z0-9_.-]+", d) for d in verdicts.dkim_domains)

    def test_hostile_text_is_read_quickly(self):
        start = time.process_time()
        for text in ("(" * 10**6, '"' * 10**6, "a.b=" * 10**6, "x=y;" * 10**6):
            results(f"{TRUSTED}; spf=pass {text}")
        assert time.process_time() - start < 1


# ------------------------------------------------------------------------ alignment


class TestAlignment:
    @pytest.mark.parametrize(
        ("domain", "organization"),
        [
            ("example.com", "example.com"),
            ("a.b.Example.COM.", "example.com"),
            ("mail.example.co.uk", "example.co.uk"),
            ("co.uk", ""),
            ("com", ""),
            ("user.github.io", "user.github.io"),
            ("www.müller.de", "xn--mller-kva.de"),
            ("www.xn--mller-kva.de", "xn--mller-kva.de"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("", ""),
            ("localhost", ""),
            ("..", ""),
            ("a b.example", ""),
            ("x" * 300 + ".example", ""),
        ],
    )
    def test_organizational_domain(self, domain, organization):
        assert authentication.organizational_domain(domain) == organization

    @pytest.mark.parametrize(
        ("verdicts", "author", "expected"),
        [
            ({"dmarc": "pass"}, "a.example", True),
            ({"dmarc": "pass"}, "", False),
            (
                {"dmarc": "fail", "spf": "pass", "spf_domain": "a.example"},
                "a.example",
                0,
            ),
            ({"spf": "pass", "spf_domain": "a.example"}, "a.example", True),
            ({"spf": "pass", "spf_domain": "bounce.a.example"}, "A.example", True),
            ({"spf": "pass", "spf_domain": "a.example"}, "news.a.example", True),
            ({"spf": "pass", "spf_domain": "b.example"}, "a.example", False),
            ({"spf": "pass", "spf_domain": ""}, "a.example", False),
            ({"spf": "softfail", "spf_domain": "a.example"}, "a.example", False),
            ({"dkim": "pass", "dkim_domains": ("x.y", "a.example")}, "a.example", True),
            ({"dkim": "pass", "dkim_domains": ("x.example",)}, "a.example", False),
            ({"dkim": "fail", "dkim_domains": ("a.example",)}, "a.example", False),
            ({"dkim": "pass", "dkim_domains": ()}, "a.example", False),
            ({"dkim": "pass", "dkim_domains": ("b.co.uk",)}, "a.co.uk", False),
            ({"dkim": "pass", "dkim_domains": ("co.uk",)}, "a.co.uk", False),
            ({"dkim": "pass", "dkim_domains": ("a.github.io",)}, "b.github.io", False),
            (
                {"dkim": "pass", "dkim_domains": ("xn--mller-kva.de",)},
                "müller.de",
                True,
            ),
            ({"dkim": "pass", "dkim_domains": ("evila.example",)}, "a.example", False),
            ({}, "a.example", False),
        ],
    )
    def test_is_aligned(self, verdicts, author, expected):
        found = authentication.is_aligned(AuthenticationVerdicts(**verdicts), author)
        assert found is bool(expected)


class TestFromDomain:
    @pytest.mark.parametrize(
        ("fields", "domain"),
        [
            ("From: a@b.example", "b.example"),
            ("From: Name <a@B.Example>", "b.example"),
            ('From: "boss@my.example" <a@evil.example>', "evil.example"),
            ("From: =?utf-8?q?boss=40my.example?= <a@evil.example>", "evil.example"),
            ("From: =?utf-8?q?boss=40my.example=2C?= <a@evil.example>", "evil.example"),
            ("From: (boss@my.example) a@evil.example", "evil.example"),
            ('From: "Doe, Jane" <jane@b.example>', "b.example"),
            ("From:\r\n Name\r\n <a@b.example>", "b.example"),
            ("from: a@b.example", "b.example"),
            ("From: boss@my.example <a@evil.example>", ""),
            ("From: boss@my.example, a@evil.example", ""),
            ("From: boss@my.example; a@evil.example", ""),
            ("From: <boss@my.example>, <a@evil.example>", ""),
            ("From: <boss@my.example><a@evil.example>", ""),
            ("From: boss@my.example\r\nFrom: a@evil.example", ""),
            ("From: a@evil.example\r\nX: y\r\nFROM: boss@my.example", ""),
            ("From: boss@my.example\0 <a@evil.example>", ""),
            ("From: <boss@my.example@evil.example>", ""),
            ("From: <@evil.example:boss@my.example>", ""),
            ("From: boss", ""),
            ("From: a@localhost", ""),
            ("From:", ""),
            ("To: a@b.example", ""),
            ("From: " + "(" * 2000, ""),
            ("From: " + "a@b.example, " * 2000, ""),
            ("Subject: x\r\n\r\nFrom: a@b.example", ""),
            ("X: y\r\nno header line\r\nFrom: boss@my.example", ""),
            ("X: y\rFrom: boss@my.example\r\nFrom: a@b.example", ""),
            ("From: =?utf-8?q?=3Ca?=x@e.example", ""),
            ("From: =?utf-8?b?PGE+?=a@b.example", ""),
        ],
    )
    def test_one_author_or_none(self, fields, domain):
        mime = fields.encode() + b"\r\nTo: x@y.example\r\n\r\nbody\r\n"
        assert authentication.from_domain(mime) == domain

    @pytest.mark.parametrize("name", [".Net", "...", "Example Inc."])
    def test_a_name_that_the_parser_dies_on(self, name):
        """No error; Python 3.13 reads it, and then there is an author."""
        mime = f"From: {name}<a@b.example>\r\n\r\nbody\r\n".encode()
        assert authentication.from_domain(mime) in ("", "b.example")

    @pytest.mark.parametrize("name", sorted(BAD_MAILS))
    def test_repair_never_makes_an_author(self, name):
        """What has no clear author as it came is judged by that, not by the copy."""
        raw = BAD_MAILS[name]("x@my.example")
        domain = authentication.from_domain(raw)
        if domain:
            assert authentication.from_domain(make_safe(raw).mime) == domain

    @given(st.text(max_size=200))
    def test_any_value(self, text):
        mime = b"From: " + text.encode("utf-8", "surrogatepass") + b"\r\n\r\n"
        domain = authentication.from_domain(mime)
        assert (
            domain == "" or domain in text.lower() or "xn--" in domain or "=?" in text
        )


# ---------------------------------------------------------------------------- DKIM


class Signer:
    """Signs as RFC 6376 says, on its own code: nothing of the checker is used."""

    def __init__(self, kind="rsa", bits=2048):
        self.kind = kind
        if kind == "rsa":
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
            public = self.key.public_key().public_bytes(
                serialization.Encoding.DER,
                serialization.PublicFormat.SubjectPublicKeyInfo,
            )
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()
            public = self.key.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            )
        self.record = b"v=DKIM1; k=%s; p=%s" % (kind.encode(), base64.b64encode(public))

    def sign(self, mail, names=("from", "to", "subject", "date"), **tags):
        """Return the mail (relaxed/relaxed) with a signature on top."""
        head, _, body = mail.partition(b"\r\n\r\n")
        lines = [re.sub(rb"[ \t]+", b" ", x).rstrip() for x in body.split(b"\r\n")]
        while lines and not lines[-1]:
            lines.pop()
        canonical = b"".join(line + b"\r\n" for line in lines)
        values = {
            "v": "1",
            "a": f"{self.kind}-sha256",
            "c": "relaxed/relaxed",
            "d": "sender.example",
            "s": "sel",
            "h": ":".join(names),
            "bh": base64.b64encode(hashlib.sha256(canonical).digest()).decode(),
            **tags,
        }
        listed = "; ".join(f"{k}={v}" for k, v in values.items() if v is not None)
        signature = f"{listed}; b="
        fields = re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n")
        data = b""
        for name in names:
            for number in reversed(range(len(fields))):
                key, _, value = fields[number].partition(b":")
                if key.strip().lower() == name.encode():
                    value = re.sub(rb"[ \t]+", b" ", value).strip()
                    data += name.encode() + b":" + value + b"\r\n"
                    del fields[number]
                    break
        data += b"dkim-signature:" + signature.encode()
        if self.kind == "rsa":
            made = self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        else:
            made = self.key.sign(hashlib.sha256(data).digest())
        signature += base64.b64encode(made).decode()
        return f"DKIM-Signature: {signature}\r\n".encode() + mail


MAIL = (
    b"Received: by mx\r\nFrom: Jane  <jane@sender.example>\r\nTo: x@my.example\r\n"
    b"Subject: One\r\n two\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@sender.example>\r\n\r\nHello  \t there \r\n\r\nBye\r\n\r\n\r\n"
)


@pytest.fixture(scope="module")
def rsa_signer():
    return Signer()


@pytest.fixture(scope="module")
def ed_signer():
    return Signer("ed25519")


def answering(*records, name="sel._domainkey.sender.example"):
    return lambda asked: list(records) if asked == name else []


def verdict(mail, lookup):
    return authentication.check_dkim(mail, lookup)


class TestDkim:
    @pytest.mark.parametrize("kind", ["rsa", "ed25519"])
    def test_a_signed_mail_passes(self, kind, rsa_signer, ed_signer):
        signer = rsa_signer if kind == "rsa" else ed_signer
        verdicts = verdict(signer.sign(MAIL), answering(signer.record))
        assert verdicts == AuthenticationVerdicts(
            dkim="pass", dkim_domains=("sender.example",), source="own dkim check"
        )

    @pytest.mark.parametrize("name", sorted(dkim_mails.MAILS))
    def test_mails_that_another_program_signed(self, name):
        mail = dkim_mails.MAILS[name]
        lookup = dkim_mails.RECORDS.get
        assert dkim.verify(mail, lambda n: [lookup(n)] if lookup(n) else []) == [
            dkim.Signature("pass", "sender.example")
        ]
        changed = mail.replace(b"lunch", b"dinner")
        assert verdict(changed, lambda n: [lookup(n) or b""]).dkim == "fail"

    def test_line_feeds_alone_pass(self, rsa_signer):
        mail = rsa_signer.sign(MAIL).replace(b"\r\n", b"\n")
        assert verdict(mail, answering(rsa_signer.record)).dkim == "pass"

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"Hello", b"Hullo"),
            (b"One", b"Two"),
            (b"jane@", b"john@"),
            (b"Bye\r\n", b"Bye\r\nPS\r\n"),
            (b"Bye", b"By e"),
        ],
    )
    def test_a_changed_mail_fails(self, rsa_signer, old, new):
        mail = rsa_signer.sign(MAIL)
        head, mark, rest = mail.partition(b"Received:")
        changed = head + mark + rest.replace(old, new, 1)
        verdicts = verdict(changed, answering(rsa_signer.record))
        assert (verdicts.dkim, verdicts.dkim_domains) == ("fail", ())

    def test_another_key_fails(self, rsa_signer):
        verdicts = verdict(rsa_signer.sign(MAIL), answering(Signer().record))
        assert verdicts.dkim == "fail"

    def test_unsigned(self):
        assert verdict(MAIL, answering()).dkim == "none"
        assert verdict(b"", answering()).dkim == "none"

    @pytest.mark.parametrize(
        ("tags", "result"),
        [
            ({"l": "5"}, "policy"),
            ({"a": "rsa-sha1"}, "policy"),
            ({"a": "hmac-md5"}, "policy"),
            ({"v": "2"}, "permerror"),
            ({"v": None}, "permerror"),
            ({"s": None}, "permerror"),
            ({"d": "sender..example"}, "permerror"),
            ({"d": "other.example"}, "permerror"),
            ({"i": "@other.example"}, "permerror"),
            ({"i": "@evilsender.example"}, "permerror"),
            ({"i": "jane@mail.sender.example"}, "pass"),
            ({"q": "dns/txt"}, "pass"),
            ({"q": "http"}, "permerror"),
            ({"c": "nofws"}, "permerror"),
            ({"t": "1"}, "pass"),
            ({"t": "99999999999"}, "permerror"),
            ({"t": "１"}, "permerror"),
            ({"x": "1"}, "fail"),
            ({"x": "99999999999"}, "pass"),
            ({"bh": "!"}, "permerror"),
            ({"z": "a; v=1"}, "permerror"),
        ],
    )
    def test_tags(self, rsa_signer, tags, result):
        signed = rsa_signer.sign(MAIL, **tags)
        assert verdict(signed, answering(rsa_signer.record)).dkim == result

    def test_from_must_be_signed(self, rsa_signer):
        signed = rsa_signer.sign(MAIL, names=("to", "subject"))
        assert verdict(signed, answering(rsa_signer.record)).dkim == "permerror"

    @pytest.mark.parametrize(
        "line", [b"From: boss@my.example", b"Subject: Fake", b"Content-Type: text/html"]
    )
    def test_a_field_put_on_top_of_a_signed_one(self, rsa_signer, line):
        more = MAIL.replace(b"Message-ID", b"Content-Type: text/plain\r\nMessage-ID")
        signed = rsa_signer.sign(more)
        assert verdict(signed, answering(rsa_signer.record)).dkim == "pass"
        forged = line + b"\r\n" + signed
        assert verdict(forged, answering(rsa_signer.record)).dkim == "policy"

    @pytest.mark.parametrize(
        ("bits", "result"), [(1024, "pass"), (1023, "policy"), (768, "policy")]
    )
    def test_key_length(self, bits, result, monkeypatch):
        der, signed = dkim_mails.short_key_mail(bits)
        record = b"v=DKIM1; p=" + base64.b64encode(der)
        assert verdict(signed, answering(record)).dkim == result

    @pytest.mark.parametrize(
        ("change", "result"),
        [
            (lambda r: r.replace(b"v=DKIM1; ", b""), "pass"),
            (lambda r: r.replace(b"k=rsa; ", b""), "pass"),
            (lambda r: r + b"; s=email; h=sha1:sha256; n=note", "pass"),
            (lambda r: r.replace(b"DKIM1", b"DKIM2"), "permerror"),
            (lambda r: r.replace(b"k=rsa", b"k=ed25519"), "permerror"),
            (lambda r: r + b"; s=tlsrpt", "permerror"),
            (lambda r: r + b"; h=sha1", "permerror"),
            (lambda r: r + b"; t=y", "policy"),
            (lambda r: r + b"; t=s", "pass"),
            (lambda r: b"v=DKIM1; p=", "permerror"),
            (lambda r: b"v=DKIM1; p=AAAA", "permerror"),
            (lambda r: b"v=DKIM1", "permerror"),
            (lambda r: b"\xff\xfe", "permerror"),
            (lambda r: b"", "permerror"),
        ],
    )
    def test_key_records(self, rsa_signer, change, result):
        record = change(rsa_signer.record)
        assert verdict(rsa_signer.sign(MAIL), answering(record)).dkim == result

    def test_strict_key_and_subdomain(self, rsa_signer):
        signed = rsa_signer.sign(MAIL, i="@mail.sender.example")
        record = rsa_signer.record + b"; t=s"
        assert verdict(signed, answering(record)).dkim == "permerror"

    def test_a_usable_record_among_others(self, rsa_signer):
        lookup = answering(b"v=spf1 -all", rsa_signer.record)
        assert verdict(rsa_signer.sign(MAIL), lookup).dkim == "pass"

    @pytest.mark.parametrize(
        ("fields", "signed", "covered"),
        [
            ([], [], True),
            (["references"], ["references"], True),
            (["references"], [], False),
            (["in-reply-to"], [], False),
            (["in-reply-to"], ["references", "in-reply-to"], True),
            (["references", "in-reply-to"], ["references", "in-reply-to"], True),
            (["references", "in-reply-to"], ["in-reply-to"], False),
            (["references", "in-reply-to"], ["references"], False),
        ],
    )
    def test_what_a_mail_answers_may_be_left_out(
        self, rsa_signer, fields, signed, covered
    ):
        """As Exchange Online does; anybody can then make the mail answer anything."""
        lines = b"".join(b"%s: <a@my.example>\r\n" % f.encode() for f in fields)
        names = ("from", "to", "subject", "date", *signed)
        mail = rsa_signer.sign(lines + MAIL, names=names)
        verdicts = verdict(mail, answering(rsa_signer.record))
        assert verdicts.dkim_domains == ("sender.example",)
        assert verdicts.unthreaded_domains == (() if covered else ("sender.example",))
        aligned = authentication.is_aligned(verdicts.for_replies(), "sender.example")
        assert aligned is covered

    def test_a_stranger_s_signature_over_the_thread_does_not_help(self, rsa_signer):
        """Nor does a second one of the same signer do harm."""
        lookup = lambda name: [rsa_signer.record]  # noqa: E731
        names = ("from", "to", "references")
        mail = rsa_signer.sign(b"References: <a@my.example>\r\n" + MAIL)
        foreign = rsa_signer.sign(mail, names=names, d="evil.example")
        verdicts = verdict(foreign, lookup)
        assert verdicts.dkim_domains == ("evil.example", "sender.example")
        assert not authentication.is_aligned(verdicts.for_replies(), "sender.example")
        own = verdict(rsa_signer.sign(mail, names=names), lookup)
        assert own.unthreaded_domains == ()

    def test_dns_trouble_is_temporary(self, rsa_signer):
        def broken(name):
            raise TemporaryError("DNS: timeout")

        assert verdict(rsa_signer.sign(MAIL), broken).dkim == "temperror"

    def test_the_best_of_several_counts_and_five_are_enough(self, rsa_signer):
        other = Signer()
        asked = []

        def lookup(name):
            asked.append(name)
            return [rsa_signer.record]

        mail = other.sign(other.sign(rsa_signer.sign(MAIL)))
        assert verdict(mail, lookup).dkim == "pass"
        for _ in range(4):
            mail = other.sign(mail)
        asked.clear()
        assert verdict(mail, lookup).dkim == "fail"
        assert len(asked) == 5

    def test_nothing_is_asked_about_a_changed_body(self, rsa_signer):
        """Or a stranger could make us ask DNS for anything, at no cost for him."""
        asked = []
        changed = rsa_signer.sign(MAIL) + b"more\r\n"
        assert verdict(changed, lambda name: asked.append(name) or []).dkim == "fail"
        assert not asked

    def test_large_and_odd_bodies_are_quick(self, rsa_signer):
        signed = rsa_signer.sign(MAIL)
        for tail in (b" " * 5_000_000, b"\r\n" * 2_500_000, b"a \t b\r\n" * 700_000):
            start = time.process_time()
            verdict(signed + tail + b"x", answering(rsa_signer.record))
            assert time.process_time() - start < 1

    @given(st.data())
    def test_any_bytes(self, rsa_signer, data):
        mail = bytearray(rsa_signer.sign(MAIL))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(mail)))
            cut = data.draw(st.integers(0, 20))
            mail[at : at + cut] = data.draw(st.binary(max_size=20))
        verdicts = verdict(bytes(mail), answering(rsa_signer.record))
        words = {"pass", "fail", "none", "policy", "permerror"}
        assert verdicts.dkim in words
        if verdicts.dkim == "pass":
            assert b"Hello" in mail and b"jane@sender.example" in mail

    @given(st.binary(max_size=500))
    def test_noise(self, raw):
        assert verdict(b"DKIM-Signature: " + raw, answering()).dkim != "pass"


class DnsServer(threading.Thread):
    """A name server on this machine with a few TXT records."""

    def __init__(self, records):
        super().__init__(daemon=True)
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            try:
                wire, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            question = dns.message.from_wire(wire)
            answer = self.answer(question)
            if answer is not None:
                self.socket.sendto(answer.to_wire(), peer)

    def answer(self, question):
        name = question.question[0].name
        texts = self.records.get(name.to_text().rstrip("."))
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if texts == "silence":
            return None
        if texts == "servfail":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif texts:
            rrset = dns.rrset.from_text(name, 60, "IN", "TXT", *texts)
            answer.answer.append(rrset)
        return answer


@pytest.fixture
def name_server(rsa_signer):
    record = rsa_signer.record.decode()
    # A record longer than 255 bytes comes in pieces.
    server = DnsServer(
        {
            "sel._domainkey.sender.example": [f'"{record[:200]}" "{record[200:]}"'],
            "empty._domainkey.sender.example": [],
            "broken._domainkey.sender.example": "servfail",
            "silent._domainkey.sender.example": "silence",
        }
    )
    server.start()
    yield server
    server.socket.close()


class TestDns:
    @pytest.mark.parametrize(
        ("selector", "result"),
        [
            ("sel", "pass"),
            ("unknown", "permerror"),
            ("empty", "permerror"),
            ("broken", "temperror"),
            ("silent", "temperror"),
        ],
    )
    def test_over_the_wire(self, name_server, rsa_signer, selector, result):
        lookup = dkim.txt_lookup(["127.0.0.1"], name_server.port, timeout=0.5)
        signed = rsa_signer.sign(MAIL, s=selector)
        assert verdict(signed, lookup).dkim == result

    def test_all_questions_of_a_mail_share_one_time_limit(
        self, name_server, rsa_signer
    ):
        signed = MAIL
        for _signature in range(dkim.MAX_SIGNATURES):
            signed = rsa_signer.sign(signed, s="silent")
        start = time.monotonic()
        lookup = dkim.txt_lookup(["127.0.0.1"], name_server.port, timeout=0.5)
        assert verdict(signed, lookup).dkim == "temperror"
        assert time.monotonic() - start < 1


# --------------------------------------------------------------------- reply tokens

KEY = b"k" * 32
ADDRESS = "catchall@my.example"


class TestReplyTokens:
    def signed(self, model="crm.lead", res_id=7, address=ADDRESS):
        token = authentication.make_reply_token(KEY, model, res_id)
        return authentication.add_reply_token(address, token)

    def reads(self, address, model="crm.lead", res_id=7, key=KEY):
        return authentication.read_reply_token(key, address, model, res_id)

    def test_it_opens_one_record(self):
        address = self.signed()
        assert re.fullmatch(r"catchall\+mb-[a-z2-7]{24}@my\.example", address)
        assert self.reads(address)
        assert not self.reads(address, res_id=8)
        assert not self.reads(address, model="crm.lead,7")
        assert not self.reads(address, key=b"o" * 32)

    def test_model_and_id_do_not_run_together(self):
        assert not self.reads(self.signed("a", 12), "a,1", 2)
        assert not self.reads(self.signed("a.b1", 2), "a.b", 12)

    def test_mail_servers_change_case(self):
        assert self.reads(self.signed().upper())

    def test_at_least_80_bits(self):
        token = authentication.make_reply_token(KEY, "crm.lead", 7)
        assert (len(token) - len("mb-")) * 5 >= 80

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "catchall@my.example",
            "catchall+mb-@my.example",
            "catchall+mb-aaaaaaaaaaaaaaaaaaaaaaaa@my.example",
            "mb-aaaaaaaaaaaaaaaaaaaaaaaa@my.example",
            "catchall+mb-ä@my.example",
            "catchall+mb-" + "a" * 100_000,
            "@",
        ],
    )
    def test_what_is_no_token(self, address):
        assert not self.reads(address)

    def test_every_letter_counts(self):
        address = self.signed()
        start = address.index("mb-") + 3
        for at in range(start, start + 24):
            other = "a" if address[at] != "a" else "b"
            assert not self.reads(address[:at] + other + address[at + 1 :])

    @pytest.mark.parametrize(
        "address", ["sales@my.example", "sales+tag@my.example", "a+b+c@my.example"]
    )
    def test_strip_gives_the_address_back(self, address):
        assert authentication.strip_reply_token(self.signed(address=address)) == address
        assert authentication.strip_reply_token(address) == address
        assert self.reads(self.signed(address=address))

    def test_no_address_stays_as_it_is(self):
        assert authentication.add_reply_token("nothing", "mb-x") == "nothing"
