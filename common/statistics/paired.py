"""Two pipelines on the same images: paired bootstrap differences and McNemar's exact test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import DatasetCard, Interval, PairedDifference
from he_compare.common.statistics.bootstrap import (
    DRAWS,
    group_weights,
    percentile_interval,
    resample,
)
from he_compare.common.statistics.evaluation import find_metric
from he_compare.common.statistics.metric import UndefinedMetric, predictions_of
from he_compare.common.types import BoolArray, Float64Array, IntArray

COMPARED = ("accuracy", "auc")


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
        raise ValueError(f"metric {metric!r} has one value per class")
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


def paired_differences(
    label: str,
    reference: str,
    arrays: dict[str, npt.NDArray[Any]],
    base: dict[str, npt.NDArray[Any]],
    card: DatasetCard,
    *,
    seed: int,
    threshold: float,
    draws: int = DRAWS,
) -> list[PairedDifference]:
    """Return the differences in accuracy and AUC of two pipelines tested on the same images.

    ``arrays`` and ``base`` are stored predictions with the same ids in the same order.
    """
    sides = [
        predictions_of(
            side["labels"], side["probabilities"], card.classes, card.positive_class, threshold
        )
        for side in (arrays, base)
    ]
    only, other, p_value = mcnemar(*(side.correct for side in sides))
    result = []
    for metric in COMPARED:
        difference, interval = paired_difference(
            arrays["labels"],
            [str(group) for group in arrays["groups"]],
            arrays["probabilities"],
            base["probabilities"],
            metric,
            classes=card.classes,
            positive_class=card.positive_class,
            seed=seed,
            draws=draws,
            threshold=threshold,
        )
        is_accuracy = metric == "accuracy"
        result.append(
            PairedDifference(
                metric=metric,
                pipeline=label,
                reference=reference,
                difference=difference,
                interval=interval,
                p_value=p_value if is_accuracy else None,
                n=len(arrays["labels"]),
                discordant=(only, other) if is_accuracy else None,
            )
        )
    return result
