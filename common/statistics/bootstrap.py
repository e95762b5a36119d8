"""Bootstrap by patient group: draws as integer weights on images, computed in portions.

A draw takes as many groups as there are, with replacement; an image's weight is how often its group
was taken (cluster bootstrap, Field and Welsh 2007). The same weights serve every metric and every
pipeline on the same images, which makes differences paired. Intervals are percentiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import Interval
from he_compare.common.seeds import generator_for
from he_compare.common.types import Float64Array

DRAWS = 2000
LEVEL = 0.95
_PORTION = 250


def group_weights(groups: Sequence[str], draws: int, seed: int) -> npt.NDArray[np.uint16]:
    """Return uint16 (draws, n): how often each image's group was taken in each draw."""
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = len(names)
    if not count or not draws:
        return np.zeros((draws, len(groups)), dtype=np.uint16)
    generator = generator_for(seed, "bootstrap by group")
    taken = generator.integers(0, count, size=(draws, count))
    taken += count * np.arange(draws)[:, None]
    times = np.bincount(taken.ravel(), minlength=draws * count).reshape(draws, count)
    return times.astype(np.uint16)[:, group_of]


def resample(
    statistic: Callable[[Float64Array], Float64Array], weights: npt.NDArray[np.uint16]
) -> Float64Array:
    """Apply a statistic of weights (b, n) -> (b,) to all draws, a portion at a time."""
    if not len(weights):
        return np.empty(0, dtype=np.float64)
    return np.concatenate(
        [
            statistic(weights[start : start + _PORTION].astype(np.float64))
            for start in range(0, len(weights), _PORTION)
        ]
    )


def percentile_interval(
    values: Float64Array, *, level: float = LEVEL, method: str = ""
) -> tuple[Interval | None, str]:
    """Return the percentile interval of resampled values and a note, '' if none is needed.

    Draws in which the metric is undefined (NaN) are left out and counted in the note; with fewer
    than half of the draws left there is no interval.
    """
    draws = len(values)
    if not draws:
        return None, "no interval: no draws were asked for"
    kept = values[np.isfinite(values)]
    if 2 * len(kept) < draws:
        return None, f"no interval: undefined in {draws - len(kept)} of {draws} draws"
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(
        low=float(low),
        high=float(high),
        level=level,
        method=method or f"bootstrap by group, {draws} draws",
    )
    if len(kept) < draws:
        return interval, f"undefined in {draws - len(kept)} of {draws} draws, which are left out"
    if low == high:
        return interval, "all draws agree, so the interval understates the uncertainty"
    return interval, ""
