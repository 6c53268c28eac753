"""Processes by id, read from /proc: alive, whose child, gone."""

import contextlib
import os
import signal
import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """The direct children of `pid`."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def descendants(pid: int) -> list[int]:
    """Everything below `pid`, parents first."""
    found: list[int] = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def title(pid: int) -> str:
    """The command line, or what the process calls itself; '' once it is gone."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace")


def alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_gone(pids: list[int], seconds: float) -> bool:
    """Wait until none of `pids` runs; False where some still does."""
    limit = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def read_pid(path: Path, word: str) -> int:
    """The process id in a pid file; 0 unless it runs and its title holds `word`."""
    try:
        pid = int(path.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return 0
    # A process that is being started has no title for a moment.
    return pid if alive(pid) and word in (title(pid) or word) else 0


def stop_family(pid: int, seconds: float = 30) -> None:
    """End a process and its descendants in order, with force after `seconds`."""
    family = [pid, *descendants(pid)]
    kill(pid, signal.SIGTERM)
    if not wait_gone(family, seconds):
        for member in family:
            kill(member)
        wait_gone(family, 10)
