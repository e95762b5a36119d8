"""Accuracy under disturbed messages: a small panel for each pipeline, one line a disturbance."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.records import RobustnessCurve
from reports.figures.style import GREY, ORANGE, RULE, new_figure
from reports.legible import wrapped
from reports.view import PipelineView, RunView

COLUMNS = 3
PANEL_HEIGHT = 1.55
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
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure = new_figure(0.5 + PANEL_HEIGHT * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for position, (axes, (pipeline, curve)) in enumerate(zip(grid.flat, found, strict=False)):
        _panel(axes, view, pipeline, curve)
        if position >= len(found) - columns:
            axes.tick_params(labelbottom=True)
    figure.supxlabel(found[0][1].unit, fontsize=8.0)
    figure.supylabel("accuracy, 95% interval", fontsize=8.0)
    return figure


def _panel(axes: Axes, view: RunView, pipeline: PipelineView, curve: RobustnessCurve) -> None:
    spots = range(len(curve.points))
    values = [point.accuracy for point in curve.points]
    axes.fill_between(
        spots,
        [point.interval.low for point in curve.points],
        [point.interval.high for point in curve.points],
        color=ORANGE,
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(spots, values, color=ORANGE, marker="o", markersize=3.5, linewidth=1.3)
    lost = [(point.refused + point.unreadable + point.garbage) / point.n for point in curve.points]
    axes.plot(
        spots, lost, color=GREY, marker="x", markersize=3.5, linewidth=0.9, linestyle=(0, (3, 2))
    )
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.set_xticks(list(spots), [_level(point.level) for point in curve.points], rotation=45)
    axes.tick_params(axis="x", labelsize=6.5)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_title(wrapped(view.title(pipeline), PANEL_LABEL), fontsize=7, fontweight="normal")


def _level(level: float) -> str:
    """Spell a level so that small shares stay short."""
    if level == 0 or level >= 0.01:
        return f"{level:g}"
    return f"1e{round(math.log10(level))}" if level > 0 else f"{level:g}"
