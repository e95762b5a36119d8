"""Invented predictions and the score sheet that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import (
    CellScores,
    Interval,
    MetricValue,
    PairedDifference,
    RunRecord,
    ScoreSheet,
)
from tests.support.samplerun.kinds import Arrays, Kind
from tests.support.samplerun.training import rungs_of


def predictions(kind: Kind, labels: npt.NDArray[Any], k: int, rng: np.random.Generator) -> Arrays:
    """Draw probabilities that are right about as often as the kind says."""
    right = rng.random(len(labels)) < kind.accuracy
    called = np.where(right, labels, (labels + rng.integers(1, k, len(labels))) % k)
    scores = rng.dirichlet(np.ones(k) * 2, len(labels))
    scores[np.arange(len(labels)), called] += 0.5 + rng.random(len(labels))
    names = np.array([f"image-{i:04d}.png" for i in range(len(labels))])
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return {
        "ids": names,
        "groups": names,
        "labels": labels.astype(np.int64),
        "scores": np.log(probabilities),
        "probabilities": probabilities,
    }


def scores(
    records: list[RunRecord],
    predictions: dict[str, Arrays],
    classes: tuple[str, ...],
    twins: Mapping[str, str],
) -> ScoreSheet:
    scored = [record for record in records if record.identity in predictions]
    hits = {
        record.cell.label: predictions[record.identity]["probabilities"].argmax(axis=1)
        == predictions[record.identity]["labels"]
        for record in scored
    }
    cells = [_cell_scores(record, predictions[record.identity], classes) for record in scored]
    reference = records[0].cell.label
    differences = [
        _difference(label, other, cells, hits, metric)
        for label in hits
        for other in dict.fromkeys((twins.get(label, ""), reference))
        if other != label and other in hits
        for metric in ("accuracy", "balanced_accuracy", "auc")
    ]
    return ScoreSheet(
        reference=reference,
        threshold=0.5,
        cells=cells,
        differences=differences,
        against_twins=True,
    )


def _cell_scores(record: RunRecord, arrays: Arrays, classes: tuple[str, ...]) -> CellScores:
    labels, called = arrays["labels"], arrays["probabilities"].argmax(axis=1)
    n, k = len(labels), len(classes)
    confusion = np.zeros((k, k), dtype=int)
    np.add.at(confusion, (labels, called), 1)
    recalls = confusion.diagonal() / confusion.sum(axis=1)
    accuracy = float((labels == called).mean())
    values = {"accuracy": accuracy, "balanced_accuracy": float(recalls.mean())}
    values["auc"] = min(0.999, accuracy + 0.04)
    if k == 2:
        values |= {"sensitivity": float(recalls[1]), "specificity": float(recalls[0])}
    values |= {"f1": accuracy - 0.01, "ece": 0.061, "brier": 0.11}
    values |= {f"recall[{name}]": float(recalls[i]) for i, name in enumerate(classes)}
    metrics = [
        MetricValue(name=name, value=round(value, 6), interval=_interval(value, n), n=n)
        for name, value in values.items()
    ]
    cell = CellScores(
        identity=record.identity,
        label=record.cell.label,
        metrics=metrics,
        confusion=confusion.tolist(),
        roc=_roc(labels, arrays["probabilities"][:, 1]) if k == 2 else [],
        reliability=[(0.55, 0.5, 40), (0.75, 0.7, 60), (0.95, 0.96, n - 100)] if n > 100 else [],
    )
    rungs = rungs_of(record.clear_twins, cell, n)
    return cell.model_copy(update={"rungs": rungs})


def _roc(labels: npt.NDArray[Any], scores: npt.NDArray[Any]) -> list[tuple[float, float]]:
    """Rates at every threshold, from none called positive to all."""
    hits = labels[np.argsort(-scores, kind="stable")] == 1
    rates = zip(
        np.cumsum(~hits) / max((~hits).sum(), 1), np.cumsum(hits) / max(hits.sum(), 1), strict=True
    )
    return [(0.0, 0.0), *[(round(float(a), 6), round(float(b), 6)) for a, b in rates]]


def _interval(value: float, n: int) -> Interval:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.01) / n)
    low, high = round(max(0.0, value - half), 6), round(min(1.0, value + half), 6)
    return Interval(low=low, high=high, method="invented for tests")


def _difference(
    label: str,
    reference: str,
    cells: list[CellScores],
    hits: dict[str, npt.NDArray[Any]],
    metric: str,
) -> PairedDifference:
    of = {
        cell.label: next(one.value for one in cell.metrics if one.name == metric) or 0.0
        for cell in cells
    }
    gap = of[label] - of[reference]
    ours, theirs = hits[label], hits[reference]
    accuracy = metric == "accuracy"
    return PairedDifference(
        metric=metric,
        pipeline=label,
        reference=reference,
        difference=round(gap, 6),
        interval=Interval(
            low=round(gap - 0.03, 6), high=round(gap + 0.03, 6), method="invented for tests"
        ),
        p_value=(0.0004 if gap < -0.05 else 0.62) if accuracy else None,
        n=len(ours),
        discordant=(int((ours & ~theirs).sum()), int((~ours & theirs).sum())) if accuracy else None,
    )
