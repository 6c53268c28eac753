# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Requests to applications: reports, and the attachments that they keep.

Their addresses are chosen by applications, so they lead to public places alone, unless
an administrator trusts the address or allows the network (security.md §2).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from odoo.addons.mail_bridge.door_account import parse_networks
from odoo.addons.mail_bridge.exceptions import MailBridgeError, PermanentError
from odoo.addons.mail_bridge.providers.http import (
    Address,
    CallAnswer,
    CallRequest,
    call,
    is_public,
)

from .attachments import FETCH_SECONDS, Attachment, FetchFailed, checked, request_for

REPORT_TIMEOUT = 30.0
MAX_REPORT_ANSWER = 1024 * 1024


class _Places:
    """The addresses that may be called."""

    def __init__(self, is_trusted: bool, networks: str) -> None:
        self._is_trusted = is_trusted
        self._networks = parse_networks(networks)

    def __call__(self, address: Address) -> bool:
        if address.is_multicast or address.is_unspecified or address.is_link_local:
            return False  # link-local: where clouds keep their credentials
        return (
            self._is_trusted
            or is_public(address)
            or any(address in network for network in self._networks)
        )


def post_json(
    url: str, body: bytes, headers: Mapping[str, str], is_trusted: bool, networks: str
) -> CallAnswer:
    """Post a report; any status is an answer.

    :raises MailBridgeError: there was none.
    """
    return _request("POST", url, body, headers, _Places(is_trusted, networks))


def fetch_attachment(
    attachment: Attachment,
    endpoint: str,
    auth: Mapping[str, object] | None,
    is_trusted: bool,
    networks: str,
    most: int,
) -> bytes:
    """Return the content of an attachment that is somewhere else.

    :raises FetchFailed: with the status, where there was an answer.
    """
    method, url, body, headers = request_for(attachment, endpoint, auth)
    trusted = is_trusted and attachment.mode == "endpoint"
    try:
        places = _Places(trusted, networks)
        answer = _request(method, url, body, headers, places, most, FETCH_SECONDS)
    except MailBridgeError as error:
        raise FetchFailed(attachment.name, str(error)) from None
    if answer.status != 200:
        raise FetchFailed(attachment.name, f"HTTP {answer.status}")
    return checked(attachment, answer.body)


def _request(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    places: _Places,
    most: int = MAX_REPORT_ANSWER,
    seconds: float = REPORT_TIMEOUT,
) -> CallAnswer:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise PermanentError("the URL is malformed") from None
    if not url.isascii() or not host:
        raise PermanentError("the URL is malformed")
    return call(
        CallRequest(
            method,
            url,
            (host,),
            headers=tuple(headers.items()),
            body=body,
            timeout=seconds,
            max_bytes=most,
            allows=places,
        )
    )
