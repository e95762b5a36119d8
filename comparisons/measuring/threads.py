"""How many threads a process of a run has: when it trains and tests, and when latency is measured.

The first number is part of a cell's identity: sums of single-precision numbers depend on it. So it
is settled once, when a run begins, and a resumed run has the same, whatever its workers are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from he_compare.common.environment import usable_cores


@dataclass(frozen=True)
class ThreadShare:
    """Threads per process. ``latency``: while one image after another is sent, and nothing else."""

    training: int
    latency: int


def share_threads(
    asked: int, workers: int, known: Mapping[str, Any] | None = None, cores: int | None = None
) -> ThreadShare:
    """Share the cores of a machine among ``workers`` processes; latency has all of them.

    ``asked``: the setting; 0 leaves it to this. ``known``: settings of the run that is resumed,
    which had them settled.
    """
    if asked:
        return ThreadShare(asked, asked)
    if known and isinstance(threads := known.get("threads"), int) and threads > 0:
        latency = known.get("latency_threads")
        return ThreadShare(threads, latency if isinstance(latency, int) and latency else threads)
    own = cores or usable_cores()
    return ThreadShare(max(1, own // workers), own)


def use_threads(threads: int) -> None:
    """Let the numeric library of this process compute with so many threads, where it is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
