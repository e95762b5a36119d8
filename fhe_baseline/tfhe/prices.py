"""From the clear head to the quantised one: what preparation costs, and what quantisation costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from he_compare.common.backbones.deit import softmax
from he_compare.common.backbones.head import Head
from he_compare.common.contracts import ClearTwin
from he_compare.common.statistics.evaluation import find_metric
from he_compare.common.statistics.metric import UndefinedMetric, predictions_of
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.tfhe.components import PreparedHead
from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead

METRICS = ("auc", "accuracy")


def quantised_twins(
    clear: Head, prepared: PreparedHead, quantised: QuantisedHead, features: Float32Array
) -> tuple[ClearTwin, ...]:
    """Return the clear head, the head that is quantised and the quantised one, on features.

    The second is left out where it is the first.
    """
    inputs = prepared.preparation.apply(features)
    chain = [ClearTwin("clear head", "", clear.scores(features))]
    if prepared.linear is not clear.linear:
        scores = prepared.linear.scores(inputs)
        chain.append(ClearTwin("same preparation, in the clear", "preparation", scores))
    scores = quantised.clear_scores(inputs)
    return (*chain, ClearTwin("quantised, in the clear", "quantisation", scores))


def prices(
    twins: Sequence[ClearTwin], labels: IntArray, classes: Sequence[str], measured_on: str
) -> dict[str, Any]:
    """Return each head's AUC and accuracy and what each step takes away, for the record.

    None where a metric is not defined, for instance where a class has no image.
    """
    values = [
        {metric: _value(metric, labels, twin.scores, classes) for metric in METRICS}
        for twin in twins
    ]
    told: dict[str, Any] = {
        "measured_on": measured_on,
        "n": len(labels),
        "heads": {twin.name: found for twin, found in zip(twins, values, strict=True)},
    }
    for twin, before, after in zip(twins[1:], values, values[1:], strict=False):
        told[twin.cost] = {metric: _lost(before[metric], after[metric]) for metric in METRICS}
    return told


def _lost(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _value(
    metric: str, labels: IntArray, scores: Float64Array, classes: Sequence[str]
) -> float | None:
    if not len(labels) or not np.isfinite(scores).all():
        return None
    try:
        return find_metric(metric).value(predictions_of(labels, softmax(scores), classes, "", 0.5))
    except UndefinedMetric:
        return None
