# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Our webhooks and our route at Mailgun, beside those of others."""

import copy

import pytest

from odoo.addons.mail_bridge.exceptions import PermanentError, TemporaryError
from odoo.addons.mail_bridge.tests_plain.api_stub import Said
from odoo.addons.mail_bridge_mailgun import const_api
from odoo.addons.mail_bridge_mailgun.registration import (
    register_route,
    register_webhooks,
    unregister_route,
    unregister_webhooks,
)
from odoo.addons.mail_bridge_mailgun.tests_plain.mailgun_stub import (
    ACCOUNT,
    DOMAIN,
    running_mailgun,
)

URL = "https://erp.example.com/mailgate/mailgun/tokentokentoken17/events"
OLD = "https://erp.example.com/mailgate/mailgun/oldoldoldoldoldo1/events"
MIME_URL = "https://erp.example.com/mailgate/mailgun/mime"
SHOP, SALES = "https://shop.example/hook", "https://x.example/mailgate/mailgun/events"
REFERENCE = "db4711-3"
CHANGES = ("POST", "PUT", "DELETE")


@pytest.fixture
def mailgun(monkeypatch):
    with running_mailgun(monkeypatch) as found:
        found.webhooks = {"delivered": [SHOP, SALES], "opened": [SALES]}
        found.routes = [
            {
                "id": "1",
                "priority": 0,
                "description": "Mail Bridge db4711-33",
                "expression": "catch_all()",
                "actions": ['forward("https://x.example/mailgate/mailgun/mime")'],
            },
            {"id": "2", "description": None, "expression": "x", "actions": None},
        ]
        found.others = copy.deepcopy((found.webhooks, found.routes))
        yield found


def changes(mailgun) -> list[str]:
    return [item.method for item in mailgun.stub.asked if item.method in CHANGES]


def others(mailgun):
    """What is not ours."""
    hooks = {
        kind: [url for url in urls if url not in (URL, OLD)]
        for kind, urls in mailgun.webhooks.items()
    }
    hooks = {kind: urls for kind, urls in hooks.items() if urls}
    ours = f"Mail Bridge {REFERENCE}"
    return hooks, [item for item in mailgun.routes if item["description"] != ours]


class TestWebhooks:
    def test_all_kinds_beside_those_of_others(self, mailgun):
        register_webhooks(ACCOUNT, URL)
        assert set(mailgun.webhooks) == set(const_api.WEBHOOKS)
        assert all(URL in urls for urls in mailgun.webhooks.values())
        assert changes(mailgun) == ["POST"]
        assert others(mailgun) == mailgun.others

    def test_again_changes_nothing(self, mailgun):
        register_webhooks(ACCOUNT, URL)
        register_webhooks(ACCOUNT, URL)
        assert changes(mailgun) == ["POST"]

    def test_a_kind_that_was_lost_comes_back(self, mailgun):
        register_webhooks(ACCOUNT, URL)
        mailgun.webhooks["clicked"].remove(URL)
        register_webhooks(ACCOUNT, URL)
        assert URL in mailgun.webhooks["clicked"]
        assert changes(mailgun) == ["POST", "PUT"]
        assert others(mailgun) == mailgun.others

    def test_only_some_kinds(self, mailgun):
        register_webhooks(ACCOUNT, URL)
        register_webhooks(ACCOUNT, URL, kinds=("delivered", "permanent_fail"))
        found = {kind for kind, urls in mailgun.webhooks.items() if URL in urls}
        assert found == {"delivered", "permanent_fail"}
        assert others(mailgun) == mailgun.others

    def test_a_replaced_address_goes(self, mailgun):
        register_webhooks(ACCOUNT, OLD)
        register_webhooks(ACCOUNT, URL, retired=[OLD, URL])
        assert not any(OLD in urls for urls in mailgun.webhooks.values())
        assert all(URL in mailgun.webhooks[kind] for kind in const_api.WEBHOOKS)
        assert others(mailgun) == mailgun.others

    def test_others_may_take_all_places(self, mailgun):
        mailgun.webhooks["delivered"].append("https://third.example/")
        with pytest.raises(PermanentError, match="another webhook: delivered"):
            register_webhooks(ACCOUNT, URL)
        assert URL not in mailgun.webhooks["delivered"]
        assert URL in mailgun.webhooks["permanent_fail"]
        mailgun.webhooks["delivered"].remove("https://third.example/")
        register_webhooks(ACCOUNT, URL)
        assert URL in mailgun.webhooks["delivered"]

    def test_only_ours_are_removed(self, mailgun):
        register_webhooks(ACCOUNT, URL)
        register_webhooks(ACCOUNT, OLD, kinds=["opened"])
        assert unregister_webhooks(ACCOUNT, [URL, OLD]) == 2
        assert others(mailgun) == mailgun.others
        assert unregister_webhooks(ACCOUNT, [URL]) == 0
        assert unregister_webhooks(ACCOUNT, []) == 0

    @pytest.mark.parametrize(
        "url",
        [
            SHOP,
            "",
            f"{URL},{SHOP}",
            f"{URL} ",
            "ftp://x/mailgate/mailgun",
            f"{URL}?a=1",
        ],
    )
    def test_an_address_that_is_not_ours_is_refused(self, mailgun, url):
        for attempt in (
            lambda: register_webhooks(ACCOUNT, url),
            lambda: register_webhooks(ACCOUNT, URL, retired=[url]),
            lambda: unregister_webhooks(ACCOUNT, [url]),
            lambda: register_route(ACCOUNT, url, REFERENCE),
        ):
            with pytest.raises(PermanentError, match="no address of Mail Bridge"):
                attempt()
        assert not mailgun.stub.asked

    @pytest.mark.parametrize("value", [None, [], {"x": None}, {"x": {"urls": 5}}])
    def test_odd_answers(self, mailgun, value):
        mailgun.answers = [Said(200, {"webhooks": value})]
        register_webhooks(ACCOUNT, URL)
        assert changes(mailgun) == ["POST"]

    @pytest.mark.parametrize(
        ("said", "error"),
        [(Said(401), PermanentError), (Said(404), PermanentError),
         (Said(400, {"Reason": "host not found"}), PermanentError),
         (Said(429), TemporaryError), (Said(502), TemporaryError)],
    )  # fmt: skip
    def test_trouble_is_told(self, mailgun, said, error):
        mailgun.answers = [said]
        with pytest.raises(error):
            register_webhooks(ACCOUNT, URL)
        if said.status == 400:
            mailgun.answers = [said]
            with pytest.raises(PermanentError, match="host not found"):
                unregister_webhooks(ACCOUNT, [URL])


class TestRoute:
    def ours(self, mailgun):
        description = f"Mail Bridge {REFERENCE}"
        return [item for item in mailgun.routes if item["description"] == description]

    def test_the_whole_domain_is_forwarded(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        [route] = self.ours(mailgun)
        assert route["actions"] == [f'forward("{MIME_URL}")']
        pattern = DOMAIN.replace(".", "[.]")
        assert route["expression"] == f'match_recipient("^.*@{pattern}$")'
        assert route["priority"] == "0"
        assert others(mailgun) == mailgun.others

    def test_again_changes_nothing(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        assert changes(mailgun) == ["POST"]

    def test_another_address_or_filter_is_taken_over(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        register_route(ACCOUNT, URL, REFERENCE, 'match_recipient("sales@x.example")')
        [route] = self.ours(mailgun)
        assert route["actions"] == [f'forward("{URL}")']
        assert route["expression"] == 'match_recipient("sales@x.example")'
        assert changes(mailgun) == ["POST", "PUT"]
        assert others(mailgun) == mailgun.others

    def test_a_second_one_of_ours_goes(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        mailgun.routes.append({**self.ours(mailgun)[0], "id": "again"})
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        assert len(self.ours(mailgun)) == 1
        assert others(mailgun) == mailgun.others

    def test_only_ours_is_removed(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        assert unregister_route(ACCOUNT, REFERENCE) == 1
        assert unregister_route(ACCOUNT, REFERENCE) == 0
        assert others(mailgun) == mailgun.others

    def test_one_that_somebody_removes_meanwhile(self, mailgun):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        [route] = self.ours(mailgun)
        mailgun.answers = [Said(200, {"items": [route]}), Said(404, {"message": "x"})]
        assert unregister_route(ACCOUNT, REFERENCE) == 1

    def test_it_is_found_behind_many_others(self, mailgun, monkeypatch):
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        monkeypatch.setattr(const_api, "ROUTE_LIMIT", 2)
        register_route(ACCOUNT, MIME_URL, REFERENCE)
        assert len(self.ours(mailgun)) == 1

    @pytest.mark.parametrize("reference", ["", "a b", "x" * 65, 'a"', "é"])
    def test_a_reference_that_could_be_anybodys(self, mailgun, reference):
        with pytest.raises(PermanentError):
            register_route(ACCOUNT, MIME_URL, reference)
        with pytest.raises(PermanentError):
            unregister_route(ACCOUNT, reference)
        assert not changes(mailgun)
