"""What became of disturbed messages: right, refused or wrong, at each strength.

Right: answered with the true class. Refused: without a usable answer, because the server refused
the message or the client could not use the reply. Wrong: answered with another class, and nobody
noticed.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.run.records import RobustnessCurve, RobustnessPoint
from he_compare.common.run.view import PipelineView

FLIPPED_BITS = "bit flips"


def curve_of(pipeline: PipelineView, disturbance: str) -> RobustnessCurve | None:
    """Return the curve of a disturbance; None where it was not measured."""
    return next((one for one in pipeline.robustness_curves if one.disturbance == disturbance), None)


def shares_of(point: RobustnessPoint) -> tuple[float, float, float]:
    """Return the shares of messages that were answered right, refused, and answered wrong."""
    n = max(point.n, 1)
    return point.correct / n, point.noticed / n, point.wrong / n


def first_below_half(curve: RobustnessCurve) -> RobustnessPoint | None:
    """Return the weakest strength at which fewer than half of the messages were answered right."""
    return next((point for point in curve.points if point.correct < point.n / 2), None)


def disturbed_columns(pipeline: PipelineView) -> dict[str, Any]:
    """Return columns of the table of a run: three shares by disturbance and strength."""
    found: dict[str, Any] = {}
    for curve in pipeline.robustness_curves:
        name = "".join(char if char.isalnum() else "_" for char in curve.disturbance.lower())
        for point in curve.points:
            for outcome, share in zip(("right", "refused", "wrong"), shares_of(point), strict=True):
                found[f"{name}_{point.level:g}_{outcome}"] = share
    return found
