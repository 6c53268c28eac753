# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The account at SMTP2GO: its webhooks, its list of suppressions."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.providers.suppression import Suppression
from odoo.addons.mail_bridge.tests_plain.api_stub import Said
from odoo.addons.mail_bridge_smtp2go import const
from odoo.addons.mail_bridge_smtp2go.adapter import Smtp2goAdapter
from odoo.addons.mail_bridge_smtp2go.registration import (
    ENDPOINTS,
    missing_permissions,
    register_webhooks,
    unregister_webhooks,
)
from odoo.addons.mail_bridge_smtp2go.suppressions import (
    add_suppressions,
    remove_suppression,
    suppressions,
    suppressions_of,
)
from odoo.addons.mail_bridge_smtp2go.tests_plain.api_of import (
    ACCOUNT,
    DENIED,
    error,
    paths,
    said,
    smtp2go,
)

ROOT = "https://odoo.example.com/mailgate/smtp2go"
URL, OLD = f"{ROOT}/token-0123456789abcdef", f"{ROOT}/token-fedcba9876543210"
FOREIGN = "https://other.example.com/hook"


class Webhooks:
    """An account's webhooks, as the interface keeps them."""

    def __init__(self, *urls, most=10):
        self.kept = {number: {"url": url} for number, url in enumerate(urls, 1)}
        self.most = most
        self.changed = []

    def __call__(self, asked):
        name, values = asked.path.rpartition("/")[2], asked.json
        if name == "view":
            return said([{"id": n, **hook} for n, hook in self.kept.items()])
        self.changed.append(name)
        if name == "add":
            if len(self.kept) >= self.most:
                return error("API_EXCEPTION", f"no more webhooks: {values['url']}")
            number = max(self.kept, default=0) + 1
            self.kept[number] = values
        else:
            number = values["id"]
            if name == "remove":
                return said({"id": number, **self.kept.pop(number)})
            self.kept[number] |= values
        return said({"id": number, **self.kept[number]})

    @property
    def urls(self):
        return [hook["url"] for hook in self.kept.values()]


class TestWebhooks:
    def test_a_new_one(self, monkeypatch):
        hooks = Webhooks(FOREIGN)
        account = replace(
            ACCOUNT, secrets={**ACCOUNT.secrets, "webhook_auth": ("tok-123456",)}
        )
        with smtp2go(monkeypatch, hooks):
            register_webhooks(account, URL)
        assert hooks.urls == [FOREIGN, URL]
        assert hooks.kept[2] == {
            "url": URL,
            "events": "processed delivered open click bounce spam unsubscribe "
            "resubscribe reject".split(),
            "headers": [const.REFERENCE_HEADER, "X-Smtp2go-Schedule-Id"],
            "output_format": "json",
            "auth_header_type": "bearer",
            "auth_header_value": "tok-123456",
        }

    @pytest.mark.parametrize(
        ("secret", "kind", "value"),
        [
            (None, "", ""),
            ("token-123", "bearer", "token-123"),
            ("user:password", "basic", "dXNlcjpwYXNzd29yZA=="),
        ],
    )
    def test_its_header(self, monkeypatch, secret, kind, value):
        secrets = {**ACCOUNT.secrets, "webhook_auth": (secret,) if secret else ()}
        hooks = Webhooks()
        with smtp2go(monkeypatch, hooks):
            register_webhooks(replace(ACCOUNT, secrets=secrets), URL)
        hook = hooks.kept[1]
        assert (hook["auth_header_type"], hook["auth_header_value"]) == (kind, value)

    @pytest.mark.parametrize("others", [(), (FOREIGN,)])
    def test_again(self, monkeypatch, others):
        hooks = Webhooks(*others)
        with smtp2go(monkeypatch, hooks):
            register_webhooks(ACCOUNT, URL)
            register_webhooks(ACCOUNT, URL, kinds=["delivered"])
        assert hooks.urls == [*others, URL] and hooks.changed == ["add", "edit"]
        assert hooks.kept[len(others) + 1]["events"] == ["delivered"]

    def test_a_replaced_address_moves(self, monkeypatch):
        """A free plan has one webhook: there is no place for a second one."""
        hooks = Webhooks(OLD, most=1)
        with smtp2go(monkeypatch, hooks):
            register_webhooks(ACCOUNT, URL, retired=[OLD])
        assert hooks.urls == [URL] and hooks.changed == ["edit"]

    def test_all_replaced_ones_go(self, monkeypatch):
        hooks = Webhooks(OLD, FOREIGN, URL, OLD)
        with smtp2go(monkeypatch, hooks):
            register_webhooks(ACCOUNT, URL, retired=[OLD])
        assert hooks.urls == [FOREIGN, URL]

    def test_only_ours_are_removed(self, monkeypatch):
        hooks = Webhooks(OLD, FOREIGN, URL, f"{URL}x", ROOT)
        with smtp2go(monkeypatch, hooks):
            assert unregister_webhooks(ACCOUNT, [URL, OLD]) == 2
            assert unregister_webhooks(ACCOUNT, [URL, OLD]) == 0
            assert unregister_webhooks(ACCOUNT, []) == 0
        assert hooks.urls == [FOREIGN, f"{URL}x", ROOT]

    @pytest.mark.parametrize("url", [FOREIGN, "", "x", f"{URL}\n", URL + "/?x=1"])
    def test_no_other_address_is_touched(self, monkeypatch, url):
        with smtp2go(monkeypatch, said([])) as stub:
            for action in (
                lambda: register_webhooks(ACCOUNT, url),
                lambda: register_webhooks(ACCOUNT, URL, retired=[url]),
                lambda: unregister_webhooks(ACCOUNT, [url]),
            ):
                with pytest.raises(PermanentError):
                    action()
        assert not stub.asked

    def test_no_place_left(self, monkeypatch):
        hooks = Webhooks(FOREIGN, most=1)
        with smtp2go(monkeypatch, hooks), pytest.raises(PermanentError) as caught:
            register_webhooks(ACCOUNT, URL)
        assert "no more webhooks" in str(caught.value)
        assert "token-0123456789abcdef" not in str(caught.value)
        assert hooks.urls == [FOREIGN]

    @pytest.mark.parametrize(
        ("data", "count"),
        [
            ({"id": 7, "url": URL}, 1),
            ([{"id": 7, "url": URL}], 1),
            ([{"id": "7", "url": URL}, {"id": True, "url": URL}, {"url": URL}, 1], 0),
            (None, 0),
            ([], 0),
        ],
    )
    def test_the_list_as_documented_and_as_seen(self, monkeypatch, data, count):
        with smtp2go(monkeypatch, said(data), said({})) as stub:
            assert unregister_webhooks(ACCOUNT, [URL]) == count
        assert paths(stub) == ["/webhook/view", *["/webhook/remove"] * count]


class TestPermissions:
    def test_what_the_key_may_not(self, monkeypatch):
        granted = [*(f"/v3{endpoint}" for endpoint in ENDPOINTS[:3]), *ENDPOINTS[3:-1]]
        with smtp2go(monkeypatch, said(granted)):
            assert missing_permissions(ACCOUNT) == [ENDPOINTS[-1]]

    def test_a_wrong_key(self, monkeypatch):
        with smtp2go(monkeypatch, Said(401)), pytest.raises(PermanentError):
            missing_permissions(ACCOUNT)
        with smtp2go(monkeypatch, said({})), pytest.raises(TemporaryError):
            missing_permissions(ACCOUNT)

    def test_a_check_of_the_account(self, monkeypatch):
        with smtp2go(monkeypatch, said(list(ENDPOINTS)), said(list(ENDPOINTS[1:]))):
            good = Smtp2goAdapter().check(ACCOUNT)
            bad = Smtp2goAdapter().check(ACCOUNT)
        assert good.failure is None
        assert [step.what for step in good.steps] == ["api"]
        assert good.steps[0].subject == "127.0.0.1"
        assert bad.failure.stage == "auth"
        assert bad.failure.text == f"the key may not use {ENDPOINTS[0]}"


def entry(address, reason, **more):
    return {
        "email_address": address,
        "reason": reason,
        "block_description": "",
        "complaint": "",
        "timestamp": "2022-11-14 07:54:45",
        **more,
    }


class TestSuppressions:
    SINCE = datetime(2022, 11, 14, 7, 54, 45, tzinfo=timezone.utc)

    def test_the_whole_list(self, monkeypatch):
        first = [entry("a@x.example", "spam", complaint="too\r\nmany")]
        second = [
            entry("b@x.example", "manual", block_description="left"),
            entry(
                "c@x.example", "Bounce", timestamp="2018-08-21 11:10:55.457489+00:00"
            ),
            entry("d@x.example", "unsubscribe", timestamp="yesterday"),
            entry("x.example", "compliance"),
            entry("e@x.example", "news"),
            entry("", "spam"),
            {"reason": "spam"},
            "x",
        ]
        with smtp2go(
            monkeypatch,
            said({"results": first, "continue_token": "t1"}),
            said({"results": second, "continue_token": None}),
        ) as stub:
            found = list(suppressions(ACCOUNT))
        assert found[:2] == [
            Suppression("a@x.example", "complained", self.SINCE, "too many"),
            Suppression("b@x.example", "manual", self.SINCE, "left"),
        ]
        assert [(item.address, item.reason) for item in found[2:]] == [
            ("c@x.example", "bounced"),
            ("d@x.example", "unsubscribed"),
            ("x.example", "manual"),
            ("e@x.example", "manual"),
        ]
        assert found[2].since.year == 2018 and found[3].since is None
        assert "continue_token" not in stub.asked[0].json
        assert stub.asked[1].json["continue_token"] == "t1"

    def test_of_one_reason(self, monkeypatch):
        with smtp2go(monkeypatch, said({"results": [], "continue_token": ""})) as stub:
            assert list(suppressions(ACCOUNT, "manual")) == []
        assert stub.asked[0].json["suppression_types"] == ["manual", "compliance"]

    def test_a_token_that_repeats_itself(self, monkeypatch):
        answer = said({"results": [], "continue_token": "x"})
        with smtp2go(monkeypatch, answer) as stub:
            assert list(suppressions(ACCOUNT)) == []
        assert len(stub.asked) == 2

    def test_of_one_address(self, monkeypatch):
        answer = said({"results": [entry("a@x.example", "bounce")], "total_results": 1})
        with smtp2go(monkeypatch, answer) as stub:
            [found] = suppressions_of(ACCOUNT, "a@x.example")
        assert found.reason == "bounced"
        assert stub.asked[0].json == {"email_address": "a@x.example"}

    def test_add(self, monkeypatch):
        items = [
            Suppression("a@x.example", "bounced", evidence="550 5.1.1 unknown"),
            Suppression("b@x.example", "complained"),
        ]
        with smtp2go(monkeypatch, said({"added": True})) as stub:
            add_suppressions(ACCOUNT, items)
        assert paths(stub) == ["/suppression/add"] * 2
        assert [asked.json for asked in stub.asked] == [
            {
                "email_address": "a@x.example",
                "block_description": "bounced: 550 5.1.1 unknown",
            },
            {"email_address": "b@x.example", "block_description": "complained"},
        ]

    @pytest.mark.parametrize(
        ("data", "removed"),
        [
            ({"suppressions": [{"removed": True}]}, True),
            ({"suppressions": [{"removed": False}, {"removed": True}]}, True),
            ({"suppressions": [{"removed": False}]}, False),
            ({"suppressions": ["x"]}, False),
            ({}, False),
            ([], False),
        ],
    )
    def test_remove(self, monkeypatch, data, removed):
        with smtp2go(monkeypatch, said(data)) as stub:
            assert remove_suppression(ACCOUNT, "a@x.example", "complained") is removed
        values = {"email_address": "a@x.example", "reasons": ["spam"]}
        assert stub.asked[0].json == values

    def test_what_goes_wrong(self, monkeypatch):
        with smtp2go(monkeypatch, DENIED), pytest.raises(PermanentError):
            list(suppressions(ACCOUNT))
        with smtp2go(monkeypatch, said([])), pytest.raises(TemporaryError):
            list(suppressions(ACCOUNT))
        with smtp2go(monkeypatch, Said(429)), pytest.raises(TemporaryError):
            add_suppressions(ACCOUNT, [Suppression("a@x.example", "manual")])
