# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Workers live long: what a large mail needed goes back to the system.

glibc keeps freed blocks of that size in its heap (its threshold for mapped memory
grows with the first one), so a worker would stay as large as its largest mail.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

#: What counts as large, bytes.
LARGE_BYTES = 4 * 1024 * 1024

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def give_back() -> None:
    """Return freed memory to the system; nothing happens without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def resident_bytes() -> int:
    """Return the memory this process holds, 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
