"""What each step from the clear head to the executed scores costs: a row a step, with intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from he_compare.common.run.records import CostRung, PairedDifference
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.figures.style import BLUE, GREY, INK, RULE, band_rows, new_figure
from he_compare.reports.naming import short_title

ROW_INCHES, HEAD_INCHES = 0.24, 0.5
METRICS = (("accuracy", "change in accuracy"), ("auc", "change in AUC"))


def with_rungs(view: RunView) -> list[PipelineView]:
    """Return the pipelines whose way from a clear reference to the executed scores is known."""
    return [one for one in view.pipelines if one.scores is not None and one.scores.rungs]


def difference_of(rung: CostRung, metric: str) -> PairedDifference | None:
    """Return the paired difference of a rung to the one before; None for the first."""
    return next((one for one in rung.differences if one.metric == metric), None)


def costs_plot(view: RunView) -> Figure | None:
    """Draw the paired difference of each step, one block per pipeline; None where none is known."""
    found = [one for one in with_rungs(view) if one.scores and len(one.scores.rungs) > 1]
    if not found:
        return None
    counts = [len(one.scores.rungs) - 1 for one in found if one.scores]
    heights = [HEAD_INCHES + ROW_INCHES * count for count in counts]
    figure = new_figure(0.3 + sum(heights))
    grid = figure.subplots(len(found), 2, squeeze=False, sharex="col", height_ratios=counts)
    for row, pipeline in zip(grid, found, strict=True):
        steps = pipeline.scores.rungs[1:] if pipeline.scores else []
        for axes, (metric, words) in zip(row, METRICS, strict=True):
            _panel(axes, steps, metric)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            if pipeline is found[-1]:
                axes.set_xlabel(words)
        row[0].set_yticks(range(len(steps)), [step.cost for step in steps])
        row[1].set_yticks(range(len(steps)), [""] * len(steps))
        row[0].set_title(short_title(view, pipeline))
    return figure


def _panel(axes: Axes, steps: list[CostRung], metric: str) -> None:
    """Draw points and intervals; a filled point: its interval does not reach 0."""
    band_rows(axes, len(steps))
    axes.axvline(0, color=GREY, lw=0.9)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.margins(x=0.12)
    for place, step in enumerate(steps):
        found = difference_of(step, metric)
        if found is None or found.difference is None:
            axes.annotate(
                "not defined", (0, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=7, color=INK,
            )  # fmt: skip
            continue
        sure = False
        if found.interval is not None:
            low, high = found.interval.low, found.interval.high
            sure = low > 0 or high < 0
            axes.plot([low, high], [place, place], color=BLUE, lw=1.6, solid_capstyle="butt")
        axes.plot(
            found.difference, place, marker="o", ms=5, color=BLUE,
            markerfacecolor=BLUE if sure else "white", linestyle="none",
        )  # fmt: skip
