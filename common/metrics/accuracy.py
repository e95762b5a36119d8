"""How often the called class is right: accuracy, balanced accuracy and F1."""

from __future__ import annotations

import numpy as np

from he_compare.common.statistics.metric import Metric, Predictions, UndefinedMetric, weighted_share
from he_compare.common.types import BoolArray, Float64Array


def _accuracy(predictions: Predictions) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(predictions.labels, predictions.predicted))


def _correct(predictions: Predictions) -> BoolArray:
    return predictions.correct


def _accuracy_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    every = np.ones(len(predictions.labels), dtype=bool)
    return weighted_share(predictions.correct, every, weights)


def _balanced(predictions: Predictions) -> float:
    from sklearn.metrics import balanced_accuracy_score

    predictions.require_classes()
    return float(balanced_accuracy_score(predictions.labels, predictions.predicted))


def _balanced_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    recalls = [
        weighted_share(predictions.correct, predictions.labels == label, weights)
        for label in range(len(predictions.classes))
    ]
    return np.mean(recalls, axis=0)


def _f1(predictions: Predictions) -> float:
    from sklearn.metrics import f1_score

    truth, called = predictions.labels, predictions.predicted
    positive = predictions.positive
    if positive is not None:
        if not np.any(truth == positive):
            raise UndefinedMetric(f"no image of class {predictions.classes[positive]!r}")
        return float(f1_score(truth == positive, called == positive, zero_division=0.0))
    predictions.require_classes()
    labels = range(len(predictions.classes))
    return float(f1_score(truth, called, labels=labels, average="macro", zero_division=0.0))


def _f1_of(label: int, predictions: Predictions, weights: Float64Array) -> Float64Array:
    true = (predictions.labels == label).astype(np.float64)
    called = (predictions.predicted == label).astype(np.float64)
    positives = weights @ true
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 2 * (weights @ (true * called)) / (positives + weights @ called)
    return np.where(positives > 0, score, np.nan)


def _f1_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    if predictions.positive is not None:
        return _f1_of(predictions.positive, predictions, weights)
    scores = [_f1_of(label, predictions, weights) for label in range(len(predictions.classes))]
    return np.mean(scores, axis=0)


METRICS = (
    Metric(
        name="accuracy",
        formula="images called correctly / images",
        source="sklearn.metrics.accuracy_score; interval: Wilson 1927, where a patient group has "
        "several images with their design effect, Rao and Scott 1992",
        value=_accuracy,
        resampled=_accuracy_resampled,
        outcomes=_correct,
        limits=(0.0, 1.0),
    ),
    Metric(
        name="balanced_accuracy",
        formula="mean over classes of (images of the class called correctly / images of the class)",
        source="Brodersen et al. 2010; sklearn.metrics.balanced_accuracy_score",
        value=_balanced,
        resampled=_balanced_resampled,
        limits=(0.0, 1.0),
    ),
    Metric(
        name="f1",
        formula="2 TP / (2 TP + FP + FN) of the positive class; where none is named, mean over "
        "classes",
        source="van Rijsbergen 1979; sklearn.metrics.f1_score",
        value=_f1,
        resampled=_f1_resampled,
        limits=(0.0, 1.0),
    ),
)
