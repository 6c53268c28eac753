"""What has to be there before anything starts, all that is missing in one line.

Written for any Python 3, because an old one has to get this far.
"""

import importlib.util
import os
import shutil
import socket
import sys

OLDEST, NEWEST = (3, 10), (3, 13)
NEEDED_BYTES = 3 * 1024**3


def missing(root, port=None):
    """Return everything that is missing, as phrases."""
    found = []
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found.append(
            "Python 3.10 to 3.13 (this is {}.{}; set PYTHON=)".format(
                *sys.version_info[:2]
            )
        )
    fresh = not os.path.exists(os.path.join(root, ".venv", "bin", "python"))
    if fresh and importlib.util.find_spec("ensurepip") is None:
        found.append("the venv module (on Debian: python3-venv)")
    if port and not _is_free(port) and not _is_ours(root, port):
        found.append("port {} is in use (set PORT=)".format(port))
    if fresh and shutil.disk_usage(root).free < NEEDED_BYTES:
        found.append("3 GB of free disk")
    if not os.access(root, os.W_OK):
        found.append("the right to write in the project folder")
    return found


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((os.environ.get("BIND") or "127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_ours(root, port):
    """Whether the port is taken by an earlier `make run` of this project."""
    try:
        with open(os.path.join(root, ".run", "run", "front.pid")) as file:
            pid = int(file.read())
        with open("/proc/{}/cmdline".format(pid), "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, ValueError):
        return False
    return b"tools.front" in words and str(port).encode() in words


def check(root, port=None):
    """End with one line unless everything is there."""
    found = missing(root, port)
    if found:
        sys.stderr.write("error: missing: {}\n".format("; ".join(found)))
        sys.exit(1)
