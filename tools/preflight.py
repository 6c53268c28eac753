"""What has to be there before anything starts, all that is missing in one line.

Written for any Python 3, because an old one has to get this far.
"""

import errno
import importlib.util
import os
import shutil
import socket
import sys

OLDEST, NEWEST = (3, 10), (3, 13)
NEEDED_BYTES = 3 * 1024**3


def missing(root, port=None):
    """Return everything that is missing, as phrases.

    `port` is PORT= as it was given; None where nothing will listen.
    """
    found = []
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found.append(
            "Python 3.10 to 3.13 (this is {}.{}; set PYTHON=)".format(
                *sys.version_info[:2]
            )
        )
    fresh = not os.path.exists(os.path.join(root, ".venv", ".made"))
    if fresh and importlib.util.find_spec("ensurepip") is None:
        found.append("the venv module (on Debian: python3-venv)")
    if port is not None and not _is_ours(root, port):
        found += _port_problems(port, os.environ.get("BIND") or "127.0.0.1")
    if fresh and shutil.disk_usage(root).free < NEEDED_BYTES:
        found.append("3 GB of free disk")
    if not os.access(root, os.W_OK):
        found.append("the right to write in the project folder")
    return found


def _port_problems(port, bind):
    """Return why nothing can listen there, in a list of none or one."""
    if not port.isdigit() or not 0 < int(port) < 65536:
        return ["a port from 1 to 65535 (PORT={})".format(port)]
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            bind, int(port), type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return ["port {} is in use (set PORT=)".format(port)]
        return ["the right to listen at {} port {} ({})".format(bind, port, error)]
    return []


def _is_ours(root, port):
    """Whether the port is taken by an earlier `make run` of this project."""
    try:
        with open(os.path.join(root, ".run", "run", "front.pid")) as file:
            pid = int(file.read().split()[0])
        with open("/proc/{}/cmdline".format(pid), "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, ValueError, IndexError):
        return False
    return b"tools.front" in words and port.encode() in words


def check(root, port=None):
    """End with one line unless everything is there."""
    found = missing(root, port)
    if found:
        sys.stderr.write("error: missing: {}\n".format("; ".join(found)))
        sys.exit(1)
