"""How a diagnostic test is judged: sensitivity, specificity and recall of every class.

All three are a share of hits among trials and differ only in which images are trials.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from he_compare.common.statistics.metric import Metric, Predictions, UndefinedMetric, weighted_share
from he_compare.common.types import BoolArray, Float64Array

Trials = Callable[[Predictions], tuple[BoolArray, BoolArray]]


def _positives(predictions: Predictions) -> tuple[BoolArray, BoolArray]:
    positive = predictions.require_positive()
    return predictions.predicted == positive, predictions.labels == positive


def _negatives(predictions: Predictions) -> tuple[BoolArray, BoolArray]:
    positive = predictions.require_positive()
    return predictions.predicted != positive, predictions.labels != positive


def _one_class(predictions: Predictions) -> tuple[BoolArray, BoolArray]:
    if predictions.focus is None:
        raise UndefinedMetric("computed for one class at a time")
    return predictions.predicted == predictions.focus, predictions.labels == predictions.focus


def _share(
    name: str, formula: str, source: str, trials_of: Trials, *, per_class: bool = False
) -> Metric:
    """Build the metric of a share; ``trials_of`` returns hits (n,) and trials (n,)."""

    def value(predictions: Predictions) -> float:
        from sklearn.metrics import recall_score

        hits, trials = trials_of(predictions)
        if not np.any(trials):
            raise UndefinedMetric("no image of the class in question among the labels")
        return float(recall_score(trials, hits))

    def resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
        return weighted_share(*trials_of(predictions), weights)

    def outcomes(predictions: Predictions) -> BoolArray:
        hits, trials = trials_of(predictions)
        return hits[trials]

    def trials(predictions: Predictions) -> BoolArray:
        return trials_of(predictions)[1]

    return Metric(
        name,
        formula,
        source,
        value,
        resampled,
        outcomes,
        trials,
        per_class=per_class,
        needs_positive=not per_class,
    )


METRICS = (
    _share(
        "sensitivity",
        "positive images called positive / positive images",
        "Yerushalmy 1947; sklearn.metrics.recall_score; interval: see accuracy",
        _positives,
    ),
    _share(
        "specificity",
        "negative images not called positive / negative images",
        "Yerushalmy 1947; sklearn.metrics.recall_score; interval: see accuracy",
        _negatives,
    ),
    _share(
        "recall",
        "images of a class called correctly / images of the class, for each class",
        "sklearn.metrics.recall_score; interval: see accuracy",
        _one_class,
        per_class=True,
    ),
)
