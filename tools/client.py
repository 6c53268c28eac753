"""A signed-in user of a running Odoo, over the web client's own JSON calls."""

from typing import Any

import requests


class OdooError(Exception):
    """The server's refusal, with the name of the Python exception in it."""


class OdooClient:
    """Calls model methods as `login`; the same routes on 18.0 and 19.0."""

    def __init__(
        self,
        base_url: str,
        database: str,
        login: str = "admin",
        password: str = "admin",
    ) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        parameters = {"db": database, "login": login, "password": password}
        session = self._post("/web/session/authenticate", parameters)
        self.uid = session["uid"]

    def call(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """`env[model].method(*args, **kwargs)`; record ids come first in `args`."""
        parameters = {
            "model": model,
            "method": method,
            "args": list(args),
            "kwargs": kwargs,
        }
        return self._post(f"/web/dataset/call_kw/{model}/{method}", parameters)

    def create(self, model: str, **values: Any) -> int:
        """Create one record and return its id."""
        return self.call(model, "create", [values])[0]

    def write(self, model: str, record_id: int, **values: Any) -> None:
        """Write on one record."""
        self.call(model, "write", [record_id], values)

    def search_read(
        self, model: str, domain: list, fields: list[str], **kwargs: Any
    ) -> list[dict]:
        """The records of `domain` with `fields`."""
        return self.call(model, "search_read", domain, fields=fields, **kwargs)

    def search_count(self, model: str, domain: list) -> int:
        """How many records `domain` finds."""
        return self.call(model, "search_count", domain)

    def _post(self, path: str, parameters: dict) -> Any:
        body = {"jsonrpc": "2.0", "method": "call", "params": parameters}
        answer = self.http.post(self.base_url + path, json=body, timeout=120)
        answer.raise_for_status()
        result = answer.json()
        if "error" in result:
            data = result["error"].get("data") or {}
            raise OdooError(f"{data.get('name')}: {data.get('message')}")
        return result.get("result")  # left out where the method returns None
