"""How many threads a process of a run has: when it trains and tests, and when latency is measured.

The first number is part of a cell's identity: sums of single-precision numbers depend on it. So it
is settled once, when a run begins, and a resumed run has the same, whatever its workers are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from he_compare.common.errors import IntegrityError

MOST_THREADS = 1024


@dataclass(frozen=True)
class ThreadShare:
    """Threads per process. ``latency``: while one image after another is sent, and nothing else."""

    training: int
    latency: int


@dataclass(frozen=True)
class Lanes:
    """The processes that measure the cells of a run.

    ``workers``: how many there are; 1 for the driver alone. ``at_once``: how many of them have the
    threads of a process to themselves, so that this many cells go on at full speed. ``elsewhere``:
    whether they are those of a scheduler, so on other machines.
    """

    workers: int = 1
    at_once: int = 1
    elsewhere: bool = False

    @property
    def alone(self) -> bool:
        """Whether the driver measures the cells itself."""
        return self.workers == 1 and not self.elsewhere


def lanes_here(workers: int, threads: int, cores: int) -> Lanes:
    """Return the lanes of workers on this machine: more than its cores bear do not go faster."""
    return Lanes(workers, max(1, min(workers, cores // max(1, threads))))


def lanes_of(own: Sequence[int], threads: int) -> Lanes:
    """Return the lanes of a scheduler. ``own``: the threads that each worker was started with."""
    shares = sum(min(1.0, one / max(1, threads)) for one in own)
    return Lanes(max(1, len(own)), max(1, int(shares)), elsewhere=True)


def share_threads(
    asked: int,
    workers: int,
    known: Mapping[str, Any] | None = None,
    cores: int | None = None,
    latency: int = 0,
) -> ThreadShare:
    """Share the cores of a machine among ``workers`` processes; latency has all of them.

    ``asked``, ``latency``: the settings; 0 leaves it to this. ``known``: settings of the run that
    is resumed, which had them settled. Raises IntegrityError where these are no numbers of threads.
    """
    if asked:
        return ThreadShare(asked, latency or asked)
    if known and (threads := _known_threads(known, "threads")):
        kept = _known_threads(known, "latency_threads")
        return ThreadShare(threads, latency or kept or threads)
    # The command's help reads this module's bounds; it opens without numpy.
    from he_compare.common.environment import usable_cores

    own = cores or usable_cores()
    return ThreadShare(max(1, own // workers), latency or own)


def _known_threads(known: Mapping[str, Any], name: str) -> int:
    """Return a number of threads of a manifest; 0 where it has none, as older ones do."""
    value = known.get(name, 0)
    if type(value) is not int or not 0 <= value <= MOST_THREADS:
        raise IntegrityError(
            f"manifest.json has {name} {value!r}, not a whole number of 0 to {MOST_THREADS}",
            fix="restore the run's manifest.json, or pass another folder with --out",
        )
    return value
