# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""SMTP2GO's interface on loopback: its envelope, its errors, what it was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from odoo.addons.mail_bridge.providers.base import AccountFacts
from odoo.addons.mail_bridge.tests_plain.api_stub import ApiStub, Asked, Said, api_stub
from odoo.addons.mail_bridge_smtp2go import const

KEY = "api-0123456789ABCDEF0123456789ABCDEF"
ACCOUNT = AccountFacts(secrets={"api_key": (KEY,)})
REQUEST_ID = "aa253464-0bd0-467a-b24b-6159dcd7be60"


def said(data: object, status: int = 200, **more: object) -> Said:
    """An answer in SMTP2GO's envelope."""
    return Said(status, {"request_id": REQUEST_ID, "data": data}, **more)


def error(code: str, text: str = "", status: int = 400, **more: object) -> Said:
    """A refusal: the code stands in the envelope, with its prefix."""
    return said(
        {"error_code": f"E_ApiResponseCodes.{code}", "error": text}, status, **more
    )


DENIED = error("ENDPOINT_PERMISSION_DENIED", "You do not have permission")


class Webhooks:
    """The webhooks of an account: ``/webhook/*`` as SMTP2GO answers it."""

    def __init__(self, *urls: str) -> None:
        self.hooks = {number: {"url": url} for number, url in enumerate(urls, 1)}

    def __call__(self, asked: Asked) -> Said:
        """Do what was asked."""
        values = {key: value for key, value in asked.json.items() if key != "id"}
        number = asked.json.get("id") or len(self.hooks) + 1
        verb = asked.path.rpartition("/")[2]
        if verb == "remove":
            self.hooks.pop(number)
        elif verb in ("add", "edit"):
            self.hooks[number] = values
        return said([{"id": key, **hook} for key, hook in self.hooks.items()])

    @property
    def urls(self) -> list[str]:
        """Where the webhooks post to."""
        return [hook["url"] for hook in self.hooks.values()]


@contextlib.contextmanager
def smtp2go(monkeypatch, *answers: Said | Callable[[Asked], Said]) -> Iterator[ApiStub]:
    """Run an interface that gives these answers in turn, the last one again and again.

    An answer may be a function of what was asked.
    """
    given = list(answers)

    def behave(asked: Asked) -> Said:
        assert asked.method == "POST"
        assert asked.headers["x-smtp2go-api-key"] == KEY
        assert asked.headers["content-type"] == "application/json"
        answer = given.pop(0) if len(given) > 1 else given[0]
        return answer if isinstance(answer, Said) else answer(asked)

    with api_stub(behave, monkeypatch) as stub:
        monkeypatch.setitem(const.REGIONS, "global", f"{stub.url}/v3")
        yield stub


def paths(stub: ApiStub) -> list[str]:
    """The endpoints that were asked, in order."""
    return [asked.path.removeprefix("/v3") for asked in stub.asked]
