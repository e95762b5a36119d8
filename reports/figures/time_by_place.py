"""Where each millisecond of an image is spent: a bar per pipeline, protected beside its twin."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from he_compare.common.run.spelling import duration, milliseconds
from he_compare.common.run.timing import TimeByPlace, places_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import GREY, INK, LABEL_WIDTH, PAGE, RULE, new_figure
from he_compare.reports.naming import short_title

BAR_INCHES, FRAME_INCHES = 0.27, 0.85
BAR = 0.66
# Above this ratio of the longest to the shortest bar, bars show shares of their own total.
MOST_RATIO = 12.0
# A number is written into a part of at least this share of the axis.
ROOM = 0.055


@dataclass(frozen=True)
class BarPart:
    """One part of a bar: its colour is told by its lightness, and by hatching."""

    name: str
    colour: str
    ink: str
    hatch: str = ""


PARTS = (
    BarPart("hospital: image network", "#1f4e79", "#fefefe"),
    BarPart("hospital: all else", "#a9c9e8", "#1b1b1b", "////"),
    BarPart("wire", "#f7f7f7", "#1b1b1b", "...."),
    BarPart("server", "#d0782a", "#1b1b1b"),
)


def beside_twins(view: RunView) -> list[list[PipelineView]]:
    """Return the pipelines in groups: an unprotected one, then those it is the twin of."""
    twins = {one.label: view.twin_of(one) for one in view.pipelines}
    groups = []
    for pipeline in view.pipelines:
        if twins[pipeline.label] is None:
            mine = [one for one in view.pipelines if twins[one.label] is pipeline]
            groups.append([pipeline, *mine])
    return groups


def time_by_place_plot(view: RunView) -> Figure | None:
    """Draw the median of one image as a bar per pipeline; None where no image was timed."""
    groups = [
        [(one, places) for one in group if (places := places_of(one)) is not None]
        for group in beside_twins(view)
    ]
    rows = [row for group in groups if group for row in group]
    if not rows:
        return None
    totals = [places.total for _, places in rows]
    shares = max(totals) > MOST_RATIO * min(totals)
    figure = new_figure(FRAME_INCHES + BAR_INCHES * len(rows))
    axes = figure.subplots()
    longest = 1.0 if shares else 1e3 * max(totals)
    for number, (_, places) in enumerate(rows):
        _bar(axes, number, places, 1 / places.total if shares else 1e3, longest)
    _frame(axes, view, groups, longest)
    axes.set_xlabel(
        "share of the time of one image; its median is at the end of the bar"
        if shares
        else "ms per image, median"
    )
    figure.legend(
        handles=[
            Patch(facecolor=one.colour, edgecolor=GREY, hatch=one.hatch, lw=0.5, label=one.name)
            for one in PARTS
        ],
        loc="outside upper center",
        ncols=len(PARTS),
        frameon=False,
        fontsize=7.5,
        handlelength=1.8,
    )
    return figure


def _bar(axes: Axes, row: int, places: TimeByPlace, scale: float, longest: float) -> None:
    seconds = (places.network, places.hospital - places.network, places.wire, places.server)
    left = 0.0
    for part, one in zip(PARTS, seconds, strict=True):
        width = max(one, 0.0) * scale
        if width <= 0:
            continue
        axes.barh(
            row, width, BAR, left, color=part.colour, edgecolor=GREY, lw=0.5, hatch=part.hatch
        )
        if width > ROOM * longest:
            words = axes.text(
                left + width / 2, row, milliseconds(one),
                ha="center", va="center", fontsize=6.8, color=part.ink,
            )  # fmt: skip
            if part.hatch:
                words.set_bbox({"facecolor": part.colour, "edgecolor": "none", "pad": 0.8})
        left += width
    axes.annotate(
        duration(places.total), (left, row), xytext=(4, 0), textcoords="offset points",
        va="center", fontsize=7.2, weight="bold", color=INK,
    )  # fmt: skip


def _frame(
    axes: Axes,
    view: RunView,
    groups: list[list[tuple[PipelineView, TimeByPlace]]],
    longest: float,
) -> None:
    names, row = [], 0
    for group in groups:
        if group and row:
            axes.axhline(row - 0.5, color=GREY, lw=0.6, linestyle=(0, (4, 2)))
        names += [wrapped(short_title(view, one), LABEL_WIDTH + 10, 1) for one, _ in group]
        row += len(group)
    axes.set_yticks(range(len(names)), names)
    for label, (one, _) in zip(
        axes.get_yticklabels(), [each for group in groups for each in group], strict=True
    ):
        label.set_fontweight("bold" if one.protected else "normal")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.13 * longest)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_facecolor(PAGE)
