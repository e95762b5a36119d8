"""Sample runs whose cells have a threshold that was fixed on validation images."""

from __future__ import annotations

from dataclasses import replace

from he_compare.common.run.records import Interval, MetricValue, OperatingPoint
from tests.support.samplerun.runs import SampleRun


def share(name: str, value: float, n: int) -> MetricValue:
    """Return a share with an interval of 0.03 to both sides."""
    low, high = round(value - 0.03, 6), round(value + 0.03, 6)
    interval = Interval(low=low, high=high, method="invented for tests")
    return MetricValue(name=name, value=value, interval=interval, n=n)


def with_a_threshold(
    run: SampleRun,
    *,
    threshold: float | None = 0.37,
    scored_by: str = "as executed",
    note: str = "",
) -> SampleRun:
    """Return a run of two classes whose test images were called at a threshold, all alike."""
    assert run.sheet is not None
    point = OperatingPoint(
        threshold=threshold,
        rule="a rule",
        scored_by=scored_by,
        validation_images=[20, 20],
        note=note,
    )
    if threshold is not None:
        called = {
            "confusion": [[66, 34], [4, 96]],
            "sensitivity": share("sensitivity", 0.96, 100),
            "specificity": share("specificity", 0.66, 100),
        }
        point = point.model_copy(update=called)
    cells = [one.model_copy(update={"at_validated_threshold": point}) for one in run.sheet.cells]
    return replace(run, sheet=run.sheet.model_copy(update={"cells": cells}))
