"""Processes by id, read from /proc: alive, whose child, gone."""

import contextlib
import os
import signal
import time
from pathlib import Path

STARTED = 19  # in /proc/<pid>/stat, counted from the state


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
    return _stat(pid)[0] != "Z"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; those of a zombie if gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z"]
    return stat.rpartition(")")[2].split()


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


def record(path: Path, pid: int) -> None:
    """Write down a process of ours, and when it started: its number may come again."""
    path.write_text(f"{pid} {_stat(pid)[STARTED]}")


def recorded(path: Path) -> int:
    """The process that `record` wrote down; 0 unless that very one still runs."""
    words = path.read_text().split() if path.exists() else []
    is_same = len(words) == 2 and _stat(int(words[0]))[STARTED:][:1] == words[1:]
    return int(words[0]) if is_same and alive(int(words[0])) else 0


def postmaster(data: Path) -> int:
    """The process that serves PostgreSQL's folder `data`; 0 where none does."""
    path = data / "postmaster.pid"
    pid = int((path.read_text().split() or ["0"])[0]) if path.exists() else 0
    return pid if alive(pid) and f"-D {data} " in title(pid) else 0


def stop_family(pid: int, seconds: float = 30) -> None:
    """End a process and its descendants in order, with force after `seconds`."""
    family = [pid, *descendants(pid)]
    kill(pid, signal.SIGTERM)
    if not wait_gone(family, seconds):
        for member in family:
            kill(member)
        wait_gone(family, 10)
