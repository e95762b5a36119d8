"""Dot plot of accuracy and AUC with their intervals, one row per pipeline."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from he_compare.common.run.records import MetricValue
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import (
    BLUE,
    GREY,
    LABEL_WIDTH,
    ORANGE,
    RULE,
    band_rows,
    halo,
    new_figure,
)
from he_compare.reports.naming import short_title

PANELS = (("accuracy", "Accuracy"), ("auc", "AUC"))
ROW_HEIGHT = 0.42


def accuracy_plot(view: RunView) -> Figure | None:
    """Draw accuracy and AUC of all pipelines; None where nothing was scored."""
    panels = [panel for panel in PANELS if any(_shown(p, panel[0]) for p in view.pipelines)]
    if not panels:
        return None
    figure = new_figure(0.75 + ROW_HEIGHT * len(view.pipelines))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, (name, title) in zip(grid[0], panels, strict=True):
        _panel(axes, view, name, title)
    labels = [wrapped(short_title(view, pipeline), LABEL_WIDTH) for pipeline in view.pipelines]
    grid[0][0].set_yticks(range(len(labels)), labels)
    return figure


def _shown(pipeline: PipelineView, name: str) -> MetricValue | None:
    metric = pipeline.metric(name)
    return metric if metric is not None and metric.value is not None else None


def _panel(axes: Axes, view: RunView, name: str, title: str) -> None:
    band_rows(axes, len(view.pipelines))
    reference = _shown(view.reference, name) if view.reference else None
    if reference is not None and reference.value is not None:
        axes.axvline(reference.value, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    lows = []
    for row, pipeline in enumerate(view.pipelines):
        metric = _shown(pipeline, name)
        if metric is None or metric.value is None:
            continue
        lows.append(metric.interval.low if metric.interval else metric.value)
        _estimate(axes, row, metric, ORANGE if pipeline.protected else BLUE)
    floor = min(0.5, min(lows))
    axes.set_xlim(max(-0.02, floor - 0.05), 1.02)
    for row, pipeline in enumerate(view.pipelines):
        if _shown(pipeline, name) is None:
            middle = sum(axes.get_xlim()) / 2
            text = pipeline.state if pipeline.state != "ok" else "not scored"
            axes.text(middle, row, text, color=GREY, ha="center", va="center", style="italic")
    axes.set_title(title)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_xlabel(f"{title}, 95% interval")


def _estimate(axes: Axes, row: int, metric: MetricValue, colour: str) -> None:
    """Draw one dot, its interval and its value in figures above it."""
    value = metric.value
    assert value is not None
    if metric.interval is not None:
        axes.plot([metric.interval.low, metric.interval.high], [row, row], color=colour, lw=1.6)
    marker = "s" if colour == ORANGE else "o"
    axes.plot([value], [row], marker=marker, color=colour, markersize=5, linestyle="none")
    axes.annotate(
        fixed(value),
        (value, row),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=6.5,
        annotation_clip=False,
        path_effects=halo(),
    )
