"""CPU time and memory of processes, from /proc; medians and percentiles."""

import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools import processes

TICK = 1 / os.sysconf("SC_CLK_TCK")
KILOBYTE = 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes and of their children that have ended."""
    used = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        used += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return used * TICK


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    return [pid, *processes.descendants(pid)]


def memory(pid: int, name: str) -> int:
    """`VmRSS` or `VmHWM` (peak since the last reset) of a process, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * KILOBYTE
    return 0


def reset_peak(pid: int) -> None:
    """Let `VmHWM` begin anew at the present size."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)
    return ordered[min(rank, len(ordered) - 1)] if ordered else float("nan")


def median(values: Iterable[float]) -> float:
    """The median; not a number where there is none."""
    found = list(values)
    return statistics.median(found) if found else float("nan")
