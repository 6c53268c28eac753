"""Progress lines and the one way a command ends with an error."""

import sys
import time

_STARTED = time.monotonic()


class Failure(Exception):
    """A problem the user has to solve; its text is one clear line."""


def say(text: str) -> None:
    """Print one progress line with the seconds since the command started."""
    print(f"[{time.monotonic() - _STARTED:5.1f}s] {text}", flush=True)


def note(text: str) -> None:
    """Print a plain line (results, links)."""
    print(text, flush=True)


def die(error: Exception) -> None:
    """End the process with `error` as one line on stderr."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    sys.exit(1)
