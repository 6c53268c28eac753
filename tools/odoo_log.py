"""Odoo's log read as data: which lines no test asked for, what the tests said."""

import re
from dataclasses import dataclass

LINE = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<pid>\d+) (?P<level>[A-Z]+)"
    r" (?P<database>\S+) (?P<logger>\S+): (?P<message>.*)$"
)
BAD = ("WARNING", "ERROR", "CRITICAL")

# Odoo's own noise, each with its reason. (series or '', logger, message pattern)
NOISE: list[tuple[str, str, str]] = [
    # No wheel of num2words' own dependency exists, so it is not installed.
    ("", r"odoo\.addons\.base\.models\.res_currency", r".*num2words.*"),
    # Under test Odoo looks for a replica of the database, and there is none.
    ("", r"odoo\.(modules\.)?registry", r"Failed to open a readonly cursor.*"),
    # It runs there all the same, and Debian 13 has no other Python.
    ("18.0", r"odoo", r"Python 3\.13 is not officially supported.*"),
    # The web client opens /websocket; only a reverse proxy brings that to the gevent
    # process, and the tests talk to the workers without one.
    ("", r"odoo\.http", r".*Couldn't bind the websocket.*"),
]


@dataclass(frozen=True)
class Record:
    """One log record; `message` includes the lines that follow it."""

    level: str
    logger: str
    message: str

    def __str__(self) -> str:
        return f"{self.level} {self.logger}: {self.message}"


def records(text: str) -> list[Record]:
    """The records of a log, continuation lines joined to theirs."""
    found: list[Record] = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found.append(Record(match["level"], match["logger"], match["message"]))
        elif found:
            last = found[-1]
            found[-1] = Record(last.level, last.logger, f"{last.message}\n{line}")
    return found


def unexpected(text: str, series: str, expected: list[str] | None = None) -> list[str]:
    """WARNING and worse that are neither known noise nor in `expected`.

    `expected` holds regular expressions searched for in `LEVEL logger: message`.
    """
    patterns = [re.compile(pattern, re.DOTALL) for pattern in expected or []]
    lines = []
    for record in records(text):
        if record.level not in BAD or _is_noise(record, series):
            continue
        if not any(pattern.search(str(record)) for pattern in patterns):
            lines.append(str(record))
    return lines


def _is_noise(record: Record, series: str) -> bool:
    return any(
        known in ("", series)
        and re.fullmatch(logger, record.logger)
        and re.match(message, record.message, re.DOTALL)
        for known, logger, message in NOISE
    )


def test_counts(text: str) -> tuple[int, int]:
    """(passed, failed) of Odoo's test runner, from its closing line."""
    pattern = r"(\d+) failed, (\d+) error\(s\) of (\d+) tests"
    found = re.findall(pattern, text)
    if not found:
        return 0, 0
    failures, errors, total = map(int, found[-1])
    return max(total - failures - errors, 0), failures + errors
