"""How many workers a machine bears: one per core, and memory for each with its servers."""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.environment import usable_cores
from he_compare.common.memory_limits import free_memory

# Peak of a process that trains a small transformer and holds the servers of a run.
WORKER_BYTES = 2_500_000_000
# What the system and the driver keep.
KEPT_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Capacity:
    """``memory``: bytes that are available now. ``workers``: how many the machine bears."""

    cores: int
    memory: int
    workers: int

    @property
    def reason(self) -> str:
        """Say what bounds the number."""
        bound = "cores" if self.workers == self.cores else "memory"
        gigabytes = self.memory / 1e9
        return f"{self.cores} cores, {gigabytes:.1f} GB of memory free; bounded by its {bound}"


def capacity_here() -> Capacity:
    """Measure this machine."""
    return capacity_of(usable_cores(), free_memory().bytes)


def capacity_of(cores: int, memory: int) -> Capacity:
    """Return what a machine bears, at least one worker. ``memory``: available, in bytes."""
    by_memory = max(1, (memory - KEPT_BYTES) // WORKER_BYTES)
    return Capacity(cores, memory, max(1, min(cores, by_memory)))
