"""ROC and reliability curves: one small panel a pipeline, the reference behind it in grey."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.records import CellScores
from reports.figures.style import BLUE, GREY, ORANGE, PAGE_WIDTH, RULE
from reports.legible import wrapped
from reports.numbers import fixed
from reports.view import PipelineView, RunView

COLUMNS = 4
PANEL_INCHES = 1.95
TITLE_WIDTH = 22
Curve = Callable[[CellScores], tuple[list[float], list[float]]]


def roc_plot(view: RunView) -> Figure | None:
    """Draw true against false positive rates; None where no ROC was recorded."""
    return _panels(view, _roc, "AUC", "auc", "false positive rate", "true positive rate")


def reliability_plot(view: RunView) -> Figure | None:
    """Draw the observed share against mean confidence; None where none was recorded."""
    return _panels(view, _reliability, "ECE", "ece", "mean confidence", "observed share")


def _roc(cell: CellScores) -> tuple[list[float], list[float]]:
    return [point[0] for point in cell.roc], [point[1] for point in cell.roc]


def _reliability(cell: CellScores) -> tuple[list[float], list[float]]:
    bins = [point for point in cell.reliability if point[2] > 0]
    return [point[0] for point in bins], [point[1] for point in bins]


def _panels(
    view: RunView, curve: Curve, name: str, metric: str, across: str, up: str
) -> Figure | None:
    shown = [one for one in view.pipelines if one.scores and curve(one.scores)[0]]
    if not shown:
        return None
    columns = COLUMNS if len(shown) > 2 else 2
    rows = -(-len(shown) // columns)
    height = PANEL_INCHES * rows + 0.3
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    places = _places(height)
    grid = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=places
    )
    panels = [axes for line in grid for axes in line]
    for axes, pipeline in zip(panels, shown, strict=False):
        _panel(axes, view, pipeline, curve)
        axes.set_title(wrapped(view.title(pipeline), TITLE_WIDTH, 2), fontsize=7)
        value = pipeline.metric(metric)
        if value is not None and value.value is not None:
            axes.text(0.97, 0.05, f"{name} {fixed(value.value)}", ha="right", fontsize=7)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel(across, fontsize=8, y=0.02, va="bottom")
    figure.supylabel(up, fontsize=8, x=0.01, ha="left")
    return figure


def _places(height: float) -> dict[str, float]:
    """Return fixed sizes for panels and titles: faster than a layout of them all."""
    return {
        "left": 0.55 / PAGE_WIDTH,
        "right": 1 - 0.08 / PAGE_WIDTH,
        "bottom": 0.45 / height,
        "top": 1 - 0.38 / height,
        "wspace": 0.12,
        "hspace": 0.36,
    }


def _panel(axes: Axes, view: RunView, pipeline: PipelineView, curve: Curve) -> None:
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
    reference = view.reference
    if reference is not None and reference.scores and reference.label != pipeline.label:
        axes.plot(*curve(reference.scores), color=GREY, linewidth=1.0, linestyle=(0, (3, 2)))
    assert pipeline.scores is not None
    colour = ORANGE if pipeline.protected else BLUE
    x, y = curve(pipeline.scores)
    axes.plot(x, y, color=colour, linewidth=1.5, marker="o", ms=2 if len(x) < 12 else 0)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_aspect("equal")
