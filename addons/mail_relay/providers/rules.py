# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What servers mean by what they say: the rules of ``classify`` as data.

The rows of facts/relay.md §4.2, the first that matches wins. A rule of one's own is a
value of the same class, put before these; it holds no regular expression, so that no
rule makes a reply expensive to read. Reviewed against the sources on 2026-11-21.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from odoo.addons.mail_bridge.providers.delivery import BounceClass, Outcome, Stage

#: Who has to change something. ``destination`` is the recipient's server or domain;
#: ``""`` in a rule: the stage of the conversation says it.
Blame = Literal["", "recipient", "message", "sender", "account", "destination"]
Severity = Literal["", "permanent", "temporary"]

IANA = "https://www.iana.org/assignments/smtp-enhanced-status-codes/"
RFC_5321 = "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3"
RFC_3463 = "https://www.rfc-editor.org/rfc/rfc3463#section-3"
RFC_4954 = "https://www.rfc-editor.org/rfc/rfc4954#section-6"
RFC_6647 = "https://www.rfc-editor.org/rfc/rfc6647#section-5"
RFC_7293 = "https://www.rfc-editor.org/rfc/rfc7293#section-9"
RFC_7372 = "https://www.rfc-editor.org/rfc/rfc7372#section-3"
RFC_7504 = "https://www.rfc-editor.org/rfc/rfc7504"
RFC_7505 = "https://www.rfc-editor.org/rfc/rfc7505#section-4"
RFC_9110 = "https://www.rfc-editor.org/rfc/rfc9110#section-15"
GMAIL = "https://support.google.com/a/answer/3726730"
MICROSOFT = (
    "https://learn.microsoft.com/troubleshoot/exchange/email-delivery/ndr/"
    "non-delivery-reports-in-exchange-online"
)
OUTLOOK = "https://sendersupport.olc.protection.outlook.com/pm/troubleshooting.aspx"
YAHOO = "https://senders.yahooinc.com/smtp-error-codes/"
MAILGUN = "https://documentation.mailgun.com/docs/mailgun/user-manual/events/events"
FACTS = "facts/relay.md §4.2"

#: Until there was a connection in which a mail could be offered.
SESSION: tuple[Stage, ...] = ("connect", "tls", "auth")
#: Replies of a server that we talk to ourselves.
LIVE: tuple[Stage, ...] = ("mail", "rcpt", "data", "api")
#: What is said at these concerns one recipient. A reply to DATA concerns the mail,
#: and so all of its recipients.
PER_RECIPIENT: tuple[Stage, ...] = ("rcpt", "remote", "api")

MINUTE = 60.0
HOUR = 3600.0
#: A rule names phrases, not essays.
MAX_PHRASE = 200
#: In ``Rule.enhanced``: the reply has no enhanced code.
NO_CODE = "-"

_PATTERN = re.compile(r"([245*])\.(\d{1,3})\.(?:(\*)|(\d{1,3})(?:-(\d{1,3}))?)")
_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Rule:
    """One row: where all that is given fits a reply, the rest says what it means.

    ``name`` is unique and stable, ``reason`` one of ``REASONS``, ``source`` a link.
    ``enhanced`` holds ``"5.1.1"``, ``"*.2.2"`` (any class), ``"4.7.*"``,
    ``"5.7.606-649"``, or ``"-"`` for a reply without such a code; ``phrases`` are
    words in a row, whatever stands between them, ``"greylist*"`` also the beginning of
    a word. One of each is enough. ``outcome`` counts for servers that we talk to
    ourselves; empty, the reply's class decides. ``retry_after``: seconds to wait at
    least.

    :raises ValueError: a code or a phrase that nothing could match.
    """

    name: str
    reason: str
    source: str
    severity: Severity = ""
    stages: tuple[Stage, ...] = ()
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    bounce_class: BounceClass = ""
    blame: Blame = ""
    outcome: Outcome | None = None
    suppress: bool = False
    charges_attempt: bool = True
    retry_after: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what could never match, where it is written."""
        for code in self.enhanced:
            if code != NO_CODE and not _PATTERN.fullmatch(code):
                raise ValueError(f"no pattern of an enhanced code: {code[:50]!r}")
        for phrase in self.phrases:
            if len(phrase) > MAX_PHRASE or not words_of(phrase).strip():
                raise ValueError(f"no words to look for: {phrase[:50]!r}")

    @cached_property
    def _needles(self) -> tuple[str, ...]:
        """The phrases as they stand in what :func:`words_of` returns."""
        return tuple(
            words_of(phrase).rstrip() if phrase.endswith("*") else words_of(phrase)
            for phrase in self.phrases
        )

    def covers(self, enhanced: str) -> bool:
        """Whether one of the rule's codes is this one."""
        if not enhanced:
            return NO_CODE in self.enhanced
        return any(_covers(code, enhanced) for code in self.enhanced)

    def is_said_in(self, words: str) -> bool:
        """Whether one of the phrases stands in what :func:`words_of` returned."""
        return any(needle in words for needle in self._needles)


def words_of(text: str) -> str:
    """Return the words of a text in lower case, a blank around each of them."""
    return f" {_SEPARATORS.sub(' ', text.casefold()).strip()} "


def _covers(pattern: str, enhanced: str) -> bool:
    found = _PATTERN.fullmatch(pattern)
    if not found:
        return False
    kind, subject, detail = enhanced.split(".")
    if found[1] not in ("*", kind) or found[2] != subject:
        return False
    return bool(found[3]) or int(found[4]) <= int(detail) <= int(found[5] or found[4])


#: Lists of bad senders, and how servers name them.
LISTED = (
    *("spamhaus", "spamcop", "sorbs", "uceprotect*", "barracuda*", "abusix"),
    *("spamrats", "invaluement", "senderscore", "dnsbl", "rbl"),
    *("blacklist*", "black list*", "blocklist*", "block list*", "denylist*"),
    *("blocked using", "banned sending ip", "reputation"),
)

#: What a verdict may name as the reason, and what it means.
REASONS = {
    "invalid": "There is no such mailbox.",
    "bad_domain": "The domain takes no mail.",
    "inactive": "The mailbox is disabled.",
    "quota": "The mailbox is full.",
    "greylist": "The server wants the same mail once more, later.",
    "throttle": "Too much, too fast.",
    "reputation": "The sending server or network has a bad name.",
    "content": "The content is unwanted.",
    "policy": "The recipient's server does not want this mail.",
    "sender": "The sender's address is refused.",
    "authentication": "SPF, DKIM, DMARC or reverse DNS of the sender is wrong.",
    "credentials": "The account's login is refused.",
    "configuration": "The account is not set up for this.",
    "tls": "The connection is not encrypted as it must be.",
    "size": "The mail is too large.",
    "too_many_recipients": "The rest of the recipients need another mail.",
    "malformed": "The server cannot read the mail or the address.",
    "routing": "The mail cannot find its way, or runs in a circle.",
    "expired": "A server on the way has tried for too long.",
    "transport": "The connection failed.",
    "suppressed": "The provider has this address on its own list.",
    "unknown": "The server did not say why.",
}

#: Before a mail could be offered: the account's trouble, never a bounce.
SESSION_RULES = (
    Rule(
        "session-certificate",
        "tls",
        FACTS,
        stages=SESSION,
        phrases=("certificate*", "ssl", "tls", "starttls", "handshake*"),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "session-tls",
        "tls",
        FACTS,
        stages=("tls",),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "session-login",
        "credentials",
        RFC_4954,
        severity="permanent",
        stages=("auth",),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "session-throttle",
        "throttle",
        FACTS,
        severity="temporary",
        stages=SESSION,
        codes=(421,),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=MINUTE,
    ),
    Rule(
        "session-listed",
        "reputation",
        FACTS,
        stages=("connect",),
        phrases=LISTED,
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=30 * MINUTE,
    ),
    Rule(
        "session-refused",
        "transport",
        RFC_7504,
        severity="permanent",
        stages=("connect",),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "session-failed",
        "transport",
        FACTS,
        stages=SESSION,
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
    ),
)

#: HTTP statuses; a provider that names an SMTP code with its enhanced code means that.
API_RULES = (
    Rule(
        "api-throttle",
        "throttle",
        "https://www.rfc-editor.org/rfc/rfc6585#section-4",
        stages=("api",),
        codes=(429,),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=MINUTE,
    ),
    Rule(
        "api-login",
        "credentials",
        RFC_9110,
        stages=("api",),
        codes=(401, 402, 403, 407),
        enhanced=(NO_CODE,),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "api-address",
        "configuration",
        RFC_9110,
        stages=("api",),
        codes=(404, 405, 410),
        enhanced=(NO_CODE,),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "api-size",
        "size",
        RFC_9110,
        stages=("api",),
        codes=(413,),
        enhanced=(NO_CODE,),
        blame="message",
        outcome=Outcome.REJECTED,
    ),
    Rule(
        "api-request",
        "malformed",
        RFC_9110,
        stages=("api",),
        codes=(400, 406, 411, 414, 415, 422, 431),
        enhanced=(NO_CODE,),
        blame="message",
        outcome=Outcome.REJECTED,
    ),
    # A mail that makes the provider stumble each time must not be tried for days.
    Rule(
        "api-stumbles",
        "transport",
        RFC_9110,
        stages=("api",),
        codes=(408, 500, 501),
        enhanced=(NO_CODE,),
        blame="account",
        outcome=Outcome.DEFERRED,
    ),
    Rule(
        "api-away",
        "transport",
        RFC_9110,
        stages=("api",),
        codes=(502, 503, 504),
        enhanced=(NO_CODE,),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
    ),
    Rule(
        "api-suppressed",
        "suppressed",
        MAILGUN,
        stages=("api", "remote"),
        codes=(605, 606, 607, 625),
        blame="recipient",
        outcome=Outcome.REJECTED,
    ),
)

#: The account or its domain is not set up as somebody demands: it waits for a person.
SETUP_RULES = (
    Rule(
        "tls-demanded",
        "tls",
        IANA,
        phrases=(
            "starttls",
            "requiretls",
            "tls required",
            "encryption required",
            "not sent over a tls connection",
            "requires tls",
        ),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "tls-code",
        "tls",
        GMAIL,
        enhanced=("*.7.10", "*.7.11", "*.7.29"),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "login-demanded",
        "credentials",
        RFC_4954,
        codes=(530, 534, 535, 538),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "login-code",
        "credentials",
        IANA,
        enhanced=("5.7.8", "5.7.13", "5.7.57"),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "login-text",
        "credentials",
        RFC_4954,
        severity="permanent",
        stages=LIVE,
        phrases=("authentication required", "authentication failed"),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "relaying",
        "configuration",
        IANA,
        phrases=(
            "relay access denied",
            "relaying denied",
            "relay denied",
            "relay not permitted",
            "unable to relay",
            "not permitted to relay",
            "relaying not allowed",
            "relaying is prohibited",
        ),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "sending-limit-code",
        "throttle",
        MICROSOFT,
        enhanced=("*.1.90", "*.7.705", "*.7.708", "*.7.750"),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=HOUR,
    ),
    Rule(
        "sending-limit-text",
        "throttle",
        GMAIL,
        phrases=(
            "sending limit exceeded",
            "sending limits exceeded",
            "relay limit exceeded",
            "relay sending limit",
            "sending quota exceeded",
            "submission quota exceeded",
            "submissionquotaexceeded*",
            "exceeded the max emails per hour",
            "exceeded the max defers and failures per hour",
        ),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=HOUR,
    ),
    Rule(
        "authentication-code",
        "authentication",
        RFC_7372,
        enhanced=(
            "*.7.20-27",
            "*.7.30-32",  # Gmail's DKIM, DMARC, alignment
            "*.7.40",  # Gmail: no DMARC record
            "*.7.508",
            "5.7.509",  # Microsoft's IPv6 without SPF and DKIM, DMARC
            "5.7.515",  # Microsoft, for bulk since 5 May 2025
        ),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
)

#: An exact code beats any word: the text beside it often holds an address or a link.
ADDRESS_CODE_RULES = (
    Rule(
        "null-mx",
        "bad_domain",
        RFC_7505,
        severity="permanent",
        stages=PER_RECIPIENT,
        codes=(521, 556),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "null-mx-text",
        "bad_domain",
        RFC_7505,
        severity="permanent",
        stages=PER_RECIPIENT,
        phrases=("null mx", "nullmx", "does not accept mail"),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "invalid-code",
        "invalid",
        RFC_3463,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.1.1", "5.1.3", "5.1.4", "5.1.6", "5.1.10"),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "invalid-at-the-edge",
        "invalid",
        MICROSOFT,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.4.1",),
        phrases=("recipient address rejected",),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "bad-domain-code",
        "bad_domain",
        RFC_3463,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.1.2", "5.4.4", "5.4.310"),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "recipient-rate",
        "throttle",
        GMAIL,
        enhanced=("*.2.1",),
        phrases=("at a rate", "too quickly"),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "inactive-code",
        "inactive",
        RFC_3463,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.2.1",),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "owner-changed",
        "inactive",
        RFC_7293,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.7.17", "5.7.18"),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    # There may be room again; who is full for weeks is suppressed by repetition.
    Rule(
        "quota-code",
        "quota",
        RFC_3463,
        enhanced=("*.2.2",),
        bounce_class="soft",
        blame="recipient",
        outcome=Outcome.DEFERRED,
    ),
    Rule(
        "size-code",
        "size",
        RFC_3463,
        enhanced=("*.2.3", "*.3.4", "*.7.16"),
        blame="message",
    ),
    Rule(
        "sender-code",
        "sender",
        RFC_3463,
        enhanced=("*.1.7", "*.1.8", "5.7.501-503", "5.7.511"),
        bounce_class="block",
        blame="sender",
    ),
    Rule(
        "banned-network",
        "reputation",
        MICROSOFT,
        enhanced=("5.7.507", "5.7.606-649"),
        bounce_class="block",
        blame="account",
    ),
    Rule(
        "too-many-recipients",
        "too_many_recipients",
        "https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.10",
        enhanced=("*.5.3",),
        bounce_class="soft",
        blame="message",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
    ),
    Rule(
        "too-many-recipients-text",
        "too_many_recipients",
        "https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.10",
        phrases=("too many recipients",),
        bounce_class="soft",
        blame="message",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
    ),
    Rule(
        "expired",
        "expired",
        RFC_3463,
        enhanced=("*.4.7", "*.4.300"),
        bounce_class="soft",
        blame="destination",
    ),
    Rule(
        "loop",
        "routing",
        RFC_3463,
        enhanced=("*.4.6", "5.4.14"),
        blame="destination",
    ),
)

#: "Later": the destination's next slot moves, and no recipient pays for it.
THROTTLE_RULES = (
    Rule(
        "greylist-text",
        "greylist",
        RFC_6647,
        severity="temporary",
        phrases=(
            "greylist*",
            "graylist*",
            "grey list*",
            "gray list*",
            "postgrey",
            "gl01",
        ),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "throttle-code",
        "throttle",
        GMAIL,
        enhanced=("*.7.28", "*.2.121-122"),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "throttle-yahoo",
        "throttle",
        YAHOO,
        severity="temporary",
        phrases=(
            *("ts01", "ts02", "ts03", "ts04", "ts06", "tss04"),
            "deferred due to",
            "temporarily deferred",
            "permanently deferred",
            "unexpected volume",
            "resources temporarily not available",
        ),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "throttle-outlook",
        "throttle",
        OUTLOOK,
        severity="temporary",
        phrases=("rp 001", "rp 002", "rp 003", "server busy", "thread limit exceeded"),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "throttle-text",
        "throttle",
        FACTS,
        severity="temporary",
        phrases=(
            "too many",
            "too fast",
            "too frequent*",
            "too much mail",
            "throttl*",
            "rate limit*",
            "ratelimit*",
            "rate exceeded",
            "unusual rate",
            "maximum rate",
            "sending rate",
            "message rate",
            "slow down",
            "connection limit*",
        ),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
)

#: The sender is the reason: the address stays good.
BLOCK_RULES = (
    Rule(
        "authentication-text",
        "authentication",
        FACTS,
        phrases=(
            *("spf", "dkim", "dmarc", "sender policy framework"),
            "unauthenticated email",
            "unauthenticated mail",
            *("reverse dns", "rdns", "ptr record", "no ptr"),
            "cannot find your hostname",
            "cannot find your reverse hostname",
        ),
        blame="account",
        outcome=Outcome.DEFERRED,
        charges_attempt=False,
        retry_after=15 * MINUTE,
    ),
    Rule(
        "content-links",
        "content",
        FACTS,
        phrases=("surbl", "uribl", "dbl spamhaus", "url blocked", "blocked url*"),
        bounce_class="block",
        blame="message",
    ),
    Rule(
        "reputation-lists",
        "reputation",
        FACTS,
        phrases=LISTED,
        bounce_class="block",
        blame="account",
        charges_attempt=False,
        retry_after=30 * MINUTE,
    ),
    Rule(
        "reputation-outlook",
        "reputation",
        OUTLOOK,
        phrases=(
            *("sc 001", "sc 002", "sc 003", "sc 004", "dy 001", "dy 002"),
            *("ou 001", "ou 002", "s3140", "s3150"),
        ),
        bounce_class="block",
        blame="account",
        charges_attempt=False,
        retry_after=30 * MINUTE,
    ),
    Rule(
        "reputation-yahoo",
        "reputation",
        YAHOO,
        phrases=("bl21", "bl23", "ts07", "tss09", "tss11"),
        bounce_class="block",
        blame="account",
        charges_attempt=False,
        retry_after=30 * MINUTE,
    ),
    Rule(
        "content-text",
        "content",
        FACTS,
        phrases=(
            *("spam", "unsolicited", "bulk mail", "junk mail", "virus", "malware"),
            *("phish*", "infected", "suspicious", "objectionable content"),
            *("message content", "content rejected", "security issue", "ph01", "aup"),
            *("attachment type", "attachment not allowed", "blocked attachment"),
        ),
        bounce_class="block",
        blame="message",
    ),
    Rule(
        "sender-text",
        "sender",
        FACTS,
        phrases=(
            *("sender address", "sender rejected", "sender denied", "sender domain"),
            *("sender verify failed", "sender not allowed", "bad sender"),
            *("sender does not exist", "domain of sender", "envelope sender"),
            *("from address", "return path", "not owned by user"),
        ),
        bounce_class="block",
        blame="sender",
    ),
)

#: Words about the address, from servers that give no code of use.
ADDRESS_TEXT_RULES = (
    Rule(
        "quota-text",
        "quota",
        FACTS,
        phrases=(
            *("mailbox full", "mailbox is full", "mailbox over", "inbox full"),
            *("inbox is full", "over quota", "overquota", "quota exceeded"),
            *("exceeded quota", "exceeded its quota", "over its quota"),
            *("out of storage", "exceeded storage", "storage full", "disk quota"),
            *("mailbox size limit", "mailbox quota", "not enough storage"),
        ),
        bounce_class="soft",
        blame="recipient",
        outcome=Outcome.DEFERRED,
    ),
    Rule(
        "size-text",
        "size",
        FACTS,
        phrases=(
            *("too large", "too big", "message size", "size limit", "maximum size"),
            *("exceeds size", "size exceeds", "exceeds the maximum"),
        ),
        blame="message",
    ),
    # RFC 5321: 552 is "exceeded storage allocation", to RCPT that of the mailbox.
    Rule(
        "quota-552",
        "quota",
        RFC_5321,
        stages=("rcpt", "remote"),
        codes=(552,),
        enhanced=(NO_CODE,),
        bounce_class="soft",
        blame="recipient",
        outcome=Outcome.DEFERRED,
    ),
    Rule("size-552", "size", RFC_5321, codes=(552,), blame="message"),
    Rule(
        "bad-domain-text",
        "bad_domain",
        FACTS,
        severity="permanent",
        stages=PER_RECIPIENT,
        phrases=(
            *("nxdomain", "domain not found", "host not found", "no such domain"),
            *("domain does not exist", "domain doesn t exist", "unknown domain"),
            *("host or domain name not found", "domain is invalid", "bad domain"),
            *("host unknown", "unknown host"),
        ),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "inactive-text",
        "inactive",
        YAHOO,
        severity="permanent",
        stages=PER_RECIPIENT,
        phrases=(
            *("account disabled", "account is disabled", "account has been disabled"),
            *("mailbox disabled", "mailbox is disabled", "user disabled", "inactive"),
            *("deactivated", "account suspended", "account has been suspended"),
            *("account is closed", "account closed", "disabled or discontinued"),
            *("no longer in use", "no longer active", "no longer available"),
            *("no longer valid", "no longer exists"),
        ),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "invalid-text",
        "invalid",
        FACTS,
        severity="permanent",
        stages=PER_RECIPIENT,
        phrases=(
            *("user unknown", "unknown user", "no such user", "user not found"),
            *("recipient unknown", "unknown recipient", "no such recipient"),
            *("recipient not found", "recipientnotfound", "invalid recipient"),
            *("mailbox not found", "no such mailbox", "invalid mailbox"),
            *("unknown mailbox", "mailbox unknown", "mailbox does not exist"),
            *("user does not exist", "user doesn t exist", "account does not exist"),
            *("address does not exist", "does not exist", "doesn t exist"),
            *("no mailbox here by that name", "no such person", "no such address"),
            *("unknown address", "address unknown", "unknown local part"),
            *("unrouteable address", "unroutable address", "not a valid mailbox"),
            *("not a known user", "not our customer", "bad destination mailbox"),
            *("no account by that name", "user doesn t have a"),
        ),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "invalid-outlook",
        "invalid",
        OUTLOOK,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.5.0",),
        phrases=("mailbox unavailable",),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
    Rule(
        "invalid-other",
        "invalid",
        RFC_3463,
        severity="permanent",
        stages=PER_RECIPIENT,
        enhanced=("5.1.0",),
        bounce_class="hard",
        blame="recipient",
        suppress=True,
    ),
)

#: What is left when nothing more exact was said.
GENERAL_RULES = (
    Rule(
        "mailbox-later",
        "greylist",
        RFC_6647,
        severity="temporary",
        enhanced=("4.2.0",),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "security-later",
        "throttle",
        FACTS,
        severity="temporary",
        enhanced=("4.7.*",),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=5 * MINUTE,
    ),
    Rule(
        "service-away",
        "throttle",
        RFC_5321,
        severity="temporary",
        codes=(421,),
        bounce_class="soft",
        blame="destination",
        charges_attempt=False,
        retry_after=MINUTE,
    ),
    # A connection in the wrong state (Haraka #1852): never the mail's fault.
    Rule(
        "out-of-order",
        "transport",
        FACTS,
        codes=(503,),
        blame="account",
        outcome=Outcome.DEFERRED,
    ),
    Rule(
        "policy-code",
        "policy",
        IANA,
        severity="permanent",
        enhanced=("5.7.*",),
        bounce_class="block",
        blame="sender",
    ),
    Rule(
        "policy-text",
        "policy",
        FACTS,
        severity="permanent",
        phrases=(
            *("policy", "access denied", "not authorized", "administrative*"),
            *("permission denied", "prohibited", "blocked", "banned"),
        ),
        bounce_class="block",
        blame="sender",
    ),
    Rule(
        "routing-text",
        "routing",
        FACTS,
        severity="permanent",
        phrases=("too many hops", "mail loop*", "routing loop*", "hop count exceeded"),
        blame="destination",
    ),
    Rule(
        "routing-code",
        "routing",
        RFC_3463,
        severity="permanent",
        enhanced=("5.4.*",),
        blame="destination",
    ),
    Rule(
        "network-later",
        "transport",
        RFC_3463,
        severity="temporary",
        enhanced=("4.4.*",),
        blame="destination",
    ),
    Rule(
        "media",
        "malformed",
        RFC_3463,
        severity="permanent",
        enhanced=("5.6.*",),
        blame="message",
    ),
    Rule(
        "nothing-said",
        "transport",
        FACTS,
        severity="temporary",
        codes=(0,),
        enhanced=(NO_CODE,),
        blame="account",
    ),
    Rule(
        "unknown-recipient",
        "unknown",
        FACTS,
        severity="permanent",
        stages=("rcpt", "remote"),
        bounce_class="hard",
    ),
    Rule("unknown-permanent", "unknown", FACTS, severity="permanent"),
    Rule("unknown-temporary", "unknown", FACTS, bounce_class="soft"),
)

#: All of them, in the order in which they are tried.
RULES: tuple[Rule, ...] = (
    *SESSION_RULES,
    *API_RULES,
    *SETUP_RULES,
    *ADDRESS_CODE_RULES,
    *THROTTLE_RULES,
    *BLOCK_RULES,
    *ADDRESS_TEXT_RULES,
    *GENERAL_RULES,
)
