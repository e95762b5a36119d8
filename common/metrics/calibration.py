"""Whether probabilities mean what they say: expected calibration error and Brier score."""

from __future__ import annotations

import numpy as np

from he_compare.common.statistics.metric import Metric, Predictions
from he_compare.common.types import BoolArray, Float64Array, IntArray

BINS = 15


def confidence_bins(predictions: Predictions) -> tuple[IntArray, Float64Array, BoolArray]:
    """Return by image: bin of the likeliest class's probability, that probability, its truth.

    Bin ``b`` of ``BINS`` equal widths holds confidences in (b / BINS, (b + 1) / BINS]; 0 is in the
    first.
    """
    top = np.argmax(predictions.probabilities, axis=1)
    confidence = np.max(predictions.probabilities, axis=1)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    number = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return number.astype(np.int64), confidence, top == predictions.labels


def reliability(predictions: Predictions) -> list[tuple[float, float, int]]:
    """Return (mean confidence, share of correct, images) of each bin that holds any."""
    number, confidence, correct = confidence_bins(predictions)
    return [
        (float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum()))
        for inside in (number == b for b in range(BINS))
        if inside.any()
    ]


def _ece(predictions: Predictions) -> float:
    weights = np.ones((1, len(predictions.labels)))
    return float(_ece_resampled(predictions, weights)[0])


def _ece_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    number, confidence, correct = confidence_bins(predictions)
    gaps = np.zeros((len(number), BINS))
    gaps[np.arange(len(number)), number] = confidence - correct
    errors: Float64Array = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
    return errors


def _brier(predictions: Predictions) -> float:
    from sklearn.metrics import brier_score_loss

    if len(predictions.classes) == 2:
        return float(
            brier_score_loss(
                predictions.labels == predictions.scored,
                np.clip(predictions.probabilities[:, predictions.scored], 0.0, 1.0),
                pos_label=True,
            )
        )
    return float(_squared_errors(predictions).mean())


def _squared_errors(predictions: Predictions) -> Float64Array:
    truth = np.eye(len(predictions.classes))[predictions.labels]
    errors: Float64Array = np.square(np.clip(predictions.probabilities, 0.0, 1.0) - truth)
    if len(predictions.classes) == 2:
        return errors[:, predictions.scored]
    return errors.sum(axis=1)


def _brier_resampled(predictions: Predictions, weights: Float64Array) -> Float64Array:
    scores: Float64Array = (weights @ _squared_errors(predictions)) / weights.sum(axis=1)
    return scores


METRICS = (
    Metric(
        name="ece",
        formula=f"sum over {BINS} equal-width bins of the likeliest class's probability of "
        "(images in bin / images) * |mean confidence - share correct|",
        source="Naeini et al. 2015; Guo et al. 2017",
        value=_ece,
        resampled=_ece_resampled,
        higher_is_better=False,
        limits=(0.0, 1.0),
    ),
    Metric(
        name="brier",
        formula="mean of (probability of a class - [image is of the class])^2, the same for both "
        "of two classes; with more the sum over classes",
        source="Brier 1950; sklearn.metrics.brier_score_loss",
        value=_brier,
        resampled=_brier_resampled,
        higher_is_better=False,
        limits=(0.0, 2.0),
    ),
)
