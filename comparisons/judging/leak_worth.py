"""What a leak is worth: two runs on the same test images, part by part.

The parts are the test images that equal a training or validation image (left out in one of the
runs, or kept) and the others; of these, those that look almost like one, and those that do not. The
tables of copies of both runs say which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from he_compare.common.run.copies_table import KEPT_IN, LEFT_OUT, NEAR_KEPT, read_copies_table
from he_compare.common.run.records import DatasetCard, MetricValue
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import RunView
from he_compare.common.statistics.evaluation import score
from he_compare.common.statistics.paired import COMPARED, paired_differences
from he_compare.common.types import BoolArray, Split
from he_compare.comparisons.judging.mean_scores import THRESHOLD, StoredPredictions
from he_compare.comparisons.terminal import unbroken

WITH_COPY, WITHOUT_COPY = "with a copy", "without a copy"
WITH_NEAR_COPY, WITHOUT_EITHER = "with a near copy only", "without either"


def tested_with(runs: tuple[RunView, ...], *done: str) -> set[str]:
    """Return the ids of the test images that a line of that kind names in any of the runs."""
    return {
        line.other
        for run in runs
        for line in read_copies_table(run.path)
        if line.other_split == Split.TEST and line.done in done
    }


def parts_of(ids: list[str], runs: tuple[RunView, ...]) -> Iterator[tuple[str, BoolArray]]:
    """Yield the parts that are neither empty nor all of the images, as bool (n,) by name."""
    copied, near = tested_with(runs, LEFT_OUT, KEPT_IN), tested_with(runs, NEAR_KEPT)
    has_copy = np.array([name in copied for name in ids], dtype=bool)
    has_near = np.array([name in near for name in ids], dtype=bool) & ~has_copy
    for name, part in (
        (WITH_COPY, has_copy),
        (WITHOUT_COPY, ~has_copy),
        (WITH_NEAR_COPY, has_near),
        (WITHOUT_EITHER, ~has_copy & ~has_near),
    ):
        if part.any() and not part.all():
            yield name, part


def worth_by_part(
    label: str, a: RunView, b: RunView, ours: StoredPredictions, theirs: StoredPredictions
) -> list[dict[str, Any]]:
    """Return accuracy and AUC of A and B and their paired difference, for each part."""
    card, seed = a.manifest.dataset.card, a.manifest.seed
    found = []
    for name, part in parts_of([str(one) for one in ours["ids"]], (a, b)):
        mine, other = ({key: array[part] for key, array in side.items()} for side in (ours, theirs))
        told: dict[str, Any] = {"part": name, "n": int(part.sum())}
        values = [_metrics(side, card, seed) for side in (mine, other)]
        for metric in COMPARED:
            told[metric] = {
                key: _value(side[metric]) for key, side in zip("ab", values, strict=True)
            }
        differences = paired_differences(
            label, label, other, mine, card, seed=seed, threshold=THRESHOLD
        )
        for one in differences:
            told[one.metric] |= {
                "difference": one.difference,
                "difference_interval": _ends(one),
            }
        found.append(told)
    return found


def _metrics(side: StoredPredictions, card: DatasetCard, seed: int) -> dict[str, MetricValue]:
    metrics, *_ = score(
        side["labels"],
        side["probabilities"],
        [str(group) for group in side["groups"]],
        card.classes,
        card.positive_class,
        seed=seed,
        threshold=THRESHOLD,
    )
    return {one.name: one for one in metrics if one.name in COMPARED}


def _value(metric: MetricValue) -> dict[str, Any]:
    return {"value": metric.value, "interval": _ends(metric)}


def _ends(one: Any) -> list[float] | None:
    return [one.interval.low, one.interval.high] if one.interval else None


def lines_of(parts: list[dict[str, Any]]) -> Iterator[str]:
    """Lay the parts out for a terminal."""
    for part in parts:
        yield f"  test images {part['part']}, n {part['n']}:"
        for metric in COMPARED:
            one = part[metric]
            a, b = (_shown_value(one[side]) for side in "ab")
            line = f"    {metric}: {a} -> {b}"
            if one.get("difference") is not None:
                line += f", B - A {fixed(one['difference'], signed=True)}"
            if one.get("difference_interval"):
                line += " " + _shown_ends(one["difference_interval"], signed=True)
            yield line


def _shown_value(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "-"
    ends = f" {_shown_ends(one['interval'])}" if one["interval"] else ""
    return fixed(one["value"]) + ends


def _shown_ends(interval: list[float], *, signed: bool = False) -> str:
    return unbroken("[{}, {}]".format(*(fixed(end, signed=signed) for end in interval)))
