"""Time per image when one-time work is shared among many: a line a pipeline, named at its end."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from he_compare.common.run.timing import latency_of, one_time_seconds
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.latency import round_duration
from he_compare.reports.figures.style import BLUE, GREY, ORANGE, RULE, new_figure
from he_compare.reports.naming import short_title

COUNTS = (1, 10, 100, 1_000, 10_000)
STYLES = ("-", (0, (4, 2)), (0, (1, 1.3)), (0, (5, 1.5, 1, 1.5)))
LINE_INCHES = 0.19
NAME_WIDTH = 34


def shared_seconds(pipeline: PipelineView, count: int) -> float | None:
    """Return seconds per image with one-time work shared among ``count``; None where unknown."""
    latency = latency_of(pipeline)
    if latency is None or pipeline.measured is None:
        return None
    return one_time_seconds(pipeline) / count + latency.total.p50


def amortisation_plot(view: RunView) -> Figure | None:
    """Draw seconds per image over the number of images; None where no pipeline has both."""
    curves = []
    for pipeline in view.pipelines:
        seconds = [shared_seconds(pipeline, count) for count in COUNTS]
        known = [one for one in seconds if one is not None and one > 0]
        if len(known) == len(COUNTS):
            curves.append((pipeline, known))
    if not curves:
        return None
    figure = new_figure(max(2.6, 0.8 + LINE_INCHES * len(curves)))
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for index, (pipeline, shared) in enumerate(curves):
        colour = ORANGE if pipeline.protected else BLUE
        axes.plot(COUNTS, shared, color=colour, lw=1.3, ls=STYLES[index % 4], marker="o", ms=2.5)
    axes.set_xticks(COUNTS, [f"{count:,}" for count in COUNTS])
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: round_duration(value)))
    axes.minorticks_off()
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_xlabel("images that share the one-time work")
    axes.set_ylabel("time per image")
    low, high = axes.get_ylim()
    axes.set_xlim(0.8, COUNTS[-1] * 1.3)
    gap = math.log10(high / low) / max(len(curves), 9)
    ends = [math.log10(seconds[-1]) for _, seconds in curves]
    places = spread_out(ends, gap, math.log10(low), math.log10(high))
    for (pipeline, _), end, place in zip(curves, ends, places, strict=True):
        colour = ORANGE if pipeline.protected else BLUE
        last, beside = COUNTS[-1], COUNTS[-1] * 2.2
        axes.plot([last, beside], [10**end, 10**place], color=GREY, lw=0.5, clip_on=False)
        name = wrapped(short_title(view, pipeline), NAME_WIDTH, 1)
        axes.text(beside * 1.1, 10**place, name, va="center", fontsize=6.5, color=colour)
    return figure


def spread_out(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart until neighbours keep ``gap``, inside [low, high] where that fits."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = list(wanted)
    below = low - gap
    for index in order:
        placed[index] = below = max(placed[index], below + gap)
    above = high + gap
    for index in reversed(order):
        placed[index] = above = min(placed[index], above - gap)
    return placed
