"""The one clock of every pipeline: raw samples by stage, side and what a sample counts for.

Times are seconds of ``time.perf_counter``; raw samples are kept so that any quantile can be
computed later (pyperf's rule). A stage may be entered many times; stages do not nest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from he_compare.common.types import Per, Side, Stage

SampleKey = tuple[Stage, Side, Per]


@dataclass
class Clock:
    """Collects raw samples; ``side`` is the default side of a stage measured here."""

    side: Side
    samples: dict[SampleKey, list[float]] = field(default_factory=dict)
    items: dict[SampleKey, list[int]] = field(default_factory=dict)
    _open: Stage | None = None

    @contextmanager
    def stage(self, stage: Stage, *, per: Per = Per.BATCH, items: int = 1) -> Iterator[None]:
        """Time the body as one sample of ``stage`` that processed ``items`` images."""
        if self._open is not None:
            raise RuntimeError(f"stage {stage} opened inside {self._open}: stages do not nest")
        self._open = stage
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._open = None
            self.add(stage, elapsed, per=per, items=items)

    def add(
        self,
        stage: Stage,
        seconds: float,
        *,
        side: Side | None = None,
        per: Per = Per.BATCH,
        items: int = 1,
    ) -> None:
        """Record a sample that was timed elsewhere (for instance by the server process)."""
        key = (stage, side or self.side, per)
        self.samples.setdefault(key, []).append(float(seconds))
        self.items.setdefault(key, []).append(int(items))

    def total(self, side: Side | None = None) -> float:
        """Sum of all samples in seconds, of one side or of all."""
        return sum(
            sum(values) for (_, where, _), values in self.samples.items() if side in (None, where)
        )

    def drain(self) -> Clock:
        """Return the samples collected so far and start again."""
        taken = Clock(self.side, self.samples, self.items)
        self.samples, self.items = {}, {}
        return taken

    def absorb(self, other: Clock) -> None:
        """Append the samples of another clock to this one."""
        for key, values in other.samples.items():
            self.samples.setdefault(key, []).extend(values)
            self.items.setdefault(key, []).extend(other.items[key])
