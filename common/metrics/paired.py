"""Two pipelines on the same images: bootstrapped differences and McNemar's exact test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.metrics.bootstrap import DRAWS, group_weights, percentile_interval, resample
from common.metrics.metric import BoolArray, UndefinedMetric, predictions_of
from common.metrics.scoring import find_metric
from common.records import Interval
from common.types import Float64Array, IntArray


def paired_difference(
    labels: IntArray,
    groups: Sequence[str],
    probabilities_a: Float64Array,
    probabilities_b: Float64Array,
    metric: str = "auc",
    *,
    classes: Sequence[str],
    positive_class: str,
    seed: int,
    draws: int = DRAWS,
    threshold: float = 0.5,
) -> tuple[float | None, Interval | None]:
    """Return metric(a) - metric(b) on the same images and its paired bootstrap interval.

    Both are resampled with the same draws of patient groups. (None, None) where the metric is
    undefined or a probability is not finite. Raises UnknownNameError on an unknown metric,
    ValueError on shapes that do not fit.
    """
    chosen = find_metric(metric)
    if chosen.per_class:
        raise ValueError(f"metric {metric!r} has one value a class")
    pair = [
        predictions_of(labels, probabilities, classes, positive_class, threshold)
        for probabilities in (probabilities_a, probabilities_b)
    ]
    if not len(labels) or not all(np.isfinite(side.probabilities).all() for side in pair):
        return None, None
    try:
        difference = chosen.value(pair[0]) - chosen.value(pair[1])
    except UndefinedMetric:
        return None, None
    if len(set(groups)) < 2:
        return difference, None

    def resampled(weights: Float64Array) -> Float64Array:
        return chosen.resampled(pair[0], weights) - chosen.resampled(pair[1], weights)

    values = resample(resampled, group_weights(groups, draws, seed))
    method = f"paired bootstrap by group, {draws} draws"
    return difference, percentile_interval(values, method=method)[0]


def mcnemar(correct_a: BoolArray, correct_b: BoolArray) -> tuple[int, int, float]:
    """Return (right only in a, right only in b, two-sided exact p) of bool arrays (n,).

    McNemar 1947 with the binomial distribution; p is 1 where the two never differ.
    """
    from scipy.stats import binomtest

    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(correct_b & ~correct_a))
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue)
