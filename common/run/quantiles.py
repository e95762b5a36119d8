"""Quantiles of raw samples: one quantile, one median and its interval, for every reader.

A quantile is nearest-rank everywhere: the smallest sample with that share of all samples at or
below it (numpy calls it ``inverted_cdf``; Hyndman and Fan 1996, definition 1). It is a time that
was really measured, also with an even number of samples, so the record that holds it can be looked
up; and the interval of the median, which is made of order statistics, always contains it. An
interpolated median is a time that no image took.

A p99 needs samples above it: below 200 samples it would be the largest or the second largest, and
is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.run.records import Interval

ENOUGH_FOR_P99 = 200


@dataclass(frozen=True)
class Spread:
    """Quantiles of a pool of samples, in seconds; ``interval`` is that of the median.

    ``p99``: None where fewer than ``ENOUGH_FOR_P99`` samples were taken.
    """

    n: int
    p50: float
    p90: float
    p99: float | None
    interval: Interval | None


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile: the smallest sample with that share at or below it.

    ``share`` in (0, 1]; 0.5 is the median. Raises ValueError where there is no sample.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_interval(samples: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return the distribution-free interval of the median from order statistics.

    Exact binomial ranks; None below six samples, where no 95% interval exists. Source: Hahn and
    Meeker, Statistical Intervals, 1991, section 5.2.
    """
    n = len(samples)
    tail = 0.0
    rank = -1
    while rank + 1 < n:
        tail += math.comb(n, rank + 1) / 2**n
        if tail > (1 - level) / 2:
            break
        rank += 1
    if rank < 0:
        return None
    ordered = sorted(samples)
    return Interval(
        low=ordered[rank], high=ordered[n - 1 - rank], level=level, method="order statistics"
    )


def spread(samples: Sequence[float]) -> Spread:
    """Summarise samples. Raises ValueError where there is none."""
    return Spread(
        n=len(samples),
        p50=quantile(samples, 0.50),
        p90=quantile(samples, 0.90),
        p99=quantile(samples, 0.99) if len(samples) >= ENOUGH_FOR_P99 else None,
        interval=median_interval(samples),
    )
