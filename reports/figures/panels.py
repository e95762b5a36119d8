"""ROC and reliability curves: one small panel a pipeline, the reference behind it in grey."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from he_compare.common.run.records import CellScores
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.multiples import Panel, Scale, multiples
from he_compare.reports.figures.style import BLUE, GREY, ORANGE, RULE
from he_compare.reports.naming import short_title

COLUMNS = 4
TITLE_WIDTH = 22
AXIS_NAME = 12
Curve = Callable[[CellScores], tuple[list[float], list[float]]]


def roc_plot(view: RunView) -> Figure | None:
    """Draw true against false positive rates; None where no ROC was recorded.

    Where no class is positive, the axes say which class is called what: the second of two.
    """
    across, up = "false positive rate", "true positive rate"
    if not view.positive:
        across, up = (f"share of {name} called {last}" for name, last in _called_the_second(view))
    return _panels(view, _roc, "AUC", "auc", across, up)


def _called_the_second(view: RunView) -> list[tuple[str, str]]:
    """Return both of two classes, each with the second one, short enough for an axis."""
    classes = view.manifest.dataset.card.classes[:2]
    short = [name if len(name) <= AXIS_NAME else f"{name[: AXIS_NAME - 1]}…" for name in classes]
    return [(name, short[-1]) for name in short]


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
    titles = [wrapped(short_title(view, pipeline), TITLE_WIDTH, 2) for pipeline in shown]
    figure, panels = multiples(titles, COLUMNS, _shares(across), _shares(up))
    for panel, pipeline in zip(panels, shown, strict=True):
        _panel(panel, view, pipeline, curve)
        value = pipeline.metric(metric)
        if value is not None and value.value is not None:
            panel.note(0.98, 0.03, f"{name} {fixed(value.value)}", ha="right", fontsize=7)
    return figure


def _shares(label: str) -> Scale:
    return Scale(-0.03, 1.03, ((0.0, "0"), (0.5, "0.5"), (1.0, "1")), label)


def _panel(panel: Panel, view: RunView, pipeline: PipelineView, curve: Curve) -> None:
    panel.line([0, 1], [0, 1], color=RULE, linewidth=0.8)
    reference = view.reference
    if reference is not None and reference.scores and reference.label != pipeline.label:
        dashed = (0, (3, 2))
        panel.line(*curve(reference.scores), color=GREY, linewidth=1.0, linestyle=dashed)
    assert pipeline.scores is not None
    colour = ORANGE if pipeline.protected else BLUE
    x, y = curve(pipeline.scores)
    panel.line(x, y, color=colour, linewidth=1.5, marker="o", markersize=2 if len(x) < 12 else 0)
