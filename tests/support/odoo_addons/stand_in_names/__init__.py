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
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def getaddrinfo(host, *args, **kwargs):
    return _getaddrinfo("127.0.0.1" if host in NAMES else host, *args, **kwargs)


def behind_the_router(address):
    if address[:2] == ("127.0.0.1", 443):
        return ("127.0.0.1", PORT, *address[2:])
    return address


def connect(self, address):
    return _connect(self, behind_the_router(address))


def connect_ex(self, address):
    return _connect_ex(self, behind_the_router(address))


socket.getaddrinfo = getaddrinfo
socket.socket.connect = connect
socket.socket.connect_ex = connect_ex
