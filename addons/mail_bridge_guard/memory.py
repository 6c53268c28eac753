# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Workers live long: what a large mail needed goes back to the system.

glibc maps large blocks of memory, so that freeing them gives them back, but raises the
size from which it does so to the largest block ever freed: a worker would stay as
large as its largest mail.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

#: What counts as large, bytes.
LARGE_BYTES = 4 * 1024 * 1024

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LIBC = ctypes.CDLL(None)
#: malloc.h of glibc
_M_MMAP_THRESHOLD = -3
_MMAP_BYTES = 1024 * 1024


def keep_large_blocks_apart() -> None:
    """Fix the size from which blocks are mapped; nothing happens without glibc.

    Called before the workers are forked.
    """
    if mallopt := getattr(_LIBC, "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def give_back() -> None:
    """Return freed memory to the system, that of cycles included."""
    gc.collect()
    if trim := getattr(_LIBC, "malloc_trim", None):
        trim(0)


def resident_bytes() -> int:
    """Return the memory this process holds, 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
