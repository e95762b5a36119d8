"""Scoring one set of predictions: every discovered metric with its interval, and the curves.

Intervals of proportions (accuracy, recalls, sensitivity, specificity) are Wilson's (1927). Images
of one patient are no independent trials: where a patient group has several, the number of trials
is divided by the design effect, the variance of the share over patients by that of independent
images (Rao and Scott, Biometrics 48:577-585, 1992; Korn and Graubard, Survey Methodology
24:193-201, 1998). Percentiles of a cluster bootstrap would do for shares near one half, and cover
too little near one, where sensitivities lie: docs/explanation/numbers.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import UnknownNameError
from he_compare.common.metrics.calibration import reliability
from he_compare.common.plugins import load_all, nearest
from he_compare.common.run.records import Interval, MetricValue
from he_compare.common.statistics.bootstrap import (
    DRAWS,
    LEVEL,
    group_weights,
    percentile_interval,
    resample,
)
from he_compare.common.statistics.metric import Metric, Predictions, UndefinedMetric, predictions_of
from he_compare.common.types import BoolArray, Float64Array, IntArray

WILSON = "Wilson, images taken as independent"
WILSON_BY_GROUP = "Wilson with the design effect of patient groups"
ONE_GROUP = "no interval: all images are of one patient group"
# How a score sheet says what is done with proportions.
PROPORTIONS = "Wilson, with the design effect of patient groups where one has several images"

Scores = tuple[
    list[MetricValue],
    list[list[int]],
    list[tuple[float, float]],
    list[tuple[float, float, int]],
]


@cache
def all_metrics() -> tuple[Metric, ...]:
    """Return the metrics of every discovered family, without importing scikit-learn."""
    return tuple(metric for metrics in load_all("metrics").values() for metric in metrics)


def find_metric(name: str) -> Metric:
    """Return the metric of that name. Raises UnknownNameError with the nearest names."""
    known = {metric.name: metric for metric in all_metrics()}
    if name not in known:
        raise UnknownNameError(f"unknown metric {name!r}", fix=nearest(name, list(known)))
    return known[name]


def score(
    labels: IntArray,
    probabilities: Float64Array,
    groups: Sequence[str],
    classes: Sequence[str],
    positive_class: str,
    *,
    seed: int,
    draws: int = DRAWS,
    threshold: float = 0.5,
) -> Scores:
    """Return (metrics, confusion, roc, reliability) of probabilities (n, k) on labels (n,).

    ``confusion``: rows truth, columns prediction. ``roc``: (false positive rate, true positive
    rate) of the positive class, else of the second one; two classes only. ``reliability``: (mean
    confidence, share correct, n) by bin. Where the probabilities are not finite, or no image is
    there, every value is None with a note and the rest is empty. Raises ValueError on shapes that
    do not fit.
    """
    predictions = predictions_of(labels, probabilities, classes, positive_class, threshold)
    if len(groups) != len(predictions.labels):
        raise ValueError(f"{len(groups)} groups for {len(predictions.labels)} labels")
    why_not = why_unscorable(predictions)
    if why_not:
        return [without_value(*named, why_not) for named in named_metrics(predictions)], [], [], []
    weights = group_weights(groups, draws, seed)
    values = [measure(*named, weights, groups) for named in named_metrics(predictions)]
    return values, confusion(predictions), roc(predictions), reliability(predictions)


def why_unscorable(predictions: Predictions) -> str:
    """Say why no metric has a value on these predictions; '' where metrics may have one."""
    if not len(predictions.labels):
        return "no images"
    bad = int(np.sum(~np.isfinite(predictions.probabilities).all(axis=1)))
    return f"probabilities of {bad} of {len(predictions.labels)} images are not finite" * bool(bad)


def named_metrics(predictions: Predictions) -> list[tuple[Metric, str, Predictions]]:
    """Return every metric with the name it is recorded under; per-class metrics once per class.

    What is said of the positive class is left out where none was named.
    """
    expanded: list[tuple[Metric, str, Predictions]] = []
    for metric in all_metrics():
        if metric.needs_positive and predictions.positive is None:
            continue
        if metric.per_class:
            expanded += [
                (metric, f"{metric.name}[{name}]", predictions.about(label))
                for label, name in enumerate(predictions.classes)
            ]
        else:
            expanded.append((metric, metric.name, predictions))
    return expanded


def without_value(metric: Metric, name: str, predictions: Predictions, note: str) -> MetricValue:
    """Return a metric that has no value on these predictions, and why."""
    n = len(predictions.labels)
    return MetricValue(name=name, value=None, interval=None, n=n, unit=metric.unit, note=note)


def measure(
    metric: Metric,
    name: str,
    predictions: Predictions,
    weights: npt.NDArray[np.uint16],
    groups: Sequence[str],
) -> MetricValue:
    """Return one metric with its interval, by the rules of this module.

    ``weights``: uint16 (draws, n) of patient groups. ``groups``: of the n images. ``n`` of a
    proportion is the number of its trials. Raises ValueError where a metric's trials and outcomes
    do not fit each other.
    """
    try:
        value = metric.value(predictions)
    except UndefinedMetric as undefined:
        return without_value(metric, name, predictions, str(undefined))
    outcomes = metric.outcomes(predictions) if metric.outcomes else None
    if outcomes is None:
        n, (interval, note) = len(predictions.labels), _by_bootstrap(metric, predictions, weights)
    else:
        n, tried = len(outcomes), groups_of_trials(metric, predictions, outcomes, groups)
        interval = wilson_by_group(outcomes, tried)
        note = "" if interval else ONE_GROUP
    return MetricValue(name=name, value=value, interval=interval, n=n, unit=metric.unit, note=note)


def groups_of_trials(
    metric: Metric, predictions: Predictions, outcomes: BoolArray, groups: Sequence[str]
) -> npt.NDArray[np.str_]:
    """Return the patient group of each trial of a proportion."""
    tried = metric.trials(predictions) if metric.trials else np.ones(len(groups), dtype=bool)
    found = np.asarray(groups, dtype=str)[tried]
    if len(found) != len(outcomes):
        raise ValueError(
            f"metric {metric.name!r} has {len(outcomes)} outcomes for {len(found)} trials: let "
            "`trials` say which images it is of"
        )
    return found


def _by_bootstrap(
    metric: Metric, predictions: Predictions, weights: npt.NDArray[np.uint16]
) -> tuple[Interval | None, str]:
    if len(weights) and np.all(weights == weights[:, :1]):
        return None, ONE_GROUP
    draws = resample(lambda portion: metric.resampled(predictions, portion), weights)
    interval, note = percentile_interval(draws)
    if interval is None and len(draws):
        return None, _why_undefined(predictions, note)
    return interval, note


def _why_undefined(predictions: Predictions, note: str) -> str:
    """Say which class has so few images that most draws hold none of it."""
    counts = np.bincount(predictions.labels, minlength=len(predictions.classes))
    fewest = int(counts.min())
    names = [
        name for name, count in zip(predictions.classes, counts, strict=True) if count == fewest
    ]
    few = f"{fewest} image{'s' * (fewest != 1)} of {' and of '.join(names[:2])}"
    more = f" and of {len(names) - 2} more classes" if len(names) > 2 else ""
    return f"{note}: only {few}{more}"


def wilson(outcomes: BoolArray, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval (1927) of the share of true outcomes (n > 0)."""
    return wilson_of_counts(int(outcomes.sum()), len(outcomes), level)


def wilson_of_counts(hits: int, n: int, level: float = LEVEL) -> Interval:
    """Return Wilson's score interval (1927) of ``hits`` of n > 0 trials."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(low=float(found.low), high=float(found.high), level=level, method=WILSON)


def wilson_by_group(
    outcomes: BoolArray, groups: npt.NDArray[np.str_], level: float = LEVEL
) -> Interval | None:
    """Return Wilson's interval of the share of true outcomes (n,), heeding patient groups (n,).

    With one image for each patient it is the plain one. Where all outcomes agree, each patient is
    one trial. None where all images are of one patient.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    n, patients = len(outcomes), len(names)
    if patients == n:
        return wilson(outcomes, level)
    if patients < 2:
        return None
    share = float(outcomes.mean())
    trials = float(patients)
    if 0 < share < 1:
        excess = np.bincount(group_of, weights=outcomes - share)
        variance = patients / (patients - 1) * float(excess @ excess) / n**2
        trials = n / max(1.0, variance * n / (share * (1 - share)))
    low, high = wilson_ends(share, trials, level)
    return Interval(low=low, high=high, level=level, method=WILSON_BY_GROUP)


def wilson_ends(share: float, trials: float, level: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share; trials need not be a whole number."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def as_wilson(metric: MetricValue) -> MetricValue:
    """Return a metric as sheets had it that took all images as independent.

    Only a proportion's interval differs; a value without one is returned as it is.
    """
    family = next((one for one in all_metrics() if one.name == metric.name.partition("[")[0]), None)
    if family is None or family.outcomes is None or metric.value is None or not metric.n:
        return metric
    interval = wilson_of_counts(round(metric.value * metric.n), metric.n)
    return metric.model_copy(update={"interval": interval, "note": ""})


def wilson_half_width(n: int, level: float = LEVEL) -> float:
    """Return half the width of Wilson's interval of a proportion of one half of n > 0 images."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    return z * math.sqrt(0.25 / n + z * z / (4 * n * n)) / (1 + z * z / n)


def confusion(predictions: Predictions) -> list[list[int]]:
    """Return counts, rows truth and columns prediction, in the order of the classes."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(
        predictions.labels, predictions.predicted, labels=range(len(predictions.classes))
    )
    return [[int(count) for count in row] for row in counts]


def roc(predictions: Predictions) -> list[tuple[float, float]]:
    """Return the corners of the ROC curve; empty unless both of two classes occur.

    It is that of the positive class, where none was named of the second: the curve of the other
    class is the same, mirrored at the diagonal from (0, 1) to (1, 0).
    """
    from sklearn.metrics import roc_curve

    if len(predictions.classes) != 2 or len(np.unique(predictions.labels)) < 2:
        return []
    false_rate, true_rate, _ = roc_curve(
        predictions.labels == predictions.scored, predictions.probabilities[:, predictions.scored]
    )
    return [(float(x), float(y)) for x, y in zip(false_rate, true_rate, strict=True)]
