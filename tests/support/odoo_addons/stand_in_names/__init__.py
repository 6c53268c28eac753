# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Loaded server-wide by a test's server: what /etc/hosts and a router would do.

The names in STAND_IN_NAMES (separated by commas) resolve to 127.0.0.1, and who
connects to port 443 there reaches STAND_IN_PORT.
"""

import os
import socket

NAMES = os.environ.get("STAND_IN_NAMES", "").split(",")
PORT = int(os.environ.get("STAND_IN_PORT", "443"))
_getaddrinfo = socket.getaddrinfo
_create_connection = socket.create_connection


def getaddrinfo(host, *args, **kwargs):
    return _getaddrinfo("127.0.0.1" if host in NAMES else host, *args, **kwargs)


def create_connection(address, *args, **kwargs):
    host, port = address[:2]
    if (host, port) == ("127.0.0.1", 443):
        address = (host, PORT)
    return _create_connection(address, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
socket.create_connection = create_connection
