# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The keys that credentials are encrypted with. They never stand in the database.

Order: environment ``MAIL_BRIDGE_KEYS``, odoo.conf ``mail_bridge_keys``, a key file in
the data directory. A ring is a comma-separated list of Fernet keys, the active one
first; the others only decrypt.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from .providers.redaction import register

RING_VARIABLE = "MAIL_BRIDGE_KEYS"
RING_OPTION = "mail_bridge_keys"
KEY_FILE = "mail_bridge.key"
#: How long a decrypted value may live in a process, seconds (facts/security.md §3).
PLAINTEXT_SECONDS = 60
PLAINTEXT_ENTRIES = 512


class KeyRingError(Exception):
    """This host cannot encrypt or decrypt with the database's keys."""


def fingerprint(key: str) -> str:
    """Return what identifies a key without revealing it (16 hex digits)."""
    return hashlib.sha256(b"mail-bridge-key:" + key.encode()).hexdigest()[:16]


class KeyRing:
    """A list of Fernet keys; values are bound to the place they are stored in."""

    def __init__(self, keys: list[str]) -> None:
        if not keys:
            raise KeyRingError("no key")
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise KeyRingError("a key of the ring is not a Fernet key") from error
        self.fingerprints = [fingerprint(key) for key in keys]
        self._plain: dict[str, tuple[str, float]] = {}

    @property
    def active(self) -> str:
        """The fingerprint of the key that new values are encrypted with."""
        return self.fingerprints[0]

    def encrypt(self, value: str, binding: str) -> str:
        """Encrypt a value for one place (``database|model|id|field``)."""
        return self._fernet.encrypt(json.dumps([binding, value]).encode()).decode()

    def decrypt(self, token: str, binding: str) -> str:
        """Return the value of a token that was made for this very place.

        :raises KeyRingError: wrong key, damaged token, or a token moved from elsewhere.
        """
        cached = self._plain.get(token)
        if cached and cached[1] > time.monotonic():
            stored = cached[0]
        else:
            stored = self._decrypt(token)
        place, value = json.loads(stored)
        if place != binding:
            raise KeyRingError("this value was encrypted for another record")
        register(value)
        return value

    def _decrypt(self, token: str) -> str:
        try:
            stored = self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise KeyRingError("no key of this host decrypts the value") from error
        if len(self._plain) >= PLAINTEXT_ENTRIES:
            self._plain.clear()
        self._plain[token] = (stored, time.monotonic() + PLAINTEXT_SECONDS)
        return stored


def split_keys(text: str) -> list[str]:
    """Return the keys of a comma-separated ring."""
    return [key.strip() for key in text.split(",") if key.strip()]


def configured_keys(option: str | None) -> list[str]:
    """Return the ring from the environment or the configuration; may be empty."""
    return split_keys(os.environ.get(RING_VARIABLE) or option or "")


def read_key_file(path: Path) -> list[str]:
    """Return the keys of a key file; none where there is no file.

    :raises KeyRingError: others than the owner may read it, or there is no key in it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRingError(f"{path.name} cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        raise KeyRingError(f"{path.name} must be readable by its owner alone (0600)")
    keys = split_keys(text)
    if not keys:
        raise KeyRingError(
            f"{path.name} is empty: put the key back, or delete the file"
        )
    return keys


def create_key_file(path: Path) -> list[str]:
    """Make a new key; a key that another process made meanwhile wins.

    The file gets its name when it is complete and on disk: a crash or a full disk
    never leaves a name without a key.

    :raises KeyRingError: the file cannot be written.
    """
    key = Fernet.generate_key().decode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path.parent, key) as draft:
            os.link(draft, path)  # fails where the name is taken
        _sync_folder(path.parent)
    except FileExistsError:
        return read_key_file(path)
    except OSError as error:
        raise KeyRingError(
            f"{path.name} cannot be written: {error.strerror}"
        ) from error
    return [key]


@contextmanager
def _draft(folder: Path, text: str) -> Iterator[str]:
    """Yield the name of a file (0600) with that content, on disk; it goes after use."""
    handle, name = tempfile.mkstemp(prefix=f"{KEY_FILE}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        os.unlink(name)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
