"""From the clear head to the quantised one: what preparation and quantisation cost, each by itself.

A rung is a clear model that differs from the rung before it in one respect: (name, what the step
costs, scores (n, classes)). All of them score the same features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from he_compare.common.backbones.deit import softmax
from he_compare.common.backbones.head import Head
from he_compare.common.statistics.evaluation import find_metric
from he_compare.common.statistics.metric import UndefinedMetric, predictions_of
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.tfhe.components import PreparedHead
from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead

Rung: TypeAlias = tuple[str, str, Float64Array]
METRICS = ("auc", "accuracy")


def rungs_of(
    clear: Head, prepared: PreparedHead, quantised: QuantisedHead, features: Float32Array
) -> list[Rung]:
    """Return the clear head, the head that is quantised and the quantised one, on features."""
    inputs = prepared.preparation.apply(features)
    return [
        ("clear head", "", clear.scores(features)),
        ("same preparation, in the clear", "preparation", prepared.linear.scores(inputs)),
        ("quantised, in the clear", "quantisation", quantised.clear_scores(inputs)),
    ]


def costs(
    rungs: Sequence[Rung], labels: IntArray, classes: Sequence[str], measured_on: str
) -> dict[str, Any]:
    """Return each rung's AUC and accuracy and what each step takes away, for the record.

    None where a metric is not defined, for instance where a class has no image.
    """
    values = [
        {metric: _value(metric, labels, scores, classes) for metric in METRICS}
        for _, _, scores in rungs
    ]
    told: dict[str, Any] = {
        "measured_on": measured_on,
        "n": len(labels),
        "heads": {name: found for (name, _, _), found in zip(rungs, values, strict=True)},
    }
    for (_, cost, _), before, after in zip(rungs[1:], values, values[1:], strict=False):
        told[cost] = {metric: _lost(before[metric], after[metric]) for metric in METRICS}
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
