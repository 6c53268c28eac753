# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mailgun's events as documented, for tests; signed without the code under test."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from odoo.addons.mail_bridge.providers.base import WebhookRequest
from odoo.addons.mail_bridge.tests_plain.contract import NOW

KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
OLD_KEY = "key-0c1b2a39485766574839201a2b3c4d5e"
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a697887"
REFERENCE = "mbr-7f3a_19"
VERA = "vera@customer.example"
#: A minute before ``NOW``, as Mailgun writes it.
STAMP = NOW.timestamp() - 60 + 0.089676


def event(kind: str, **more: Any) -> dict[str, Any]:
    """An event document; a name with ``_`` stands for one with ``-``."""
    data = {
        "event": kind,
        "id": "W3X4JOhFT-OZidZGKKr9iA",
        "timestamp": STAMP,
        "log-level": "info",
        "recipient": VERA,
        "recipient-domain": "customer.example",
        "flags": {"is-authenticated": True, "is-routed": False, "is-test-mode": False},
        "message": {"headers": {"message-id": "out1@mg.example", "to": VERA}},
        "tags": [],
        "user-variables": {"mail_bridge_reference": REFERENCE},
    }
    data.update({name.replace("_", "-"): value for name, value in more.items()})
    return data


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """The document without some of its fields."""
    return {name: value for name, value in data.items() if name not in names}


def status(code: Any, message: str = "", **more: Any) -> dict[str, Any]:
    """A delivery status."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"code": code, "message": message, "description": "", **named}


def proof(moment: datetime = NOW, token: str = TOKEN, key: str = KEY) -> dict[str, str]:
    """A signature object."""
    stamp = str(int(moment.timestamp()))
    mac = hmac.new(key.encode(), (stamp + token).encode(), hashlib.sha256)
    return {"timestamp": stamp, "token": token, "signature": mac.hexdigest()}


def post(data: Any, path: str = "/mailgate/mailgun/events") -> WebhookRequest:
    """A request with any JSON."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = (("Content-Type", "application/json"),)
    return WebhookRequest("POST", path, headers, body, "192.0.2.1", NOW)


def signed(data: Any, **signature: Any) -> WebhookRequest:
    """An event webhook's post of this event."""
    return post({"signature": {**proof(), **signature}, "event-data": data})
