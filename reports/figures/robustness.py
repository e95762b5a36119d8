"""Accuracy under disturbed messages: a small panel for each pipeline, one line a disturbance."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from he_compare.common.run.records import RobustnessCurve
from he_compare.common.run.view import RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.multiples import Panel, Scale, multiples
from he_compare.reports.figures.style import GREY, ORANGE
from he_compare.reports.naming import short_title

COLUMNS = 3
PANEL_LABEL = 34


def robustness_plot(view: RunView, disturbance: str) -> Figure | None:
    """Draw one disturbance for every pipeline it is defined on; None where there is none."""
    found = [
        (pipeline, curve)
        for pipeline in view.pipelines
        for curve in pipeline.robustness_curves
        if curve.disturbance == disturbance and curve.points
    ]
    if not found:
        return None
    levels = sorted({point.level for _, curve in found for point in curve.points})
    spots = {level: spot for spot, level in enumerate(levels)}
    marks = tuple((float(spot), _level(level)) for level, spot in spots.items())
    across = Scale(-0.25, len(levels) - 0.75, marks, found[0][1].unit)
    up = Scale(-0.04, 1.04, ((0, "0"), (0.5, "0.5"), (1, "1")), "accuracy, 95% interval")
    titles = [wrapped(short_title(view, pipeline), PANEL_LABEL, 2) for pipeline, _ in found]
    figure, panels = multiples(titles, COLUMNS, across, up, ratio=0.56, slanted=True)
    for panel, (_, curve) in zip(panels, found, strict=True):
        _panel(panel, curve, spots)
    return figure


def _panel(panel: Panel, curve: RobustnessCurve, spots: dict[float, int]) -> None:
    places = [spots[point.level] for point in curve.points]
    values = [point.accuracy for point in curve.points]
    low = [point.interval.low for point in curve.points]
    high = [point.interval.high for point in curve.points]
    panel.band(places, low, high, facecolor=ORANGE, alpha=0.18)
    panel.line(places, values, color=ORANGE, marker="o", markersize=3.5, linewidth=1.3)
    lost = [(point.refused + point.unreadable + point.garbage) / point.n for point in curve.points]
    dashed = (0, (3, 2))
    panel.line(
        places, lost, color=GREY, marker="x", markersize=3.5, linewidth=0.9, linestyle=dashed
    )


def _level(level: float) -> str:
    """Spell a level so that small shares stay short."""
    if level == 0 or level >= 0.01:
        return f"{level:g}"
    return f"1e{round(math.log10(level))}" if level > 0 else f"{level:g}"
