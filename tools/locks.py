"""One process at a time: two commands started together build nothing twice."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from tools.paths import RUN


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the project's lock `name`; the kernel lets go of it with the process."""
    folder = RUN / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
