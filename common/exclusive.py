"""One process at a time does something on this machine: a lock that ends with its process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[float]:
    """Hold the lock of a file, made if missing; yield the seconds that were waited for it.

    flock(2): the system takes it from a process that ends in any way. Where the system has none
    (Windows), nothing is held.
    """
    start = time.perf_counter()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield time.perf_counter() - start
