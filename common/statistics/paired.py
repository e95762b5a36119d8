"""Two pipelines on the same images: paired bootstrap differences, and an exact test by patient.

The test is McNemar's where every image that tells the pipelines apart is of another patient. It
takes images as independent, which images of one patient are not: then the signs of whole patients
are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
# What pipelines of one run are compared in: whichever of the first two leads.
RUN_COMPARED = ("accuracy", "balanced_accuracy", "auc")


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


MCNEMAR = "McNemar's exact test; each image counts as its own patient"
BY_PATIENT = "exact sign-flip test over patients"


@dataclass(frozen=True)
class PairedTest:
    """Images right only in a and only in b, the two-sided exact p, and the name of the test."""

    only_a: int
    only_b: int
    p_value: float
    method: str


def paired_test(correct_a: BoolArray, correct_b: BoolArray, groups: Sequence[str]) -> PairedTest:
    """Test whether two pipelines are right equally often: bool arrays (n,), and patients (n,).

    Under the null hypothesis a patient's images might as well have come out the other way round, so
    that the sign of the patient's difference is a coin. All signs are counted, none are drawn: the
    distribution of the sum is a convolution. With one image a patient this is McNemar's test (1947)
    with the binomial distribution. Sources: clustered matched pairs, Durkalski et al., Statistics
    in Medicine 22, 2003; permutation distributions by convolution, Pagano and Tritchler, JASA 1983.
    """
    apart = correct_a.astype(np.int64) - correct_b.astype(np.int64)
    _, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    differences = np.bincount(patient, weights=apart).astype(np.int64)
    images = np.bincount(patient[apart != 0], minlength=len(differences))
    method = BY_PATIENT if (images > 1).any() else MCNEMAR
    return PairedTest(
        int((apart > 0).sum()), int((apart < 0).sum()), _sign_flip(differences), method
    )


def as_before(difference: PairedDifference) -> PairedDifference:
    """Return a difference as sheets had it that do not name their test: McNemar's, by image."""
    if difference.discordant is None:
        return difference
    signs = np.repeat(np.array([1, -1], dtype=np.int64), difference.discordant)
    return difference.model_copy(update={"p_value": _sign_flip(signs), "p_method": ""})


def _sign_flip(differences: IntArray) -> float:
    """Return the probability that a sum of differences with random signs is as far from 0."""
    sizes = np.abs(differences[differences != 0])
    total, observed = int(sizes.sum()), abs(int(differences.sum()))
    # chances[i]: of the sum i - total.
    chances = np.ones(1)
    for size in sizes:
        step = np.zeros(2 * int(size) + 1)
        step[[0, -1]] = 0.5
        chances = np.convolve(chances, step)
    sums = np.arange(-total, total + 1)
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))


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
    metrics: Sequence[str] = COMPARED,
) -> list[PairedDifference]:
    """Return the differences in ``metrics`` of two pipelines tested on the same images.

    ``arrays`` and ``base`` are stored predictions with the same ids in the same order.
    """
    sides = [
        predictions_of(
            side["labels"], side["probabilities"], card.classes, card.positive_class, threshold
        )
        for side in (arrays, base)
    ]
    groups = [str(group) for group in arrays["groups"]]
    test = paired_test(sides[0].correct, sides[1].correct, groups)
    result = []
    for metric in metrics:
        difference, interval = paired_difference(
            arrays["labels"],
            groups,
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
                p_value=test.p_value if is_accuracy else None,
                n=len(arrays["labels"]),
                p_method=test.method if is_accuracy else "",
                discordant=(test.only_a, test.only_b) if is_accuracy else None,
            )
        )
    return result
