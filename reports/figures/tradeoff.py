"""Accuracy against price: a mark a pipeline, its shape saying what attacks found.

Marks carry the pipeline's number, placed where no other number stands; the key is beside the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from he_compare.common.run.protection import integrity_of, secrecy_of
from he_compare.common.run.spelling import size
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import BLUE, GREY, INK, ORANGE, RULE, new_figure, place_once

# Marker and meaning by what was kept; secrecy without integrity has a mark of its own.
SHAPES = {
    "broken": ("X", "secrecy broken or partly broken"),
    "secret only": ("^", "secrecy not broken, answers not protected"),
    "held": ("o", "not broken by what was run"),
    "open": ("P", "no protection, or a control"),
    "unknown": ("s", "not tested"),
    "no server": ("D", "no server: nothing to attack"),
}
# How far 0, which has no place on a log axis, stands left of the smallest cost, in powers of ten.
BREAK = 0.45
NEAR = 11.0
LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkB": 3}
KEY_WIDTH = 34
Price = Callable[[PipelineView], float | None]
Point = tuple[float, float, PipelineView]


@dataclass(frozen=True)
class Priced:
    """One panel: its points, and where 0 is drawn; None where no point costs nothing."""

    points: list[Point]
    zero: float | None
    label: str
    spell: Callable[[float], str]


def tradeoff_plot(view: RunView) -> Figure | None:
    """Draw accuracy against p50 and against bytes per image; None where neither is known."""
    priced = (
        _priced(view, _wait, "p50 of one image, log axis", round_duration),
        _priced(view, _moved, "bytes per image, up and down, log axis", _round_size),
    )
    panels = [panel for panel in priced if panel is not None]
    if not panels:
        return None
    count = len(view.pipelines)
    figure = new_figure(max(2.9, 0.55 + 0.3 * count))
    grid = figure.subplots(
        1, len(panels) + 1, squeeze=False, width_ratios=[*[1] * len(panels), 0.95]
    )
    for axes, panel in zip(grid[0], panels, strict=False):
        _panel(axes, view, panel)
    grid[0][0].set_ylabel("accuracy")
    _key(grid[0][-1], view)
    place_once(figure)
    for axes, panel in zip(grid[0], panels, strict=False):
        _numbers(figure, axes, panel.points)
    return figure


def _kept(view: RunView, pipeline: PipelineView) -> str:
    """Return what was kept, as a key of ``SHAPES``."""
    mark = secrecy_of(view, pipeline).mark
    if mark in ("broken", "partly"):
        return "broken"
    if mark == "held":
        changed = integrity_of(view, pipeline).mark in ("not protected", "broken", "partly")
        return "secret only" if changed else "held"
    if mark == "no server":
        return mark
    return "open" if mark in ("open by design", "control") else "unknown"


def _wait(pipeline: PipelineView) -> float | None:
    latency = latency_of(pipeline)
    return latency.total.p50 if latency else None


def _moved(pipeline: PipelineView) -> float | None:
    moved = pipeline.bytes_per_image
    return sum(moved) if moved else None


def _round_size(count: float) -> str:
    return size(count).replace(".00", "").replace(".0 ", " ")


def _priced(
    view: RunView, price: Price, label: str, spell: Callable[[float], str]
) -> Priced | None:
    """Return a panel of all pipelines whose price is known; None where none has a price above 0."""
    found = []
    for pipeline in view.pipelines:
        metric, cost = pipeline.metric("accuracy"), price(pipeline)
        if metric is not None and metric.value is not None and cost is not None:
            found.append((cost, metric.value, pipeline))
    costs = [cost for cost, *_ in found if cost > 0]
    if not costs:
        return None
    zero = _left_of(costs)
    points = [(cost if cost > 0 else zero, height, one) for cost, height, one in found]
    return Priced(points, zero if len(costs) < len(found) else None, label, spell)


def _left_of(costs: list[float]) -> float:
    """Return a place on a log axis that is clearly left of all costs."""
    reach = max(max(costs) / min(costs), 4.0)
    return min(costs) / reach**BREAK


def _panel(axes: Axes, view: RunView, panel: Priced) -> None:
    axes.set_xscale("log")
    for cost, accuracy, pipeline in panel.points:
        axes.plot(
            [cost],
            [accuracy],
            marker=SHAPES[_kept(view, pipeline)][0],
            color=ORANGE if pipeline.protected else BLUE,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linestyle="none",
        )
    costs, heights = [point[0] for point in panel.points], [point[1] for point in panel.points]
    ratio = max(max(costs) / min(costs), 4.0)
    axes.set_xlim(min(costs) / ratio**0.22, max(costs) * ratio**0.22)
    span = max(max(heights) - min(heights), 0.2)
    axes.set_ylim(min(heights) - 0.2 * span, min(1.04, max(heights) + 0.2 * span))
    _mark_costs(axes, panel)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_xlabel(panel.label)


def _mark_costs(axes: Axes, panel: Priced) -> None:
    """Label round costs; 0 has a tick of its own, left of a line where the log axis begins."""
    low, high = axes.get_xlim()
    if panel.zero is None:
        ticks = _ticks(low, high)
        axes.set_xticks(ticks, [panel.spell(value) for value in ticks])
    else:
        begin = math.sqrt(panel.zero * min(cost for cost, *_ in panel.points if cost > panel.zero))
        ticks = _ticks(begin, high)
        axes.set_xticks([panel.zero, *ticks], ["0", *[panel.spell(value) for value in ticks]])
        axes.axvline(begin, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.minorticks_off()


def _ticks(low: float, high: float) -> list[float]:
    """Return two to four round values inside the limits, as few digits as do."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        inside = [value for value in found if low <= value <= high]
        if len(inside) >= 2:
            return inside[:: -(-len(inside) // 4)]
    return [float(f"{math.sqrt(low * high):.2g}")]


def _numbers(figure: Figure, axes: Axes, points: list[Point]) -> None:
    """Write each mark's number beside it, at the first place that is free; far off, with a line."""
    marks = [axes.transData.transform((cost, accuracy)) for cost, accuracy, _ in points]
    scale = 72 / figure.dpi
    taken = [(float(x) * scale, float(y) * scale) for x, y in marks]
    box = axes.get_window_extent()
    edges = (box.x0 * scale, box.y0 * scale, box.x1 * scale, box.y1 * scale)
    for (x, y), (cost, accuracy, pipeline) in zip(list(taken), points, strict=True):
        dx, dy = _free_place(x, y, taken, edges)
        taken.append((x + dx, y + dy))
        axes.annotate(
            str(pipeline.number),
            (cost, accuracy),
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            annotation_clip=False,
            arrowprops=LEADER if math.hypot(dx, dy) > 1.5 * NEAR else None,
        )


def _free_place(
    x: float, y: float, taken: list[tuple[float, float]], edges: tuple[float, float, float, float]
) -> tuple[float, float]:
    """Return the nearest of some offsets, in points, that is away from all that is drawn."""
    directions = (
        (0, 1),
        (1, 0),
        (-1, 0),
        (0, -1),
        (0.7, 0.7),
        (-0.7, 0.7),
        (0.7, -0.7),
        (-0.7, -0.7),
    )
    for reach in (NEAR, 1.9 * NEAR, 2.8 * NEAR, 3.7 * NEAR, 4.6 * NEAR):
        for across, up in directions:
            place = (x + across * reach, y + up * reach)
            inside = (
                edges[0] + 4 <= place[0] <= edges[2] - 4
                and edges[1] + 4 <= place[1] <= edges[3] - 4
            )
            if inside and all(
                abs(place[0] - one[0]) > 0.85 * NEAR or abs(place[1] - one[1]) > 0.75 * NEAR
                for one in taken
            ):
                return across * reach, up * reach
    return 0.0, NEAR


def _key(axes: Axes, view: RunView) -> None:
    """List numbers and names, and what the shapes mean."""
    axes.set_axis_off()
    used = {_kept(view, pipeline) for pipeline in view.pipelines}
    shapes = [shown for name, shown in SHAPES.items() if name in used]
    lines = len(view.pipelines) + len(shapes) + 1
    axes.set_ylim(lines - 0.5, -0.5)
    axes.set_xlim(0, 1)
    for row, pipeline in enumerate(view.pipelines):
        colour = ORANGE if pipeline.protected else BLUE
        name = wrapped(pipeline.label, KEY_WIDTH, 1)
        axes.text(
            0.0, row, str(pipeline.number), color=colour, fontsize=6.5, va="center", weight="bold"
        )
        axes.text(0.1, row, name, fontsize=6.5, va="center")
    for row, (marker, words) in enumerate(shapes, start=len(view.pipelines) + 1):
        axes.plot([0.03], [row], marker=marker, color=INK, markersize=5, linestyle="none")
        axes.text(0.1, row, words, fontsize=6.5, va="center")


def round_duration(seconds: float) -> str:
    """Spell a tick, which is a round number, without trailing zeros."""
    for unit, divisor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.999 * divisor:
            return f"{seconds / divisor:g} {unit}"
    return f"{seconds:g} s"
