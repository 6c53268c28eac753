# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Contents that were fetched a moment ago, within bounds of size and age."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable


class Cache:
    """At most ``max_bytes`` in all, each for at most ``seconds``; for any threads."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable) -> bytes | None:
        """Return a content, ``None`` where it is not known any more."""
        with self._lock:
            self._forget_old()
            found = self._items.get(key)
            return found[1] if found else None

    def put(self, key: Hashable, content: bytes) -> None:
        """Keep a content, unless it alone is too large."""
        if len(content) > self._max_bytes:
            return
        with self._lock:
            if key in self._items:
                self._drop(key)
            self._items[key] = (time.monotonic(), content)
            self._size += len(content)
            while self._size > self._max_bytes:
                self._drop(next(iter(self._items)))

    def _forget_old(self) -> None:
        horizon = time.monotonic() - self._seconds
        while self._items and next(iter(self._items.values()))[0] < horizon:
            self._drop(next(iter(self._items)))

    def _drop(self, key: Hashable) -> None:
        _moment, content = self._items.pop(key)
        self._size -= len(content)
