"""How well probabilities rank images: area under the ROC curve."""

from __future__ import annotations

import numpy as np

from he_compare.common.statistics.metric import Metric, Predictions
from he_compare.common.types import BoolArray, Float64Array


def _auc(predictions: Predictions) -> float:
    from sklearn.metrics import roc_auc_score

    predictions.require_classes()
    areas = [roc_auc_score(truth, scores) for truth, scores in _one_against_rest(predictions)]
    return float(np.mean(areas))


def _auc_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    areas = [
        weighted_auc(truth, scores, weights) for truth, scores in _one_against_rest(predictions)
    ]
    return np.mean(areas, axis=0)


def _one_against_rest(predictions: Predictions) -> list[tuple[BoolArray, Float64Array]]:
    """Truth and scores of one class of two, which are as good as the other's, or of every class."""
    if len(predictions.classes) == 2:
        labels = [predictions.scored]
    else:
        labels = list(range(len(predictions.classes)))
    return [(predictions.labels == label, predictions.probabilities[:, label]) for label in labels]


def weighted_auc(truth: BoolArray, scores: Float64Array, weights: Float64Array) -> Float64Array:
    """Return the AUC for each row of weights (draws, n) as the weighted Mann-Whitney statistic.

    ``truth``: bool (n,). ``scores``: float64 (n,), ties count half. NaN where a row has weight on
    one class only.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    sorted_weights = weights[:, order]
    is_positive = truth[order]
    positive = np.add.reduceat(sorted_weights * is_positive, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~is_positive, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = np.sum(positive * (below + 0.5 * negative), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Float64Array = won / (positive.sum(axis=1) * negative.sum(axis=1))
    return area


METRICS = (
    Metric(
        name="auc",
        formula="P(score of a random image of a class > score of a random other image) + "
        "P(equal) / 2, the same for both of two classes; one against the rest, mean over classes, "
        "if more than two",
        source="Hanley and McNeil 1982; sklearn.metrics.roc_auc_score",
        value=_auc,
        resampled=_auc_resampled,
        limits=(0.0, 1.0),
    ),
)
